//! What one lane of a worker does with its session: one job at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, RwLock},
    time::Instant,
};

use cryptoki::{
    context::Pkcs11,
    error::Error,
    mechanism::{
        Mechanism, MechanismType,
        aead::GcmParams,
        elliptic_curve::{EcKdf, Ecdh1DeriveParams},
    },
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::{Session, SessionState},
    slot::Slot,
    types::Ulong,
};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::{
    errors::{Fault, Treatment, Work},
    inventory::{self, Handle, Listing},
    known::Known,
    protocol::{
        Binding, Capabilities, Inventory, KeyReference, Reply, Request, SignItem, SignWith,
        TokenFacts,
    },
    turns::Turns,
};
use crate::{
    algorithm::Hash,
    key::{Input, KeyVersion, PublicKey, Verifier},
};

mod checkpoint;
mod create;
mod decrypt;
mod destroy;
mod import;
mod parts;

/// What all lanes of a worker share.
pub(super) struct Module {
    pub(super) pkcs11: Pkcs11,
    pub(super) slot: Slot,
    pub(super) facts: TokenFacts,
    pub(super) capabilities: Capabilities,
    turns: Turns,
    /// Found once, at the start; changed by `Create` and `List` alone.
    handles: RwLock<HashMap<KeyVersion, Handle>>,
    /// Those that unwrap what is imported; changed likewise.
    wrapping_keys: RwLock<Vec<Handle>>,
    /// Those that sign checkpoints; changed likewise.
    checkpoint_keys: RwLock<Vec<Handle>>,
    /// MACs of long messages, between their chunks: each has a session of its own, so no lane is held.
    macs: Mutex<HashMap<u64, Session>>,
    /// Log-in belongs to the application and lasts while a session is open: this one stays open.
    _pinned: Mutex<Session>,
}

/// A lane: the module, and a session that is opened anew after every error.
pub(super) struct Lane {
    module: Arc<Module>,
    session: Option<Session>,
    /// Public keys that have verified a signature here, parsed. At most one for each key and algorithm.
    verifiers: HashMap<(Binding, SignWith), Verifier>,
}

impl Module {
    /// Takes over a logged-in session, and lists the token.
    ///
    /// # Errors
    ///
    /// What the token said.
    pub(super) fn new(
        pkcs11: Pkcs11,
        slot: Slot,
        facts: TokenFacts,
        capabilities: Capabilities,
        pinned: Session,
        turns: Turns,
        known: &Known,
    ) -> Result<(Self, Inventory), Fault> {
        let turn = turns.look();
        let listing = inventory::list(&pinned, known).map_err(ours)?;
        let module = Self {
            pkcs11,
            slot,
            facts,
            capabilities,
            turns,
            handles: RwLock::default(),
            wrapping_keys: RwLock::default(),
            checkpoint_keys: RwLock::default(),
            macs: Mutex::default(),
            _pinned: Mutex::new(pinned),
        };
        drop(turn);
        let inventory = module.adopt(listing);
        Ok((module, inventory))
    }

    fn adopt(&self, listing: Listing) -> Inventory {
        *self
            .handles
            .write()
            .expect("no lane panics: a panic ends the worker") = listing.handles;
        let publics = |keys: &[Handle]| -> Vec<_> {
            let publics = keys.iter().filter_map(|key| key.public.as_ref());
            publics.map(|public| public.der().to_vec()).collect()
        };
        let wrapping_keys = publics(&listing.wrapping_keys);
        let checkpoint_keys = publics(&listing.checkpoint_keys);
        *self
            .wrapping_keys
            .write()
            .expect("no lane panics: a panic ends the worker") = listing.wrapping_keys;
        *self
            .checkpoint_keys
            .write()
            .expect("no lane panics: a panic ends the worker") = listing.checkpoint_keys;
        Inventory {
            token: self.facts.clone(),
            keys: listing.keys,
            problems: listing.problems,
            capabilities: self.capabilities.clone(),
            records: listing.records,
            wrapping_keys,
            checkpoint_keys,
        }
    }

    /// The handle for a key, if it is the key that the daemon means.
    fn handle(&self, key: &KeyReference) -> Option<Handle> {
        let handles = self
            .handles
            .read()
            .expect("no lane panics: a panic ends the worker");
        handles
            .get(&key.version)
            .filter(|handle| handle.binding == key.binding)
            .cloned()
    }
}

