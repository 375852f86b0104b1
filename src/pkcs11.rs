//! The only door to the hardware: a token, reached through worker processes that can be killed.
//!
//! PKCS#11 has no time-outs, and vendors' modules hang and crash. So the daemon never loads one: for each
//! token it runs workers (see [`run_worker`]), each of which loads the module, reads the PIN and logs in, and
//! answers a handful of operations over a socket. [`Token`] is the daemon's side.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    key::{Custody, KeyName, KeyVersion, Usage, Version},
    policy::{Creation, Keyless, Operation, Permit},
};

pub use config::Config;
pub use errors::{Fault, Treatment};
pub use failure::TokenError;
pub use import::{ImportError, Wrapped, WrappingKey};
pub use initialize::{Initialized, NewToken, initialize, run as run_initialization};
pub use keys::{Declaration, Key, KeyTable, VersionFacts, jwks};
pub use long_mac::MacStream;
pub use parts::MessagePart;
pub use pin::PinSource;
pub use pool::{Counters, Health};
pub use protocol::{Attributes, Capabilities, MechanismFacts, Problem, StartError, TokenFacts};
pub use worker::run as run_worker;

use fair::{Room, Who};
use gather::Gather;
use known::Known;
use long_mac::Places;
use pool::{Begun, Cause, Pool, Repeat};
use protocol::{DecryptWith, KeyReference, Reply, Request, SignItem, SignWith};
use record::Record;

mod checkpoint;
mod config;
mod errors;
mod failure;
mod fair;
mod gather;
mod import;
mod initialize;
mod input_hash;
mod inventory;
mod keys;
mod known;
mod lifecycle;
mod long_mac;
mod mechanism;
mod oaep;
mod operation;
mod parts;
mod pin;
mod pool;
mod protocol;
mod record;
mod worker;

/// A token that is being served.
pub struct Token {
    config: Config,
    pool: Arc<Pool>,
    gather: Arc<Gather>,
    _servers: JoinSet<()>,
    next_stream: AtomicU64,
    /// Each long MAC holds a session of the token while its chunks come.
    long_macs: Arc<Places>,
    /// Keys are made one after the other. Two at once might be twins, of which neither can be used; and SoftHSM 2.6
    /// never shows a process that writes what another wrote at the same time.
    creating: Mutex<()>,
}

impl Token {
    /// Starts the workers of a token. Returns at once; see [`Token::health`].
    ///
    /// `executable` is this program, which is run as `executable worker`.
    pub fn open(
        config: Config,
        declarations: Vec<Declaration>,
        executable: PathBuf,
        state_directory: PathBuf,
    ) -> Self {
        let pool = Arc::new(Pool::start(
            config.clone(),
            declarations,
            executable,
            state_directory,
        ));
        let room = Room {
            jobs: config.queue,
            bytes: config.queue_bytes,
        };
        let gather = Arc::new(Gather::new(pool.width(), room));
        let mut servers = JoinSet::new();
        for _ in 0..pool.width() {
            servers.spawn(Arc::clone(&gather).serve(Arc::clone(&pool)));
        }
        Self {
            config,
            pool,
            gather,
            _servers: servers,
            next_stream: AtomicU64::new(1),
            long_macs: Arc::default(),
            creating: Mutex::default(),
        }
    }

    /// To be called before the process ends: see to it that no worker is cut off in its log-in.
    pub async fn stop(&self) {
        self.pool.stop().await;
    }

    /// Its name in the configuration.
    pub const fn name(&self) -> &KeyName {
        &self.config.name
    }

    /// How it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    /// What is counted of it.
    pub fn counters(&self) -> &Counters {
        self.pool.counters()
    }

    /// Whether the token was ever seen: before that, that a key is not in the table says nothing.
    ///
    /// # Errors
    ///
    /// [`TokenError::Down`], if it was not.
    pub fn known(&self) -> Result<(), TokenError> {
        if self.facts() != TokenFacts::default() {
            return Ok(());
        }
        Err(TokenError::Down(match &*self.health().borrow() {
            Health::Down(why) => why.clone(),
            Health::Starting | Health::Ready => "it is starting".to_owned(),
        }))
    }

    /// What the token says of itself; empty before the first worker was up.
    pub fn facts(&self) -> TokenFacts {
        self.pool.listed().inventory.token.clone()
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.pool.listed().inventory.capabilities.clone()
    }

    /// Its keys, as last listed.
    pub fn keys(&self) -> Arc<KeyTable> {
        Arc::clone(&self.pool.listed().keys)
    }

