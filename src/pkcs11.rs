//! The only door to the hardware: a token, reached through worker processes that can be killed.
//!
//! PKCS#11 has no time-outs, and vendors' modules hang and crash. So the daemon never loads one: for each
//! token it runs workers (see [`run_worker`]), each of which loads the module, reads the PIN and logs in, and
//! answers a handful of operations over a socket. [`Token`] is the daemon's side.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::Instant,
};
use zeroize::Zeroizing;

use crate::{
    key::{KeyName, KeyVersion},
    policy::{Keyless, Operation, Permit},
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
use pool::{Cause, Pool, Repeat};
use protocol::{KeyReference, Reply, Request};

mod checkpoint;
mod config;
mod create;
mod decrypt;
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
mod sign;
mod state_file;
mod turns;
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
