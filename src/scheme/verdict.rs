//! What has become of a message that came: the decision, and what of the message is to be believed.

use std::fmt;

use crate::scheme::{opening::Sealed, time::UnixMilliseconds, verify::Acknowledgement};

/// What has become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub outcome: Outcome,
    /// Which form of the string was signed, 0 being the usual one.
    pub form: Option<usize>,
    /// What the signature covers, under its names in the scheme, and `opened`; nothing unless all is well.
    pub authenticated: Vec<(String, Vec<u8>)>,
    /// What the scheme hands on of a message that nobody signs; only with [`Outcome::Unsigned`].
    pub unsigned: Vec<(String, Vec<u8>)>,
    /// What is to be decrypted now, and given to [`super::Examination::opened`].
    pub sealed: Option<Sealed>,
    /// The time that the message says of itself, if the scheme has one and the signature is right.
    pub time: Option<UnixMilliseconds>,
    /// What tells the message from every other; whoever decides about duplicates remembers it.
    pub replay_id: Option<Vec<u8>>,
    /// For how long: at least as long as the message would be in time.
    pub remember_seconds: Option<u64>,
    /// Which attacks the scheme is proof against.
    pub protections: Protections,
    /// What to answer; nothing unless all is well.
    pub acknowledgement: Option<Acknowledgement>,
}

/// The decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Authentic, in time, and an answer to what was asked.
    Valid,
    /// Nobody signs such messages; it names the request that it answers, if the scheme looks at that. Who sent it is known
    /// from the TLS connection alone, which is for the caller to judge.
    Unsigned,
    /// No signature is right.
    Invalid,
    /// Authentic, but the access token that it brings is none that we issued.
    BadToken,
    /// Authentic, but too old.
    Stale,
    /// Authentic, but from too far in the future.
    Future,
    /// The answer to another request.
    OtherRequest,
}

/// Which attacks a scheme is proof against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protections {
    /// Messages are signed; if not, anyone who can answer in the platform's place can make them.
    pub signed: bool,
    /// Messages are refused when older, or younger, than so many seconds.
    pub window_seconds: Option<(u64, u64)>,
    /// Messages can be told from one another.
    pub replay: bool,
    /// Answers name their requests.
    pub echo: bool,
    /// Messages bring an access token that we issued.
    pub access_token: bool,
    /// Fields are joined and signed as they are: who can choose the text of one can have others signed.
    pub unescaped: bool,
}

impl Outcome {
    /// Each with its word in vectors, and its code for programs.
    pub(super) const ALL: [(&'static str, Self, &'static str); 7] = [
        ("valid", Self::Valid, "VALID"),
        ("unsigned", Self::Unsigned, "UNSIGNED"),
        ("invalid", Self::Invalid, "SIGNATURE_INVALID"),
        ("bad-token", Self::BadToken, "ACCESS_TOKEN_REFUSED"),
        ("stale", Self::Stale, "MESSAGE_STALE"),
        ("future", Self::Future, "MESSAGE_FROM_FUTURE"),
        ("other-request", Self::OtherRequest, "OTHER_REQUEST"),
    ];

    /// A stable code for programs.
    pub fn reason(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, one, _)| *one == self);
        found.map_or("", |(_, _, reason)| reason)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.into_iter().find(|(_, one, _)| one == self);
        formatter.write_str(found.map_or("", |(word, _, _)| word))
    }
}