    /// Signs with the key and algorithm of the permit: a digest where the algorithm takes one, else the message.
    /// ECDSA comes as r||s.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn sign(
        &self,
        permit: Permit,
        input: Bytes,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        let item = self.item(&permit, input)?;
        let who = permit.identity().into();
        self.gather
            .push(who, item, deadline, self.pool.counters())?
            .await
            .unwrap_or(Err(TokenError::Lost))
    }

    /// Signs many; the results are in the order of the permits.
    pub async fn sign_batch(
        &self,
        items: Vec<(Permit, Bytes)>,
        deadline: Instant,
    ) -> Vec<Result<Vec<u8>, TokenError>> {
        let mut results: Vec<Result<Vec<u8>, TokenError>> = Vec::with_capacity(items.len());
        let mut frames: Vec<(Vec<usize>, Vec<SignItem>)> = Vec::new();
        // A batch is one caller's.
        let who = items.first().map(|(permit, _)| permit.identity().into());
        let who: &Who = &who.unwrap_or_default();
        // As many frames as there are threads, so that one caller's batch uses them all; none so long
        // that it would look like a hang.
        let size = items.len().div_ceil(self.pool.width()).clamp(1, MAX_BATCH);
        for (index, (permit, input)) in items.into_iter().enumerate() {
            results.push(Err(TokenError::Lost));
            match self.item(&permit, input) {
                Ok(item) => {
                    if frames.last().is_none_or(|(_, frame)| frame.len() >= size) {
                        frames.push((Vec::with_capacity(size), Vec::with_capacity(size)));
                    }
                    if let Some((indexes, frame)) = frames.last_mut() {
                        indexes.push(index);
                        frame.push(item);
                    }
                }
                Err(error) => results[index] = Err(error),
            }
        }
        let jobs = frames.into_iter().map(|(indexes, frame)| async move {
            let signed = self.pool.sign_frame(who, frame, deadline).await;
            indexes.into_iter().zip(signed)
        });
        for (index, result) in join_all(jobs).await.into_iter().flatten() {
            results[index] = result;
        }
        results
    }

    /// Decrypts with RSA (`RSA-OAEP`, `RSA-OAEP-256`, `RSA-OAEP-256-MGF1-SHA1`, `RSA1_5`).
    ///
    /// # Errors
    ///
    /// [`TokenError`]; where [`TokenError::is_callers_input`], nothing is wrong here.
    pub async fn decrypt(
        &self,
        permit: Permit,
        ciphertext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let with = match permit.algorithm() {
            Algorithm::RsaOaep => DecryptWith::RsaOaepSha1,
            Algorithm::RsaOaep256 => DecryptWith::RsaOaepSha256,
            Algorithm::RsaOaep256Mgf1Sha1 => DecryptWith::RsaOaepSha256Mgf1Sha1,
            Algorithm::Rsa15 => DecryptWith::RsaPkcs1,
            _ => return Err(TokenError::NoSuchKey(permit.key().clone())),
        };
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Decrypt {
                key,
                with,
                ciphertext,
            },
            deadline,
        )
        .await
    }

    /// Agrees on a secret with the holder of this uncompressed point: gives Z (`ECDH-ES*`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn agree(
        &self,
        permit: Permit,
        point: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(permit.identity(), &Request::Agree { key, point }, deadline)
            .await
    }

    /// Unwraps a key (`A128KW`, `A256KW`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn unwrap_key(
        &self,
        permit: Permit,
        wrapped: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Unwrap { key, wrapped },
            deadline,
        )
        .await
    }

    /// Wraps a key (`A128KW`, `A256KW`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn wrap_key(
        &self,
        permit: Permit,
        plain: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Encrypt])?;
        let key = self.reference(permit.key())?;
        let request = Request::Wrap {
            key,
            plain: Zeroizing::new(plain.to_vec()),
        };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// Opens what was sealed with AES-GCM; the ciphertext has its 16-byte tag behind it (`dir`). The IV has 12 bytes; or
    /// another number, where the token takes it.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn open_sealed(
        &self,
        permit: Permit,
        iv: impl Into<Vec<u8>>,
        aad: Vec<u8>,
        ciphertext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Open {
                key,
                iv: iv.into(),
                aad,
                ciphertext,
            },
            deadline,
        )
        .await
    }

    /// Seals with AES-GCM; gives the ciphertext with its 16-byte tag behind it (`dir`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn seal(
        &self,
        permit: Permit,
        iv: [u8; 12],
        aad: Vec<u8>,
        plaintext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Encrypt])?;
        let key = self.reference(permit.key())?;
        let request = Request::Seal {
            key,
            iv,
            aad,
            plaintext: Zeroizing::new(plaintext),
        };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// So many bytes of the token's generator.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn random(
        &self,
        permit: Permit<Keyless>,
        length: u32,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        // Consumed: a permit about no key that is not for encrypting outside is for this.
        if permit.operation() != Operation::GenerateRandom {
            return Err(TokenError::WrongPermit(permit.operation()));
        }
        self.bytes(permit.identity(), &Request::Random { length }, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// Makes version 1 of a key.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; after [`TokenError::OutcomeUnknown`] the key may be there.
    pub async fn create(
        &self,
        permit: Permit<Creation>,
        usage: Usage,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        if permit.operation() != Operation::Create {
            return Err(TokenError::WrongPermit(permit.operation()));
        }
        let name = permit.key().clone();
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let taken = self.keys();
        if taken.get(&name).is_some() || taken.why_unusable(&name).is_some() {
            return Err(TokenError::Exists(name));
        }
        let request = Request::Create {
            version: KeyVersion {
                key: name.clone(),
                version: Version::FIRST,
            },
            key_type: usage.key_type(),
            flags: keys::flags(&usage),
            algorithms: usage.algorithms().to_vec(),
            record: Some(Record::new(&usage, Custody::TokenOnly).bytes()),
        };
        let limit = self.config.create_timeout;
        let begun = self.pool.begin();
        let reply = self
            .pool
            .run_aside(&request, deadline, limit, Repeat::Never)
            .await?;
        let version = KeyVersion {
            key: name,
            version: Version::FIRST,
        };
        self.made(begun, reply, &version).await
    }

    /// Puts the listing in force that a key which was just made came with, and finds it there.
    async fn made(
        &self,
        begun: Begun,
        reply: Reply,
        version: &KeyVersion,
    ) -> Result<Arc<Key>, TokenError> {
        match reply {
            Reply::Inventory(inventory) => {
                if !self.pool.publish(begun, Cause::Made, *inventory).await {
                    // The key is made, whatever comes of this.
                    let _ = self.refresh().await;
                }
            }
            // What is in the table is behind.
            Reply::Exists => {
                let _ = self.refresh().await;
                return Err(TokenError::Exists(version.key.clone()));
            }
            _ => return Err(TokenError::Lost),
        }
        // A listing that was made while another process wrote to the token can show a key without its label.
        for _ in 0..SETTLE_TRIES {
            if let Some(key) = self.key_with(version) {
                return Ok(key);
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
            let _ = self.refresh().await;
        }
        self.key_with(version).ok_or(TokenError::OutcomeUnknown)
    }

    fn key_with(&self, version: &KeyVersion) -> Option<Arc<Key>> {
        let keys = self.keys();
        keys.get(&version.key)
            .filter(|key| key.version(version).is_some())
            .cloned()
    }

    /// Lists the token anew, for keys that others made or removed meanwhile.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn refresh(&self) -> Result<(), TokenError> {
        let limit = self.config.start_timeout;
        let deadline = Instant::now() + limit;
        loop {
            let begun = self.pool.begin();
            let known = Known::from(&self.pool.listed().inventory);
            let request = Request::List { known };
            let reply = self
                .pool
                .run_aside(&request, deadline, limit, Repeat::Once)
                .await?;
            let Reply::Inventory(inventory) = reply else {
                return Err(TokenError::Lost);
            };
            // While keys are being made, each of them has it listed anyway.
            if self.pool.publish(begun, Cause::Seen, *inventory).await || Instant::now() > deadline
            {
                return Ok(());
            }
        }
    }

    /// Does a known-answer operation in one worker.
    ///
    /// # Errors
    ///
    /// [`TokenError`], if it fails or does not end.
    pub async fn check(&self) -> Result<(), TokenError> {
        let limit = self.config.operation_timeout;
        // A token that is away may still digest, and show no keys; so one that is known is asked for.
        let key = self.keys().iter().next().map(|key| KeyReference {
            version: key.newest().version.clone(),
            binding: key.newest().binding,
        });
        self.pool
            .run_aside(
                &Request::Check { key },
                Instant::now() + limit,
                limit,
                Repeat::Once,
            )
            .await
            .map(drop)
    }

    async fn bytes(
        &self,
        who: impl Into<Who>,
        request: &Request,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        match self.pool.run(&who.into(), request, deadline).await? {
            Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(TokenError::Lost),
        }
    }

    fn item(&self, permit: &Permit, input: Bytes) -> Result<SignItem, TokenError> {
        permitted(
            permit,
            &[
                Operation::Sign,
                Operation::Verify,
                Operation::RequestCertificate,
            ],
        )?;
        let with = SignWith::of(permit.algorithm())
            .ok_or_else(|| TokenError::NoSuchKey(permit.key().clone()))?;
        Ok(SignItem {
            key: self.reference(permit.key())?,
            with,
            input: input.into(),
            verify: self.config.verify_signatures,
        })
    }

    fn reference(&self, version: &KeyVersion) -> Result<KeyReference, TokenError> {
        let listed = self.pool.listed();
        listed
            .keys
            .get(&version.key)
            .and_then(|key| key.version(version))
            .map(|facts| KeyReference {
                version: version.clone(),
                binding: facts.binding,
            })
            .ok_or_else(|| TokenError::NoSuchKey(version.clone()))
    }
}

/// A permit to do one thing is none to do another.
fn permitted(permit: &Permit, operations: &[Operation]) -> Result<(), TokenError> {
    if operations.contains(&permit.operation()) {
        Ok(())
    } else {
        Err(TokenError::WrongPermit(permit.operation()))
    }
}

/// The most items in one frame: half a second of RSA-4096 in software.
const MAX_BATCH: usize = 100;

/// How often a key that was just made is looked for in the token, and how long between.
const SETTLE_TRIES: u32 = 10;
const SETTLE_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
