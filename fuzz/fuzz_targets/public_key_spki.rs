//! Any bytes as a SubjectPublicKeyInfo; what is taken is written as it was read.
#![no_main]

use chancery::key::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(key) = PublicKey::from_spki(der) {
        let again = PublicKey::from_spki(key.der()).expect("its own DER");
        assert_eq!(again.der(), key.der());
        assert_eq!(again.thumbprint(), key.thumbprint());
        let _ = (key.pem(), key.jwk(), key.sha256());
    }
});
