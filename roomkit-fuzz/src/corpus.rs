//! Real messages, and what chance makes of them.

use crate::Random;

const MESSAGES: &[&str] = &[
    r#"{"type":"audio","data":"AAABAAIAAwA="}"#,
    r#"{"type":"text","text":"a \"quoted\" wörd \ud83d\ude00"}"#,
    r#"{"type":"playback","played_ms":1234.5}"#,
    r#"{"type":"ping","id":{"deep":[[[[{}]]]]}}"#,
    r#"{"type":"mute","muted":true}"#,
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
    r#"{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}"#,
    "{\"serverContent\":{\"interrupted\":true}}\n{\"serverContent\":{\"modelTurn\":{\"parts\":[{\"inlineData\":{\"data\":\"AAAB\"}}]}}}\n{\"serverContent\":{\"turnComplete\":true}}",
    r##"{"type":"object","$defs":{"n":{"type":["object","null"],"properties":{"n":{"$ref":"#/$defs/n"}}}},"properties":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/n"}]},"b":{"enum":[1,null]},"c":{"type":"array","items":[{"const":"x"}]}},"required":["a","z"]}"##,
];

const TOKENS: &[&str] = &[
    "null", "\"", "{", "}", "[", "]", ",", ":", "\\u0000", "\\ud800", "1e999", "-0", "true",
];

/// One input: plain noise, or a message that met with accidents.
pub(crate) fn input(random: &mut Random) -> Vec<u8> {
    if random.below(8) == 0 {
        let length = random.below(4096);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut bytes = MESSAGES[random.below(MESSAGES.len())].as_bytes().to_vec();
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
