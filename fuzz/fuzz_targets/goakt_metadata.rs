#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rakt_wire::goakt::fuzz::metadata(data));
