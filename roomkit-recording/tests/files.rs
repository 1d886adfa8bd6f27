//! Files as others read them (contract V5): parsed here from their specifications, by nothing that
//! wrote them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ogg;
mod support;

use std::{f64::consts::TAU, fs, path::Path, time::Duration};

use roomkit_core::{
    RealtimeSession,
    provider::Role,
    recording::{
        RecordingDecision, RecordingInfo, RecordingMark, RecordingMarkKind, RecordingSink,
        RecordingSummary, RecordingWriter,
    },
    registry::Registry,
};
use roomkit_recording::{FileSink, OggOpusConfig, WavConfig};
use serde_json::{Value, json};
use support::Directory;

/// A tone of each side's own, as blocks of 200 ms.
fn blocks(rate: u32, length: Duration) -> Vec<Vec<u8>> {
    let samples = (length.as_millis() as u32 * rate / 1000) as usize;
    let stereo: Vec<u8> = (0..samples)
        .flat_map(|n| {
            let at = n as f64 / f64::from(rate);
            let sample = |hz: f64| ((TAU * hz * at).sin() * 8000.0) as i16;
            // The right side begins after half a second.
            let right = if at < 0.5 { 0 } else { sample(600.0) };
            [sample(250.0), right]
        })
        .flat_map(i16::to_le_bytes)
        .collect();
    let block = rate as usize / 5 * 4;
    stereo.chunks(block).map(<[u8]>::to_vec).collect()
}

async fn open(sink: &FileSink) -> (String, Box<dyn RecordingWriter>) {
    let session = RealtimeSession::new("lobby", "ann", "voice", serde_json::Map::new());
    let info = RecordingInfo::new(&session, sink.sample_rate());
    let writer = sink.open(info).await.unwrap();
    (session.id().to_string(), writer)
}

/// Writes a recording of that length, and finishes it if it may.
async fn record(sink: &FileSink, length: Duration, finish: bool) -> String {
    let (id, mut writer) = open(sink).await;
    for block in blocks(sink.sample_rate(), length) {
        writer.audio(block.into()).await.unwrap();
    }
    if finish {
        let summary = RecordingSummary::new(length, 0);
        writer.finish(summary).await.unwrap();
    }
    id
}

fn sidecar(directory: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory.join(format!("{name}.jsonl"))).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A WAV file as a strict reader sees it: its rate, and both sides.
fn wav(path: &Path) -> (u32, Vec<i16>, Vec<i16>) {
    let bytes = fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    assert_eq!(number(4) as usize, bytes.len() - 8);
    let (mut at, mut rate, mut data) = (12, 0, None);
    while at < bytes.len() {
        let (name, length) = (&bytes[at..at + 4], number(at + 4) as usize);
        match name {
            b"fmt " => {
                assert_eq!(bytes[at + 8..at + 12], [1, 0, 2, 0], "PCM, two sides");
                rate = number(at + 12);
                assert_eq!(number(at + 16), rate * 4);
                assert_eq!(bytes[at + 20..at + 24], [4, 0, 16, 0]);
            }
            b"data" => data = Some(&bytes[at + 8..at + 8 + length]),
            _ => {}
        }
        at += 8 + length;
    }
    let side = |side: usize| {
        let frames = data.unwrap().chunks_exact(4);
        frames
            .map(|frame| i16::from_le_bytes([frame[2 * side], frame[2 * side + 1]]))
            .collect()
    };
    (rate, side(0), side(1))
}

#[tokio::test]
async fn v5_a_wav_holds_what_it_was_given() {
    let directory = Directory::new();
    let mut config = WavConfig::new(directory.path());
    config.sample_rate = 16_000;
    let sink = FileSink::wav(&config).unwrap();
    let id = record(&sink, Duration::from_millis(1530), true).await;
    let (rate, left, right) = wav(&directory.path().join(format!("{id}.wav")));
    assert_eq!((rate, left.len()), (16_000, 24_480));
    let given = blocks(16_000, Duration::from_millis(1530)).concat();
    let read = left
        .iter()
        .zip(&right)
        .flat_map(|(left, right)| [*left, *right]);
    assert_eq!(read.flat_map(i16::to_le_bytes).collect::<Vec<_>>(), given);
}

