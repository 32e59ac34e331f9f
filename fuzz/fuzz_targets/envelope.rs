#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rakt_fuzz::envelope(data));
