//! Listing a token: every object is looked at once, and handles are kept for the life of the worker.
//!
//! Searching for one key costs more the more objects there are (SoftHSM: 17 ms among 1,000), so nothing
//! is ever searched for; the whole list is read and the table made from it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    error::{Error, RvError},
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use sha2::{Digest, Sha256};

use super::{
    known::Known,
    mechanism::{ED25519_PARAMETERS, curve_parameters},
    protocol::{Attributes, Binding, Flags, FoundKey, Material, Problem},
};
use crate::{
    algorithm::{Curve, Hash, KeyType, RsaSize},
    key::{KeyVersion, PublicKey},
};

/// What a listing gives: what is told to the daemon, and the handles, which never leave the worker.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) keys: Vec<FoundKey>,
    pub(super) problems: Vec<Problem>,
    pub(super) records: BTreeMap<String, Vec<u8>>,
    pub(super) handles: HashMap<KeyVersion, Handle>,
    /// The keys that unwrap what is imported, always in the same order.
    pub(super) wrapping_keys: Vec<Handle>,
    /// The keys that sign the audit log's checkpoints, always in the same order.
    pub(super) checkpoint_keys: Vec<Handle>,
    /// Whether each object that was found could be looked at.
    is_whole: bool,
}

/// A key of this worker.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) object: ObjectHandle,
    pub(super) binding: Binding,
    pub(super) public: Option<Arc<PublicKey>>,
}

/// Labels the records of keys that this daemon makes, among a token's data objects.
pub(super) const RECORD_APPLICATION: &[u8] = b"chancery";

/// The label of keys that unwrap what is imported. No key name has a colon, so nothing else can be done with them.
pub(super) const WRAPPING_LABEL: &str = "chancery:import";

/// The label of keys that sign the audit log's checkpoints. No key name has a colon, so nobody can ask for anything
/// else to be signed, and no policy can allow it.
pub(super) const CHECKPOINT_LABEL: &str = "chancery:audit";

impl Listing {
    fn known(&self) -> Known {
        let own = self.wrapping_keys.iter().chain(&self.checkpoint_keys);
        Known::all(
            &self.keys,
            self.records.keys(),
            own.map(|key| key.binding),
            &self.problems,
        )
    }
}

/// Lists the token: again, for a while, if it lacks something of what is known, or shows something by halves.
///
/// # Errors
///
/// Only if the token itself fails; an object that can't be served becomes a [`Problem`].
pub(super) fn list(session: &Session, known: &Known) -> Result<Listing, Error> {
    // Another process may be making or removing a key: SoftHSM shows its objects half-written, or not at all.
    let mut listed = list_once(session);
    let first = Instant::now();
    let mut pause = PAUSE;
    while first.elapsed() < PATIENCE {
        if let Ok(listing) = &listed
            && listing.is_whole
            && known.is_borne_out_by(&listing.known())
        {
            break;
        }
        thread::sleep(pause);
        pause *= 2;
        listed = list_once(session);
    }
    listed
}

