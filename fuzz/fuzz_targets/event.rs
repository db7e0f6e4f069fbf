#![no_main]

#[allow(dead_code)]
#[path = "../../tests/service/hostility/fuzzed.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::event(bytes));
