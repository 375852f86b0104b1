//! Lines as bytes: written, and taken apart at their seams, without a detour through serde.
//!
//! Every call makes two records and every checkpoint reads them again, so that this is where the log's own work is.
//! The bytes are those that `serde_json` gives for a [`Record`](crate::audit::Record); tests compare the two.

use crate::audit::{
    Caller, Digest, Ending, Event, InputDigest, Intent, Outcome, Record, Subject, Timestamp, digest,
};

/// What a line says before its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) previous: Digest,
}

impl From<&Record> for Head {
    fn from(record: &Record) -> Self {
        Self {
            sequence: record.sequence,
            time: record.time,
            previous: record.previous,
        }
    }
}

/// An event, as it stands in its record's line.
pub(super) fn event(event: &Event) -> Vec<u8> {
    match event {
        Event::Intent(one) => intent(one),
        Event::Outcome(one) => {
            let mut line = Vec::new();
            outcome(&mut line, one);
            line
        }
        rare => serde_json::to_vec(rare).expect("words, numbers and lists of them"),
    }
}

/// An intent, as an event.
pub(super) fn intent(intent: &Intent) -> Vec<u8> {
    let Intent {
        caller,
        call,
        subject,
        public_key,
        input,
        rule,
    } = intent;
    let mut event = Vec::with_capacity(USUAL);
    let line = &mut event;
    line.extend_from_slice(b"{\"intent\":{\"caller\":");
    self::caller(line, caller);
    line.extend_from_slice(b",\"call\":");
    text(line, call.as_str());
    line.extend_from_slice(b",\"subject\":");
    self::subject(line, subject);
    if let Some(public_key) = public_key {
        line.extend_from_slice(b",\"public_key\":");
        hash(line, public_key);
    }
    if let Some(input) = input {
        let (name, value): (&[u8], _) = match input {
            InputDigest::Sha256(value) => (b",\"input\":{\"sha256\":", value),
            InputDigest::HmacSha256(value) => (b",\"input\":{\"hmac_sha256\":", value),
        };
        line.extend_from_slice(name);
        hash(line, value);
        line.push(b'}');
    }
    line.extend_from_slice(b",\"rule\":");
    text(line, rule.as_str());
    line.extend_from_slice(b"}}");
    event
}

/// An outcome, as an event.
pub(super) fn outcome(line: &mut Vec<u8>, outcome: &Outcome) {
    let Outcome {
        intent,
        result,
        signature,
    } = outcome;
    line.extend_from_slice(b"{\"outcome\":{\"intent\":");
    number(line, *intent);
    line.extend_from_slice(b",\"result\":");
    match result {
        Ending::Succeeded => line.extend_from_slice(ENDINGS[0]),
        Ending::Valid => line.extend_from_slice(ENDINGS[1]),
        Ending::Invalid => line.extend_from_slice(ENDINGS[2]),
        Ending::Repeated => line.extend_from_slice(ENDINGS[3]),
        Ending::Abandoned => line.extend_from_slice(ENDINGS[4]),
        Ending::Failed(reason) => {
            line.extend_from_slice(b"{\"failed\":");
            text(line, reason.as_str());
            line.push(b'}');
        }
    }
    if let Some(signature) = signature {
        line.extend_from_slice(b",\"signature\":");
        hash(line, signature);
    }
    line.extend_from_slice(b"}}");
}

/// A record's line, without its end.
pub(super) fn write(line: &mut Vec<u8>, head: &Head, event: &[u8]) {
    line.extend_from_slice(SEQUENCE);
    number(line, head.sequence);
    line.extend_from_slice(TIME);
    line.extend_from_slice(&head.time.text());
    line.extend_from_slice(PREVIOUS);
    line.extend_from_slice(&head.previous.text());
    line.extend_from_slice(EVENT);
    line.extend_from_slice(event);
    line.push(b'}');
}

/// Takes a line apart that is written as [`write`] does it: what it says before its event, and the event, which nobody
/// has looked at. `None` tells nothing but that it is written otherwise.
pub(super) fn split(line: &[u8]) -> Option<(Head, &[u8])> {
    let (sequence, rest) = leading_number(line.strip_prefix(SEQUENCE)?)?;
    let (time, rest) = rest.strip_prefix(TIME)?.split_at_checked(27)?;
    let (previous, rest) = rest.strip_prefix(PREVIOUS)?.split_at_checked(64)?;
    let event = rest.strip_prefix(EVENT)?.strip_suffix(b"}")?;
    let head = Head {
        sequence,
        time: str::from_utf8(time).ok()?.parse().ok()?,
        previous: digest::parse(previous)?,
    };
    Some((head, event))
}

