//! From what a worker found to keys that can be used: each with its purpose, algorithms and versions.
//!
//! A key that this daemon made carries its limits in a record beside it in the token. One that somebody
//! else made is adopted: its limits come from the configuration, or, where the token allows it one thing
//! only, from that.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    protocol::{Attributes, Binding, Capabilities, Flags, FoundKey, Inventory, Material, Problem},
    record::{Record, VersionRecord},
};
use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Hash, KeyType, Purpose, RsaSize},
    key::{Custody, InvalidUsage, KeyName, KeyVersion, PublicKey, Usage},
};

/// A key that can be used.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: KeyName,
    /// The token that holds it.
    pub token: KeyName,
    /// What it may be used for.
    pub usage: Usage,
    /// Who can ever see its bytes.
    pub custody: Custody,
    /// Its versions, newest first; at least one.
    pub versions: Vec<VersionFacts>,
}

/// A version of a key.
#[derive(Debug)]
pub struct VersionFacts {
    /// Its name.
    pub version: KeyVersion,
    /// The public half, unless it is a secret.
    pub public: Option<PublicKey>,
    /// The public half's RFC 7638 thumbprint.
    pub thumbprint: Option<String>,
    /// What the token says of its custody.
    pub attributes: Attributes,
    /// Whether it was found without a record of this daemon's.
    pub adopted: bool,
    /// Whether it came from outside through this daemon.
    pub imported: bool,
    /// How many of its bytes are its text, if it may be part of a message.
    pub(super) secret_bytes: Option<u32>,
    pub(super) binding: Binding,
}

/// What one token has: the keys that can be used, and why others can't.
#[derive(Debug, Default)]
pub struct KeyTable {
    keys: BTreeMap<KeyName, Arc<Key>>,
    /// By name where there is one, so that whoever may use a key learns why it can't be used.
    unusable: HashMap<KeyName, String>,
    problems: Vec<Problem>,
    wrapping_keys: Vec<PublicKey>,
    checkpoint_keys: Vec<PublicKey>,
}

/// What the configuration says of a key that somebody else made: `[[keys]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Its label in the token.
    pub name: KeyName,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may be used with.
    pub algorithms: Vec<Algorithm>,
    /// For keys that decrypt or wrap: how the content may be encrypted.
    #[serde(default)]
    pub content_encryptions: Vec<ContentEncryption>,
    /// For keys that decrypt or wrap: whether the content may be compressed.
    #[serde(default)]
    pub allow_compression: bool,
}

/// What holds for all versions of a key.
struct Limits {
    usage: Usage,
    custody: Custody,
    adopted: bool,
}

impl Key {
    /// The newest version in the token. Which one is used when none is named is for the signer to say.
    pub fn newest(&self) -> &VersionFacts {
        &self.versions[0]
    }

    /// A version's public half as a JWK (RFC 7517 section 4), unless it is a secret.
    pub fn jwk(&self, facts: &VersionFacts) -> Option<Map<String, Value>> {
        let mut jwk = facts.public.as_ref()?.jwk();
        jwk.extend(
            facts
                .thumbprint
                .clone()
                .map(|thumbprint| ("kid".to_owned(), json!(thumbprint))),
        );
        let public_use = match self.usage.purpose() {
            Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin => "sig",
            Purpose::Decrypt | Purpose::Wrap => "enc",
        };
        jwk.insert("use".to_owned(), json!(public_use));
        if let [algorithm] = self.usage.algorithms() {
            jwk.insert("alg".to_owned(), json!(algorithm.name()));
        }
        Some(jwk)
    }

    /// One version.
    pub fn version(&self, wanted: &KeyVersion) -> Option<&VersionFacts> {
        self.versions.iter().find(|facts| facts.version == *wanted)
    }
}

