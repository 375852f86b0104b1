//! Schemes: the signing rules of platforms, as data.
//!
//! A scheme file says, for one kind of message of one platform, what string is signed, with what kind of
//! key, and where the signature goes or comes from. The language is declarative and typed, is checked
//! when a file is loaded, has no loops, and works on bytes: what is signed is what is sent. Every file
//! carries test vectors, and is refused if it lacks one or if one fails.
//!
//! Nothing here does I/O, holds a key, or looks at a clock. A [`Draft`] says what is to be signed, and
//! takes the signature; an [`Examination`] says what is to be verified, and is told what was right.

use crate::scheme::{
    declared::Declared,
    document::Fields,
    field::{DecryptField, EncryptField},
    sign::Sign,
    vector::Kind,
    verify::Verify,
};

pub use act::{Act, InvalidSchemeName, SchemeName};
pub use built_in::{BUILT_IN, BuiltIn};
pub use confidence::Confidence;
pub use declared::{Declaration, InvalidSecret, KeyRole, KeyUse, SecretEncoding};
pub use document::SchemeError;
pub use examination::{Candidate, Examination, Match, Verifying};
pub use fault::{EvaluationError, Fault};
pub use field::FieldDraft;
pub use json::JsonError;
pub use message::{Bindings, KeyFacts, MAX_BODY, Message};
pub use oaep::{OaepHash, OaepHashes};
pub use opening::{Sealed, SealedContent};
pub use sealing::Sealing;
pub use sign::{Draft, Prepared, Signed, Signing};
pub use text::{Piece, Step, Text};
pub use time::UnixMilliseconds;
pub use vector::{Kind as VectorKind, Origin, Vector};
pub use verdict::{Outcome, Protections, Verdict};
pub use verify::Acknowledgement;

mod act;
mod built_in;
mod confidence;
mod covered;
mod declared;
mod document;
mod encoding;
mod examination;
mod expression;
mod family;
mod fault;
mod field;
mod fields;
mod function;
mod json;
mod message;
mod oaep;
mod opening;
mod place;
mod proof;
mod sealing;
mod sign;
mod source;
mod structured;
mod test_key;
mod text;
mod time;
mod values;
mod vector;
mod verdict;
mod verify;

#[cfg(test)]
mod tests;

/// A scheme whose vectors all pass.
pub struct Scheme {
    name: SchemeName,
    title: String,
    source: String,
    confidence: Confidence,
    notes: String,
    declared: Declared,
    sign: Option<Sign>,
    verify: Option<Verify>,
    encrypt: Option<EncryptField>,
    decrypt: Option<DecryptField>,
    vectors: Vec<Vector>,
    /// The line of the table `[scheme]`.
    line: usize,
}

/// A scheme whose vectors have not been run yet.
pub struct Unproven(Scheme);

/// A scheme does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such part.
    #[error("the scheme {scheme} has no [{part}]")]
    NoPart {
        /// The scheme's name.
        scheme: String,
        /// `sign`, `verify`, `encrypt` or `decrypt`.
        part: &'static str,
    },
    /// The message is not one that the scheme can be applied to.
    #[error(transparent)]
    Message(#[from] EvaluationError),
}

impl Scheme {
    /// Reads a scheme file, checks all of it, and runs its vectors.
    ///
    /// # Errors
    ///
    /// The first fault, with its line and its path.
    pub fn parse(text: &str) -> Result<Self, SchemeError> {
        Self::read(text)?.prove()
    }

    /// Reads a scheme file and checks all of it but its vectors.
    ///
    /// # Errors
    ///
    /// The first fault, with its line and its path.
    pub fn read(text: &str) -> Result<Unproven, SchemeError> {
        if text.len() > MAX_FILE {
            let message = format!("expected at most {MAX_FILE} bytes, found {}", text.len());
            return Err(SchemeError::new(1, String::new(), message, "TOO_LONG"));
        }
        document::read(text, Self::from_fields).map(Unproven)
    }

