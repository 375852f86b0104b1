//! Any text as a JWS, whole and with its payload apart.
#![no_main]

use chancery::jose::jws::Jws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Option<&[u8]>)| {
    let (text, payload) = input;
    if let Ok(jws) = Jws::parse(text, payload, &["exp".to_owned()]) {
        assert!(!jws.candidates().is_empty());
        for candidate in jws.candidates() {
            let _ = (candidate.signing_input(), candidate.signature());
        }
    }
});
