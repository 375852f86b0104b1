//! The protocol's words for partners and schemes.

use std::{fmt, str::FromStr};

use prost_types::Duration;

use crate::{
    partner::{InvalidPartnerName, PartnerName},
    proto::v1,
    scheme::{
        Act, Confidence, Declaration, InvalidSchemeName, KeyRole, Origin, Protections, Scheme,
        SchemeName,
    },
    wire::algorithm_to_proto,
};

/// A partner as requests name it: `partners/ayolinx`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartnerResource(pub PartnerName);

/// A scheme as requests name it: `schemes/snap-service`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemeResource(pub SchemeName);

/// A text that is not the resource name of a partner or a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlatformResource {
    /// The shape is wrong.
    #[error("{shown:?} is not a resource name: expected {expected}")]
    Shape {
        /// What came.
        shown: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The name of the partner is wrong.
    #[error(transparent)]
    Partner(#[from] InvalidPartnerName),
    /// The name of the scheme is wrong.
    #[error(transparent)]
    Scheme(#[from] InvalidSchemeName),
}

impl FromStr for PartnerResource {
    type Err = InvalidPlatformResource;

    fn from_str(text: &str) -> Result<Self, InvalidPlatformResource> {
        Ok(Self(after("partners/", "partners/PARTNER", text)?.parse()?))
    }
}

impl FromStr for SchemeResource {
    type Err = InvalidPlatformResource;

    fn from_str(text: &str) -> Result<Self, InvalidPlatformResource> {
        Ok(Self(after("schemes/", "schemes/SCHEME", text)?.parse()?))
    }
}

impl fmt::Display for PartnerResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "partners/{}", self.0)
    }
}

impl fmt::Display for SchemeResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "schemes/{}", self.0)
    }
}

/// What can be done with a scheme, as the protocol has it.
pub const fn act_to_proto(act: Act) -> v1::SchemeAct {
    match act {
        Act::SignRequest => v1::SchemeAct::SignRequest,
        Act::SignResponse => v1::SchemeAct::SignResponse,
        Act::VerifyCallback => v1::SchemeAct::VerifyCallback,
        Act::VerifyResponse => v1::SchemeAct::VerifyResponse,
        Act::EncryptField => v1::SchemeAct::EncryptField,
        Act::DecryptField => v1::SchemeAct::DecryptField,
        Act::IssueAccessToken => v1::SchemeAct::IssueAccessToken,
    }
}

/// The act with this number in the protocol.
pub fn act_from_proto(number: i32) -> Option<Act> {
    let known = |act: &Act| act_to_proto(*act) as i32 == number;
    Act::ALL.into_iter().find(known)
}

/// A scheme as the protocol has it.
pub fn scheme_to_proto(scheme: &Scheme) -> v1::Scheme {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let vectors = scheme.vectors();
    let published = vectors
        .iter()
        .filter(|one| one.origin() == Origin::Published);
    v1::Scheme {
        name: SchemeResource(scheme.name().clone()).to_string(),
        title: scheme.title().to_owned(),
        source: scheme.source().to_owned(),
        confidence: confidence(scheme.confidence()).into(),
        notes: scheme.notes().to_owned(),
        acts: scheme.acts().map(|act| act_to_proto(act).into()).collect(),
        constants: scheme.constants().map(parameter).collect(),
        inputs: scheme.inputs().map(parameter).collect(),
        keys: scheme.keys().map(key).collect(),
        secret_in_message: scheme.secret_in_message(),
        protections: scheme.protections().map(protections),
        vector_count: count(vectors.len()),
        published_vector_count: count(published.count()),
    }
}

fn after<'t>(
    prefix: &str,
    expected: &'static str,
    text: &'t str,
) -> Result<&'t str, InvalidPlatformResource> {
    text.strip_prefix(prefix)
        .ok_or_else(|| InvalidPlatformResource::Shape {
            shown: text.chars().take(super::MAX_SHOWN).collect(),
            expected,
        })
}

const fn confidence(confidence: Confidence) -> v1::SchemeConfidence {
    match confidence {
        Confidence::Documented => v1::SchemeConfidence::Documented,
        Confidence::Integrators => v1::SchemeConfidence::Integrators,
        Confidence::OurReading => v1::SchemeConfidence::OurReading,
    }
}

fn parameter((name, declared): (&str, &Declaration)) -> v1::SchemeParameter {
    v1::SchemeParameter {
        name: name.to_owned(),
        description: declared.description.clone(),
        optional: declared.optional,
        secret: declared.secret,
    }
}

fn key((role, declared): (&str, &KeyRole)) -> v1::SchemeKey {
    let uses = declared.uses.iter().map(|one| one.name().to_owned());
    let encoding = declared.secret_encoding.as_ref();
    v1::SchemeKey {
        role: role.to_owned(),
        description: declared.description.clone(),
        algorithm: algorithm_to_proto(declared.algorithm).into(),
        uses: uses.collect(),
        secret_encoding: encoding.map(ToString::to_string).unwrap_or_default(),
    }
}

fn protections(protections: Protections) -> v1::SchemeProtections {
    let duration = |seconds: u64| Duration {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: 0,
    };
    let window = protections.window_seconds;
    v1::SchemeProtections {
        past_window: window.map(|(past, _)| duration(past)),
        future_window: window.map(|(_, future)| duration(future)),
        replay: protections.replay,
        echo: protections.echo,
    }
}