    fn from_fields(mut file: Fields<'_>) -> Result<Self, SchemeError> {
        let head = file.take("scheme")?;
        let line = head.line();
        let mut head = head.fields()?;
        let name = head.take("name")?;
        let name = name
            .text()?
            .parse()
            .map_err(|error| name.refuse("WRONG_NAME", error))?;
        let title = head.take("title")?.text()?.to_owned();
        let source = head.take("source")?.text()?.to_owned();
        let confidence = Confidence::parse(&head.take("confidence")?)?;
        let notes = head
            .maybe("notes")
            .map_or(Ok(""), |item| item.text())?
            .to_owned();
        let secret_in_message = head.maybe("secret_in_message");
        let secret_in_message = secret_in_message.map_or(Ok(false), |item| item.boolean())?;
        head.end()?;
        let declared = Declared {
            secret_in_message,
            ..Declared::parse(&mut file)?
        };
        let sign = file.maybe("sign");
        let sign = sign.map(|item| Sign::parse(&item, &declared)).transpose()?;
        let verify = file.maybe("verify");
        let verify = verify
            .map(|item| Verify::parse(&item, &declared))
            .transpose()?;
        let encrypt = file.maybe("encrypt");
        let encrypt = encrypt
            .map(|item| EncryptField::parse(&item, &declared))
            .transpose()?;
        let decrypt = file.maybe("decrypt");
        let decrypt = decrypt
            .map(|item| DecryptField::parse(&item, &declared))
            .transpose()?;
        let mut vectors: Vec<Vector> = Vec::new();
        if let Some(list) = file.maybe("vectors") {
            for item in list.list()? {
                let signs = sign.as_ref().is_some_and(|one| one.signature.is_some());
                let verifies = verify.as_ref().is_some_and(|one| one.signature.is_some());
                let vector = Vector::parse(&item, &declared, (signs, verifies))?;
                if vectors.iter().any(|other| other.name == vector.name) {
                    let message = format!("there is a vector named {:?} already", vector.name);
                    return Err(item.refuse("REPEATED_NAME", message));
                }
                vectors.push(vector);
            }
        }
        if sign.is_none() && verify.is_none() && encrypt.is_none() && decrypt.is_none() {
            let message =
                "the scheme does nothing; expected [sign], [verify], [encrypt] or [decrypt]";
            return Err(file.table().refuse("MISSING_ENTRY", message));
        }
        file.end()?;
        Ok(Self {
            name,
            title,
            source,
            confidence,
            notes,
            declared,
            sign,
            verify,
            encrypt,
            decrypt,
            vectors,
            line,
        })
    }

    /// Its name.
    pub const fn name(&self) -> &SchemeName {
        &self.name
    }

    /// What it is, in a line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where its rule comes from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How sure that is.
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// What an integrator must know, and what is open.
    pub fn notes(&self) -> &str {
        &self.notes
    }

    /// Whether a secret is part of the message, and so can't stay in its token.
    pub const fn secret_in_message(&self) -> bool {
        self.declared.secret_in_message
    }

    /// What a partner must give, by name.
    pub fn constants(&self) -> impl Iterator<Item = (&str, &Declaration)> {
        let constants = self.declared.constants.iter();
        constants.map(|(name, constant)| (name.as_str(), constant))
    }