impl Lane {
    /// A lane without a session yet.
    pub(super) fn new(module: Arc<Module>) -> Self {
        Self {
            module,
            session: None,
            verifiers: HashMap::new(),
        }
    }

    /// Does one job.
    pub(super) fn execute(&mut self, request: Request) -> Reply {
        let _turn = request
            .changes_objects()
            .then(|| self.module.turns.change());
        let result = match request {
            Request::Sign { items, budget } => {
                let start = Instant::now();
                let mut signed = Vec::with_capacity(items.len());
                for item in items {
                    if !signed.is_empty() && start.elapsed() > budget {
                        break;
                    }
                    signed.push(self.sign(item).map(ByteBuf::from));
                }
                return Reply::Signed(signed);
            }
            Request::Decrypt {
                key,
                with,
                ciphertext,
            } => self.decrypt(&key, with, &ciphertext),
            Request::Agree { key, point } => self.agree(&key, &point),
            Request::Unwrap { key, wrapped } => self.unwrap(&key, &wrapped),
            Request::Wrap { key, plain } => self.wrap(&key, &plain),
            Request::Open {
                key,
                mut iv,
                aad,
                ciphertext,
            } => self.with_key(&key, Work::Callers, |session, handle, _| {
                session.decrypt(&gcm(&mut iv, &aad)?, handle.object, &ciphertext)
            }),
            Request::Seal {
                key,
                mut iv,
                aad,
                plaintext,
            } => self.with_key(&key, Work::Ours, |session, handle, _| {
                session.encrypt(&gcm(&mut iv, &aad)?, handle.object, &plaintext)
            }),
            Request::MacOfParts { key, hash, parts } => self.mac_of_parts(&key, hash, parts),
            Request::ProveOrigin { key, content_key } => self.prove_origin(&key, &content_key),
            Request::MacStart { stream, key, hash } => {
                return done(self.mac_start(stream, &key, hash));
            }
            Request::MacUpdate { stream, chunk } => return done(self.mac_update(stream, &chunk)),
            Request::MacFinish { stream } => self.mac_finish(stream),
            Request::MacAbort { stream } => {
                drop(self.take_mac(stream));
                return Reply::Done;
            }
            Request::Random { length } => {
                self.with_session(Work::Ours, |session, _| session.generate_random_vec(length))
            }
            Request::Create {
                version,
                key_type,
                flags,
                algorithms,
                record,
            } => {
                let allowed = self.allowed_mechanisms(&algorithms);
                return match self.create(&version, key_type, flags, &allowed, record) {
                    Ok(Some(inventory)) => Reply::Inventory(Box::new(inventory)),
                    Ok(None) => Reply::Exists,
                    Err(fault) => Reply::Failed(fault),
                };
            }
            Request::Destroy { key } => {
                return match self.destroy(&key) {
                    Ok(inventory) => Reply::Inventory(Box::new(inventory)),
                    Err(fault) => Reply::Failed(fault),
                };
            }
            Request::MakeWrappingKey => {
                return match self.make_wrapping_key() {
                    Ok(inventory) => Reply::Inventory(Box::new(inventory)),
                    Err(fault) => Reply::Failed(fault),
                };
            }
            Request::MakeCheckpointKey => {
                return match self.make_checkpoint_key() {
                    Ok(inventory) => Reply::Inventory(Box::new(inventory)),
                    Err(fault) => Reply::Failed(fault),
                };
            }
            Request::SignCheckpoint { key, body } => self.sign_checkpoint(key, &body),
            Request::Import(import) => {
                return self.import(*import).unwrap_or_else(Reply::Failed);
            }
            Request::List { known } => {
                return match self.list(&known) {
                    Ok(inventory) => Reply::Inventory(Box::new(inventory)),
                    Err(fault) => Reply::Failed(fault),
                };
            }
            Request::Check { key } => return done(self.check(key)),
        };
        match result {
            Ok(bytes) => Reply::Bytes(Zeroizing::new(bytes)),
            Err(fault) => Reply::Failed(fault),
        }
    }

