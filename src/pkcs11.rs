//! The only door to the hardware: a token, reached through worker processes that can be killed.
//!
//! PKCS#11 has no time-outs, and vendors' modules hang and crash. So the daemon never loads one: for each
//! token it runs workers (see [`run_worker`]), each of which loads the module, reads the PIN and logs in, and
//! answers a handful of operations over a socket. [`Token`] is the daemon's side.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    key::{KeyName, KeyVersion, Usage, Version},
    policy::{Creation, Keyless, Operation, Permit},
};

pub use config::Config;
pub use errors::{Fault, Treatment};
pub use initialize::{Initialized, NewToken, initialize, run as run_initialization};
pub use keys::{Declaration, Key, KeyTable, VersionFacts, jwks};
pub use pin::PinSource;
pub use pool::{Counters, Health};
pub use protocol::{Attributes, Capabilities, MechanismFacts, Problem, StartError, TokenFacts};
pub use worker::{let_none_start, run as run_worker};

use pool::{Pool, Repeat, Worker};
use protocol::{DecryptWith, KeyReference, Reply, Request, SignItem, SignWith};

mod config;
mod errors;
mod initialize;
mod inventory;
mod keys;
mod mechanism;
mod oaep;
mod operation;
mod pin;
mod pool;
mod protocol;
mod worker;

/// A token that is being served.
pub struct Token {
    config: Config,
    pool: Pool,
    next_stream: AtomicU64,
    /// Each long MAC holds a session of the token while its chunks come.
    long_macs: Arc<Semaphore>,
    /// Held from the start of a listing until it is in force: of two that overlap, each may lack what the other made.
    listing: tokio::sync::Mutex<()>,
}

/// Why the token gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The queue for a free thread is full.
    #[error("{limit} operations are waiting for the token already")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The caller's deadline came while the job waited.
    #[error("the deadline came before the token was free")]
    Deadline,
    /// The operation did not end in its time, and its worker was killed.
    #[error("the token did not answer in time; the operation was given up")]
    Hung,
    /// The worker died during the operation.
    #[error("the process that speaks to the token died during the operation")]
    Lost,
    /// The worker died while it changed something, which may or may not have been done.
    #[error(
        "the process that speaks to the token died while the key was made; look whether it is there before trying again"
    )]
    OutcomeUnknown,
    /// No worker can be had.
    #[error("the token is not available: {0}")]
    Down(String),
    /// The token refused or failed.
    #[error("{0}")]
    Fault(Fault),
    /// A permit for something else came with the job: a fault of this program.
    #[error("the permit is to {0}, which is not what was asked of the token")]
    WrongPermit(Operation),
    /// The job is larger than a frame.
    #[error("the input is larger than a worker takes")]
    TooLarge,
    /// The key went away, or is of a kind that the operation does not fit.
    #[error("{0} is not in the token any more, or can't do this")]
    NoSuchKey(KeyVersion),
    /// A key of that name is there already.
    #[error("a key named {0} is there already")]
    Exists(KeyName),
}

impl TokenError {
    /// Whether the same call may well succeed soon.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::Hung | Self::Lost => true,
            Self::Fault(fault) => {
                matches!(fault.treatment, Treatment::Session | Treatment::Recycle)
            }
            Self::QueueFull { .. }
            | Self::Deadline
            | Self::OutcomeUnknown
            | Self::Down(_)
            | Self::WrongPermit(_)
            | Self::TooLarge
            | Self::NoSuchKey(_)
            | Self::Exists(_) => false,
        }
    }

    /// Whether the token found the caller's bytes bad.
    pub const fn is_callers_input(&self) -> bool {
        matches!(
            self,
            Self::Fault(Fault {
                treatment: Treatment::CallersInput,
                ..
            })
        )
    }
}

