//! The call machine as a function of bytes, for the project's own fuzzing. No part of the API.

/// What happens to one call, whatever that is, on a virtual clock.
///
/// # Panics
///
/// When a promise of the call is broken.
pub fn call(input: &[u8]) {
    crate::call::fuzz(input);
}