    /// The handle for a key. One that this worker has not seen was made through another since; then, and
    /// only then, the token is listed anew.
    fn handle(&mut self, key: &KeyReference) -> Result<Handle, Fault> {
        if let Some(handle) = self.module.handle(key) {
            return Ok(handle);
        }
        self.list(&Known::key(key.version.clone()))?;
        self.module.handle(key).ok_or_else(|| {
            Fault::new(
                Treatment::Configuration,
                "the look-up of a key",
                format!("{} is gone, or is another key than before", key.version),
            )
        })
    }

    fn sign(&mut self, item: SignItem) -> Result<Vec<u8>, Fault> {
        let SignItem {
            key,
            with,
            input,
            verify,
        } = item;
        let handle = self.handle(&key)?;
        let mechanism = with.mechanism();
        // Only RSA PKCS#1 is fed something else than what is verified.
        let feed = match with {
            SignWith::RsaPkcs1(_) => with.feed(input.clone()),
            _ => input,
        };
        let signature = self.with_session(Work::Ours, |session, _| {
            session.sign(&mechanism, handle.object, &feed)
        })?;
        if let Some(public) = handle.public.filter(|_| verify) {
            let input = match with {
                SignWith::RsaPkcs1(hash) => Input::Digest(&feed[feed.len() - hash.len()..]),
                SignWith::EdDsa => Input::Message(&feed),
                _ => Input::Digest(&feed),
            };
            self.verify((handle.binding, with), &public, input, &signature)?;
        }
        Ok(signature)
    }

    /// A signature that does not verify is never released: handles can move to another key, and hardware fails.
    fn verify(
        &mut self,
        key: (Binding, SignWith),
        public: &PublicKey,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<(), Fault> {
        let verifier = match self.verifiers.entry(key) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => public
                .verifier(key.1.algorithm(), false)
                .map(|verifier| place.insert(verifier)),
        };
        if verifier.is_some_and(|verifier| verifier.verifies(input, signature)) {
            Ok(())
        } else {
            Err(Fault::new(
                Treatment::Device,
                "C_Sign",
                "a signature that does not verify with the public key",
            ))
        }
    }

    fn agree(&mut self, key: &KeyReference, point: &[u8]) -> Result<Vec<u8>, Fault> {
        // Z is as long as a coordinate, which is half of what follows the 04.
        let length = Ulong::from((point.len() / 2) as u64);
        self.with_key(key, Work::Callers, |session, handle, _| {
            let parameters = Ecdh1DeriveParams::new(EcKdf::null(), point);
            let secret = session.derive_key(
                &Mechanism::Ecdh1Derive(parameters),
                handle.object,
                &[
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
                    Attribute::ValueLen(length),
                    Attribute::Token(false),
                    Attribute::Sensitive(false),
                    Attribute::Extractable(true),
                ],
            )?;
            take_value(session, secret)
        })
    }

    fn unwrap(&mut self, key: &KeyReference, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
        self.with_key(key, Work::Callers, |session, handle, _| {
            let secret = session.unwrap_key(
                &Mechanism::AesKeyWrap,
                handle.object,
                wrapped,
                &[
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
                    Attribute::Token(false),
                    Attribute::Sensitive(false),
                    Attribute::Extractable(true),
                ],
            )?;
            take_value(session, secret)
        })
    }

