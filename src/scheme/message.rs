//! What a scheme is applied to: an HTTP message as it came or will be sent, and what is known beside it.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    key::PublicKey,
    scheme::{fault::Fault, fields},
};

/// An HTTP request or response, as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// `POST`; in a response, as the rest of the request line, that of the request it answers, if that is known.
    pub method: Option<Cow<'a, str>>,
    /// `https`.
    pub scheme: Option<Cow<'a, str>>,
    /// `example.com:8443`.
    pub authority: Option<Cow<'a, str>>,
    /// As it stands in the request line, without the query.
    pub path: Option<Cow<'a, str>>,
    /// As it stands in the request line, without the question mark; `None` if there is no question mark.
    pub query: Option<Cow<'a, str>>,
    /// The status code of a response.
    pub status: Option<u16>,
    /// Names and values, in their order; names are compared without regard to case.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    /// Of a response: the headers of the request that it answers, if that is known.
    pub request_headers: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    /// The body, never read as anything but bytes unless the scheme says so.
    pub body: Cow<'a, [u8]>,
    /// What came out of the body where the scheme has it decrypted first.
    pub decrypted: Option<Cow<'a, [u8]>>,
}

/// What is known beside the message: the partner's constants, the caller's inputs, and facts of keys.
// No `Debug`: inputs may be access tokens, as headers of a message may.
#[derive(Clone, Default)]
pub struct Bindings {
    /// Constants of the partner, by their names in the scheme.
    pub constants: BTreeMap<String, Vec<u8>>,
    /// Inputs of the request, by their names in the scheme.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// Values that the scheme would make (times, nonces), given instead, to repeat what was sent before.
    pub values: BTreeMap<String, Vec<u8>>,
    /// What is known of each key, by its role. Several may be live while keys are rotated: the first is
    /// the one that messages are made for, and any of them may have made what comes.
    pub keys: BTreeMap<String, Vec<KeyFacts>>,
    /// How old and how far in the future a message may be, in seconds, where that is other than the scheme says.
    pub window_seconds: Option<(u64, u64)>,
}

/// What may be said of a key in a message.
#[derive(Clone, Debug, Default)]
pub struct KeyFacts {
    /// The name that the platform knows it by.
    pub id: Option<String>,
    /// Its public half.
    pub public_key: Option<PublicKey>,
    /// The serial number of its certificate, as the platform writes it.
    pub certificate_serial: Option<String>,
}

/// The longest body that is handled, in bytes.
pub const MAX_BODY: usize = 20 * 1024 * 1024;

impl<'a> Message<'a> {
    /// The one header of this name.
    pub(super) fn header(&self, name: &str) -> Result<Option<&[u8]>, Fault> {
        let mut found = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Fault::Repeated),
            (found, None) => Ok(found.map(|(_, value)| &**value)),
        }
    }

    /// Path and query, as they stand in the request line.
    pub(super) fn target(&self) -> Option<Cow<'_, [u8]>> {
        let path = self.path.as_deref()?;
        Some(match &self.query {
            None => Cow::Borrowed(path.as_bytes()),
            Some(query) => Cow::Owned(format!("{path}?{query}").into_bytes()),
        })
    }

    /// The one field of this name of a query or form, decoded.
    pub(super) fn form_field(text: &[u8], name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let fields = fields::form(text, true)?;
        let found = fields
            .into_iter()
            .find(|field| *field.name == *name.as_bytes());
        Ok(found.map(|field| field.value.into_owned()))
    }

    /// Of a response: the request that it answers, as far as that is known; its body is not.
    pub(super) fn answered(&self) -> Message<'_> {
        let whole = self.borrowed();
        Message {
            headers: whole.request_headers,
            request_headers: Vec::new(),
            status: None,
            body: Cow::Borrowed(&[]),
            decrypted: None,
            ..whole
        }
    }

    /// A message that borrows everything from this one.
    pub(super) fn borrowed<'b>(&'b self) -> Message<'b>
    where
        'a: 'b,
    {
        fn text<'b>(text: &'b Option<Cow<'_, str>>) -> Option<Cow<'b, str>> {
            text.as_deref().map(Cow::Borrowed)
        }
        let header = |(name, value): &'b (Cow<'a, str>, Cow<'a, [u8]>)| {
            (Cow::Borrowed(&**name), Cow::Borrowed(&**value))
        };
        Message {
            method: text(&self.method),
            scheme: text(&self.scheme),
            authority: text(&self.authority),
            path: text(&self.path),
            query: text(&self.query),
            status: self.status,
            headers: self.headers.iter().map(header).collect(),
            request_headers: self.request_headers.iter().map(header).collect(),
            body: Cow::Borrowed(&self.body),
            decrypted: self.decrypted.as_deref().map(Cow::Borrowed),
        }
    }
}
