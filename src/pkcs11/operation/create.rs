//! Making a key in the token, with its record beside it.

use std::{thread, time::Duration};

use cryptoki::{
    error::{Error, RvError},
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};

use super::{
    super::{
        errors::{Fault, Treatment},
        inventory::{self, RECORD_APPLICATION},
        known::Known,
        mechanism::Recipe,
        protocol::{Flags, Inventory},
    },
    Lane, ours,
};
use crate::{
    algorithm::{Algorithm, KeyType},
    key::{KeyVersion, PublicKey},
};

impl Lane {
    pub(super) fn allowed_mechanisms(&self, algorithms: &[Algorithm]) -> Vec<MechanismType> {
        let mut allowed: Vec<_> = algorithms
            .iter()
            .map(|algorithm| self.module.capabilities.mechanism_for(*algorithm))
            .collect();
        allowed.sort_unstable_by_key(|mechanism| **mechanism);
        allowed.dedup();
        allowed
    }

    /// Makes a key, or another version of one, unless it is there: first the record of a new key, then the key, so that
    /// a key of ours is never without its limits.
    pub(super) fn create(
        &mut self,
        version: &KeyVersion,
        key_type: KeyType,
        flags: Flags,
        allowed: &[MechanismType],
        record: Option<Vec<u8>>,
    ) -> Result<Option<Inventory>, Fault> {
        let session = self
            .module
            .pkcs11
            .open_rw_session(self.module.slot)
            .map_err(ours)?;
        if is_taken(&session, version, record.is_some())? {
            return Ok(None);
        }
        let recorded = record
            .map(|record| put_record(&session, version.key.as_str(), record))
            .transpose()?;
        let made = generate(&session, key_type, flags, allowed, &version.to_string());
        if let (Err(_), Some(recorded)) = (&made, recorded) {
            // The first error is the one to tell; a record without a key does nothing.
            let _ = session.destroy_object(recorded);
        }
        made?;
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        Ok(Some(self.module.adopt(listing)))
    }
}

/// Whether a key of this name is there. Another program, or another daemon, may have made it since the last listing;
/// two keys of one name are of no use to anybody. The first version may also go by the bare name.
pub(super) fn is_taken(
    session: &Session,
    version: &KeyVersion,
    is_first: bool,
) -> Result<bool, Fault> {
    let label = version.to_string();
    let bare = is_first.then_some(version.key.as_str());
    for taken in [label.as_str()].into_iter().chain(bare) {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
            let template = [
                Attribute::Class(class),
                Attribute::Label(taken.as_bytes().to_vec()),
            ];
            if !session.find_objects(&template).map_err(ours)?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Writes the record of a key, or of a version of one, that is not there yet.
pub(super) fn put_record(
    session: &Session,
    label: &str,
    record: Vec<u8>,
) -> Result<ObjectHandle, Fault> {
    let name = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Application(RECORD_APPLICATION.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    // One may be left from a creation that was cut short; there is no key for it, so it goes.
    for left in session.find_objects(&name).map_err(ours)? {
        session.destroy_object(left).map_err(ours)?;
    }
    let mut template = name.to_vec();
    template.extend([
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Value(record),
    ]);
    again(session, &name, || session.create_object(&template)).map_err(ours)
}

/// An identifier for what has no public half to take one from.
pub(super) fn random_id() -> Result<[u8; 20], Fault> {
    let mut id = [0; 20];
    aws_lc_rs::rand::fill(&mut id)
        .map_err(|_| Fault::new(Treatment::Device, "random", "no random numbers"))?;
    Ok(id)
}

/// The SHA-1 of what the BIT STRING of a SubjectPublicKeyInfo holds (RFC 5280 section 4.2.1.2).
pub(super) fn identifier_of(subject_public_key: &[u8]) -> Vec<u8> {
    let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    aws_lc_rs::digest::digest(sha1, subject_public_key)
        .as_ref()
        .to_vec()
}

pub(super) fn generate(
    session: &Session,
    key_type: KeyType,
    flags: Flags,
    allowed: &[MechanismType],
    label: &str,
) -> Result<(), Fault> {
    let id = random_id()?;
    let mut recipe = Recipe::new(key_type, flags, label, &id);
    // Holds whoever else has the PIN to the same mechanisms; the daemon itself is held by the record.
    recipe
        .secret
        .push(Attribute::AllowedMechanisms(allowed.to_vec()));
    match make(session, &recipe, label) {
        // Tokens that have no such attribute say so in one of these ways.
        Err(Error::Pkcs11(
            RvError::AttributeTypeInvalid
            | RvError::AttributeValueInvalid
            | RvError::TemplateInconsistent,
            _,
        )) => {
            recipe.secret.pop();
            make(session, &recipe, label).map_err(ours)?
        }
        other => other.map_err(ours)?,
    }
    .map_or(Ok(()), |(public, private)| {
        // The id is the key identifier, known only now.
        let identifier = key_identifier(session, public)?;
        for object in [public, private] {
            session
                .update_attributes(object, &[Attribute::Id(identifier.clone())])
                .map_err(ours)?;
        }
        Ok(())
    })
}

/// The pair, or `None` for a secret.
fn make(
    session: &Session,
    recipe: &Recipe,
    label: &str,
) -> Result<Option<(ObjectHandle, ObjectHandle)>, Error> {
    let wanted = [Attribute::Label(label.as_bytes().to_vec())];
    again(session, &wanted, || match &recipe.public {
        None => session
            .generate_key(&recipe.mechanism, &recipe.secret)
            .map(|_| None),
        Some(public) => session
            .generate_key_pair(&recipe.mechanism, public, &recipe.secret)
            .map(Some),
    })
}

/// Makes something, and again a few times if the token fails without saying why, as SoftHSM now and then does while
/// other processes look at its directory; but only if it shows nothing of what was to be made.
fn again<T>(
    session: &Session,
    wanted: &[Attribute],
    make: impl Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match make() {
            Err(error @ Error::Pkcs11(RvError::GeneralError | RvError::FunctionFailed, _)) => error,
            other => return other,
        };
        let is_nothing_there = session
            .find_objects(wanted)
            .is_ok_and(|found| found.is_empty());
        match pauses.next() {
            Some(pause) if is_nothing_there => thread::sleep(pause),
            _ => return Err(error),
        }
    }
}

/// The identifier of the public half of a pair that was just made.
fn key_identifier(session: &Session, public: ObjectHandle) -> Result<Vec<u8>, Fault> {
    let wanted = [
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let (mut point, mut modulus, mut exponent) = (None, None, None);
    for attribute in session.get_attributes(public, &wanted).map_err(ours)? {
        match attribute {
            Attribute::EcPoint(bytes) => point = Some(bytes),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    let bits = match (&point, modulus, exponent) {
        (Some(point), _, _) => inventory::octet_string(point).to_vec(),
        (None, Some(modulus), Some(exponent)) => PublicKey::from_rsa(&modulus, &exponent)
            .map_err(|error| Fault::new(Treatment::Device, "C_GenerateKeyPair", error.to_string()))?
            .subject_public_key()
            .to_vec(),
        _ => {
            return Err(Fault::new(
                Treatment::Device,
                "C_GenerateKeyPair",
                "a public key without its value",
            ));
        }
    };
    Ok(identifier_of(&bits))
}

/// Before each of the tries after the first.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(160),
];
