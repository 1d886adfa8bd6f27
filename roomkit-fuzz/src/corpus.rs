//! Real messages, and what chance makes of them.

use crate::random::Random;

/// Real messages of every protocol.
pub const MESSAGES: &[&str] = &[
    r#"{"type":"audio","data":"AAABAAIAAwA="}"#,
    r#"{"type":"text","text":"a \"quoted\" wörd \ud83d\ude00"}"#,
    r#"{"type":"playback","played_ms":1234.5}"#,
    r#"{"type":"ping","id":{"deep":[[[[{}]]]]}}"#,
    r#"{"type":"mute","muted":true}"#,
    r#"{"type":"message","data":{"event":"dtmf","digit":"5"}}"#,
    r#"{"type":"recording","on":false}"#,
    "{\"type\":\"interrupt\"}\n{\"type\":\"audio\",\"data\":\"AAA=\"}\n{\"type\":\"ping\",\"id\":7}\n{\"type\":\"end\"}",
    r#"{"type":"session.created","event_id":"e","session":{"type":"realtime","object":"realtime.session","id":"sess_1","model":"gpt-realtime-2.1","expires_at":1789728574,"audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"turn_detection":null}}}}"#,
    r#"{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":1216,"item_id":"item_u1"}"#,
    r#"{"type":"input_audio_buffer.speech_stopped","event_id":"e","audio_end_ms":2944,"item_id":"item_u1"}"#,
    r#"{"type":"conversation.item.input_audio_transcription.completed","event_id":"e","item_id":"i","content_index":0,"transcript":"Hello there.","usage":{"type":"tokens","total_tokens":24,"input_tokens":16,"input_token_details":{"text_tokens":0,"audio_tokens":16},"output_tokens":8}}"#,
    r#"{"type":"conversation.item.input_audio_transcription.failed","event_id":"e","item_id":"i","content_index":0,"error":{"type":"t","code":"audio_unintelligible","message":"m"}}"#,
    r#"{"type":"response.created","event_id":"e","response":{"object":"realtime.response","id":"resp_1","status":"in_progress","status_details":null,"output":[],"conversation_id":"conv_1","usage":null,"metadata":null}}"#,
    r#"{"type":"response.output_item.added","event_id":"e","response_id":"resp_1","output_index":0,"item":{"id":"f","type":"function_call","name":"f","call_id":"c","status":"in_progress","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.done","event_id":"e","response_id":"resp_3","item_id":"f","output_index":0,"call_id":"c","name":"f","arguments":"{\"city\":\"Oslo\"}"}"#,
    r#"{"type":"response.output_audio.delta","event_id":"e","response_id":"resp_1","item_id":"i","output_index":0,"content_index":0,"delta":"AAABAAIAAwA="}"#,
    r#"{"type":"response.audio.delta","response_id":"resp_1","item_id":"i","delta":"AAABAAIAAwA"}"#,
    r#"{"type":"response.output_audio_transcript.delta","event_id":"e","response_id":"resp_1","item_id":"i","output_index":0,"content_index":0,"delta":"Hi"}"#,
    r#"{"type":"response.done","event_id":"e","response":{"id":"resp_1","status":"failed","status_details":{"type":"failed","error":{"type":"insufficient_quota","code":null}},"output":[{"id":"f","type":"function_call","call_id":"c","name":"f","arguments":"{","status":"completed"}],"usage":{"total_tokens":1,"input_tokens":-1}}}"#,
    r#"{"type":"session.updated","event_id":"e","session":{"type":"realtime","voice":"marin"}}"#,
    r#"{"type":"response.output_item.done","event_id":"e","response_id":"resp_1","output_index":0,"item":{"id":"f","type":"function_call","status":"completed","name":"f","call_id":"c","arguments":"{}"}}"#,
    r#"{"type":"response.output_audio_transcript.done","event_id":"e","response_id":"resp_1","item_id":"i","output_index":0,"content_index":0,"transcript":"Hi there"}"#,
    r#"{"type":"response.output_text.done","event_id":"e","response_id":"resp_1","item_id":"i","output_index":0,"content_index":0,"text":"Hi"}"#,
    r#"{"type":"conversation.item.input_audio_transcription.delta","event_id":"e","item_id":"i","content_index":0,"delta":"Hel"}"#,
    r#"{"type":"conversation.item.input_audio_transcription.segment","event_id":"e","item_id":"i","content_index":0,"text":"Hello","id":"s","speaker":"a","start":0.0,"end":0.5}"#,
    "{\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n{\"type\":\"response.output_item.added\",\"response_id\":\"r\",\"item\":{\"id\":\"f\",\"type\":\"function_call\",\"name\":\"f\",\"call_id\":\"c\"}}\n{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"item_id\":\"i\",\"delta\":\"AAAB\"}\n{\"type\":\"response.function_call_arguments.done\",\"response_id\":\"r\",\"item_id\":\"f\",\"call_id\":\"c\",\"arguments\":\"{}\"}\n{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"usage\":{\"total_tokens\":3,\"input_tokens\":1,\"output_tokens\":2}}}",
    r#"{"type":"response.done","response":{"status":"cancelled","status_details":"turn_detected"}}"#,
    r#"{"type":"error","event_id":"e","error":{"type":"invalid_request_error","code":"invalid_value","message":"m","param":"audio_end_ms","event_id":null}}"#,
    r#"{"setupComplete":{}}"#,
    r#"{"setupComplete":{"sessionId":"0b1c"}}"#,
    r#"{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAABAAIAAwA="}}]}}}"#,
    r#"{"serverContent":{"modelTurn":{"parts":[{"text":"plan","thought":true},{"inlineData":{"mimeType":"audio/pcm","data":"AAABAAIAAwA="},"thoughtSignature":"AQID"}]}}}"#,
    r#"{"serverContent":{"inputTranscription":{"text":" hello"}}}"#,
    r#"{"serverContent":{"inputTranscription":{"text":"","finished":true,"languageCode":"en-US"}}}"#,
    r#"{"serverContent":{"interimInputTranscription":{"text":"hel"}}}"#,
    r#"{"serverContent":{"outputTranscription":{"text":"Hi, how"}}}"#,
    r#"{"serverContent":{"interrupted":true}}"#,
    r#"{"serverContent":{"generationComplete":true}}"#,
    r#"{"serverContent":{"turnComplete":true,"interactionStatus":"IDLE"},"usageMetadata":{"promptTokenCount":812,"responseTokenCount":95,"totalTokenCount":907,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":312},{"modality":"TEXT","tokenCount":500}],"responseTokensDetails":[{"modality":"AUDIO","tokenCount":95}],"thoughtsTokenCount":0}}"#,
    r#"{"serverContent":{"turnComplete":true,"turnCompleteReason":"MALFORMED_FUNCTION_CALL"}}"#,
    r#"{"serverContent":{"waitingForInput":true}}"#,
    r#"{"serverContent":{"groundingMetadata":{"webSearchQueries":["weather oslo"],"groundingChunks":[{"web":{"uri":"https://example.com","title":"x"}}]},"turnComplete":true}}"#,
    r#"{"toolCall":{"functionCalls":[{"id":"function-call-1","name":"get_weather","args":{"city":"Oslo"}}]}}"#,
    r#"{"toolCallCancellation":{"ids":["function-call-1"]}}"#,
    r#"{"goAway":{"timeLeft":"50s"}}"#,
    r#"{"sessionResumptionUpdate":{"newHandle":"CihhYmM...","resumable":true}}"#,
    r#"{"sessionResumptionUpdate":{"resumable":false}}"#,
    r#"{"sessionResumptionUpdate":{"newHandle":"h","resumable":true,"lastConsumedClientMessageIndex":"42"}}"#,
    r#"{"voiceActivity":{"voiceActivityType":"ACTIVITY_START","audioOffset":"12.340s"}}"#,
    r#"{"voiceActivityDetectionSignal":{"vadSignalType":"VAD_SIGNAL_TYPE_SOS"}}"#,
    r#"{"usageMetadata":{"promptTokenCount":0,"responseTokenCount":25,"totalTokenCount":25}}"#,
    r#"{"usageMetadata":{"promptTokenCount":40,"candidatesTokenCount":"7","candidatesTokensDetails":[{"modality":"TEXT","tokenCount":"7"}]}}"#,
    "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:pWvM\r\na=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8aD\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=candidate:2 1 udp 1694498815 203.0.113.1 3478 typ srflx raddr 192.0.2.1 rport 5000\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n",
    r#"{"sdp":"v=0\r\n","type":"offer","webrtc_id":"a","restart":true}"#,
    r#"{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 5000 typ host","sdpMid":"0"},"webrtc_id":"a"}"#,
    r#"{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}"#,
    "{\"serverContent\":{\"interrupted\":true}}\n{\"serverContent\":{\"modelTurn\":{\"parts\":[{\"inlineData\":{\"data\":\"AAAB\"}}]}}}\n{\"serverContent\":{\"turnComplete\":true}}",
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"3 degrees"}],"structuredContent":{"degrees":3},"isError":false}}"#,
    r#"{"content":[{"type":"image","data":"AAAB","mimeType":"image/png"},{"type":"resource_link","uri":"file:///a","name":"a"}],"isError":true}"#,
    r#"{"tools":[{"name":"get_weather","description":"d","inputSchema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},"annotations":{"readOnlyHint":true}}],"nextCursor":"c"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5,"total":1,"message":"half"}}"#,
    r#"{"id":"AAAAAAAAAAAAAAAAAAAAAA","expires_at_ms":60000,"grant":{"scopes":["call"],"room":"lobby","participant":"ann","metadata":{"a":1}}}"#,
    r#"{"iss":"i","aud":["a","b"],"sub":"ann","exp":4102444800,"nbf":1.5,"scope":"call watch","room":"lobby"}"#,
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJpIn0.AAAA",
    r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","use":"sig","alg":"ES256","x":"AAAA","y":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","key_ops":["verify"]}]}"#,
    "rk1.eyJpZCI6IkEifQ.AAAA",
    "listen = \"127.0.0.1:8080\"\n[provider]\nname = \"openai\"\n[provider.config]\nmodel = \"gpt-realtime\"\n[channel]\nsystem_prompt = \"p\"\nidle_timeout_s = 60\n[limits]\nmax_sessions = 10\n[auth]\ntokens = [{ token = \"t\", scopes = [\"call\"] }]\n[[agents]]\nname = \"a\"\nsystem_prompt = \"p\"\n[[mcp]]\nurl = \"https://example.com\"\n[[transports]]\nname = \"websocket\"\npath = \"/ws\"\n",
    "[provider]\nname = \"gemini\"\nconfig = { api_key_env = \"K\" }\n[channel]\nvoice = \"marin\"\ntemperature = 0.7\nmax_duration_s = 3600\nhold_s = 30\nreconnect_attempts = 5\nseed_turns = 4\ngreeting = \"hi\"\nfirst_agent = \"a\"\n[[agents]]\nname = \"a\"\nsystem_prompt = \"p\"\n[recording]\nsink = \"wav\"\nconsent = \"ask\"\nconfig = { directory = \"/r\" }\n[limits]\nmax_rooms = 500\nallowed_origins = [\"same-origin\", \"https://a.example\"]\ntrusted_proxies = 1\nmax_load = 0.9\n[auth]\ntokens = [\"t\", { token = \"u\", scopes = [\"mint\", \"call\"] }]\n[metrics]\nenabled = true\n[rooms]\nclose_empty_after_s = 60\n",
    r##"{"type":"object","$defs":{"n":{"type":["object","null"],"properties":{"n":{"$ref":"#/$defs/n"}}}},"properties":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/n"}]},"b":{"enum":[1,null]},"c":{"type":"array","items":[{"const":"x"}]}},"required":["a","z"]}"##,
];