/// A MAC over a message that comes in chunks. It has a session of its own in one worker.
pub struct MacStream {
    token: Arc<Token>,
    _place: OwnedSemaphorePermit,
    worker: Arc<Worker>,
    stream: u64,
    finished: bool,
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
        let pool = Pool::start(config.clone(), declarations, executable, state_directory);
        Self {
            config,
            pool,
            next_stream: AtomicU64::new(1),
            long_macs: Arc::new(Semaphore::new(MAX_LONG_MACS)),
            listing: tokio::sync::Mutex::default(),
        }
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
        match self.pool.run(&Request::Sign(vec![item]), deadline).await? {
            Reply::Signed(mut results) if results.len() == 1 => results
                .swap_remove(0)
                .map(serde_bytes::ByteBuf::into_vec)
                .map_err(TokenError::Fault),
            _ => Err(TokenError::Lost),
        }
    }

    /// Signs many; the results are in the order of the permits.
    pub async fn sign_batch(
        &self,
        items: Vec<(Permit, Bytes)>,
        deadline: Instant,
    ) -> Vec<Result<Vec<u8>, TokenError>> {
        let mut results: Vec<Result<Vec<u8>, TokenError>> = Vec::with_capacity(items.len());
        let mut frames: Vec<(Vec<usize>, Vec<SignItem>)> = Vec::new();
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
            (
                indexes,
                self.pool.run(&Request::Sign(frame), deadline).await,
            )
        });
        for (indexes, reply) in join_all(jobs).await {
            match reply {
                Ok(Reply::Signed(signed)) if signed.len() == indexes.len() => {
                    for (index, one) in indexes.into_iter().zip(signed) {
                        results[index] = one
                            .map(serde_bytes::ByteBuf::into_vec)
                            .map_err(TokenError::Fault);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    for index in indexes {
                        results[index] = Err(error.clone());
                    }
                }
            }
        }
        results
    }

    /// Begins a MAC over a message that comes in chunks.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn start_mac(
        self: &Arc<Self>,
        permit: Permit,
        deadline: Instant,
    ) -> Result<MacStream, TokenError> {
        permitted(&permit, &[Operation::Sign])?;
        let Algorithm::Hmac(hash) = permit.algorithm() else {
            return Err(TokenError::NoSuchKey(permit.key().clone()));
        };
        let key = self.reference(permit.key())?;
        let place = Arc::clone(&self.long_macs)
            .try_acquire_owned()
            .map_err(|_| TokenError::QueueFull {
                limit: MAX_LONG_MACS,
            })?;
        let worker = self.pool.worker(deadline).await?;
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let mac = MacStream {
            token: Arc::clone(self),
            _place: place,
            worker,
            stream,
            finished: false,
        };
        mac.step(&Request::MacStart { stream, key, hash }).await?;
        Ok(mac)
    }

    /// Decrypts with RSA (`RSA-OAEP`, `RSA-OAEP-256`, `RSA1_5`).
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
            Algorithm::Rsa15 => DecryptWith::RsaPkcs1,
            _ => return Err(TokenError::NoSuchKey(permit.key().clone())),
        };
        let key = self.reference(permit.key())?;
        self.bytes(
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
        self.bytes(&Request::Agree { key, point }, deadline).await
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
        self.bytes(&Request::Unwrap { key, wrapped }, deadline)
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
            plain: plain.to_vec(),
        };
        self.bytes(&request, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// Opens what was sealed with AES-GCM; the ciphertext has its 16-byte tag behind it (`dir`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn open_sealed(
        &self,
        permit: Permit,
        iv: [u8; 12],
        aad: Vec<u8>,
        ciphertext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(
            &Request::Open {
                key,
                iv,
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
            plaintext,
        };
        self.bytes(&request, deadline)
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
        self.bytes(&Request::Random { length }, deadline)
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
        let name = permit.key().clone();
        let _listing = tokio::time::timeout_at(deadline, self.listing.lock())
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
            record: keys::record(&usage),
        };
        let limit = self.config.create_timeout;
        let reply = self
            .pool
            .run_aside(&request, deadline, limit, Repeat::Never)
            .await?;
        self.publish(reply).await?;
        self.keys()
            .get(&name)
            .cloned()
            .ok_or(TokenError::OutcomeUnknown)
    }

    /// Lists the token anew, for keys that others made or removed meanwhile.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn refresh(&self) -> Result<(), TokenError> {
        let _listing = self.listing.lock().await;
        let deadline = Instant::now() + self.config.start_timeout;
        let reply = self
            .pool
            .run_aside(
                &Request::List,
                deadline,
                self.config.start_timeout,
                Repeat::Once,
            )
            .await?;
        self.publish(reply).await
    }

    /// Does a known-answer operation in one worker.
    ///
    /// # Errors
    ///
    /// [`TokenError`], if it fails or does not end.
    pub async fn check(&self) -> Result<(), TokenError> {
        let limit = self.config.operation_timeout;
        self.pool
            .run_aside(&Request::Check, Instant::now() + limit, limit, Repeat::Once)
            .await
            .map(drop)
    }

    async fn publish(&self, reply: Reply) -> Result<(), TokenError> {
        match reply {
            Reply::Inventory(inventory) => {
                self.pool.publish(*inventory).await;
                Ok(())
            }
            _ => Err(TokenError::Lost),
        }
    }

    async fn bytes(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        match self.pool.run(request, deadline).await? {
            Reply::Bytes(bytes) => Ok(Zeroizing::new(bytes)),
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

impl MacStream {
    /// Adds a chunk.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; the MAC is lost then.
    pub async fn update(&mut self, chunk: Bytes) -> Result<(), TokenError> {
        self.step(&Request::MacUpdate {
            stream: self.stream,
            chunk: chunk.into(),
        })
        .await
        .map(drop)
    }

    /// The MAC.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn finish(mut self) -> Result<Vec<u8>, TokenError> {
        self.finished = true;
        match self
            .step(&Request::MacFinish {
                stream: self.stream,
            })
            .await?
        {
            Reply::Bytes(mac) => Ok(mac),
            _ => Err(TokenError::Lost),
        }
    }

    /// Closes its session without a MAC; to be called when the caller has gone away.
    pub async fn abort(mut self) {
        self.finished = true;
        // A worker that can't be told is dead, and the session with it.
        let _ = self
            .step(&Request::MacAbort {
                stream: self.stream,
            })
            .await;
    }

    async fn step(&self, request: &Request) -> Result<Reply, TokenError> {
        self.token
            .pool
            .run_on(&self.worker, request, self.token.config.operation_timeout)
            .await
    }
}

impl Drop for MacStream {
    fn drop(&mut self) {
        if !self.finished {
            tracing::debug!(token = %self.token.name(), "a long MAC was dropped without an end");
        }
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

/// The most long MACs at once: a slow caller holds a session of the token, and tokens have few.
const MAX_LONG_MACS: usize = 32;
