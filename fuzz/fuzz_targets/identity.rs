//! Any bytes as a certificate, any text as the name of an identity; what is taken is taken again as it is shown.
#![no_main]

use chancery::identity::{Identity, IdentityName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let shown = Identity::from_certificate(bytes)
        .ok()
        .map(|identity| identity.name().to_string());
    let given = std::str::from_utf8(bytes).ok().map(str::to_owned);
    let name = |text: &String| text.parse::<IdentityName>().ok();
    assert_eq!(
        shown.as_ref().map(|text| name(text).is_some()),
        shown.as_ref().map(|_| true)
    );
    for text in shown.iter().chain(&given) {
        if let Some(name) = name(text) {
            assert_eq!(name.as_str(), text);
        }
    }
});
