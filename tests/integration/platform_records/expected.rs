//! What has to be in the log of a test, field by field, and what may not be in any of its files.

use std::fs;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    audited::{events, hash, log_of, records, verify, walk},
    platform::world::World,
};

/// What has to be in the log, and what must not.
pub struct Expected {
    pub caller: Value,
    pub partner: &'static str,
    pub scheme: &'static str,
    pub call: &'static str,
    pub records: Vec<Value>,
    pub secrets: Vec<(String, Vec<u8>)>,
}

/// A key of ours that is used: what for, which, with what, its public half, and on what.
pub struct Used<'k> {
    pub operation: &'k str,
    pub key: &'k str,
    pub algorithm: &'k str,
    pub public: Option<&'k str>,
    pub input: Option<&'k [u8]>,
}

impl Expected {
    pub fn next(&mut self, call: &'static str, partner: &'static str, scheme: &'static str) {
        (self.call, self.partner, self.scheme) = (call, partner, scheme);
    }

    /// An intent with this subject and these fields, and how it ended.
    pub fn intent(&mut self, subject: Value, fields: Value, outcome: Value) {
        let mut intent = json!({
            "caller": self.caller,
            "call": format!("PlatformService.{}", self.call),
            "rule": "partners",
        });
        intent["subject"] = subject;
        intent["subject"]["partner"] = self.partner.into();
        intent["subject"]["scheme"] = self.scheme.into();
        for (name, value) in fields.as_object().unwrap() {
            if !value.is_null() {
                intent[name] = value.clone();
            }
        }
        self.records
            .push(json!({"intent": intent, "outcome": outcome}));
    }

    /// What is done without a key of ours, on this.
    pub fn act(&mut self, operation: &str, input: Option<&[u8]>, result: Value) {
        let input = input.map(|input| json!({"sha256": hash(input)}));
        self.intent(
            json!({"operation": operation}),
            json!({ "input": input }),
            json!({ "result": result }),
        );
    }

    /// The use of a key of ours, and the hash of its signature, if it made one.
    pub fn key(&mut self, used: Used<'_>, result: Value, signature: Option<&[u8]>) {
        let input = used.input.map(|input| json!({"sha256": hash(input)}));
        let mut outcome = json!({ "result": result });
        if let Some(signature) = signature {
            outcome["signature"] = hash(signature).into();
        }
        self.intent(
            json!({"operation": used.operation, "key": used.key, "version": 1, "algorithms": [used.algorithm]}),
            json!({"public_key": used.public, "input": input}),
            outcome,
        );
    }

    pub fn denied(&mut self, caller: &Value, operation: &str, reason: Value) {
        self.records.push(json!({"denied": {
            "caller": caller,
            "call": format!("PlatformService.{}", self.call),
            "subject": {"operation": operation, "partner": self.partner, "scheme": self.scheme},
            "reason": reason,
        }}));
    }

    pub fn hides(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        assert!(bytes.as_ref().len() >= 8, "{what} may be there by chance");
        self.secrets
            .push((what.to_owned(), bytes.as_ref().to_vec()));
    }
}

/// All records of the service are those that are expected, in their order, and nothing else is in them.
pub fn compare(world: &World, expected: &Expected) {
    let log = log_of(&world.daemon);
    let (good, said) = verify(&log);
    assert!(good, "{said}");
    let all = records(&log);
    let outcomes = events(&all, "outcome");
    let mut found = Vec::new();
    for record in &all {
        let of_partners = |event: &Value| {
            let call = event["call"].as_str().unwrap();
            call.starts_with("PlatformService.")
        };
        if let Some(intent) = record["event"].get("intent").filter(|one| of_partners(one)) {
            let outcome = outcomes
                .iter()
                .find(|one| one["intent"] == record["sequence"]);
            let mut outcome = (*outcome.expect("an outcome")).clone();
            outcome.as_object_mut().unwrap().remove("intent");
            found.push(json!({"intent": intent, "outcome": outcome}));
        }
        if let Some(denied) = record["event"].get("denied").filter(|one| of_partners(one)) {
            found.push(json!({ "denied": denied }));
        }
    }
    for (index, (found, expected)) in found.iter().zip(&expected.records).enumerate() {
        assert_eq!(found, expected, "record {index}");
    }
    assert_eq!(found.len(), expected.records.len(), "{:#?}", found.last());

    // The secrets that came in are there as keys, by name, and by whom; of what came the hash of the ciphertext.
    let imports: Vec<_> = events(&all, "intent")
        .into_iter()
        .filter(|intent| intent["call"] == "KeyService.ImportKey")
        .map(|intent| {
            assert_eq!(intent["caller"]["identity"], expected.caller["identity"]);
            assert_eq!(intent["rule"], "everything");
            assert_eq!(intent["input"]["sha256"].as_str().unwrap().len(), 64);
            intent["subject"].clone()
        })
        .collect();
    let names = ["hooks", "long", "tokens", "text"];
    let import = |name: &str| {
        let algorithm = if name == "long" { "HS512" } else { "HS256" };
        json!({"operation": "import", "key": name, "algorithms": [algorithm]})
    };
    assert_eq!(imports, names.map(import));
    let imported: Vec<_> = events(&all, "key_changed")
        .iter()
        .filter(|change| change["act"] == "imported")
        .map(|change| change["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(imported, names);

    let mut files: Vec<_> = walk(&log)
        .into_iter()
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    assert!(files.len() > 3);
    let told = world.daemon.log_lines().join("\n");
    files.push(("what the daemon says".to_owned(), told.into_bytes()));
    let place_of = |secret: &[u8]| {
        let forms = forms(secret);
        let mut places = files.iter().flat_map(|(name, bytes)| {
            let there = |form: &&Vec<u8>| bytes.windows(form.len()).any(|part| part == &form[..]);
            forms.iter().find(there).map(|form| (name, form))
        });
        let place = places.next();
        place.map(|(name, form)| format!("{name}: {}", String::from_utf8_lossy(form)))
    };
    // What is there is found, also as a part of something longer in base64.
    assert!(place_of(b"mastercard-jwe").is_some());
    for before in ["", "a", "ab"] {
        let longer = BASE64_STANDARD.encode(format!("{before}MARIGOLD and more"));
        let mut forms = forms(b"MARIGOLD").into_iter();
        assert!(forms.any(|form| longer.contains(str::from_utf8(&form).unwrap())));
    }
    for (what, secret) in &expected.secrets {
        assert_eq!(place_of(secret), None, "{what} is in the log");
    }
}

/// However bytes may be written: as they are, in JSON, in hexadecimal, in base64 at each of its three places.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        secret.to_vec(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        BASE64_STANDARD.encode(secret).into_bytes(),
        BASE64_STANDARD_NO_PAD.encode(secret).into_bytes(),
        BASE64_URL_SAFE.encode(secret).into_bytes(),
    ];
    if let Ok(text) = str::from_utf8(secret) {
        let quoted = serde_json::to_string(text).unwrap();
        forms.push(quoted.trim_matches('"').as_bytes().to_vec());
    }
    // As a part of something longer, which begins up to two bytes before: what all such have in common.
    for start in 0..3 {
        let whole = &secret[start..];
        let whole = &whole[..whole.len() / 3 * 3];
        forms.push(BASE64_STANDARD.encode(whole).into_bytes());
        forms.push(BASE64_URL_SAFE_NO_PAD.encode(whole).into_bytes());
    }
    forms
}
