//! Keys from elsewhere: the worker's side. What is unwrapped here stays in the token; nobody sees it.
//!
//! `CKM_RSA_AES_KEY_WRAP` is done in its two steps, since many tokens have only those, and `cryptoki` speaks only
//! those: the same bytes. A key is unwrapped twice: first into the session, where it is tried and vanishes with the
//! session whatever happens; then, if all is well, into the token under its name, in one step.

use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use zeroize::Zeroizing;

use super::{
    super::{
        errors::{Fault, Treatment, Work},
        inventory::{self, Handle, WRAPPING_LABEL},
        known::Known,
        mechanism::{ED25519_PARAMETERS, curve_parameters, oaep_sha1, oaep_sha256},
        protocol::{Binding, Flags, Import, Inventory, Refusal, Reply, SignWith},
    },
    Lane, create, gcm, ours,
};
use crate::{
    algorithm::{Algorithm, Hash, KeyType, RsaSize},
    key::{Custody, Input, PublicKey},
};

/// Why a key was not imported: it is not to be, or the token failed.
enum Stop {
    Refused(Refusal),
    Failed(Fault),
}

impl Lane {
    /// Makes a key that can do nothing but unwrap, unless there is one.
    pub(super) fn make_wrapping_key(&mut self) -> Result<Inventory, Fault> {
        let session = self.rw_session()?;
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        if !listing.wrapping_keys.is_empty() {
            return Ok(self.module.adopt(listing));
        }
        let flags = Flags {
            unwrap: true,
            ..Flags::default()
        };
        let key_type = KeyType::Rsa(RsaSize::Bits3072);
        let allowed = [oaep_sha1().mechanism_type()];
        create::generate(&session, key_type, flags, &allowed, WRAPPING_LABEL)?;
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        Ok(self.module.adopt(listing))
    }

    /// Brings a key in, or leaves nothing of it.
    pub(super) fn import(&mut self, import: Import) -> Result<Reply, Fault> {
        let wrapping_key = self.wrapping_key(import.wrapping_key)?;
        let public = match import.public.as_deref().map(PublicKey::from_spki) {
            None => None,
            Some(Ok(public)) => Some(public),
            Some(Err(_)) => return Ok(Reply::Refused(Refusal::PublicKey)),
        };
        let session = self.rw_session()?;
        if create::is_taken(&session, &import.version, import.record.is_some())? {
            return Ok(Reply::Exists);
        }
        match self.try_out(&session, &wrapping_key, &import, public.as_ref()) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return Ok(Reply::Refused(refusal)),
            Err(Stop::Failed(fault)) => return Err(fault),
        }
        let mut beside = Vec::new();
        let kept = self.keep(
            &session,
            &wrapping_key,
            &import,
            public.as_ref(),
            &mut beside,
        );
        if let Err(fault) = kept {
            for object in beside {
                // The first error is the one to tell; what is left without its key does nothing.
                let _ = session.destroy_object(object);
            }
            return Err(fault);
        }
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        Ok(Reply::Inventory(Box::new(self.module.adopt(listing))))
    }

    /// Unwraps into the session, and does with the key what shows that it is what it is said to be.
    fn try_out(
        &self,
        session: &Session,
        wrapping_key: &Handle,
        import: &Import,
        public: Option<&PublicKey>,
    ) -> Result<(), Stop> {
        let template = for_trial(import);
        let key = unwrapped(session, wrapping_key, import, &template).map_err(|error| {
            let fault = Fault::of(&error, Work::Callers);
            match fault.treatment {
                Treatment::CallersInput => Stop::Refused(Refusal::Wrapping),
                _ => Stop::Failed(fault),
            }
        })?;
        let tried = match public {
            Some(public) => is_of(session, key, import.key_type, public),
            None => is_usable(session, key, import),
        };
        session
            .destroy_object(key)
            .map_err(ours)
            .map_err(Stop::Failed)?;
        match tried {
            Ok(true) => Ok(()),
            Ok(false) if public.is_some() => Err(Stop::Refused(Refusal::PublicKey)),
            Ok(false) => Err(Stop::Refused(Refusal::Unusable)),
            Err(error) => {
                let fault = Fault::of(&error, Work::Callers);
                Err(match fault.treatment {
                    Treatment::CallersInput | Treatment::Configuration => {
                        Stop::Refused(Refusal::Unusable)
                    }
                    _ => Stop::Failed(fault),
                })
            }
        }
    }

    /// First what stands beside the key, which does nothing without it; the key last.
    fn keep(
        &self,
        session: &Session,
        wrapping_key: &Handle,
        import: &Import,
        public: Option<&PublicKey>,
        beside: &mut Vec<ObjectHandle>,
    ) -> Result<(), Fault> {
        let label = import.version.to_string();
        if let Some(record) = &import.record {
            let name = import.version.key.as_str();
            beside.push(create::put_record(session, name, record.clone())?);
        }
        beside.push(create::put_record(
            session,
            &label,
            import.version_record.clone(),
        )?);
        let id = match public {
            Some(public) => create::identifier_of(public.subject_public_key()),
            None => create::random_id()?.to_vec(),
        };
        if let Some(public) = public {
            // One that an import which was cut short has left; its private half is not there, as was just seen.
            let left = [
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::Label(label.as_bytes().to_vec()),
            ];
            for object in session.find_objects(&left).map_err(ours)? {
                session.destroy_object(object).map_err(ours)?;
            }
            let template = for_public(public, import.flags, &label, &id);
            beside.push(session.create_object(&template).map_err(ours)?);
        }
        let mut template = for_keeps(import, &label, &id);
        template.push(Attribute::AllowedMechanisms(
            self.allowed_mechanisms(&import.algorithms),
        ));
        match unwrapped(session, wrapping_key, import, &template) {
            // Tokens that have no such attribute say so in one of these ways.
            Err(Error::Pkcs11(
                RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::TemplateInconsistent,
                _,
            )) => {
                template.pop();
                unwrapped(session, wrapping_key, import, &template)
            }
            other => other,
        }
        // What the token took a moment ago is not the caller's fault now.
        .map_err(ours)
        .map(drop)
    }

    pub(super) fn rw_session(&self) -> Result<Session, Fault> {
        self.module
            .pkcs11
            .open_rw_session(self.module.slot)
            .map_err(ours)
    }

    /// The key to unwrap with. One that this worker has not seen was made through another since.
    fn wrapping_key(&mut self, binding: Binding) -> Result<Handle, Fault> {
        let known = |lane: &Self| {
            let keys = lane.module.wrapping_keys.read();
            keys.expect("no lane panics: a panic ends the worker")
                .iter()
                .find(|key| key.binding == binding)
                .cloned()
        };
        if let Some(handle) = known(self) {
            return Ok(handle);
        }
        self.list(&Known::own(binding))?;
        known(self).ok_or_else(|| {
            Fault::new(
                Treatment::Configuration,
                "the look-up of a wrapping key",
                "it is gone",
            )
        })
    }
}

