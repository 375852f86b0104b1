//! From a partner's file to the partner: every name resolved, everything that is needed there, nothing idle.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use crate::{
    partner::{
        AccessTokens, Assignment, Custody, Fault, File, Partner, PartnerFault, PlatformKey,
        RoleKey, TokenKey,
        fault::{MAX_LIFETIME, MAX_PUBLIC_KEYS, MAX_WINDOW},
        file::{self, KeyEntry, PublicKeyEntry, SchemeEntry},
        public_key_of,
    },
    scheme::{Act, KeyRole, Scheme, SchemeName},
};

type Read<'r> = &'r dyn Fn(&Path) -> std::result::Result<Vec<u8>, String>;
type Result<T> = std::result::Result<T, PartnerFault>;

pub(super) fn partner(
    file: File,
    schemes: &BTreeMap<SchemeName, Arc<Scheme>>,
    read: Read<'_>,
) -> Result<Partner> {
    if file.schemes.is_empty() {
        return Err(PartnerFault::at("schemes", Fault::NoScheme));
    }
    let mut assigned = BTreeMap::new();
    for (name, entry) in &file.schemes {
        let at = format!("schemes.{name}");
        let scheme = schemes
            .get(name)
            .ok_or_else(|| PartnerFault::at(at, Fault::UnknownScheme(name.clone())))?;
        assigned.insert(name.clone(), assignment(&file, scheme, entry, read)?);
    }
    let known = |names: fn(&Scheme) -> Vec<String>| {
        let names = assigned.values().flat_map(|one| names(&one.scheme));
        names.collect::<BTreeSet<_>>()
    };
    let constants = known(|scheme| {
        scheme
            .constants()
            .map(|(name, _)| name.to_owned())
            .collect()
    });
    let roles = known(|scheme| scheme.keys().map(|(role, _)| role.to_owned()).collect());
    // What holds for all schemes has to hold for one at least.
    for name in file.constants.keys() {
        let at = format!("constants.{name}");
        if !constants.contains(name) {
            return Err(unknown_constant(at, name, constants.into_iter().collect()));
        }
        if assigned.values().all(|one| {
            file.schemes[one.name()].constants.contains_key(name)
                || !one.constants.contains_key(name)
        }) {
            return Err(PartnerFault::at(at, Fault::Unused));
        }
    }
    for role in file.keys.keys() {
        let at = format!("keys.{role}");
        if !roles.contains(role) {
            return Err(unknown_role(at, role, roles.into_iter().collect()));
        }
        if assigned.values().all(|one| {
            file.schemes[one.name()].keys.contains_key(role) || !one.keys.contains_key(role)
        }) {
            return Err(PartnerFault::at(at, Fault::Unused));
        }
    }
    Ok(Partner {
        name: file.partner.name,
        title: file.partner.title,
        schemes: assigned,
    })
}

fn assignment(
    file: &File,
    scheme: &Arc<Scheme>,
    entry: &SchemeEntry,
    read: Read<'_>,
) -> Result<Assignment> {
    let name = scheme.name();
    let at = format!("schemes.{name}");
    let mut constants = BTreeMap::new();
    for (constant, declared) in scheme.constants() {
        let given = entry.constants.get(constant);
        match given.or_else(|| file.constants.get(constant)) {
            Some(text) => {
                constants.insert(constant.to_owned(), text.clone().into_bytes());
            }
            None if declared.optional => {}
            None => {
                let fault = Fault::MissingConstant {
                    scheme: name.clone(),
                    name: constant.to_owned(),
                    description: declared.description.clone(),
                };
                return Err(PartnerFault::at(at, fault));
            }
        }
    }
    let known = || scheme.constants().map(|(name, _)| name.to_owned());
    for constant in entry.constants.keys() {
        if !known().any(|name| name == *constant) {
            let at = format!("{at}.constants.{constant}");
            return Err(unknown_constant(at, constant, known().collect()));
        }
    }
    let mut keys = BTreeMap::new();
    for (role, declared) in scheme.keys() {
        let (at, given) = match (entry.keys.get(role), file.keys.get(role)) {
            (Some(given), _) => (format!("{at}.keys.{role}"), given),
            (None, Some(given)) => (format!("keys.{role}"), given),
            (None, None) => {
                let fault = Fault::MissingKey {
                    scheme: name.clone(),
                    role: role.to_owned(),
                    description: declared.description.clone(),
                };
                return Err(PartnerFault::at(at, fault));
            }
        };
        let place = Place {
            at,
            scheme: name,
            role,
            declared,
        };
        keys.insert(role.to_owned(), place.key(given, read)?);
    }
    let known = || scheme.keys().map(|(role, _)| role.to_owned());
    for role in entry.keys.keys() {
        if !known().any(|name| name == *role) {
            let at = format!("{at}.keys.{role}");
            return Err(unknown_role(at, role, known().collect()));
        }
    }
    Ok(Assignment {
        constants,
        keys,
        window: window(scheme, entry.window.as_ref())
            .map_err(|fault| PartnerFault::at(format!("{at}.window"), fault))?,
        access_tokens: access_tokens(scheme, entry.access_tokens.as_ref())
            .map_err(|fault| PartnerFault::at(format!("{at}.access_tokens"), fault))?,
        scheme: Arc::clone(scheme),
    })
}