/// What is not text: a binding request for the caller `name`, signed with `password`, RTP, Opus packets after their lengths, and
/// a receiver's and a sender's report with a block each.
pub(crate) const BINARY: &[&[u8]] = &[
    b"\x00\x01\x00(!\x12\xa4Babcdefghijkl\x00\x06\x00\x09name:them\x00\x00\x00\x00\x08\x00\x14WX\xdfL\x0c\xb05\x91j\xc9\xc0\xff\x00j\x8c\x9eU\xae\xbc\xa5",
    b"\x01\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
    b"\x80\x6f\x00\x01\x00\x00\x03\xc0\x00\x00\x00\x01\x78\x80\x00",
    b"\x03\x00\x00\x00\x78\x80\x00\x05\x01\x01\x14\x58\x0b\xe4\xc1\x36\x03\x02\x02\x14\xf8\xff\xfe\x08\x03\x03\x14\x48\x83\x01\x02\x03\x04\x05\x06",
    b"\x81\xc9\0\x07\0\0\0\x02\0\0\0\x01\x20\0\0\x01\0\0\0\x10\0\0\0\x03\0\0\0\0\0\0\0\0",
    b"\x81\xc8\0\x0c\0\0\0\x02abcdefghijkl\0\0\0\x01\0\0\0\x02\0\0\0\x01\x20\0\0\x01\0\0\0\x10\0\0\0\x03\0\0\0\0\0\0\0\0",
];

pub(crate) const TOKENS: &[&str] = &[
    "null", "\"", "{", "}", "[", "]", ",", ":", "\\u0000", "\\ud800", "1e999", "-0", "true",
];

/// The input of this seed: plain noise, or a message that met with accidents.
pub fn input(seed: u64) -> Vec<u8> {
    let random = &mut Random::new(seed);
    if random.below(4) == 0 {
        let length = random.below(4096);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut bytes = match random.below(MESSAGES.len() + BINARY.len()) {
        text if text < MESSAGES.len() => MESSAGES[text].as_bytes().to_vec(),
        binary => BINARY[binary - MESSAGES.len()].to_vec(),
    };
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            3 => {
                let token = TOKENS[random.below(TOKENS.len())];
                bytes.splice(at..at, token.bytes());
            }
            4 => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let other = MESSAGES[random.below(MESSAGES.len())].as_bytes();
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}
