use proptest::prelude::*;

use super::*;

const LIMITS: OfferLimits = OfferLimits {
    bytes: 10_000,
    candidates: 3,
};

/// Like Chromium's, with what a test changes about it.
fn offer(changes: &[(&str, &str)]) -> String {
    let mut sdp = "v=0\r\n\
        o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
        s=-\r\n\
        t=0 0\r\n\
        a=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
        c=IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:pWvM\r\n\
        a=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8aD\r\n\
        a=fingerprint:sha-256 AA:BB\r\n\
        a=setup:actpass\r\n\
        a=mid:0\r\n\
        a=sendrecv\r\n\
        a=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\n\
        a=rtpmap:63 red/48000/2\r\n\
        a=rtpmap:9 G722/8000\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 0.0.0.0\r\n\
        a=mid:1\r\n\
        a=sctp-port:5000\r\n"
        .to_owned();
    for (from, to) in changes {
        assert!(sdp.contains(from), "{from}");
        sdp = sdp.replace(from, to);
    }
    sdp
}

fn read(changes: &[(&str, &str)]) -> Result<Offer, BadOffer> {
    Offer::read(&offer(changes), LIMITS)
}

#[test]
fn c4_a_browsers_offer() {
    let offer = read(&[]).unwrap();
    assert_eq!((offer.codec, offer.payload_type), (Codec::Opus, 111));
    assert!(offer.has_data_channel);
    assert!(offer.hears);
    assert!(!offer.is_dtls_passive);
    assert_eq!(offer.fingerprint, "sha-256 aa:bb");
}

#[test]
fn c3_the_codec_is_the_best_of_what_is_offered() {
    let formats = " 111 63 9 0 8 13 110 126";
    for (offered, codec) in [
        (" 0 8", (Codec::Pcmu, 0)),
        (" 8", (Codec::Pcma, 8)),
        (" 8 0", (Codec::Pcmu, 0)),
        (" 8 111", (Codec::Opus, 111)),
    ] {
        let offer = read(&[(formats, offered)]).unwrap();
        assert_eq!((offer.codec, offer.payload_type), codec);
    }
    let mapped = [(formats, " 96 97"), ("a=rtpmap:9 G722", "a=rtpmap:97 PCMA")];
    let offer = read(&mapped).unwrap();
    assert_eq!((offer.codec, offer.payload_type), (Codec::Pcma, 97));
    // A payload type that means something else in this offer.
    let taken = [(formats, " 0"), ("a=rtpmap:9 ", "a=rtpmap:0 ")];
    assert_eq!(
        read(&taken),
        Err(BadOffer::NoCommonCodec("g722/8000".into()))
    );
}