/// A role of a scheme, and where in the file its key stands.
struct Place<'p> {
    at: String,
    scheme: &'p SchemeName,
    role: &'p str,
    declared: &'p KeyRole,
}

impl Place<'_> {
    fn key(&self, entry: &KeyEntry, read: Read<'_>) -> Result<RoleKey> {
        let fault = |fault| Err(PartnerFault::at(&*self.at, fault));
        match (&entry.key, &entry.public_keys, Custody::of(self.declared)) {
            (Some(_), Some(_), _) | (None, None, _) => fault(Fault::WhichKey),
            (Some(name), None, Custody::Ours) => Ok(RoleKey::Token(TokenKey {
                name: name.clone(),
                id: entry.id.clone(),
                certificate_serial: entry.certificate_serial.clone(),
            })),
            (Some(_), None, Custody::Theirs) => fault(Fault::NotTheirs {
                scheme: self.scheme.clone(),
                role: self.role.to_owned(),
            }),
            (None, Some(_), Custody::Ours) => fault(Fault::NotOurs {
                scheme: self.scheme.clone(),
                role: self.role.to_owned(),
                algorithm: self.declared.algorithm,
            }),
            (None, Some(_), Custody::Theirs)
                if entry.id.is_some() || entry.certificate_serial.is_some() =>
            {
                fault(Fault::FactOfSeveral)
            }
            (None, Some(list), Custody::Theirs) => self.public_keys(list, read),
        }
    }

    fn public_keys(&self, list: &[PublicKeyEntry], read: Read<'_>) -> Result<RoleKey> {
        if list.is_empty() || list.len() > MAX_PUBLIC_KEYS {
            let at = format!("{}.public_keys", self.at);
            return Err(PartnerFault::at(at, Fault::PublicKeyCount(list.len())));
        }
        let mut keys: Vec<PlatformKey> = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let at = |fault| PartnerFault::at(format!("{}.public_keys[{index}]", self.at), fault);
            let text = match (&entry.file, &entry.pem) {
                (Some(path), None) => read(path).map_err(|why| at(Fault::File(why)))?,
                (None, Some(text)) => text.clone().into_bytes(),
                (Some(_), Some(_)) | (None, None) => return Err(at(Fault::WhichPublicKey)),
            };
            let key = public_key_of(&text).map_err(|why| at(Fault::PublicKey(why)))?;
            if !self.declared.algorithm.fits(key.key_type()) {
                return Err(at(Fault::KeyType {
                    scheme: self.scheme.clone(),
                    role: self.role.to_owned(),
                    algorithm: self.declared.algorithm,
                    key_type: key.key_type(),
                }));
            }
            if keys.iter().any(|other| other.key == key) {
                return Err(at(Fault::PublicKeyTwice));
            }
            keys.push(PlatformKey {
                verifier: Default::default(),
                key,
                id: entry.id.clone(),
                certificate_serial: entry.certificate_serial.clone(),
            });
        }
        Ok(RoleKey::Public(keys))
    }
}

fn window(
    scheme: &Scheme,
    window: Option<&file::Window>,
) -> std::result::Result<Option<(u64, u64)>, Fault> {
    let Some(window) = window else {
        return Ok(None);
    };
    let (past, future) = (window.past_seconds, window.future_seconds);
    let own = scheme.protections().and_then(|one| one.window_seconds);
    if own.is_none() {
        return Err(Fault::NoTime(scheme.name().clone()));
    }
    if !(1..=MAX_WINDOW).contains(&past) || future > MAX_WINDOW {
        return Err(Fault::Window);
    }
    Ok(Some((past, future)))
}

fn access_tokens(
    scheme: &Scheme,
    tokens: Option<&file::AccessTokens>,
) -> std::result::Result<Option<AccessTokens>, Fault> {
    let Some(tokens) = tokens else {
        return Ok(None);
    };
    let asks = scheme.acts().any(|act| act == Act::IssueAccessToken);
    let brings = scheme.protections().is_some_and(|one| one.access_token);
    if !asks && !brings {
        return Err(Fault::NotAskedFor(scheme.name().clone()));
    }
    if !(1..=MAX_LIFETIME).contains(&tokens.lifetime_seconds) {
        return Err(Fault::Lifetime);
    }
    Ok(Some(AccessTokens {
        key: tokens.key.clone(),
        lifetime_seconds: tokens.lifetime_seconds,
    }))
}

fn unknown_constant(at: String, name: &str, known: Vec<String>) -> PartnerFault {
    let name = name.to_owned();
    PartnerFault::at(at, Fault::UnknownConstant { name, known })
}

fn unknown_role(at: String, role: &str, known: Vec<String>) -> PartnerFault {
    let role = role.to_owned();
    PartnerFault::at(at, Fault::UnknownRole { role, known })
}