#[test]
fn v5_finding_out_whether_files_can_be_written_overwrites_nothing() {
    let directory = Directory::new();
    let name = format!(".roomkit-{}", std::process::id());
    let theirs = directory.path().join(name);
    fs::write(&theirs, "not ours").unwrap();
    FileSink::wav(&WavConfig::new(directory.path())).unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "not ours");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn v5_a_recording_that_is_cut_off_is_readable_to_its_last_block() {
    let directory = Directory::new();
    let sink = FileSink::wav(&WavConfig::new(directory.path())).unwrap();
    let (id, mut writer) = open(&sink).await;
    for (number, block) in blocks(24_000, Duration::from_secs(3))
        .into_iter()
        .enumerate()
    {
        writer.audio(block.into()).await.unwrap();
        // Whoever looks at this moment sees what a crash at this moment leaves.
        let (_, left, _) = wav(&directory.path().join(format!("{id}.wav")));
        assert_eq!(left.len(), (number + 1) * 4800);
    }
    drop(writer);

    let sink = FileSink::ogg_opus(&OggOpusConfig::new(directory.path())).unwrap();
    let (id, mut writer) = open(&sink).await;
    for (number, block) in blocks(24_000, Duration::from_secs(3))
        .into_iter()
        .enumerate()
    {
        writer.audio(block.into()).await.unwrap();
        let bytes = fs::read(directory.path().join(format!("{id}.opus"))).unwrap();
        let stream = ogg::read(&bytes);
        assert!(!stream.is_ended);
        assert_eq!(stream.left.len() + stream.skip, (number + 1) * 9600);
    }
    drop(writer);
    assert!(
        sidecar(directory.path(), &id)
            .iter()
            .all(|line| line["type"] != "end")
    );
}

#[tokio::test]
async fn v5_ogg_opus_has_its_length_to_the_sample_and_its_sides_apart() {
    let directory = Directory::new();
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        let mut config = OggOpusConfig::new(directory.path());
        config.sample_rate = rate;
        let sink = FileSink::ogg_opus(&config).unwrap();
        for length in [1, 200, 1000, 2345, 4640].map(Duration::from_millis) {
            let id = record(&sink, length, true).await;
            let bytes = fs::read(directory.path().join(format!("{id}.opus"))).unwrap();
            let stream = ogg::read(&bytes);
            let samples = length.as_millis() as usize * 48;
            assert!(stream.is_ended);
            assert_eq!(stream.input_rate, rate);
            assert_eq!((stream.left.len(), stream.right.len()), (samples, samples));
            assert!(stream.longest_page <= Duration::from_secs(1));
            if length >= Duration::from_secs(1) {
                sounds_as_given(&stream, length);
            }
        }
    }
}

fn sounds_as_given(stream: &ogg::Stream, length: Duration) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for frame in blocks(48_000, length).concat().chunks_exact(4) {
        left.push(i16::from_le_bytes([frame[0], frame[1]]));
        right.push(i16::from_le_bytes([frame[2], frame[3]]));
    }
    for (decoded, given) in [(&stream.left, &left), (&stream.right, &right)] {
        let alike = correlation(decoded, given);
        assert!(alike > 0.99, "{length:?} at {}: {alike}", stream.input_rate);
    }
    let quiet = &stream.right[4800..19_200];
    let leak = loudness(quiet) / loudness(&stream.left[4800..19_200]);
    assert!(leak < 0.01, "the caller is heard on the AI's side: {leak}");
}