#[test]
fn c4_offers_without_what_is_needed() {
    let video = [("m=audio", "m=video")];
    assert_eq!(read(&video), Err(BadOffer::NoAudio));
    let rejected = [("m=audio 9", "m=audio 0")];
    assert_eq!(read(&rejected), Err(BadOffer::NoAudio));
    let bundled = [("m=audio 9", "m=audio 0"), ("a=mid:0", "a=bundle-only")];
    assert!(read(&bundled).is_ok());
    let unknown = [(" 111 63 9 0 8 13 110 126", " 63 9")];
    assert_eq!(
        read(&unknown),
        Err(BadOffer::NoCommonCodec("red/48000/2, g722/8000".into()))
    );
    for (line, problem) in [
        ("a=ice-ufrag:pWvM\r\n", "ice-ufrag"),
        ("a=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8aD\r\n", "ice-pwd"),
        ("a=fingerprint:sha-256 AA:BB\r\n", "fingerprint"),
    ] {
        let Err(BadOffer::Invalid(said)) = read(&[(line, "")]) else {
            panic!("without {line}");
        };
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn c4_whether_there_is_a_data_channel() {
    let without = offer(&[]);
    let without = without.split("m=application").next().unwrap();
    assert!(!Offer::read(without, LIMITS).unwrap().has_data_channel);
    let rejected = ("m=application 9", "m=application 0");
    assert!(!read(&[rejected]).unwrap().has_data_channel);
    let bundled = ("a=sctp-port", "a=bundle-only\r\na=sctp-port");
    assert!(read(&[rejected, bundled]).unwrap().has_data_channel);
}

#[test]
fn c4_who_only_sends_hears_nothing() {
    assert!(!read(&[("a=sendrecv", "a=sendonly")]).unwrap().hears);
    assert!(read(&[("a=sendrecv", "a=recvonly")]).unwrap().hears);
    assert!(
        read(&[("a=setup:actpass", "a=setup:passive")])
            .unwrap()
            .is_dtls_passive
    );
}

/// What Chromium's is not: an audio section of its own for each direction.
fn apart(first: &str, second: &str) -> String {
    let section = offer(&[]);
    let begins = section.find("m=audio").unwrap();
    let ends = section.find("m=application").unwrap();
    let (head, section, tail) = (&section[..begins], &section[begins..ends], &section[ends..]);
    let first = section.replace("a=sendrecv", first);
    let second = section
        .replace("a=sendrecv", second)
        .replace("a=mid:0", "a=mid:2");
    format!("{head}{first}{second}{tail}")
}

/// The directions that the library is told.
fn directions(offer: &Offer) -> Vec<&str> {
    let lines = offer.sdp.lines().filter_map(|line| line.strip_prefix("a="));
    let is_direction =
        |word: &&str| ["inactive", "recvonly", "sendonly", "sendrecv"].contains(word);
    lines.filter(is_direction).collect()
}

#[test]
fn c3_a_microphone_and_a_loudspeaker_apart() {
    for (first, second) in [("sendonly", "recvonly"), ("recvonly", "sendonly")] {
        let sdp = apart(&format!("a={first}"), &format!("a={second}"));
        let offer = Offer::read(&sdp, LIMITS).unwrap();
        assert_eq!((offer.codec, offer.payload_type), (Codec::Opus, 111));
        assert!(offer.hears && offer.has_data_channel);
        assert_eq!(directions(&offer), [first, second]);
    }
    let silent = Offer::read(&apart("a=sendonly", "a=inactive"), LIMITS).unwrap();
    assert!(!silent.hears);
}

#[test]
fn c3_a_codec_is_that_of_microphone_and_loudspeaker() {
    for (first, second) in [("a=sendonly", "a=recvonly"), ("a=recvonly", "a=sendonly")] {
        let sdp = apart(first, second);
        let (begin, other) = sdp.split_at(sdp.rfind("m=audio").unwrap());
        // What only one of them has does not count.
        let fewer = begin.replace(" 111 63 9 0 8 13 110 126", " 9 8 0") + other;
        let offer = Offer::read(&fewer, LIMITS).unwrap();
        assert_eq!((offer.codec, offer.payload_type), (Codec::Pcmu, 0));
        let numbered = begin
            .replace(" 111 63 9 0 8 13 110 126", " 96")
            .replace(":111 ", ":96 ");
        let Err(BadOffer::NoCommonCodec(offered)) = Offer::read(&(numbered + other), LIMITS) else {
            panic!("a payload type for each");
        };
        assert!(offered.contains("opus as 96"), "{offered}");
        assert!(offered.contains("opus as 111"), "{offered}");
    }
}

#[test]
fn c4_a_rejected_section_is_no_section_for_a_call() {
    let sdp = apart("a=sendrecv", "a=sendrecv").replacen("m=audio 9", "m=audio 0", 1);
    let offer = Offer::read(&sdp, LIMITS).unwrap();
    assert!(offer.hears);
    assert_eq!(directions(&offer), ["inactive", "sendrecv"]);
    // Nor is one without a codec that is known here.
    let formats = " 111 63 9 0 8 13 110 126";
    let sdp = apart("a=sendrecv", "a=sendonly").replacen(formats, " 63 9", 1);
    let offer = Offer::read(&sdp, LIMITS).unwrap();
    assert!(!offer.hears);
    assert_eq!(directions(&offer), ["inactive", "sendonly"]);
    let sdp = apart("a=sendrecv", "a=sendonly").replace("m=audio 9", "m=audio 0");
    assert_eq!(Offer::read(&sdp, LIMITS), Err(BadOffer::NoAudio));
}

#[test]
fn c4_the_library_is_told_a_direction_that_goes_without_saying() {
    let offer = read(&[("a=sendrecv\r\n", "")]).unwrap();
    assert!(offer.hears);
    assert_eq!(directions(&offer), ["sendrecv"]);
    let session = [("a=sendrecv\r\n", ""), ("t=0 0", "t=0 0\r\na=sendonly")];
    let offer = read(&session).unwrap();
    assert!(!offer.hears);
    assert_eq!(directions(&offer), ["sendonly", "sendonly"]);
}

#[test]
fn c5_candidates_are_sifted_and_counted() {
    let candidates = "a=candidate:1 1 udp 1 a.local 5000 typ host\r\n\
        a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\n\
        a=candidate:1 1 udp 1 192.0.2.1 5000 typ host generation 0\r\n\
        a=candidate:1 1 udp 1 192.0.2.2 5000 typ host\r\n\
        a=rtcp-mux\r\n";
    let offer = read(&[("a=rtcp-mux\r\n", candidates)]).unwrap();
    let kept: Vec<&str> = offer
        .sdp
        .lines()
        .filter(|line| line.contains("candidate"))
        .collect();
    assert_eq!(kept, ["a=candidate:1 1 udp 1 192.0.2.1 5000 typ host"]);
}

#[test]
fn x5_what_is_no_offer() {
    for text in [
        "",
        "\r\n",
        "nonsense",
        "v=1\r\n",
        "v=0",
        "v=0\r\nm=audio",
        "v=0\r\nm=audio 9 X\r\n",
        "v=0\r\nx",
        "v=0\r\nä=1",
        "v=0\r\na=a\u{0}b",
    ] {
        assert!(Offer::read(text, LIMITS).is_err(), "{text:?}");
    }
    let long = "v=0\r\nm=video 9 X 96\r\n".to_owned() + &"a=\r\n".repeat(1998);
    assert_eq!(long.lines().count(), 2000);
    assert!(matches!(Offer::read(&long, LIMITS), Err(BadOffer::NoAudio)));
    assert!(Offer::read(&(long + "a=\r\n"), LIMITS).is_err());
    let large = offer(&[("s=-", &format!("s={}", "x".repeat(10_000)))]);
    assert!(matches!(
        Offer::read(&large, LIMITS),
        Err(BadOffer::TooLarge { limit: 10_000, .. })
    ));
    let many = "v=0\r\n".to_owned() + &"m=video 9 X 96\r\n".repeat(17);
    assert!(matches!(
        Offer::read(&many, LIMITS),
        Err(BadOffer::Invalid(_))
    ));
}

proptest! {
    #[test]
    fn x5_whatever_text_comes(text: String, cut in 0_usize..900, flip in 0_usize..900, with: char) {
        let _ = Offer::read(&text, LIMITS);
        let mut nearly: Vec<char> = offer(&[]).chars().collect();
        let at = flip % nearly.len();
        nearly[at] = with;
        nearly.truncate(cut.max(1));
        let _ = Offer::read(&nearly.into_iter().collect::<String>(), LIMITS);
    }
}
