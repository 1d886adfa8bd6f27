//! What is measured piece by piece; the program of the same name measures the whole.

pub mod micro;
pub mod opus;
