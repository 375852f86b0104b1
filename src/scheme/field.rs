//! Single values that are encrypted or decrypted: the `[encrypt]` and `[decrypt]` of a scheme.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    key::PublicKey,
    scheme::{
        declared::{Declared, Here, KeyUse},
        document::{Item, SchemeError},
        expression::{self, Expression},
        fault::EvaluationError,
        function::Function,
        message::{Bindings, Message},
        oaep::OaepHashes,
        opening::{Open, Sealed},
        source::Given,
        text::{Step, Text},
        time::UnixMilliseconds,
        values::{self, Values},
    },
};

/// The `[encrypt]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct EncryptField {
    values: Values,
    pub(super) key: String,
    algorithm: Algorithm,
    hashes: OaepHashes,
    plaintext: Expression,
    encode: Vec<Function>,
}

/// The `[decrypt]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct DecryptField {
    open: Open,
}

/// A value that is ready to be encrypted.
// No `Debug`: what is encrypted is not for logs.
pub struct FieldDraft<'a> {
    part: &'a EncryptField,
    values: values::Made,
    plaintext: Text,
}

impl EncryptField {
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let mut here = Here {
            no_message: true,
            ..Here::default()
        };
        let values = Values::parse(entries.maybe("values"), declared, &mut here)?;
        let key = entries.take("key")?;
        let algorithm = declared.role(&key, KeyUse::Encrypt)?.algorithm;
        let mut padding = entries.take("rsa_oaep")?.fields()?;
        let hashes = OaepHashes::parse(&mut padding, algorithm)?;
        let plaintext = Expression::parse(&padding.take("plaintext")?, &declared.at(&here))?;
        padding.end()?;
        let (encode, _) = expression::pipeline(entries.maybe("encode"), String::new())?;
        entries.end()?;
        Ok(Self {
            values,
            key: key.text()?.to_owned(),
            algorithm,
            hashes,
            plaintext,
            encode,
        })
    }

    /// What is done to the ciphertext, in order.
    pub(super) fn encode_names(&self) -> Vec<&str> {
        self.encode.iter().map(|one| one.shown.as_str()).collect()
    }

    pub(super) const fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn draft(
        &self,
        bindings: &Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<FieldDraft<'_>, EvaluationError> {
        let message = Message::default();
        let values = self.values.make(&message, bindings, now, random)?;
        let context = Given::new(bindings, &values).with(&message);
        let plaintext = self.plaintext.evaluate(context)?;
        Ok(FieldDraft {
            part: self,
            values,
            plaintext,
        })
    }
}

impl FieldDraft<'_> {
    /// The role of the key that it is encrypted to.
    pub fn key_role(&self) -> &str {
        &self.part.key
    }

    /// The algorithm of that key.
    pub const fn algorithm(&self) -> Algorithm {
        self.part.algorithm
    }

    /// Both hashes of the padding.
    pub const fn hashes(&self) -> OaepHashes {
        self.part.hashes
    }

    /// What is encrypted.
    pub fn plaintext(&self) -> &[u8] {
        // It holds no secret that has to be put in first: those stand only in a string to sign.
        self.plaintext.bytes().unwrap_or_default()
    }

    /// Times, nonces and other values of the scheme, by their names.
    pub const fn values(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.values
    }

    /// Every value, then every segment of the plaintext.
    pub fn explain(&self) -> Vec<Step> {
        let mut steps = self.part.values.steps(&self.values);
        steps.extend(self.plaintext.steps());
        steps
    }

    /// Encrypts it, and encodes it as the scheme says.
    ///
    /// # Errors
    ///
    /// If the key is not one for RSA, or too short for the plaintext.
    pub fn encrypt(&self, key: &PublicKey) -> Result<Vec<u8>, EvaluationError> {
        let error = |fault| self.part.plaintext.error(fault);
        let ciphertext = self.hashes().encrypt(key, self.plaintext());
        let ciphertext = ciphertext.map_err(error)?;
        let encoded = expression::apply(&self.part.encode, Cow::Owned(ciphertext));
        encoded.map(Cow::into_owned).map_err(error)
    }
}

impl DecryptField {
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let here = Here {
            no_message: true,
            ..Here::default()
        };
        let open = Open::parse(item, declared, &here)?;
        Ok(Self { open })
    }

    pub(super) fn sealed(&self, bindings: &Bindings) -> Result<Option<Sealed>, EvaluationError> {
        let values = BTreeMap::new();
        self.open
            .order(Given::new(bindings, &values).with(&Message::default()))
    }

    pub(super) fn opened(
        &self,
        bindings: &Bindings,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, EvaluationError> {
        let message = Message::default();
        self.open
            .message(plaintext, &message, bindings, &BTreeMap::new())
    }
}