/// Unwraps by the method's one or two steps; the AES key in between does not outlive them.
fn unwrapped(
    session: &Session,
    wrapping_key: &Handle,
    import: &Import,
    template: &[Attribute],
) -> Result<ObjectHandle, Error> {
    let oaep = if import.method.is_sha256() {
        oaep_sha256()
    } else {
        oaep_sha1()
    };
    if !import.method.has_aes() {
        return session.unwrap_key(&oaep, wrapping_key.object, &import.wrapped, template);
    }
    let modulus = import.wrapped.len().min(MODULUS);
    let (first, rest) = import.wrapped.split_at(modulus);
    let aes = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(TokenKeyType::AES),
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Unwrap(true),
        Attribute::Wrap(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
    ];
    let aes = session.unwrap_key(&oaep, wrapping_key.object, first, &aes)?;
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, aes, rest, template);
    session.destroy_object(aes)?;
    key
}

fn kind(key_type: KeyType) -> [Attribute; 2] {
    let (class, key_type) = match key_type {
        KeyType::Rsa(_) => (ObjectClass::PRIVATE_KEY, TokenKeyType::RSA),
        KeyType::Ec(_) => (ObjectClass::PRIVATE_KEY, TokenKeyType::EC),
        KeyType::Ed25519 => (ObjectClass::PRIVATE_KEY, TokenKeyType::EC_EDWARDS),
        KeyType::Hmac(_) => (ObjectClass::SECRET_KEY, TokenKeyType::GENERIC_SECRET),
        KeyType::Aes(_) => (ObjectClass::SECRET_KEY, TokenKeyType::AES),
    };
    [Attribute::Class(class), Attribute::KeyType(key_type)]
}

/// For the session alone: the key may do what shows what it is, whatever it is for.
fn for_trial(import: &Import) -> Vec<Attribute> {
    let mut template = kind(import.key_type).to_vec();
    template.extend([Attribute::Token(false), Attribute::Private(true)]);
    template.extend(shown(import.custody));
    template.extend(match import.key_type {
        KeyType::Aes(_) => [
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(true),
        ]
        .to_vec(),
        KeyType::Rsa(_) | KeyType::Ec(_) | KeyType::Ed25519 | KeyType::Hmac(_) => {
            vec![Attribute::Sign(true)]
        }
    });
    template
}

fn for_keeps(import: &Import, label: &str, id: &[u8]) -> Vec<Attribute> {
    let flags = import.flags;
    let mut template = kind(import.key_type).to_vec();
    template.extend([
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
        Attribute::Sign(flags.sign),
        Attribute::Decrypt(flags.decrypt),
        Attribute::Unwrap(flags.unwrap),
        Attribute::Derive(flags.derive),
    ]);
    template.extend(shown(import.custody));
    // The other direction of a secret key is done by the same object.
    if !import.key_type.is_asymmetric() {
        template.extend([
            Attribute::Verify(flags.sign),
            Attribute::Encrypt(flags.decrypt),
            Attribute::Wrap(flags.unwrap),
        ]);
    }
    template
}

fn shown(custody: Custody) -> [Attribute; 2] {
    let readable = custody == Custody::WorkerReadable;
    [
        Attribute::Sensitive(!readable),
        Attribute::Extractable(readable),
    ]
}

