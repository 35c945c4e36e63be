#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mailbridge_fuzz::cloud_event::run(input));
