//! Lines are what serde would write, and nothing is taken for a record that serde would not.

use proptest::prelude::*;

use super::*;
use crate::audit::{
    line::{self, Head},
    look::{Look, What},
    reader,
};

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof!["[A-Za-z0-9._:/-]{1,64}", "[0-9a-f]{64}"].prop_map(|text| text.parse().unwrap())
}

fn intents() -> impl Strategy<Value = Intent> {
    let identity = prop_oneof![
        "dns:[a-z]{1,20}\\.example",
        "spiffe://example\\.org/[a-z]{1,20}"
    ];
    let caller = (identity, digest()).prop_map(|(identity, certificate)| Caller {
        identity: identity.parse().unwrap(),
        certificate,
    });
    let subject = (
        prop::sample::select(Operation::ALL.to_vec()),
        prop::option::of("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
        prop::option::of(1_u32..),
        prop::collection::vec(prop::sample::select(Algorithm::ALL.to_vec()), 0..4),
        prop::option::of(name()),
        prop::option::of(name()),
    );
    let subject = subject.prop_map(|(operation, key, version, algorithms, partner, scheme)| {
        let version = version.and_then(Version::new);
        Subject {
            operation,
            key: key.map(|key| key.parse().unwrap()),
            version,
            algorithms,
            partner,
            scheme,
        }
    });
    let input = (any::<bool>(), digest()).prop_map(|(keyed, digest)| match keyed {
        true => InputDigest::HmacSha256(digest),
        false => InputDigest::Sha256(digest),
    });
    (
        caller,
        subject,
        prop::option::of(digest()),
        prop::option::of(input),
        name(),
    )
        .prop_map(|(caller, subject, public_key, input, rule)| Intent {
            caller,
            call: SIGN,
            subject,
            public_key,
            input,
            rule,
        })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let result = prop_oneof![
        Just(Ending::Succeeded),
        Just(Ending::Valid),
        Just(Ending::Invalid),
        Just(Ending::Repeated),
        Just(Ending::Abandoned),
        Just(Ending::Failed(Word::new("TOKEN_TIMEOUT"))),
        Just(Ending::Failed(Word::new("a/b"))),
    ];
    let outcome = (any::<u64>(), result, prop::option::of(digest()));
    outcome.prop_map(|(intent, result, signature)| Outcome {
        intent,
        result,
        signature,
    })
}

fn records() -> impl Strategy<Value = Record> {
    let event = prop_oneof![
        4 => intents().prop_map(|intent| Event::Intent(Box::new(intent))),
        3 => outcomes().prop_map(Event::Outcome),
        1 => any::<u64>().prop_map(|first| Event::Pruned(Pruned { first })),
        1 => Just(Event::Started(Started {
            origin: ORIGIN.parse().unwrap(),
            program: Word::new("0.1.0"),
            policy: None,
            config: None,
        })),
    ];
    let time = (0..253_402_300_800_000_000_u64).prop_map(Timestamp::from_microseconds);
    let parts = (any::<u64>(), time, digest(), event);
    parts.prop_map(|(sequence, time, previous, event)| Record {
        sequence,
        time,
        previous,
        event,
    })
}

fn written(record: &Record) -> Vec<u8> {
    let mut text = Vec::new();
    line::write(&mut text, &Head::from(record), &line::event(&record.event));
    text
}

fn what(record: &Record) -> What {
    match &record.event {
        Event::Intent(_) => What::Intent,
        Event::Outcome(outcome) => What::Outcome(outcome.intent),
        Event::Started(started) => What::Started(Box::new(started.origin.clone())),
        other => What::Other(other.kind()),
    }
}

proptest! {
    #[test]
    fn lines_are_what_serde_writes(record in records()) {
        let line = written(&record);
        prop_assert_eq!(&line, &serde_json::to_vec(&record).unwrap());
        let (head, event) = line::split(&line).unwrap();
        prop_assert_eq!(head, Head::from(&record));
        prop_assert_eq!(event, serde_json::to_vec(&record.event).unwrap());
        let mut look = Look::default();
        for _ in 0..2 {
            let looked = look.at(&line).unwrap();
            prop_assert_eq!(looked.head, Head::from(&record));
            prop_assert_eq!(looked.leaf, tree::leaf(&line));
            prop_assert_eq!(looked.what, what(&record));
        }
    }

    /// What looks like a line that is known, and is not quite one, is taken for what serde says that it is.
    #[test]
    fn what_serde_refuses_is_refused(
        record in records(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..3),
    ) {
        let mut line = written(&record);
        let mut look = Look::default();
        look.at(&line).unwrap();
        for (at, (removed, put)) in edits {
            let at = at.index(line.len());
            let end = (at + removed).min(line.len());
            line.splice(at..end, put);
        }
        match (look.at(&line), reader::parse(&line)) {
            (Ok(looked), Ok(record)) => {
                prop_assert_eq!(looked.head, Head::from(&record));
                prop_assert_eq!(looked.what, what(&record));
            }
            (Err(_), Err(_)) => {}
            (looked, parsed) => prop_assert!(false, "{looked:?}, but serde says {parsed:?}"),
        }
    }
}

/// So many bytes are replaced by these.
fn edit() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let bytes = prop::sample::select(b"0123456789abcdefABCDEF{}[]\":,\\ _-Zn\x1f\xff".to_vec());
    (0_usize..3, prop::collection::vec(bytes, 0..3))
}
