//! What a frame of audio costs the machine: nothing but its short way through.

use super::super::testing::Frames;

/// Until every buffer is as large as it gets; more than two signs of life apart.
const WARM_UP: usize = 300;
const FRAMES: usize = 200;
/// Each half second of audio is followed by a ping, so that its pong confirms it.
const PINGS: usize = FRAMES / 25;

#[test]
fn a_frame_of_audio_needs_no_allocation() {
    let mut frames = Frames::new();
    for _ in 0..WARM_UP {
        frames.step();
    }
    let allocations = allocation_counter::measure(|| {
        for _ in 0..FRAMES {
            frames.step();
        }
    });
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
}

#[test]
fn a_frame_of_audio_needs_no_look_at_all_the_rest() {
    let mut frames = Frames::new();
    for _ in 0..WARM_UP {
        frames.step();
    }
    let before = frames.looks();
    for _ in 0..FRAMES {
        frames.step();
    }
    let looks = frames.looks() - before;
    assert_eq!(looks, 2 * PINGS, "the frame before each ping, and its pong");
}