impl KeyTable {
    pub(super) fn new(
        token: &KeyName,
        inventory: &Inventory,
        declarations: &[Declaration],
    ) -> Self {
        let mut found: BTreeMap<&KeyName, Vec<&FoundKey>> = BTreeMap::new();
        for key in &inventory.keys {
            found.entry(&key.version.key).or_default().push(key);
        }
        let mut table = Self {
            problems: inventory.problems.clone(),
            wrapping_keys: publics(&inventory.wrapping_keys),
            checkpoint_keys: publics(&inventory.checkpoint_keys),
            ..Self::default()
        };
        // Of a key with other versions one that can't be served is left out: it may be half made just now.
        for problem in &inventory.problems {
            if let Ok(version) = problem.label.parse::<KeyVersion>()
                && !found.contains_key(&version.key)
            {
                table.unusable.insert(version.key, problem.text.clone());
            }
        }
        for (name, mut versions) in found {
            versions.sort_by(|a, b| b.version.cmp(&a.version));
            let limits = limits(name, versions[0], inventory, declarations).and_then(|limits| {
                supported(&limits.usage, &inventory.capabilities).map(|()| limits)
            });
            match limits {
                Ok(limits) => {
                    let mut served = Vec::with_capacity(versions.len());
                    for found in versions {
                        match facts(found, inventory, &limits) {
                            Ok(facts) => served.push(facts),
                            Err(text) => table.problems.push(Problem {
                                label: found.version.to_string(),
                                text,
                            }),
                        }
                    }
                    let key = Key {
                        name: name.clone(),
                        token: token.clone(),
                        usage: limits.usage,
                        custody: limits.custody,
                        versions: served,
                    };
                    table.keys.insert(name.clone(), Arc::new(key));
                }
                Err(text) => {
                    table.problems.push(Problem {
                        label: name.to_string(),
                        text: text.clone(),
                    });
                    table.unusable.insert(name.clone(), text);
                }
            }
        }
        table
    }

    /// A key by name.
    pub fn get(&self, name: &KeyName) -> Option<&Arc<Key>> {
        self.keys.get(name)
    }

    /// Why a key that is there can't be used.
    pub fn why_unusable(&self, name: &KeyName) -> Option<&str> {
        self.unusable.get(name).map(String::as_str)
    }

    /// All keys, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// The keys with which keys are wrapped on their way in; the first is the one to be used.
    pub fn wrapping_keys(&self) -> &[PublicKey] {
        &self.wrapping_keys
    }

    /// The keys that sign the audit log's checkpoints.
    pub(super) fn checkpoint_keys(&self) -> &[PublicKey] {
        &self.checkpoint_keys
    }

    /// All objects that can't be served, and why.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// The public halves of those versions of these keys that are to be shown, as a JWK Set (RFC 7517 section 5).
pub fn jwks<'a>(
    keys: impl Iterator<Item = &'a Key>,
    is_shown: impl Fn(&KeyVersion) -> bool,
) -> Value {
    let keys: Vec<_> = keys
        .flat_map(|key| {
            let shown = key.versions.iter().filter(|facts| is_shown(&facts.version));
            shown.filter_map(|facts| key.jwk(facts)).collect::<Vec<_>>()
        })
        .map(Value::Object)
        .collect();
    json!({ "keys": keys })
}

/// What the token must allow a new key to do, for its purpose and no other.
pub(super) fn flags(usage: &Usage) -> Flags {
    let agrees = usage.algorithms().iter().any(|algorithm| {
        matches!(
            algorithm,
            Algorithm::EcdhEs | Algorithm::EcdhEsA128Kw | Algorithm::EcdhEsA256Kw
        )
    });
    Flags {
        sign: matches!(
            usage.purpose(),
            Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin
        ),
        decrypt: usage.purpose() == Purpose::Decrypt && !agrees,
        derive: agrees,
        unwrap: usage.purpose() == Purpose::Wrap,
    }
}

fn facts(found: &FoundKey, inventory: &Inventory, limits: &Limits) -> Result<VersionFacts, String> {
    let record = VersionRecord::of(&found.version, &inventory.records)?;
    let algorithms = limits.usage.algorithms();
    let key_type = if limits.adopted {
        type_for(&found.material, algorithms)
    } else {
        made_type(&found.material, record.as_ref(), algorithms)
    };
    if key_type != Ok(limits.usage.key_type()) {
        return Err("it is of another type than the newest version; it is left out".to_owned());
    }
    let public = public(&found.material);
    Ok(VersionFacts {
        version: found.version.clone(),
        thumbprint: public.as_ref().map(PublicKey::thumbprint),
        public,
        attributes: found.attributes,
        adopted: limits.adopted,
        imported: record.as_ref().is_some_and(|record| record.imported),
        secret_bytes: record.and_then(|record| record.secret_bytes),
        binding: found.binding,
    })
}

