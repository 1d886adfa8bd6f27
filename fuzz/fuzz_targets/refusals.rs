#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| roomkit_fuzz::run("refusals", input));
