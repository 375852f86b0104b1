//! Signatures that have a standard of their own: a file names the family and gives its entries, and
//! what is signed, and how it is written, is built in here.

use crate::{
    algorithm::Algorithm,
    jose,
    scheme::{
        declared::{Declared, Here},
        document::{Fields, Item, SchemeError},
        expression::Expression,
        fault::{EvaluationError, Fault},
        source::{Context, Source},
        text::{Step, Text},
        time::UnixMilliseconds,
    },
};

mod cavage;
mod component;
mod jws;
mod oauth1;
mod rfc9421;
mod sigv4;
#[cfg(test)]
mod tests;

/// How a message is signed.
#[derive(Clone, Debug)]
pub(super) enum Signing {
    Jws(jws::Signing),
    Rfc9421(rfc9421::Signing),
    Cavage(cavage::Signing),
    SigV4(sigv4::Signing),
    OAuth1(oauth1::Signing),
}

/// How a message that came is verified.
#[derive(Clone, Debug)]
pub(super) enum Verifying {
    Jws(jws::Verifying),
    Rfc9421(rfc9421::Verifying),
    Cavage(cavage::Verifying),
}

/// What has still to be written when the signature is there.
pub(super) enum Prepared {
    Jws(jose::jws::Draft),
    Rfc9421(rfc9421::Prepared),
    Cavage(cavage::Prepared),
    SigV4(sigv4::Prepared),
    OAuth1(oauth1::Prepared),
}

/// A signature as its family writes it.
pub(super) struct Finished {
    /// What `signature` stands for in the scheme.
    pub(super) text: Vec<u8>,
    /// The headers that the standard itself names.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What a family read from a message.
pub(super) struct Found {
    pub(super) string: Text,
    pub(super) signature: Vec<u8>,
    /// What stands beside the signature and is signed with it, under the names of `source::parameter`.
    pub(super) parameters: Vec<(String, Vec<u8>)>,
    /// What is covered, as the standard names it, and its bytes.
    pub(super) covered: Vec<(String, Vec<u8>)>,
    pub(super) expires: Option<UnixMilliseconds>,
}

impl Signing {
    /// `None` if the entries name no family.
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        declared: &Declared,
        here: &Here,
    ) -> Result<Option<Self>, SchemeError> {
        let Some(family) = entries.maybe("family") else {
            return Ok(None);
        };
        let place = Place { declared, here };
        Ok(Some(match family.text()? {
            "jws" => Self::Jws(jws::Signing::parse(entries, algorithm, place)?),
            "rfc9421" => {
                Self::Rfc9421(rfc9421::Signing::parse(entries, &family, algorithm, place)?)
            }
            "cavage" => Self::Cavage(cavage::Signing::parse(entries, algorithm, place)?),
            "aws-sigv4" => Self::SigV4(sigv4::Signing::parse(entries, &family, algorithm, place)?),
            "oauth1" => Self::OAuth1(oauth1::Signing::parse(entries, &family, algorithm, place)?),
            other => {
                return Err(unknown(
                    &family,
                    other,
                    "jws, rfc9421, cavage, aws-sigv4, oauth1",
                ));
            }
        }))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Jws(_) => "jws",
            Self::Rfc9421(_) => "rfc9421",
            Self::Cavage(_) => "cavage",
            Self::SigV4(_) => "aws-sigv4",
            Self::OAuth1(_) => "oauth1",
        }
    }

    /// Whether the standard says in which headers everything goes.
    pub(super) const fn places_itself(&self) -> bool {
        matches!(self, Self::Rfc9421(_))
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, Prepared), EvaluationError> {
        fn with<T>(then: impl Fn(T) -> Prepared) -> impl Fn((Text, T)) -> (Text, Prepared) {
            move |(text, prepared)| (text, then(prepared))
        }
        match self {
            Self::Jws(family) => family.prepare(context).map(with(Prepared::Jws)),
            Self::Rfc9421(family) => family.prepare(context).map(with(Prepared::Rfc9421)),
            Self::Cavage(family) => family.prepare(context).map(with(Prepared::Cavage)),
            Self::SigV4(family) => family.prepare(context).map(with(Prepared::SigV4)),
            Self::OAuth1(family) => family.prepare(context).map(with(Prepared::OAuth1)),
        }
    }

    /// The signature's bytes in the text that `finish` makes of them.
    pub(super) fn signature(&self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Jws(_) => jws::Signing::signature(text),
            Self::Rfc9421(_) => rfc9421::Signing::signature(text),
            Self::Cavage(_) => cavage::Signing::signature(text),
            Self::OAuth1(_) => oauth1::Signing::signature(text),
            Self::SigV4(_) => Err(Fault::Family("the token's part is not in the text")),
        }
    }
}

