//! Short programs that use roomkit; each file next to this folder is one.
//! `cargo run --example first_call` runs the first.