fn publics(keys: &[Vec<u8>]) -> Vec<PublicKey> {
    keys.iter()
        .filter_map(|der| PublicKey::from_spki(der).ok())
        .collect()
}

fn public(material: &Material) -> Option<PublicKey> {
    let key = match material {
        Material::Rsa { modulus, exponent } => PublicKey::from_rsa(modulus, exponent),
        Material::Ec { curve, point } => PublicKey::from_ec_point(*curve, point),
        Material::Ed25519 { point } => PublicKey::from_ed25519(point),
        Material::Secret { .. } | Material::Aes { .. } => return None,
    };
    Some(key.expect("the worker made this key from the same numbers"))
}

/// What a key may be used for, judged by its newest version.
fn limits(
    name: &KeyName,
    found: &FoundKey,
    inventory: &Inventory,
    declarations: &[Declaration],
) -> Result<Limits, String> {
    let unfit = |error: InvalidUsage| error.to_string();
    let adopted = |usage| Limits {
        usage,
        custody: Custody::TokenOnly,
        adopted: true,
    };
    if let Some(record) = inventory.records.get(name.as_str()) {
        let record = Record::parse(record).ok_or(
            "its record in the token can't be read; it may be of a newer version of this program",
        )?;
        let version = VersionRecord::of(&found.version, &inventory.records)?;
        let key_type = made_type(&found.material, version.as_ref(), &record.algorithms)?;
        let custody = record.custody;
        return Usage::new(
            key_type,
            record.purpose,
            record.algorithms,
            record.content_encryptions,
            record.compression_allowed,
        )
        .map(|usage| Limits {
            usage,
            custody,
            adopted: false,
        })
        .map_err(unfit);
    }
    if let Some(declared) = declarations.iter().find(|declared| declared.name == *name) {
        let key_type = type_for(&found.material, &declared.algorithms)?;
        return Usage::new(
            key_type,
            declared.purpose,
            declared.algorithms.clone(),
            declared.content_encryptions.clone(),
            declared.allow_compression,
        )
        .map(adopted)
        .map_err(unfit);
    }
    let (purpose, mut algorithms) = only_use(found)
        .ok_or("the token allows it more than one use, or none that is known; say in [[keys]] what it is for")?;
    let encryptions = match purpose {
        Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin => Vec::new(),
        Purpose::Decrypt | Purpose::Wrap => ContentEncryption::ALL.to_vec(),
    };
    let key_type = type_for(&found.material, &algorithms)?;
    // What nobody asked for by name is not missed where the token can't do it.
    algorithms.retain(|algorithm| {
        inventory
            .capabilities
            .supports(*algorithm, key_type)
            .is_ok()
    });
    Usage::new(key_type, purpose, algorithms, encryptions, false)
        .map(adopted)
        .map_err(unfit)
}

/// What a token can't do is found here, when it is listed, and not at the first call.
fn supported(usage: &Usage, capabilities: &Capabilities) -> Result<(), String> {
    for algorithm in usage.algorithms() {
        capabilities
            .supports(*algorithm, usage.key_type())
            .map_err(|why| format!("it is for {algorithm}, but {why}"))?;
    }
    Ok(())
}

