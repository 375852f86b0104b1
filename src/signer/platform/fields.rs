//! Single values: encrypted to a partner, and decrypted that a partner encrypted to us.

use zeroize::Zeroizing;

use super::{Admitted, Dealing, KeyUsed, PlatformError, sign::operation, system_random};
use crate::{
    partner::{PlatformKey, RoleKey},
    scheme::{Act, OaepHashes, SchemeName},
    signer::{Call, Error, Signer},
};

/// An encrypted value.
pub struct EncryptedField {
    /// As the scheme encodes it.
    pub ciphertext: Vec<u8>,
    /// To which key.
    pub key: KeyUsed,
    /// Both hashes of the padding.
    pub hashes: OaepHashes,
    /// The name that the platform knows the key by.
    pub platform_key_id: Option<String>,
    /// The values that were made or given.
    pub values: std::collections::BTreeMap<String, Vec<u8>>,
    /// By which rules.
    pub scheme: SchemeName,
}

/// A decrypted value. Nobody has signed it.
pub struct DecryptedField {
    /// The value.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// With which key.
    pub key: KeyUsed,
    /// By which rules.
    pub scheme: SchemeName,
}

impl Signer {
    /// Encrypts one value to the partner; `plaintext` is the input of that name, for schemes that ask for it.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn encrypt_field(
        &self,
        call: &Call,
        dealing: &Dealing,
    ) -> Result<EncryptedField, Error> {
        let account = self.roll.open(call);
        let act = Act::EncryptField;
        let encrypted = async {
            let admitted = self.admit(&account, call, dealing, act, operation(act))?;
            self.encrypted(&admitted, dealing).await
        };
        let encrypted = encrypted.await;
        account.close(encrypted).await
    }

    async fn encrypted(
        &self,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
    ) -> Result<EncryptedField, Error> {
        admitted.check_values(dealing)?;
        let bindings = self.bindings(admitted, &dealing.inputs, &dealing.values);
        let mut failed = false;
        let draft = admitted
            .scheme()
            .encrypt_value(&bindings, self.clock.now(), &mut system_random(&mut failed))
            .map_err(PlatformError::from)?;
        if failed {
            return Err(PlatformError::NoRandom.into());
        }
        let key = admitted.public_key(draft.key_role())?;
        admitted
            .begin_encryption(draft.algorithm(), &key.key)
            .await?;
        let ciphertext = draft.encrypt(&key.key).map_err(PlatformError::Message)?;
        Ok(EncryptedField {
            ciphertext,
            key: KeyUsed::theirs(admitted, draft.key_role(), draft.algorithm(), &key.key),
            hashes: draft.hashes(),
            platform_key_id: key.certificate_serial.clone().or_else(|| key.id.clone()),
            values: draft.values().clone(),
            scheme: admitted.scheme.clone(),
        })
    }

    /// Decrypts one value. Whatever is wrong with it, the error is the same.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn decrypt_field(
        &self,
        call: &Call,
        dealing: &Dealing,
    ) -> Result<DecryptedField, Error> {
        let account = self.roll.open(call);
        let act = Act::DecryptField;
        let decrypted = async {
            let admitted = self.admit(&account, call, dealing, act, operation(act))?;
            self.decrypted(call, &admitted, dealing).await
        };
        let decrypted = decrypted.await;
        account.close(decrypted).await
    }

    async fn decrypted(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
    ) -> Result<DecryptedField, Error> {
        let bindings = self.bindings(admitted, &dealing.inputs, &dealing.values);
        let sealed = admitted.scheme().sealed_value(&bindings);
        let sealed = sealed.map_err(PlatformError::from)?;
        let sealed = sealed.ok_or(PlatformError::Decryption)?;
        let opened = self.opened(call, admitted, &sealed).await?;
        let (plaintext, key) = opened.ok_or(PlatformError::Decryption)?;
        let value = admitted.scheme().opened_value(&bindings, &plaintext);
        Ok(DecryptedField {
            plaintext: Zeroizing::new(value.map_err(|_| PlatformError::Decryption)?),
            key,
            scheme: admitted.scheme.clone(),
        })
    }
}

impl Admitted<'_> {
    /// The first of the partner's public keys in this role: the one that messages are made for.
    pub(super) fn public_key(&self, role: &str) -> Result<&PlatformKey, PlatformError> {
        match self.assignment().key(role) {
            Some(RoleKey::Public(keys)) => keys.first(),
            Some(RoleKey::Token(_)) | None => None,
        }
        .ok_or(PlatformError::NotSupported(
            "the scheme encrypts with a key that is not the partner's public key",
        ))
    }
}