    /// What the caller must give with each message, by name.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Declaration)> {
        let inputs = self.declared.inputs.iter();
        inputs.map(|(name, input)| (name.as_str(), input))
    }

    /// The keys, by their roles.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &KeyRole)> {
        let keys = self.declared.keys.iter();
        keys.map(|(role, key)| (role.as_str(), key))
    }

    /// The vectors, in the order of the file.
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// What can be done with it; of issuing access tokens, whether it is for requests that ask for one.
    pub fn acts(&self) -> impl Iterator<Item = Act> {
        let asks_for_token = self.verify.as_ref().is_some_and(Verify::asks_for_token);
        let issues = asks_for_token.then_some(Act::IssueAccessToken);
        let signs = self.sign.iter().flat_map(|sign| &sign.acts);
        let verifies = self.verify.iter().flat_map(|verify| &verify.acts);
        let encrypts = self.encrypt.as_ref().map(|_| Act::EncryptField);
        let decrypts = self.decrypt.as_ref().map(|_| Act::DecryptField);
        signs
            .chain(verifies)
            .copied()
            .chain(encrypts)
            .chain(decrypts)
            .chain(issues)
    }

    /// Which attacks it is proof against besides forgery; `None` if it verifies nothing.
    pub fn protections(&self) -> Option<Protections> {
        self.verify.as_ref().map(Verify::protections)
    }

    /// The names of the values that a caller may give instead of having them made.
    pub fn given_values(&self) -> impl Iterator<Item = &str> {
        let sign = self.sign.as_ref().map(Sign::values);
        let encrypt = self.encrypt.as_ref().map(EncryptField::values);
        sign.into_iter()
            .chain(encrypt)
            .flat_map(values::Values::given)
    }

    /// Whether messages can be signed.
    pub const fn signs(&self) -> bool {
        self.sign.is_some()
    }

    /// Whether messages can be verified.
    pub const fn verifies(&self) -> bool {
        self.verify.is_some()
    }

    /// Whether single values can be encrypted.
    pub const fn encrypts_values(&self) -> bool {
        self.encrypt.is_some()
    }

    /// Whether single values can be decrypted.
    pub const fn decrypts_values(&self) -> bool {
        self.decrypt.is_some()
    }

    /// Makes the values of a message, and says what of it has to be encrypted.
    ///
    /// # Errors
    ///
    /// If the scheme does not sign, or something that it needs is not there or not as it should be.
    pub fn prepare<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Prepared<'a>, Refusal> {
        let sign = self.sign.as_ref().ok_or_else(|| self.without("sign"))?;
        Ok(sign.prepare(message, bindings, now, random)?)
    }

    /// Makes the values of a message and puts together what is to be signed: [`Scheme::prepare`] and
    /// [`Prepared::draft`] in one, for a scheme that encrypts nothing.
    ///
    /// # Errors
    ///
    /// If the scheme does not sign, or encrypts, or something that it needs is not there or not as it should be.
    pub fn draft<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Draft<'a>, Refusal> {
        let prepared = self.prepare(message, bindings, now, random)?;
        Ok(prepared.draft(None)?)
    }

    /// What has to be decrypted, and given back as [`Message::decrypted`], before the message can be
    /// examined. Nothing of it may be trusted before the verdict.
    ///
    /// # Errors
    ///
    /// If the scheme does not verify, or the message does not have it.
    pub fn sealed(
        &self,
        message: &Message<'_>,
        bindings: &Bindings,
    ) -> Result<Option<Sealed>, Refusal> {
        let verify = self.verify.as_ref().ok_or_else(|| self.without("verify"))?;
        Ok(verify.sealed(message, bindings)?)
    }

    /// Takes a message apart: which signatures it has, over which strings.
    ///
    /// # Errors
    ///
    /// If the scheme does not verify, or something that it needs is not there or not as it should be.
    pub fn examine<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
    ) -> Result<Examination<'a>, Refusal> {
        let verify = self.verify.as_ref().ok_or_else(|| self.without("verify"))?;
        Ok(verify.examine(message, bindings)?)
    }

    /// Makes the values of a single value and puts together what is to be encrypted.
    ///
    /// # Errors
    ///
    /// If the scheme encrypts no single values, or something that it needs is not there or not as it should be.
    pub fn encrypt_value(
        &self,
        bindings: &Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<FieldDraft<'_>, Refusal> {
        let part = self.encrypt.as_ref();
        let part = part.ok_or_else(|| self.without("encrypt"))?;
        Ok(part.draft(bindings, now, random)?)
    }

    /// What has to be decrypted of a single value.
    ///
    /// # Errors
    ///
    /// If the scheme decrypts no single values, or the value is not as it should be.
    pub fn sealed_value(&self, bindings: &Bindings) -> Result<Option<Sealed>, Refusal> {
        let part = self.decrypt.as_ref();
        let part = part.ok_or_else(|| self.without("decrypt"))?;
        Ok(part.sealed(bindings)?)
    }

    /// What counts of what came out of [`Scheme::sealed_value`].
    ///
    /// # Errors
    ///
    /// If the scheme decrypts no single values, or it is not written as the scheme says.
    pub fn opened_value(&self, bindings: &Bindings, plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
        let part = self.decrypt.as_ref();
        let part = part.ok_or_else(|| self.without("decrypt"))?;
        Ok(part.opened(bindings, plaintext)?)
    }

    fn without(&self, part: &'static str) -> Refusal {
        Refusal::NoPart {
            scheme: self.name.to_string(),
            part,
        }
    }
}

impl Unproven {
    /// The scheme's name.
    pub const fn name(&self) -> &SchemeName {
        &self.0.name
    }

    /// Each vector, with what is wrong with it.
    pub fn results(&self) -> impl Iterator<Item = (&Vector, Result<(), SchemeError>)> {
        let vectors = self.0.vectors.iter();
        vectors.map(|vector| (vector, vector.run(&self.0)))
    }

    /// The scheme, if it has the vectors that it must have, and all of them pass.
    ///
    /// # Errors
    ///
    /// The first vector that is missing or fails.
    pub fn prove(self) -> Result<Scheme, SchemeError> {
        let scheme = &self.0;
        let opens = scheme.verify.as_ref().is_some_and(Verify::opens);
        let has = |kind| scheme.vectors.iter().any(|vector| vector.kind == kind);
        let shows = |vector: &Vector| vector.kind == Kind::Verify && vector.opened.is_some();
        for (there, kind, found) in [
            (scheme.sign.is_some(), "sign", has(Kind::Sign)),
            (scheme.verify.is_some(), "verify", has(Kind::Verify)),
            (scheme.encrypt.is_some(), "encrypt", has(Kind::Encrypt)),
            (scheme.decrypt.is_some(), "decrypt", has(Kind::Decrypt)),
            (
                opens,
                "verify with opened",
                scheme.vectors.iter().any(shows),
            ),
        ] {
            if there && !found {
                let message = format!(
                    "no vector of the kind {kind}; expected one for each of [sign], [verify], [verify.open], [encrypt] and [decrypt]: add a [[vectors]] with a message and what comes of it, from the platform's documentation or made with another tool"
                );
                return Err(SchemeError::new(
                    scheme.line,
                    "vectors".to_owned(),
                    message,
                    "VECTOR_MISSING",
                ));
            }
        }
        for (_, result) in self.results() {
            result?;
        }
        Ok(self.0)
    }
}

impl Refusal {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoPart { .. } => "SCHEME_WITHOUT_PART",
            Self::Message(error) => error.reason(),
        }
    }
}

/// The longest scheme file, in bytes.
const MAX_FILE: usize = 256 * 1024;
