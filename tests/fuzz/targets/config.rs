#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mailbridge_fuzz::config::run(input));
