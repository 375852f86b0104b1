//! The audit log as the daemon keeps it: opened before a port is bound, its checkpoints signed while there is a
//! token, closed last.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{self, Audit, Digest, Keeper, OpenError, Opening, Origin, Sinks, StopReason, Vkey},
    key::PublicKey,
    pkcs11::{Health, Token, TokenError},
    signer::{Checkpoints, InputKeyError, Signer},
};

/// An open log, and the side of it that makes checkpoints.
pub(super) struct Roll {
    pub(super) audit: Arc<Audit>,
    keeper: Keeper,
    origin: Origin,
    known: Option<Vkey>,
    config: audit::Config,
}

/// The task that makes checkpoints.
pub(super) struct Keeping {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Roll {
    /// Opens the log, and records the start. `None` if the operator wants none. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(super) fn open(
        config: audit::Config,
        policy: [u8; 32],
        file: Digest,
    ) -> Result<Option<Self>, OpenError> {
        if !config.enabled {
            tracing::warn!(
                "audit.enabled is false: nothing is recorded, and nobody will know what was signed for whom"
            );
            return Ok(None);
        }
        let directory = config.directory.clone();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&directory)
            .map_err(|error| OpenError::File {
                path: directory.clone(),
                cause: error.to_string(),
            })?;
        let known = known(&directory);
        let origin = origin(&config, known.as_ref());
        let (audit, keeper) = Audit::open(Opening {
            directory,
            origin: origin.clone(),
            durability: config.durability,
            segment_bytes: config.segment_bytes,
            vkeys: known.iter().cloned().collect(),
            policy: Some(Digest::from_bytes(policy)),
            config: Some(file),
            clock: SystemTime::now,
        })?;
        tracing::info!(%origin, directory = %config.directory.display(), records = audit.durable(), "audit log open");
        Ok(Some(Self {
            audit: Arc::new(audit),
            keeper,
            origin,
            known,
            config,
        }))
    }

    /// Makes checkpoints from now on. While the token is away there are none, and records go on being made.
    pub(super) fn keep(self, tokens: &[Arc<Token>], checkpoints: Arc<Checkpoints>) -> Keeping {
        tokio::spawn(self.audit.teller());
        let stop = CancellationToken::new();
        let wanted = &self.config.checkpoint_token;
        let named = |token: &&Arc<Token>| wanted.as_ref().is_none_or(|name| token.name() == name);
        let token = tokens.iter().find(named).cloned();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            if let Some(token) = token {
                self.keep_with(token, checkpoints, stopping).await;
            }
        });
        Keeping { stop, task }
    }

    async fn keep_with(
        self,
        token: Arc<Token>,
        checkpoints: Arc<Checkpoints>,
        stop: CancellationToken,
    ) {
        let public = {
            let mut key = pin!(checkpoint_key(&token, self.known.as_ref(), &self.origin));
            tokio::select! {
                public = &mut key => public,
                // There may be just the time for the last one.
                () = stop.cancelled() => match timeout(LAST_CHANCE, key).await {
                    Ok(public) => public,
                    Err(_) => return,
                },
            }
        };
        let Some(vkey) = Vkey::new(self.origin.clone(), &public) else {
            tracing::error!("the token's key for checkpoints is not of Ed25519; there are none");
            return;
        };
        tracing::info!(%vkey, "audit checkpoints are signed");
        checkpoints.introduce(vkey.clone());
        let sign = move |body: Vec<u8>| {
            let (token, public, checkpoints) =
                (Arc::clone(&token), public.clone(), Arc::clone(&checkpoints));
            async move {
                let deadline = Instant::now() + PATIENCE;
                let signed = token.sign_checkpoint(&public, body, deadline).await;
                checkpoints.signed(signed.is_ok());
                signed
            }
        };
        let (schedule, sinks) = (self.config.schedule(), Sinks::new(self.config.sinks));
        audit::keep(self.keeper, schedule, vkey, sign, sinks, stop).await;
    }
}

impl Keeping {
    /// Records the end, and has one last checkpoint made of it all.
    pub(super) async fn close(self, audit: &Audit) {
        if let Err(error) = audit.close(StopReason::Asked).await {
            tracing::error!(%error, "the end is not in the audit log");
        }
        self.stop.cancel();
        if timeout(PATIENCE, self.task).await.is_err() {
            tracing::warn!("no checkpoint of the last records: the token did not sign it in time");
        }
    }
}

/// The key that made earlier checkpoints, if the token has it; else the one there is; else a new one. Waits for the
/// token for as long as it takes.
async fn checkpoint_key(token: &Token, known: Option<&Vkey>, origin: &Origin) -> PublicKey {
    let mut told = false;
    loop {
        // Only ends with the token.
        let mut health = token.health();
        let _ = health.wait_for(|health| *health == Health::Ready).await;
        match token.checkpoint_key(Instant::now() + PATIENCE).await {
            Ok(first) => {
                let of_ours = |public: &&PublicKey| {
                    let vkey = Vkey::new(origin.clone(), public).map(|vkey| vkey.to_string());
                    vkey.is_some() && vkey == known.map(Vkey::to_string)
                };
                let keys = token.checkpoint_keys();
                let ours = keys.iter().find(of_ours).cloned();
                if let (None, Some(known)) = (&ours, known) {
                    tracing::error!(
                        %known,
                        "the key that signed earlier audit checkpoints is not in the token; another signs from now on"
                    );
                }
                return ours.unwrap_or(first);
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) && !matches!(error, TokenError::Down(_)) {
                    tracing::error!(%error, "there is no key for audit checkpoints");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Has the token make the key that hashes inputs, where the operator wants one. While the token is away nothing is begun,
/// and it is tried again.
///
/// # Errors
///
/// [`InputKeyError`], if there is no such key, or it is another kind of key.
pub(super) async fn derive_input_key(
    signer: &Arc<Signer>,
    tasks: &mut JoinSet<()>,
) -> Result<(), InputKeyError> {
    match signer.derive_input_key(Instant::now() + PATIENCE).await {
        Err(InputKeyError::Token(error)) => {
            tracing::error!(%error, "inputs can't be hashed as audit.input_hash_key wants; nothing is begun until they can");
            let signer = Arc::clone(signer);
            tasks.spawn(async move {
                while let Err(error) = signer.derive_input_key(Instant::now() + PATIENCE).await {
                    if !matches!(error, InputKeyError::Token(_)) {
                        tracing::error!(%error, "inputs can't be hashed; nothing is begun");
                    }
                    sleep(PAUSE).await;
                }
            });
            Ok(())
        }
        other => other,
    }
}

/// The public key that lies beside a log.
fn known(directory: &Path) -> Option<Vkey> {
    let text = fs::read_to_string(directory.join("vkey")).ok()?;
    text.trim().parse().ok()
}

/// Whose log it is: as configured, or as it was, or by the name of the host.
fn origin(config: &audit::Config, known: Option<&Vkey>) -> Origin {
    let host = || {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        format!("{name}/chancery").parse().ok()
    };
    config
        .origin
        .clone()
        .or_else(|| known.map(|vkey| vkey.name().clone()))
        .or_else(host)
        .unwrap_or_else(|| "chancery".parse().expect("a word of letters"))
}

/// How long a checkpoint may take to be signed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a daemon that ends waits for the key of its first checkpoint.
const LAST_CHANCE: Duration = Duration::from_secs(2);
/// How long to wait before the token is asked again.
const PAUSE: Duration = Duration::from_millis(200);