fn for_public(public: &PublicKey, flags: Flags, label: &str, id: &[u8]) -> Vec<Attribute> {
    let [_, key_type] = kind(public.key_type());
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        key_type,
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
        Attribute::Verify(flags.sign),
        Attribute::Encrypt(flags.decrypt),
    ];
    let point = || Attribute::EcPoint(octet_string(public.subject_public_key()));
    match public.key_type() {
        KeyType::Ec(curve) => {
            template.extend([
                Attribute::EcParams(curve_parameters(curve).to_vec()),
                point(),
            ]);
        }
        KeyType::Ed25519 => {
            template.extend([Attribute::EcParams(ED25519_PARAMETERS[0].to_vec()), point()]);
        }
        KeyType::Rsa(_) | KeyType::Hmac(_) | KeyType::Aes(_) => {
            let numbers = public.rsa_numbers().into_iter();
            template.extend(numbers.flat_map(|(modulus, exponent)| {
                [
                    Attribute::Modulus(modulus.to_vec()),
                    Attribute::PublicExponent(exponent.to_vec()),
                ]
            }));
        }
    }
    template
}

/// `CKA_EC_POINT` is a DER OCTET STRING (PKCS#11 section 2.3.3); no point here has more than 133 bytes.
fn octet_string(point: &[u8]) -> Vec<u8> {
    let length = point.len() as u8;
    let head: &[u8] = if length < 0x80 {
        &[0x04, length]
    } else {
        &[0x04, 0x81, length]
    };
    [head, point].concat()
}

/// Whether what the key signs is what its public half verifies.
fn is_of(
    session: &Session,
    key: ObjectHandle,
    key_type: KeyType,
    public: &PublicKey,
) -> Result<bool, Error> {
    let with = match key_type {
        KeyType::Rsa(_) => SignWith::RsaPkcs1(Hash::Sha256),
        KeyType::Ec(curve) => SignWith::Ecdsa(curve),
        KeyType::Ed25519 => SignWith::EdDsa,
        KeyType::Hmac(_) | KeyType::Aes(_) => return Ok(false),
    };
    let algorithm = with.algorithm();
    let message = b"chancery: is this the private half?";
    let digest = algorithm.prehash().map(|hash| hash.digest(message));
    let (feed, input) = match &digest {
        Some(digest) => (with.feed(digest.clone()), Input::Digest(digest)),
        None => (message.to_vec(), Input::Message(message)),
    };
    let signature = session.sign(&with.mechanism(), key, &feed)?;
    Ok(public.verifies(algorithm, input, &signature, false))
}

/// Whether a secret does what it is for, and is as long as was said, as far as the token tells.
fn is_usable(session: &Session, key: ObjectHandle, import: &Import) -> Result<bool, Error> {
    if let KeyType::Aes(size) = import.key_type {
        let told = session.get_attributes(key, &[AttributeType::ValueLen])?;
        // SoftHSM does not know how long a secret is that it unwrapped, and says 0.
        let other = |one: &Attribute| matches!(one, Attribute::ValueLen(length) if ![0, size.bytes() as u64].contains(length));
        if told.iter().any(other) {
            return Ok(false);
        }
    }
    for algorithm in &import.algorithms {
        match algorithm {
            Algorithm::Hmac(hash) => {
                let mac = session.sign(&SignWith::Hmac(*hash).mechanism(), key, b"chancery")?;
                if mac.len() != hash.len() {
                    return Ok(false);
                }
            }
            Algorithm::Dir => {
                session.encrypt(&gcm(&mut [0; 12], &[])?, key, b"chancery")?;
            }
            Algorithm::A128Kw | Algorithm::A256Kw => {
                let other = session.create_object(&[
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
                    Attribute::Token(false),
                    Attribute::Sensitive(false),
                    Attribute::Extractable(true),
                    Attribute::Value(vec![0; 16]),
                ])?;
                let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, key, other);
                session.destroy_object(other)?;
                wrapped?;
            }
            // No other algorithm is a secret's.
            _ => return Ok(false),
        }
    }
    match import.secret_bytes {
        Some(length) => has_text(session, key, length as usize),
        None => Ok(true),
    }
}

/// Whether a worker-readable secret is so many bytes of text and zeros behind them.
fn has_text(session: &Session, key: ObjectHandle, length: usize) -> Result<bool, Error> {
    let value = session
        .get_attributes(key, &[AttributeType::Value])?
        .into_iter()
        .find_map(|attribute| match attribute {
            Attribute::Value(value) => Some(Zeroizing::new(value)),
            _ => None,
        });
    Ok(value.is_some_and(|value| {
        (1..=value.len()).contains(&length) && value[length..].iter().all(|byte| *byte == 0)
    }))
}

/// Of the wrapping key, in bytes.
const MODULUS: usize = 384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Curve;

    #[test]
    fn a_point_goes_in_as_it_comes_out() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let point = vec![4; 1 + 2 * curve.width()];
            assert_eq!(inventory::octet_string(&octet_string(&point)), point);
        }
    }
}
