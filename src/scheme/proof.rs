//! Running a test vector: the string, the signature and the verdict are compared with what the file says.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};

use crate::{
    algorithm::{Algorithm, Curve, Hash},
    key::Input,
    scheme::{
        Scheme,
        declared::KeyRole,
        document::SchemeError,
        encoding,
        examination::Match,
        opening::{Sealed, SealedContent},
        sign::Draft,
        test_key::{self, TestKey},
        text::Text,
        vector::{Key, Kind, Vector, WrongValue},
    },
};

impl Vector {
    /// Runs the vector; the error says what was expected and what came.
    pub(super) fn run(&self, scheme: &Scheme) -> Result<(), SchemeError> {
        let result = match self.kind {
            Kind::Sign => self.run_sign(scheme),
            Kind::Verify => self.run_verify(scheme),
            Kind::String => self.run_string(scheme),
            Kind::Digest => self.run_digest(scheme),
            Kind::Encrypt => self.run_encrypt(scheme),
            Kind::Decrypt => self.run_decrypt(scheme),
        };
        result.map_err(|why| {
            let message = format!("the vector {:?} fails: {why}", self.name);
            SchemeError::new(self.line, self.at.clone(), message, "VECTOR_FAILS")
        })
    }

    fn run_sign(&self, scheme: &Scheme) -> Result<(), String> {
        let draft = self.draft(scheme)?;
        let mut raw = Vec::new();
        let mut string = Vec::new();
        if let Some(signing) = draft.signing() {
            string = self.filled(signing.string)?;
            self.check_string(&string)?;
            let expected = self.signature.as_deref().unwrap_or_default();
            let sign = scheme.sign.as_ref().and_then(|one| one.signature.as_ref());
            let sign = sign.ok_or("the scheme signs nothing")?;
            raw = match &self.key {
                Some(Key::Secret(text)) => {
                    hmac(&scheme.declared.keys[signing.key_role], text, &string)?
                }
                Some(Key::Public(key)) => {
                    let raw = match sign.family_signature(expected.as_bytes()) {
                        Some(found) => found.map_err(|fault| fault.to_string())?,
                        None => undo(&sign.encode_names(), expected.as_bytes())?,
                    };
                    let input = Input::Message(&string);
                    if !key.verifies(signing.algorithm, input, &raw, sign.der) {
                        return Err("the signature is not the key's over the string".to_owned());
                    }
                    match signing.algorithm {
                        Algorithm::Ecdsa(curve) if sign.der => {
                            der_to_raw(curve, &raw).ok_or("the signature is no DER")?
                        }
                        _ => raw,
                    }
                }
                Some(Key::Private(_)) | None => return Err(NO_KEY.to_owned()),
            };
        }
        let signed = draft.finish(&raw).map_err(|error| error.to_string())?;
        let made = String::from_utf8_lossy(&signed.signature).into_owned();
        self.check_wrong(&string, &made)?;
        let expected = self.signature.as_deref().unwrap_or_default();
        same("the signature", expected, &made)?;
        for (place, expected) in &self.set {
            let made = match place.split_once('.') {
                Some(("header", name)) => signed
                    .headers
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.clone()),
                None if place == "body" => Some(String::from_utf8_lossy(&signed.body).into_owned()),
                None if place == "query" => signed.query.clone(),
                _ => {
                    return Err(format!(
                        "set.{place:?}: expected header.NAME, body or query"
                    ));
                }
            };
            let made = made.ok_or_else(|| format!("{place} is not set"))?;
            same(place, expected, &made)?;
        }
        Ok(())
    }

    /// What is encrypted is opened again, and in what is sent the word `JWE` stands for it.
    fn draft<'a>(&'a self, scheme: &'a Scheme) -> Result<Draft<'a>, String> {
        let sign = scheme.sign.as_ref().ok_or("the scheme has no [sign]")?;
        let mut random = |bytes: &mut [u8]| bytes.fill(0);
        let prepared = sign.prepare(&self.message, &self.bindings, self.now, &mut random);
        let prepared = prepared.map_err(|error| error.to_string())?;
        let mut jwe = None;
        if let Some(sealing) = prepared.sealing() {
            let expected = self.encrypted.as_ref();
            let expected = expected.ok_or("it needs the entry encrypted")?;
            same("the JWE's header", &expected.header, &sealing.header)?;
            let plaintext = expected.plaintext.as_deref().map(str::as_bytes);
            let plaintext = plaintext.unwrap_or(&self.message.body);
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            same(
                "the plaintext",
                &shown(plaintext),
                &shown(&sealing.plaintext),
            )?;
            let role = &sealing.key_role;
            let key = self.keys.get(role);
            let key = key.ok_or_else(|| format!("it needs keys.{role}.private_pem"))?;
            let public = key
                .public()
                .ok_or("the key of the vector has no public half")?;
            let made = match sealing.proves_origin() {
                false => sealing.to(&public).map_err(|error| error.to_string())?,
                true => key.prove_origin(sealing)?,
            };
            let sealed = Sealed {
                key_role: role.clone(),
                algorithm: sealing.algorithm,
                content: SealedContent::Jwe(made.into_bytes()),
            };
            let opened = key.open(&scheme.declared.keys[role], &sealed)?;
            same("what was encrypted", &shown(plaintext), &shown(&opened))?;
            jwe = Some("JWE");
        }
        prepared.draft(jwe).map_err(|error| error.to_string())
    }

    fn run_verify(&self, scheme: &Scheme) -> Result<(), String> {
        let verify = scheme.verify.as_ref().ok_or("the scheme has no [verify]")?;
        self.check_decrypted(scheme)?;
        let examination = verify.examine(&self.message, &self.bindings);
        let mut examination = examination.map_err(|error| error.to_string())?;
        if self.token_is_good {
            examination.access_token_is_good();
        }
        let mut strings = Vec::new();
        let mut right: Option<Match> = None;
        if let Some(verifying) = examination.verifying() {
            let role = &scheme.declared.keys[verifying.key_role];
            for (index, candidate) in examination.candidates() {
                let string = self.filled(candidate.string)?;
                let is_right = match &self.key {
                    Some(Key::Secret(text)) => hmac(role, text, &string)? == candidate.signature,
                    Some(Key::Public(key)) => key.verifies(
                        verifying.algorithm,
                        Input::Message(&string),
                        candidate.signature,
                        verifying.is_der,
                    ),
                    Some(Key::Private(_)) | None => return Err(NO_KEY.to_owned()),
                };
                if is_right && right.is_none() {
                    right = Some(index);
                }
                strings.push(string);
            }
        }
        if let Some(first) = strings.first() {
            let expected = self.string.as_deref().unwrap_or_default();
            if !strings.iter().any(|string| string == expected) {
                self.check_string(first)?;
            }
            self.check_wrong(first, "")?;
        }
        let verdict = examination.conclude(right, self.now);
        let mut verdict = verdict.map_err(|error| error.to_string())?;
        if verdict.outcome != self.outcome {
            return Err(format!(
                "expected the outcome {}, got {}",
                self.outcome, verdict.outcome
            ));
        }
        if let Some(sealed) = verdict.sealed.clone() {
            let opened = self.open(scheme, &sealed)?;
            let result = examination.opened(verdict, &opened);
            verdict = result.map_err(|error| error.to_string())?;
        }
        let opened = verdict
            .authenticated
            .iter()
            .find(|(name, _)| name == "opened");
        let opened = opened.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        match (&self.opened, opened) {
            (None, None) => Ok(()),
            (Some(expected), Some(made)) => same("what was opened", expected, &made),
            (Some(_), None) => Err("nothing was opened".to_owned()),
            (None, Some(_)) => Err("it needs the entry opened".to_owned()),
        }
    }

    /// If the vector has the key, what is said to be decrypted has to come out with it.
    fn check_decrypted(&self, scheme: &Scheme) -> Result<(), String> {
        let Some(verify) = &scheme.verify else {
            return Ok(());
        };
        let sealed = verify.sealed(&self.message, &self.bindings);
        let sealed = sealed.map_err(|error| error.to_string())?;
        match (sealed, &self.message.decrypted) {
            (None, None) => Ok(()),
            (Some(sealed), Some(_)) if !self.can_open(&sealed) => Ok(()),
            (Some(sealed), Some(decrypted)) => {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let opened = self.open(scheme, &sealed)?;
                same("what was decrypted", &shown(decrypted), &shown(&opened))
            }
            (Some(_), None) => Err("it needs the entry decrypted".to_owned()),
            (None, Some(_)) => Err("there is nothing to be decrypted".to_owned()),
        }
    }

    /// A public key is enough where the content key proves its origin.
    fn can_open(&self, sealed: &Sealed) -> bool {
        let role = &sealed.key_role;
        let public = sealed.algorithm == Algorithm::Rsa15Private;
        self.keys.contains_key(role) || (public && self.bindings.keys.contains_key(role))
    }

    fn open(&self, scheme: &Scheme, sealed: &Sealed) -> Result<Vec<u8>, String> {
        let role = &sealed.key_role;
        if let (Algorithm::Rsa15Private, SealedContent::Jwe(jwe)) =
            (sealed.algorithm, &sealed.content)
        {
            let keys = self.bindings.keys.get(role);
            let key = keys.and_then(|keys| keys.first()?.public_key.as_ref());
            let key = key.ok_or_else(|| format!("it needs keys.{role}.public_pem"))?;
            return test_key::recover(key, jwe);
        }
        let key = self.keys.get(role);
        let key = key.ok_or_else(|| format!("it needs keys.{role}.private_pem or .secret"))?;
        key.open(&scheme.declared.keys[role], sealed)
    }

    fn run_encrypt(&self, scheme: &Scheme) -> Result<(), String> {
        let part = scheme
            .encrypt
            .as_ref()
            .ok_or("the scheme has no [encrypt]")?;
        let Some(Key::Private(key)) = &self.key else {
            return Err("it needs key.private_pem, to open what was encrypted".to_owned());
        };
        let draft = part.draft(&self.bindings, self.now, &mut |bytes| bytes.fill(0));
        let draft = draft.map_err(|error| error.to_string())?;
        self.check_string(draft.plaintext())?;
        let public = key.public().ok_or(NO_KEY)?;
        let encrypted = draft.encrypt(&public).map_err(|error| error.to_string())?;
        let sealed = Sealed {
            key_role: draft.key_role().to_owned(),
            algorithm: draft.algorithm(),
            content: SealedContent::RsaOaep {
                hashes: draft.hashes(),
                ciphertext: undo(&part.encode_names(), &encrypted)?,
            },
        };
        let opened = key.open(&scheme.declared.keys[draft.key_role()], &sealed)?;
        self.check_string(&opened)
    }

    fn run_decrypt(&self, scheme: &Scheme) -> Result<(), String> {
        let part = scheme
            .decrypt
            .as_ref()
            .ok_or("the scheme has no [decrypt]")?;
        let sealed = part
            .sealed(&self.bindings)
            .map_err(|error| error.to_string())?;
        let sealed = sealed.ok_or("there is nothing to be decrypted")?;
        let role = &scheme.declared.keys[&sealed.key_role];
        let opened = match &self.key {
            Some(Key::Private(key)) => key.open(role, &sealed)?,
            Some(Key::Secret(text)) => TestKey::Secret(text.clone()).open(role, &sealed)?,
            Some(Key::Public(_)) | None => return Err(NO_KEY.to_owned()),
        };
        let message = part.opened(&self.bindings, &opened);
        self.check_string(&message.map_err(|error| error.to_string())?)
    }

    fn run_string(&self, scheme: &Scheme) -> Result<(), String> {
        let string = if scheme.sign.is_some() {
            let draft = self.draft(scheme)?;
            draft.signing().map(|one| self.filled(one.string))
        } else if let Some(verify) = &scheme.verify {
            let examination = verify.examine(&self.message, &self.bindings);
            let examination = examination.map_err(|error| error.to_string())?;
            let first = examination.candidates().next();
            first.map(|(_, candidate)| self.filled(candidate.string))
        } else {
            None
        };
        let string = string.ok_or("there is no string")??;
        if let Some(digest) = &self.digest {
            let made = hex::encode(Hash::Sha256.digest(&string));
            same("the SHA-256 of the string", &hex::encode(digest), &made)?;
        }
        if self.string.is_some() {
            self.check_string(&string)?;
        }
        self.check_wrong(&string, "")
    }

    fn filled(&self, string: &Text) -> Result<Vec<u8>, String> {
        let secret = match &self.key {
            Some(Key::Secret(text)) => Some(text.as_bytes()),
            Some(Key::Public(_) | Key::Private(_)) | None => None,
        };
        let string = string.filled(|_| secret);
        string.ok_or_else(|| "the key of the vector is no secret".to_owned())
    }

    fn run_digest(&self, scheme: &Scheme) -> Result<(), String> {
        let (Some(Key::Public(key)), Some(digest)) = (&self.key, &self.digest) else {
            return Err("a digest is signed with a key that has a public half".to_owned());
        };
        let sign = scheme.sign.as_ref().and_then(|one| one.signature.as_ref());
        let sign = sign.ok_or("the scheme signs nothing")?;
        let expected = self.signature.as_deref().unwrap_or_default();
        let raw = undo(&sign.encode_names(), expected.as_bytes())?;
        match key.verifies(sign.algorithm, Input::Digest(digest), &raw, sign.der) {
            true => Ok(()),
            false => Err("the signature is not the key's over the digest".to_owned()),
        }
    }

    fn check_string(&self, made: &[u8]) -> Result<(), String> {
        let expected = self.string.as_deref().unwrap_or_default();
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        same("the string", &shown(expected), &shown(made))
    }

    fn check_wrong(&self, string: &[u8], signature: &str) -> Result<(), String> {
        for wrong in &self.must_not_match {
            let matches = match &wrong.what {
                WrongValue::String(text) => text.as_bytes() == string,
                WrongValue::Sha256(hex) => *hex == hex::encode(Hash::Sha256.digest(string)),
                WrongValue::Signature(text) => text == signature,
            };
            if matches {
                return Err(format!("it gives what it must not: {}", wrong.why));
            }
        }
        Ok(())
    }
}

