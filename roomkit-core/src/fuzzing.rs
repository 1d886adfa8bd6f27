//! The call machine as a function of bytes, and frame by frame, for the project's own fuzzing and
//! benchmarks. No part of the API.

/// What happens to one call, whatever that is, on a virtual clock.
///
/// # Panics
///
/// When a promise of the call is broken.
pub fn call(input: &[u8]) {
    crate::call::fuzz(input);
}

/// A call in which both sides speak all the time. Each time it is called, 20 ms pass, and a frame goes
/// each way through the machine.
pub fn frames() -> impl FnMut() {
    let mut frames = crate::call::Frames::new();
    move || frames.step()
}