    fn wrap(&mut self, key: &KeyReference, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        self.with_key(key, Work::Ours, |session, handle, _| {
            let secret = session.create_object(&[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
                Attribute::Token(false),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::Value(plain.to_vec()),
            ])?;
            let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, handle.object, secret);
            session.destroy_object(secret)?;
            wrapped
        })
    }

    fn mac_start(&mut self, stream: u64, key: &KeyReference, hash: Hash) -> Result<(), Fault> {
        let handle = self.handle(key)?;
        let session = self
            .module
            .pkcs11
            .open_ro_session(self.module.slot)
            .map_err(ours)?;
        session
            .sign_init(&SignWith::Hmac(hash).mechanism(), handle.object)
            .map_err(ours)?;
        self.module
            .macs
            .lock()
            .expect("no lane panics: a panic ends the worker")
            .insert(stream, session);
        Ok(())
    }

    fn mac_update(&mut self, stream: u64, chunk: &[u8]) -> Result<(), Fault> {
        let session = self.take_mac(stream)?;
        // On an error the session is dropped here, which closes it.
        session.sign_update(chunk).map_err(ours)?;
        self.module
            .macs
            .lock()
            .expect("no lane panics: a panic ends the worker")
            .insert(stream, session);
        Ok(())
    }

    fn mac_finish(&mut self, stream: u64) -> Result<Vec<u8>, Fault> {
        self.take_mac(stream)?.sign_final().map_err(ours)
    }

    fn take_mac(&self, stream: u64) -> Result<Session, Fault> {
        self.module
            .macs
            .lock()
            .expect("no lane panics: a panic ends the worker")
            .remove(&stream)
            .ok_or_else(|| {
                Fault::new(
                    Treatment::Device,
                    "C_SignUpdate",
                    "the message's session is gone",
                )
            })
    }

    fn list(&mut self, known: &Known) -> Result<Inventory, Fault> {
        let module = Arc::clone(&self.module);
        let _turn = module.turns.look();
        let listing =
            self.with_session(Work::Ours, |session, _| inventory::list(session, known))?;
        // A token that is away may look like one that is empty; a new worker will know.
        if listing.handles.is_empty() && known.has_keys() {
            return Err(Fault::new(
                Treatment::Recycle,
                "the listing of the token",
                "no key at all, where there were some",
            ));
        }
        Ok(module.adopt(listing))
    }

    /// A known answer (FIPS 180-4, SHA-256 of "abc"), where the token can; that it is still logged in; and
    /// that a key is still where it was, which neither of them says.
    fn check(&mut self, key: Option<KeyReference>) -> Result<(), Fault> {
        let any_key = match key {
            Some(key) => Some(self.handle(&key)?.object),
            None => None,
        };
        let has_digest = self.module.capabilities.has(MechanismType::SHA256);
        self.with_session(Work::Ours, |session, _| {
            if has_digest
                && session.digest(&Mechanism::Sha256, b"abc")? != Hash::Sha256.digest(b"abc")
            {
                return Ok(Some("a wrong digest"));
            }
            if let Some(key) = any_key {
                session.get_attributes(key, &[AttributeType::Label])?;
            }
            Ok(match session.get_session_info()?.session_state() {
                SessionState::RoUser | SessionState::RwUser => None,
                _ => Some("not logged in any more"),
            })
        })?
        .map_or(Ok(()), |wrong| {
            Err(Fault::new(Treatment::Device, "known-answer check", wrong))
        })
    }

    fn with_key<T>(
        &mut self,
        key: &KeyReference,
        work: Work,
        act: impl FnMut(&Session, &Handle, &Module) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        let handle = self.handle(key)?;
        let mut act = act;
        self.with_session(work, |session, module| act(session, &handle, module))
    }

    /// Runs one operation; after any error the session is closed, and a dead one is tried once more anew.
    fn with_session<T>(
        &mut self,
        work: Work,
        mut act: impl FnMut(&Session, &Module) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        let mut last = None;
        for _ in 0..2 {
            let session = match self.session.take() {
                Some(session) => session,
                None => self
                    .module
                    .pkcs11
                    .open_ro_session(self.module.slot)
                    .map_err(ours)?,
            };
            match act(&session, &self.module) {
                Ok(value) => {
                    self.session = Some(session);
                    return Ok(value);
                }
                Err(error) => {
                    drop(session);
                    let fault = Fault::of(&error, work);
                    if fault.treatment != Treatment::Session {
                        return Err(fault);
                    }
                    last = Some(fault);
                }
            }
        }
        // A fresh session that is dead too: it is the worker.
        let fault = last.expect("both tries failed");
        Err(Fault {
            treatment: Treatment::Recycle,
            ..fault
        })
    }
}

/// Reads the value of a session object and destroys it.
fn take_value(session: &Session, object: ObjectHandle) -> Result<Vec<u8>, Error> {
    let attributes = session.get_attributes(object, &[AttributeType::Value]);
    session.destroy_object(object)?;
    Ok(attributes?
        .into_iter()
        .find_map(|attribute| match attribute {
            Attribute::Value(value) => Some(value),
            _ => None,
        })
        .unwrap_or_default())
}

fn gcm<'a>(iv: &'a mut [u8], aad: &'a [u8]) -> Result<Mechanism<'a>, Error> {
    Ok(Mechanism::AesGcm(GcmParams::new(
        iv,
        aad,
        Ulong::from(128_u64),
    )?))
}

fn done(result: Result<(), Fault>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(fault) => Reply::Failed(fault),
    }
}

fn ours(error: Error) -> Fault {
    Fault::of(&error, Work::Ours)
}