/// The intent that an outcome is of, if the event is an outcome and written as [`event`] does it.
pub(super) fn outcome_of(event: &[u8]) -> Option<u64> {
    let rest = event.strip_prefix(b"{\"outcome\":{\"intent\":")?;
    let (intent, rest) = leading_number(rest)?;
    let rest = rest.strip_prefix(b",\"result\":")?;
    let simple = ENDINGS.iter().find_map(|ending| rest.strip_prefix(*ending));
    let rest = match simple {
        Some(rest) => rest,
        None => {
            let rest = rest.strip_prefix(b"{\"failed\":\"")?;
            let end = rest.iter().position(|byte| *byte == b'"')?;
            let word = &rest[..end];
            let good = (1..=64).contains(&end)
                && word
                    .iter()
                    .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'0'..=b'9' | b'_'));
            rest[end..].strip_prefix(b"\"}").filter(|_| good)?
        }
    };
    let rest = match rest.strip_prefix(b",\"signature\":\"") {
        None => rest,
        Some(signed) => {
            let (hash, rest) = signed.split_at_checked(64)?;
            digest::parse(hash)?;
            rest.strip_prefix(b"\"")?
        }
    };
    (rest == b"}}").then_some(intent)
}

/// Where the hash of the input of an intent stands, if the event has one where [`event`] writes it.
pub(super) fn input_of(event: &[u8]) -> Option<std::ops::Range<usize>> {
    event.strip_prefix(b"{\"intent\":{")?;
    // A rule's name has at most 64 characters, and what follows it is two braces.
    let from = event.len().saturating_sub(RULE.len() + 64 + 3);
    let end = from
        + event[from..]
            .windows(RULE.len())
            .rposition(|window| window == RULE)?;
    let begin = end.checked_sub(64)?;
    digest::parse(&event[begin..end])?;
    (event.get(begin.checked_sub(1)?) == Some(&b'"')).then_some(begin..end)
}

fn caller(line: &mut Vec<u8>, caller: &Caller) {
    let Caller {
        identity,
        certificate,
    } = caller;
    line.extend_from_slice(b"{\"identity\":");
    text(line, identity.as_str());
    line.extend_from_slice(b",\"certificate\":");
    hash(line, certificate);
    line.push(b'}');
}

fn subject(line: &mut Vec<u8>, subject: &Subject) {
    let Subject {
        operation,
        key,
        version,
        algorithms,
        partner,
        scheme,
    } = subject;
    line.extend_from_slice(b"{\"operation\":");
    text(line, operation.name());
    if let Some(key) = key {
        line.extend_from_slice(b",\"key\":");
        text(line, key.as_str());
    }
    if let Some(version) = version {
        line.extend_from_slice(b",\"version\":");
        number(line, version.number().into());
    }
    for (index, algorithm) in algorithms.iter().enumerate() {
        let before: &[u8] = match index {
            0 => b",\"algorithms\":[",
            _ => b",",
        };
        line.extend_from_slice(before);
        text(line, algorithm.name());
    }
    if !algorithms.is_empty() {
        line.push(b']');
    }
    if let Some(partner) = partner {
        line.extend_from_slice(b",\"partner\":");
        text(line, partner.as_str());
    }
    if let Some(scheme) = scheme {
        line.extend_from_slice(b",\"scheme\":");
        text(line, scheme.as_str());
    }
    line.push(b'}');
}

fn text(line: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        serde_json::to_writer(line, text).expect("a text");
    }
}

fn hash(line: &mut Vec<u8>, digest: &Digest) {
    line.push(b'"');
    line.extend_from_slice(&digest.text());
    line.push(b'"');
}

fn number(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// A number without leading zeros, and what follows it.
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits[0] == b'0' && end > 1) {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let more = u64::from(digit - b'0');
        number.checked_mul(10)?.checked_add(more)
    })?;
    Some((number, rest))
}

const SEQUENCE: &[u8] = b"{\"sequence\":";
const TIME: &[u8] = b",\"time\":\"";
const PREVIOUS: &[u8] = b"\",\"previous\":\"";
const EVENT: &[u8] = b"\",\"event\":";
const RULE: &[u8] = b"\"},\"rule\":\"";
const ENDINGS: [&[u8]; 5] = [
    b"\"succeeded\"",
    b"\"valid\"",
    b"\"invalid\"",
    b"\"repeated\"",
    b"\"abandoned\"",
];
/// Most events are shorter.
const USUAL: usize = 640;
