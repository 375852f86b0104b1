//! What platforms' schemes ask of a token beyond a plain signature.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType},
};
use zeroize::Zeroizing;

use super::{
    super::{
        errors::{Fault, Treatment, Work},
        protocol::{KeyReference, Part, SignWith},
    },
    Lane,
};
use crate::{algorithm::Hash, key::CONTENT_KEY_LENGTHS};

impl Lane {
    /// Puts the message together, secrets in their places, and makes its MAC.
    pub(super) fn mac_of_parts(
        &mut self,
        key: &KeyReference,
        hash: Hash,
        parts: Vec<Part>,
    ) -> Result<Vec<u8>, Fault> {
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            pieces.push(match part {
                Part::Bytes(bytes) => Zeroizing::new(bytes),
                Part::Secret { key, length } => self.secret(&key, length)?,
            });
        }
        // Made large enough at once: a vector that grows leaves copies of what it held behind.
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        for piece in &pieces {
            message.extend_from_slice(piece);
        }
        self.with_key(key, Work::Ours, |session, handle, _| {
            session.sign(&SignWith::Hmac(hash).mechanism(), handle.object, &message)
        })
    }

    /// The text of a secret: so many bytes, behind which there may be zeros that make it long enough for the token.
    fn secret(&mut self, key: &KeyReference, length: u32) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let attributes = self.with_key(key, Work::Ours, |session, handle, _| {
            session.get_attributes(handle.object, &[AttributeType::Value])
        })?;
        let value = attributes
            .into_iter()
            .find_map(|attribute| match attribute {
                Attribute::Value(value) => Some(Zeroizing::new(value)),
                _ => None,
            });
        let length = length as usize;
        value
            .filter(|value| value.len() >= length && value[length..].iter().all(|byte| *byte == 0))
            .map(|value| Zeroizing::new(value[..length].to_vec()))
            .ok_or_else(|| {
                Fault::new(
                    Treatment::Configuration,
                    "C_GetAttributeValue",
                    format!(
                        "{}: the token does not show it, or not as long as its record says",
                        key.version
                    ),
                )
            })
    }

    /// PKCS#1 v1.5, block type 1, over a content key. What comes is opened with the public key before it leaves.
    pub(super) fn prove_origin(
        &mut self,
        key: &KeyReference,
        content_key: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        // The daemon looked already; but no DigestInfo may ever be signed this way, so both do.
        if !CONTENT_KEY_LENGTHS.contains(&content_key.len()) {
            return Err(Fault::new(
                Treatment::Configuration,
                "a content key",
                "its length is not from 16 to 32 bytes",
            ));
        }
        let public = self.handle(key)?.public;
        let sealed = self.with_key(key, Work::Ours, |session, handle, _| {
            session.sign(&Mechanism::RsaPkcs, handle.object, content_key)
        })?;
        let recovered = public.and_then(|public| public.recover(&sealed).ok());
        if recovered.as_deref() == Some(content_key) {
            Ok(sealed)
        } else {
            Err(Fault::new(
                Treatment::Device,
                "C_Sign",
                "a content key that its public key does not recover",
            ))
        }
    }
}