impl Prepared {
    /// Takes the signature, which may be the first key of a chain: what is made of it is wiped.
    pub(super) fn finish(&self, signature: &[u8]) -> Finished {
        match self {
            Self::Jws(draft) => Finished {
                text: draft.clone().finish(signature).into_bytes(),
                headers: Vec::new(),
            },
            Self::Rfc9421(prepared) => prepared.finish(signature),
            Self::Cavage(prepared) => prepared.finish(signature),
            Self::SigV4(prepared) => prepared.finish(signature),
            Self::OAuth1(prepared) => prepared.finish(signature),
        }
    }

    /// What is to be shown beside the string.
    pub(super) fn notes(&self) -> Vec<Step> {
        match self {
            Self::SigV4(prepared) => prepared.notes(),
            Self::Jws(_) | Self::Rfc9421(_) | Self::Cavage(_) | Self::OAuth1(_) => Vec::new(),
        }
    }
}

impl Verifying {
    /// `None` if the entries name no family.
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        declared: &Declared,
        here: &Here,
    ) -> Result<Option<Self>, SchemeError> {
        let Some(family) = entries.maybe("family") else {
            return Ok(None);
        };
        let place = Place { declared, here };
        Ok(Some(match family.text()? {
            "jws" => Self::Jws(jws::Verifying::parse(entries, algorithm, place)?),
            "rfc9421" => Self::Rfc9421(rfc9421::Verifying::parse(entries, &family, algorithm)?),
            "cavage" => Self::Cavage(cavage::Verifying::parse(entries, algorithm, place)?),
            other => return Err(unknown(&family, other, "jws, rfc9421, cavage")),
        }))
    }

    /// Where the signature is.
    pub(super) fn place(&self) -> Expression {
        match self {
            Self::Jws(family) => family.place(),
            Self::Rfc9421(_) => rfc9421::Verifying::place(),
            Self::Cavage(family) => family.place(),
        }
    }

    /// What is covered in every message that is taken.
    pub(super) fn covers(&self) -> Vec<Source> {
        match self {
            Self::Jws(family) => family.covers(),
            Self::Rfc9421(family) => family.covers(),
            Self::Cavage(family) => family.covers(),
        }
    }

    pub(super) fn examine(&self, context: Context<'_>) -> Result<Found, EvaluationError> {
        match self {
            Self::Jws(family) => family.examine(context),
            Self::Rfc9421(family) => family.examine(context),
            Self::Cavage(family) => family.examine(context),
        }
    }
}

/// What the entries of a family may name.
#[derive(Clone, Copy)]
struct Place<'d> {
    declared: &'d Declared,
    here: &'d Here,
}

impl Place<'_> {
    fn expression(self, item: &Item<'_>) -> Result<Expression, SchemeError> {
        Expression::parse(item, &self.declared.at(self.here))
    }
}

fn unknown(family: &Item<'_>, other: &str, known: &str) -> SchemeError {
    let message = format!("unknown family {other:?}; expected one of {known}");
    family.refuse("WRONG_VALUE", message)
}

fn fault(at: &str, rule: &str, fault: Fault) -> EvaluationError {
    EvaluationError {
        at: at.to_owned(),
        rule: rule.to_owned(),
        fault,
    }
}
