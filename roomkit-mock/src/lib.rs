//! Placeholder during the first build-up.
