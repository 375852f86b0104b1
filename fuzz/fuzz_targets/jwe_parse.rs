//! Any text as a JWE.
#![no_main]

use chancery::jose::jwe::Jwe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(jwe) = Jwe::parse(text) {
        assert!(jwe.recipients().len() > 0);
    }
});
