//! Running a test vector: the string, the signature and the verdict are compared with what the file says.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};

use crate::{
    algorithm::{Algorithm, Hash},
    key::Input,
    scheme::{
        Scheme,
        declared::KeyRole,
        document::SchemeError,
        encoding,
        examination::Match,
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
        };
        result.map_err(|why| {
            let message = format!("the vector {:?} fails: {why}", self.name);
            SchemeError::new(self.line, self.at.clone(), message, "VECTOR_FAILS")
        })
    }

    fn run_sign(&self, scheme: &Scheme) -> Result<(), String> {
        let sign = scheme.sign.as_ref().ok_or("the scheme has no [sign]")?;
        let now = self.now;
        let draft = sign.draft(&self.message, &self.bindings, now, &mut |bytes| {
            bytes.fill(0)
        });
        let draft = draft.map_err(|error| error.to_string())?;
        let string = draft.string_to_sign().filled(|_| self.secret_text());
        let string = string.ok_or("the key of the vector is no secret")?;
        self.check_string(&string)?;
        let expected = self.signature.as_deref().unwrap_or_default();
        let role = &scheme.declared.keys[&sign.key];
        let raw = match &self.key {
            Some(Key::Secret(text)) => hmac(role, text, &string)?,
            Some(Key::Public(key)) => {
                let raw = match sign.family_signature(expected.as_bytes()) {
                    Some(found) => found.map_err(|fault| fault.to_string())?,
                    None => undo(&sign.encode_names(), expected.as_bytes())?,
                };
                let algorithm = sign.algorithm;
                if !key.verifies(algorithm, Input::Message(&string), &raw, false) {
                    return Err("the signature is not the key's over the string".to_owned());
                }
                raw
            }
            None => return Err("there is no key".to_owned()),
        };
        let signed = draft.finish(&raw).map_err(|error| error.to_string())?;
        let made = String::from_utf8_lossy(&signed.signature).into_owned();
        self.check_wrong(&string, &made)?;
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

    fn run_verify(&self, scheme: &Scheme) -> Result<(), String> {
        let verify = scheme.verify.as_ref().ok_or("the scheme has no [verify]")?;
        let role = &scheme.declared.keys[&verify.key];
        let examination = verify.examine(&self.message, &self.bindings);
        let examination = examination.map_err(|error| error.to_string())?;
        let mut strings = Vec::new();
        let mut right: Option<Match> = None;
        for (index, candidate) in examination.candidates() {
            let string = candidate.string.filled(|_| self.secret_text());
            let string = string.ok_or("the key of the vector is no secret")?;
            let is_right = match &self.key {
                Some(Key::Secret(text)) => hmac(role, text, &string)? == candidate.signature,
                Some(Key::Public(key)) => key.verifies(
                    verify.algorithm,
                    Input::Message(&string),
                    candidate.signature,
                    examination.is_der(),
                ),
                None => false,
            };
            if is_right && right.is_none() {
                right = Some(index);
            }
            strings.push(string);
        }
        let expected = self.string.as_deref().unwrap_or_default();
        if !strings.iter().any(|string| string == expected) {
            self.check_string(&strings[0])?;
        }
        self.check_wrong(&strings[0], "")?;
        let verdict = examination.conclude(right, self.now);
        let verdict = verdict.map_err(|error| error.to_string())?;
        if verdict.outcome != self.outcome {
            return Err(format!(
                "expected the outcome {:?}, got {:?}",
                self.outcome, verdict.outcome
            ));
        }
        Ok(())
    }

    fn run_string(&self, scheme: &Scheme) -> Result<(), String> {
        let string = if let Some(sign) = &scheme.sign {
            let draft = sign.draft(&self.message, &self.bindings, self.now, &mut |bytes| {
                bytes.fill(0)
            });
            let draft = draft.map_err(|error| error.to_string())?;
            draft.string_to_sign().filled(|_| self.secret_text())
        } else if let Some(verify) = &scheme.verify {
            let examination = verify.examine(&self.message, &self.bindings);
            let examination = examination.map_err(|error| error.to_string())?;
            let first = examination.candidates().next();
            first.and_then(|(_, candidate)| candidate.string.filled(|_| self.secret_text()))
        } else {
            None
        };
        let string = string.ok_or("there is no string")?;
        if let Some(digest) = &self.digest {
            let made = hex::encode(Hash::Sha256.digest(&string));
            same("the SHA-256 of the string", &hex::encode(digest), &made)?;
        }
        if self.string.is_some() {
            self.check_string(&string)?;
        }
        self.check_wrong(&string, "")
    }

    fn run_digest(&self, scheme: &Scheme) -> Result<(), String> {
        let (Some(Key::Public(key)), Some(digest)) = (&self.key, &self.digest) else {
            return Err("a digest is signed with a key that has a public half".to_owned());
        };
        let sign = scheme.sign.as_ref().ok_or("the scheme has no [sign]")?;
        let expected = self.signature.as_deref().unwrap_or_default();
        let raw = undo(&sign.encode_names(), expected.as_bytes())?;
        match key.verifies(sign.algorithm, Input::Digest(digest), &raw, false) {
            true => Ok(()),
            false => Err("the signature is not the key's over the digest".to_owned()),
        }
    }

    fn secret_text(&self) -> Option<&[u8]> {
        match &self.key {
            Some(Key::Secret(text)) => Some(text.as_bytes()),
            Some(Key::Public(_)) | None => None,
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