fn list_once(session: &Session) -> Result<Listing, Error> {
    let mut listing = Listing {
        is_whole: true,
        ..Listing::default()
    };
    let mut secrets = Vec::new();
    let mut publics = Vec::new();
    for handle in session.find_objects(&[])? {
        let object = match Object::whole(session, handle) {
            Ok(object) => object,
            // Other processes remove objects and write new ones while this one looks.
            Err(Error::Pkcs11(
                RvError::ObjectHandleInvalid | RvError::AttributeValueInvalid,
                _,
            )) => {
                listing.is_whole = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        match object.class {
            Some(ObjectClass::PRIVATE_KEY | ObjectClass::SECRET_KEY) => secrets.push(object),
            Some(ObjectClass::PUBLIC_KEY) => publics.push(object),
            Some(ObjectClass::DATA) if object.is_record() => {
                let value = object.bytes.get(&AttributeType::Value);
                let value = value.cloned().unwrap_or_default();
                listing.records.insert(object.label(), value);
            }
            // Certificates and profiles are none of our business.
            _ => {}
        }
    }

    let mut seen: BTreeMap<KeyVersion, usize> = BTreeMap::new();
    for object in &secrets {
        let label = object.label();
        if label == WRAPPING_LABEL {
            match wrapping_key(object) {
                Ok(handle) => listing.wrapping_keys.push(handle),
                Err(text) => listing.problems.push(Problem { label, text }),
            }
            continue;
        }
        if label == CHECKPOINT_LABEL {
            match checkpoint_key(object, &publics) {
                Ok(handle) => listing.checkpoint_keys.push(handle),
                Err(text) => listing.problems.push(Problem { label, text }),
            }
            continue;
        }
        let version: KeyVersion = match label.parse() {
            Ok(version) => version,
            Err(error) => {
                listing.problems.push(Problem {
                    label,
                    text: format!("{error}; give it another label"),
                });
                continue;
            }
        };
        *seen.entry(version.clone()).or_default() += 1;
        match found(object, &publics, version) {
            Ok((key, handle)) => {
                listing.handles.insert(key.version.clone(), handle);
                listing.keys.push(key);
            }
            Err(text) => listing.problems.push(Problem { label, text }),
        }
    }
    // Twins are refused by name, and so is every version of their key: which one was meant can't be known.
    for (version, count) in seen.into_iter().filter(|(_, count)| *count > 1) {
        listing.handles.retain(|other, _| other.key != version.key);
        listing.keys.retain(|key| key.version.key != version.key);
        listing.problems.push(Problem {
            label: version.to_string(),
            text: format!("{count} keys have this name; give all but one another label"),
        });
    }
    listing.keys.sort_by(|a, b| a.version.cmp(&b.version));
    listing.wrapping_keys.sort_by_key(|key| key.binding.0);
    listing.checkpoint_keys.sort_by_key(|key| key.binding.0);
    Ok(listing)
}

/// One object's attributes, as far as the token shows them.
struct Object {
    handle: ObjectHandle,
    class: Option<ObjectClass>,
    key_type: Option<TokenKeyType>,
    flags: HashMap<AttributeType, bool>,
    bytes: HashMap<AttributeType, Vec<u8>>,
    value_length: Option<u64>,
}

impl Object {
    /// All of it that its class makes worth asking for.
    fn whole(session: &Session, handle: ObjectHandle) -> Result<Self, Error> {
        let object = Self {
            handle,
            class: None,
            key_type: None,
            flags: HashMap::new(),
            bytes: HashMap::new(),
            value_length: None,
        };
        let object = object.more(session, &ANY)?;
        match object.class {
            Some(ObjectClass::PRIVATE_KEY) => object.more(session, &PRIVATE),
            Some(ObjectClass::SECRET_KEY) => object.more(session, &SECRET),
            Some(ObjectClass::PUBLIC_KEY) => object.more(session, &PUBLIC),
            Some(ObjectClass::DATA) => object.more(session, &DATA),
            _ => Ok(object),
        }
    }

    fn more(mut self, session: &Session, wanted: &[AttributeType]) -> Result<Self, Error> {
        for attribute in session.get_attributes(self.handle, wanted)? {
            let kind = attribute.attribute_type();
            match attribute {
                Attribute::Class(class) => self.class = Some(class),
                Attribute::KeyType(key_type) => self.key_type = Some(key_type),
                Attribute::ValueLen(length) => self.value_length = Some(*length),
                Attribute::Sign(flag)
                | Attribute::Decrypt(flag)
                | Attribute::Derive(flag)
                | Attribute::Unwrap(flag)
                | Attribute::Local(flag)
                | Attribute::Sensitive(flag)
                | Attribute::Extractable(flag)
                | Attribute::AlwaysSensitive(flag)
                | Attribute::NeverExtractable(flag) => {
                    self.flags.insert(kind, flag);
                }
                Attribute::Label(bytes)
                | Attribute::Id(bytes)
                | Attribute::Modulus(bytes)
                | Attribute::PublicExponent(bytes)
                | Attribute::EcParams(bytes)
                | Attribute::EcPoint(bytes)
                | Attribute::CheckValue(bytes)
                | Attribute::Application(bytes)
                | Attribute::Value(bytes) => {
                    self.bytes.insert(kind, bytes);
                }
                // Nothing else was asked for.
                _ => {}
            }
        }
        Ok(self)
    }

    /// Whether it is the record of a key of ours.
    fn is_record(&self) -> bool {
        let application = self.bytes.get(&AttributeType::Application);
        application.map(Vec::as_slice) == Some(RECORD_APPLICATION)
    }

    fn label(&self) -> String {
        let bytes = self
            .bytes
            .get(&AttributeType::Label)
            .map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn id(&self) -> &[u8] {
        self.bytes
            .get(&AttributeType::Id)
            .map_or(&[], Vec::as_slice)
    }

    fn may(&self, kind: AttributeType) -> bool {
        self.flags.get(&kind).copied().unwrap_or(false)
    }

    fn get(&self, kind: AttributeType) -> Result<&[u8], String> {
        self.bytes
            .get(&kind)
            .map(Vec::as_slice)
            .ok_or_else(|| format!("the token does not show its {kind:?}"))
    }
}

fn found(
    object: &Object,
    publics: &[Object],
    version: KeyVersion,
) -> Result<(FoundKey, Handle), String> {
    let (material, public) = match object.key_type {
        Some(TokenKeyType::RSA) => {
            let (modulus, exponent) = (
                object.get(AttributeType::Modulus)?,
                object.get(AttributeType::PublicExponent)?,
            );
            let public =
                PublicKey::from_rsa(modulus, exponent).map_err(|error| error.to_string())?;
            let material = Material::Rsa {
                modulus: modulus.to_vec(),
                exponent: exponent.to_vec(),
            };
            (material, Some(public))
        }
        Some(TokenKeyType::EC) => {
            let parameters = object.get(AttributeType::EcParams)?;
            let curve = [Curve::P256, Curve::P384, Curve::P521]
                .into_iter()
                .find(|curve| curve_parameters(*curve) == parameters)
                .ok_or(
                    "it is on a curve other than P-256, P-384 and P-521, which are the ones served",
                )?;
            let point = public_point(object, publics)?;
            let public =
                PublicKey::from_ec_point(curve, &point).map_err(|error| error.to_string())?;
            (Material::Ec { curve, point }, Some(public))
        }
        Some(TokenKeyType::EC_EDWARDS) => {
            let (point, public) = ed25519(object, publics)?;
            (Material::Ed25519 { point }, Some(public))
        }
        Some(TokenKeyType::AES) => {
            let bytes = object
                .value_length
                .ok_or("the token does not show its length")?;
            (Material::Aes { bytes }, None)
        }
        Some(kind) => {
            // By number: cryptoki 0.12 gives the three hashes' key types one and the same constant.
            let made_for = match *kind {
                CKK_GENERIC_SECRET => None,
                CKK_SHA256_HMAC => Some(Hash::Sha256),
                CKK_SHA384_HMAC => Some(Hash::Sha384),
                CKK_SHA512_HMAC => Some(Hash::Sha512),
                _ => return Err(format!("keys of type {kind} are not served")),
            };
            let bytes = object
                .value_length
                .ok_or("the token does not show its length")?;
            (Material::Secret { bytes, made_for }, None)
        }
        None => return Err("the token does not show its type".to_owned()),
    };
    let binding = match &public {
        Some(public) => Binding(public.sha256()),
        None => secret_binding(object),
    };
    let flag = |kind| object.flags.get(&kind).copied();
    let key = FoundKey {
        version,
        material,
        flags: Flags {
            sign: object.may(AttributeType::Sign),
            decrypt: object.may(AttributeType::Decrypt),
            derive: object.may(AttributeType::Derive),
            unwrap: object.may(AttributeType::Unwrap),
        },
        attributes: Attributes {
            local: flag(AttributeType::Local),
            sensitive: flag(AttributeType::Sensitive),
            extractable: flag(AttributeType::Extractable),
            always_sensitive: flag(AttributeType::AlwaysSensitive),
            never_extractable: flag(AttributeType::NeverExtractable),
        },
        binding,
    };
    Ok((
        key,
        Handle {
            object: object.handle,
            binding,
            public: public.map(Arc::new),
        },
    ))
}

fn ed25519(object: &Object, publics: &[Object]) -> Result<(Vec<u8>, PublicKey), String> {
    if !ED25519_PARAMETERS.contains(&object.get(AttributeType::EcParams)?) {
        return Err(
            "it is on an Edwards curve other than edwards25519, which is the one served".to_owned(),
        );
    }
    let point = public_point(object, publics)?;
    let public = PublicKey::from_ed25519(&point).map_err(|error| error.to_string())?;
    Ok((point, public))
}

/// A key that signs checkpoints: one that can do nothing else, and that can't get out.
fn checkpoint_key(object: &Object, publics: &[Object]) -> Result<Handle, String> {
    let other_uses = [
        AttributeType::Decrypt,
        AttributeType::Derive,
        AttributeType::Unwrap,
        AttributeType::Extractable,
    ];
    if object.key_type != Some(TokenKeyType::EC_EDWARDS)
        || !object.may(AttributeType::Sign)
        || other_uses.into_iter().any(|kind| object.may(kind))
        || object.flags.get(&AttributeType::Sensitive) == Some(&false)
    {
        return Err("the key that is to sign the audit log's checkpoints may do more than that, may get out, or is not of Ed25519; it is not used; give it another label".to_owned());
    }
    let (_, public) = ed25519(object, publics)?;
    Ok(Handle {
        object: object.handle,
        binding: Binding(public.sha256()),
        public: Some(Arc::new(public)),
    })
}

/// A key that unwraps what is imported: one that can do nothing else, and that never was outside.
fn wrapping_key(object: &Object) -> Result<Handle, String> {
    let (modulus, exponent) = (
        object.get(AttributeType::Modulus)?,
        object.get(AttributeType::PublicExponent)?,
    );
    let public = PublicKey::from_rsa(modulus, exponent).map_err(|error| error.to_string())?;
    let other_uses = [
        AttributeType::Sign,
        AttributeType::Decrypt,
        AttributeType::Derive,
        AttributeType::Extractable,
    ];
    if public.key_type() != KeyType::Rsa(RsaSize::Bits3072)
        || !object.may(AttributeType::Unwrap)
        || other_uses.into_iter().any(|kind| object.may(kind))
        || object.flags.get(&AttributeType::Sensitive) == Some(&false)
    {
        return Err("the key that is to unwrap imported keys may do more than that, may get out, or is not of RSA with 3072 bits; it is not used; give it another label".to_owned());
    }
    Ok(Handle {
        object: object.handle,
        binding: Binding(public.sha256()),
        public: Some(Arc::new(public)),
    })
}

/// The point of the public object that belongs to a private one: same id, or same label where there is no id.
fn public_point(private: &Object, publics: &[Object]) -> Result<Vec<u8>, String> {
    let mut points = publics
        .iter()
        .filter(|public| public.key_type == private.key_type)
        .filter(|public| {
            if private.id().is_empty() {
                public.label() == private.label()
            } else {
                public.id() == private.id()
            }
        })
        .map(|public| public.get(AttributeType::EcPoint))
        .collect::<Result<Vec<_>, _>>()?;
    points.sort_unstable();
    points.dedup();
    match points.as_slice() {
        [point] => Ok(octet_string(point).to_vec()),
        [] => {
            Err("there is no public key object with its id; import the public key too".to_owned())
        }
        _ => Err(
            "there are several public key objects with its id; give each pair an id of its own"
                .to_owned(),
        ),
    }
}

/// `CKA_EC_POINT` is a DER OCTET STRING (PKCS#11 section 2.3.3); some tokens give the bare point.
pub(super) fn octet_string(point: &[u8]) -> &[u8] {
    match point {
        [0x04, length, body @ ..] if usize::from(*length) == body.len() && *length < 0x80 => body,
        [0x04, 0x81, length, body @ ..] if usize::from(*length) == body.len() => body,
        bare => bare,
    }
}

/// What the token shows of a secret: enough to notice that a handle names another one after a restart.
fn secret_binding(object: &Object) -> Binding {
    let mut hash = Sha256::new();
    for part in [
        object.label().as_bytes(),
        object.id(),
        object
            .bytes
            .get(&AttributeType::CheckValue)
            .map_or(&[][..], Vec::as_slice),
        &object.value_length.unwrap_or_default().to_be_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Binding(hash.finalize().into())
}

/// How long after its first look a listing believes what it finds; in a token that takes longer to list, after the second.
const PATIENCE: Duration = Duration::from_millis(150);
/// Before the second look; doubled for each that follows.
const PAUSE: Duration = Duration::from_millis(10);

/// Key types of PKCS#11 section A (pkcs11t.h).
const CKK_GENERIC_SECRET: u64 = 0x10;
const CKK_SHA256_HMAC: u64 = 0x2b;
const CKK_SHA384_HMAC: u64 = 0x2c;
const CKK_SHA512_HMAC: u64 = 0x2d;

const ANY: [AttributeType; 3] = [
    AttributeType::Class,
    AttributeType::Label,
    AttributeType::Id,
];

const DATA: [AttributeType; 2] = [AttributeType::Application, AttributeType::Value];

const PRIVATE: [AttributeType; 13] = [
    AttributeType::KeyType,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Derive,
    AttributeType::Unwrap,
    AttributeType::Local,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
];

const SECRET: [AttributeType; 12] = [
    AttributeType::KeyType,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Derive,
    AttributeType::Unwrap,
    AttributeType::Local,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::ValueLen,
    AttributeType::CheckValue,
];

const PUBLIC: [AttributeType; 2] = [AttributeType::KeyType, AttributeType::EcPoint];