/// The one use that the token allows a key that nobody declared, if there is one.
fn only_use(found: &FoundKey) -> Option<(Purpose, Vec<Algorithm>)> {
    let Flags {
        sign,
        decrypt,
        derive,
        unwrap,
    } = found.flags;
    let signs_only = sign && !decrypt && !derive && !unwrap;
    Some(match &found.material {
        Material::Rsa { .. } if signs_only => (
            Purpose::Sign,
            Algorithm::ALL
                .into_iter()
                .filter(|one| matches!(one, Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_)))
                .collect(),
        ),
        Material::Rsa { .. } if decrypt && !sign && !derive => {
            (Purpose::Decrypt, vec![Algorithm::RsaOaep256])
        }
        // What else it says of a key on a curve, such as that it decrypts, is only its default: no mechanism does.
        Material::Ec { curve, .. } if sign && !derive => {
            (Purpose::Sign, vec![Algorithm::Ecdsa(*curve)])
        }
        Material::Ec { .. } if derive && !sign => (
            Purpose::Decrypt,
            vec![
                Algorithm::EcdhEs,
                Algorithm::EcdhEsA128Kw,
                Algorithm::EcdhEsA256Kw,
            ],
        ),
        Material::Ed25519 { .. } if sign => (Purpose::Sign, vec![Algorithm::EdDsa]),
        Material::Secret { bytes, made_for } if sign => {
            let hash = match (made_for, bytes) {
                (Some(hash), _) => *hash,
                (None, 0..48) => Hash::Sha256,
                (None, 48..64) => Hash::Sha384,
                (None, _) => Hash::Sha512,
            };
            let fits = |one: &Algorithm| matches!(one, Algorithm::Hmac(other) if *other <= hash);
            (
                Purpose::Mac,
                Algorithm::ALL.into_iter().filter(fits).collect(),
            )
        }
        Material::Aes { bytes: 16 } if unwrap && !decrypt => {
            (Purpose::Wrap, vec![Algorithm::A128Kw])
        }
        Material::Aes { bytes: 32 } if unwrap && !decrypt => {
            (Purpose::Wrap, vec![Algorithm::A256Kw])
        }
        _ => return None,
    })
}

/// The type of a key that was made here: a secret is as long as the hash that it was made for. Of one that was
/// imported the record tells, since a token need not know how long a secret is that it unwrapped.
fn made_type(
    material: &Material,
    record: Option<&VersionRecord>,
    algorithms: &[Algorithm],
) -> Result<KeyType, String> {
    let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let recorded = record.and_then(VersionRecord::key_type);
    match material {
        Material::Secret { made_for: None, .. } if matches!(recorded, Some(KeyType::Hmac(_))) => {
            Ok(recorded.expect("it was just looked at"))
        }
        Material::Aes { bytes: 0 } if matches!(recorded, Some(KeyType::Aes(_))) => {
            Ok(recorded.expect("it was just looked at"))
        }
        Material::Secret {
            bytes,
            made_for: None,
        } => hashes
            .into_iter()
            .find(|hash| hash.len() as u64 == *bytes)
            .map_or_else(
                || type_for(material, algorithms),
                |hash| Ok(KeyType::Hmac(hash)),
            ),
        _ => type_for(material, algorithms),
    }
}

/// The type of a key, given what it will be used with: a generic secret serves the largest hash that is
/// asked of it, whatever its length, since a shared secret's length is the partner's to choose.
fn type_for(material: &Material, algorithms: &[Algorithm]) -> Result<KeyType, String> {
    Ok(match material {
        Material::Rsa { modulus, .. } => {
            let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            RsaSize::from_bits(bits).map(KeyType::Rsa).ok_or_else(|| {
                format!("RSA with {bits} bits is not served; expected 2048, 3072 or 4096")
            })?
        }
        Material::Ec { curve, .. } => KeyType::Ec(*curve),
        Material::Ed25519 { .. } => KeyType::Ed25519,
        Material::Secret { made_for, .. } => {
            let asked = algorithms
                .iter()
                .filter_map(|one| match one {
                    Algorithm::Hmac(hash) => Some(*hash),
                    _ => None,
                })
                .max();
            KeyType::Hmac(made_for.or(asked).unwrap_or(Hash::Sha256))
        }
        Material::Aes { bytes: 16 } => KeyType::Aes(AesSize::Bits128),
        Material::Aes { bytes: 32 } => KeyType::Aes(AesSize::Bits256),
        Material::Aes { bytes } => {
            return Err(format!(
                "AES with {} bits is not served; expected 128 or 256",
                bytes * 8
            ));
        }
    })
}