#[tokio::test]
async fn the_sidecar_says_whose_recording_it_is_and_what_happened() {
    let directory = Directory::new();
    let sink = FileSink::wav(&WavConfig::new(directory.path())).unwrap();
    let (id, mut writer) = open(&sink).await;
    let ms = Duration::from_millis;
    let role = Role::User;
    for (at, kind) in [
        (
            100,
            RecordingMarkKind::Speaking {
                who: role,
                speaking: true,
            },
        ),
        (
            100,
            RecordingMarkKind::Transcript {
                role,
                text: "a \"line\"\nand another".into(),
                interrupted: false,
                item_id: None,
            },
        ),
        (900, RecordingMarkKind::BargeIn { heard: ms(420) }),
        (
            1000,
            RecordingMarkKind::Paused {
                by: RecordingDecision::Client,
            },
        ),
    ] {
        writer.mark(RecordingMark::new(ms(at), kind)).await.unwrap();
    }
    writer
        .finish(RecordingSummary::new(ms(2000), 3))
        .await
        .unwrap();
    let lines = sidecar(directory.path(), &id);
    let session = &lines[0];
    for (field, value) in [
        ("type", json!("session")),
        ("session_id", json!(id)),
        ("room_id", json!("lobby")),
        ("participant_id", json!("ann")),
        ("format", json!("wav")),
        ("audio", json!(format!("{id}.wav"))),
        ("channels", json!(["caller", "ai"])),
        ("sample_rate", json!(24_000)),
        ("consent", json!("settings")),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    assert_eq!(
        lines[1..],
        [
            json!({"type": "speaking", "at_ms": 100, "who": "user", "speaking": true}),
            json!({"type": "transcript", "at_ms": 100, "role": "user",
                   "text": "a \"line\"\nand another", "interrupted": false}),
            json!({"type": "barge_in", "at_ms": 900, "heard_ms": 420}),
            json!({"type": "paused", "at_ms": 1000, "by": "client"}),
            json!({"type": "end", "duration_ms": 2000, "missed": 3}),
        ]
    );
}

#[tokio::test]
async fn nothing_is_written_over_and_nobody_else_may_read_it() {
    let directory = Directory::new();
    let sink = FileSink::wav(&WavConfig::new(directory.path())).unwrap();
    let session = RealtimeSession::new("lobby", "ann", "voice", serde_json::Map::new());
    for _ in 0..3 {
        let info = RecordingInfo::new(&session, 24_000);
        sink.open(info).await.unwrap();
    }
    let id = session.id();
    for name in [format!("{id}"), format!("{id}-2"), format!("{id}-3")] {
        assert_eq!(
            sidecar(directory.path(), &name)[0]["audio"],
            format!("{name}.wav")
        );
        #[cfg(unix)]
        for extension in ["wav", "jsonl"] {
            use std::os::unix::fs::PermissionsExt;
            let file = directory.path().join(format!("{name}.{extension}"));
            assert_eq!(
                fs::metadata(file).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
}

#[tokio::test]
async fn v5_a_name_is_taken_if_either_of_its_files_is_there() {
    let directory = Directory::new();
    let sink = FileSink::ogg_opus(&OggOpusConfig::new(directory.path())).unwrap();
    let session = RealtimeSession::new("lobby", "ann", "voice", serde_json::Map::new());
    let id = session.id();
    let audio = directory.path().join(format!("{id}.opus"));
    fs::write(&audio, "the sidecar was moved").unwrap();
    fs::write(directory.path().join(format!("{id}-2.jsonl")), "").unwrap();
    sink.open(RecordingInfo::new(&session, 24_000))
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&audio).unwrap(), "the sidecar was moved");
    let name = format!("{id}-3");
    assert_eq!(
        sidecar(directory.path(), &name)[0]["audio"],
        format!("{name}.opus")
    );
    // Nothing is left of what was tried.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[tokio::test]
async fn v4_a_directory_that_goes_away_is_an_error_with_words() {
    let directory = Directory::new();
    let inner = directory.path().join("recordings");
    let sink = FileSink::wav(&WavConfig::new(&inner)).unwrap();
    fs::remove_dir(&inner).unwrap();
    let session = RealtimeSession::new("lobby", "ann", "voice", serde_json::Map::new());
    let opened = sink.open(RecordingInfo::new(&session, 24_000)).await;
    let error = opened.err().unwrap().to_string();
    assert!(error.starts_with("the file: "), "{error}");
}

#[test]
fn both_are_found_by_name_and_refuse_what_cannot_be() {
    let directory = Directory::new();
    let registry = Registry::linked().unwrap();
    for name in ["wav", "ogg_opus"] {
        let config = json!({"directory": directory.path()});
        assert_eq!(registry.recording_sink(name, config).unwrap().name(), name);
    }
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for (name, config, problem) in [
        ("wav", json!({}), "missing field `directory`"),
        ("wav", json!({"directory": file}), "directory: "),
        (
            "wav",
            json!({"directory": "/dev/null/x"}),
            "cannot be written",
        ),
        (
            "wav",
            json!({"directory": directory.path(), "sample_rate": 1}),
            "sample_rate: 1 Hz",
        ),
        (
            "ogg_opus",
            json!({"directory": directory.path(), "bitrate": 7}),
            "bitrate: is 7",
        ),
        (
            "ogg_opus",
            json!({"directory": directory.path(), "sample_rate": 44_100}),
            "sample_rate: 44100 Hz; must be one of",
        ),
        (
            "ogg_opus",
            json!({"directory": directory.path(), "complexity": 11}),
            "complexity: is 11",
        ),
        (
            "ogg_opus",
            json!({"directory": directory.path(), "codec": 1}),
            "unknown field `codec`",
        ),
        (
            "mp3",
            json!({}),
            "unknown recording sink `mp3`; linked here: ogg_opus, wav",
        ),
    ] {
        let error = registry
            .recording_sink(name, config)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(problem), "{error}");
    }
}

fn correlation(one: &[i16], other: &[i16]) -> f64 {
    let product = |one: &[i16], other: &[i16]| -> f64 {
        let pairs = one.iter().zip(other);
        pairs
            .map(|(one, other)| f64::from(*one) * f64::from(*other))
            .sum()
    };
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

fn loudness(samples: &[i16]) -> f64 {
    let squares = samples.iter().map(|sample| f64::from(*sample).powi(2));
    (squares.sum::<f64>() / samples.len() as f64).sqrt()
}