/// Undoes the encodings of a signature, the last one first.
fn undo(encodings: &[&str], text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = text.to_vec();
    for name in encodings.iter().rev() {
        let undone = match *name {
            "base64" => encoding::decode_base64(&bytes),
            "base64url" => encoding::decode_base64url(&bytes),
            "hex" | "HEX" => encoding::decode_hex(&bytes),
            "percent-encode" => encoding::percent_decode(bytes.into(), encoding::Kept::Unreserved)
                .map(Cow::into_owned),
            other => return Err(format!("the encoding {other} can't be undone")),
        };
        bytes = undone.map_err(|fault| fault.to_string())?;
    }
    Ok(bytes)
}

/// The way back from what a token's r||s was written as.
fn der_to_raw(curve: Curve, der: &[u8]) -> Option<Vec<u8>> {
    use rsa::pkcs8::der::{Reader, SliceReader, asn1::UintRef};
    let mut reader = SliceReader::new(der).ok()?;
    let numbers = reader.sequence(|inner| Ok([inner.decode::<UintRef<'_>>()?, inner.decode()?]));
    let mut raw = Vec::new();
    for number in numbers.ok()? {
        let bytes = number.as_bytes();
        raw.extend(std::iter::repeat_n(
            0,
            curve.width().checked_sub(bytes.len())?,
        ));
        raw.extend_from_slice(bytes);
    }
    Some(raw)
}

fn hmac(role: &KeyRole, secret: &str, message: &[u8]) -> Result<Vec<u8>, String> {
    let key = role
        .secret_bytes(secret)
        .map_err(|error| error.to_string())?;
    let length = "HMAC takes keys of any length";
    Ok(match role.algorithm {
        Algorithm::Hmac(Hash::Sha256) => {
            let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        Algorithm::Hmac(Hash::Sha384) => {
            let mac = Hmac::<sha2::Sha384>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        Algorithm::Hmac(Hash::Sha512) => {
            let mac = Hmac::<sha2::Sha512>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        other => return Err(format!("the algorithm {other} has no secret")),
    })
}

fn same(what: &str, expected: &str, made: &str) -> Result<(), String> {
    match expected == made {
        true => Ok(()),
        false => Err(format!("{what} should be\n  {expected}\nand is\n  {made}")),
    }
}

const NO_KEY: &str = "the key of the vector is of another kind";
