//! Wires it all: opens the tokens, listens, reloads, drains.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    admin, audit,
    config::{self, Config},
    grpc::{Calls, CompleteStatus, CountCalls, Services},
    pkcs11::{Health, Token},
    proto,
    scheme::UnixMilliseconds,
    signer::{self, Clock, InputKeyError, PolicyRefused, ReplayMemory, Signer},
    store::{OpenError, Settings, Store},
    tls::Endpoint,
};

use reload::reload_on_change;
use roll::Roll;

mod reload;
mod roll;
mod start;

/// A daemon that is about to serve: ports are bound, tokens are starting.
pub struct Server {
    config: Config,
    signer: Arc<Signer>,
    roll: Option<Roll>,
    endpoint: Arc<Endpoint>,
    listener: TcpListener,
    admin: Option<(admin::Config, TcpListener)>,
}

/// Why the daemon does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] crate::tls::LoadError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The policy allows more than the one before, and nobody has approved that.
    #[error("{0}")]
    Policy(#[from] PolicyRefused),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] audit::OpenError),
    /// The key that hashes the audit log's inputs.
    #[error(transparent)]
    InputKey(#[from] InputKeyError),
    /// A port.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The gRPC library.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Anything of the system.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Keeps other processes of the same user from reading this one's memory, which plaintexts pass through,
/// and keeps it out of core files.
///
/// # Errors
///
/// If the system refuses.
pub fn harden() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    Ok(())
}

/// The system's clock.
pub fn system_clock() -> Clock {
    Clock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let milliseconds = since.unwrap_or_default().as_millis();
        UnixMilliseconds(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    })
}

/// Starts the workers of all tokens. `executable` is this program.
pub fn open_tokens(config: &Config, executable: &std::path::Path) -> Vec<Arc<Token>> {
    config
        .tokens
        .iter()
        .map(|token| {
            Arc::new(Token::open(
                token.clone(),
                config.keys.clone(),
                executable.to_owned(),
                config.state_directory.clone(),
            ))
        })
        .collect()
}

impl Server {
    /// Loads certificates, binds the ports and starts the tokens' workers.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn bind(mut config: Config, executable: PathBuf) -> Result<Self, ServerError> {
        let endpoint = Endpoint::load(config.tls.clone())?;
        let policy = std::mem::replace(
            &mut config.policy,
            config::load_policy(&config.policy_file).map_err(std::io::Error::other)?,
        );
        let settings = Settings {
            replay: config.replay,
            idempotency: config.idempotency,
            lifecycle: config.lifecycle,
            proposals: config.proposals,
        };
        let store = Store::open(&config.store, settings).await?;
        // A start is no way around what a reload would refuse.
        let clock = system_clock();
        let leave = start::leave_for_policy(&store, &policy, &clock).await?;
        // Before anybody can ask for anything.
        let (log, digest, file) = (config.audit.clone(), *policy.sha256(), config.digest);
        let roll = tokio::task::spawn_blocking(move || Roll::open(log, digest, file));
        let roll = roll.await.map_err(std::io::Error::other)??;
        let listener = listen(config.server.address).await?;
        let admin = match config.admin.take() {
            Some(admin) => {
                let listener = listen(admin.address).await?;
                Some((admin, listener))
            }
            None => None,
        };
        let tokens = open_tokens(&config, &executable);
        let partners = std::mem::take(&mut config.partners);
        let memory = ReplayMemory::new(store);
        let audit = roll.as_ref().map(|roll| Arc::clone(&roll.audit));
        let signer = Signer::new(tokens, policy, partners, clock, memory, audit);
        if let Some(key) = &config.audit.input_hash_key {
            signer.hash_inputs_with(key.clone());
        }
        let signer = Arc::new(signer);
        start::adopt_policy(&signer, leave).await?;
        // Without it no key is used; it is tried again later.
        if let Err(error) = signer.read_lives().await {
            tracing::error!(%error, "what is known of keys can't be read; no key is used until it can");
        }
        Ok(Self {
            config,
            signer,
            roll,
            endpoint,
            listener,
            admin,
        })
    }

    /// The tokens and the policy.
    pub const fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// Where gRPC is served.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the admin port is, if there is one.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin
            .as_ref()
            .and_then(|(_, listener)| listener.local_addr().ok())
    }

    /// Serves until SIGTERM or SIGINT, or until `stop` is cancelled; then drains.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self {
            config,
            signer,
            roll,
            endpoint,
            listener,
            admin,
        } = self;
        let keeping = roll.map(|roll| roll.keep(signer.tokens(), Arc::clone(signer.checkpoints())));
        let (health, health_service) = tonic_health::server::health_reporter();
        let address = listener.local_addr()?;
        let admin_address = admin
            .as_ref()
            .and_then(|(_, listener)| listener.local_addr().ok());
        let services = Services::new(Arc::clone(&signer), config.server.limits());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(report_health(Arc::clone(&signer), health));
        for token in signer.tokens() {
            let refresh = Duration::from_secs(config.server.refresh_interval_seconds.max(1).into());
            tasks.spawn(watch_token(Arc::clone(token), refresh));
        }
        tasks.spawn(signer::keep(Arc::clone(&signer)));
        // Before anyone is told that we are ready: until then any of them would end the process at once.
        let hangup = signal(SignalKind::hangup())?;
        let endings = [SignalKind::terminate(), SignalKind::interrupt()];
        let [terminate, interrupt] = endings.map(signal);
        let (terminate, interrupt) = (terminate?, interrupt?);
        tasks.spawn(reload_on_change(
            hangup,
            config.policy_file.clone(),
            config.platforms.clone(),
            config.seen_platforms.clone(),
            Arc::clone(&signer),
            Arc::clone(&endpoint),
        ));
        let calls = Arc::new(Calls::new(&[
            proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
        ]));
        if let Some((admin, listener)) = admin {
            let shown = admin::Shown {
                signer: Arc::clone(&signer),
                endpoint: Arc::clone(&endpoint),
                calls: Arc::clone(&calls),
            };
            let stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = admin::serve(admin, listener, shown, stop).await {
                    tracing::error!(%error, "the admin port failed");
                }
            });
        }
        tasks.spawn(stop_on_signal(terminate, interrupt, stop.clone()));

        let accepting = CancellationToken::new();
        let incoming = endpoint.accept(listener, accepting.clone());
        let reflection = config
            .server
            .reflection
            .then(|| {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    .build_v1()
            })
            .transpose()
            .map_err(std::io::Error::other)?;
        // tonic's own values switch off what hyper has against floods of streams and resets.
        let server = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_local_error_reset_streams(Some(64))
            .http2_max_pending_accept_reset_streams(Some(20))
            .http2_max_header_list_size(16 << 10)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .max_connection_age(Duration::from_secs(
                config.server.max_connection_age_seconds.into(),
            ))
            .layer(CountCalls(calls))
            .layer(CompleteStatus)
            .add_service(health_service)
            .add_optional_service(reflection)
            .add_service(services.keys())
            .add_service(services.approvals())
            .add_service(services.signing())
            .add_service(services.jose())
            .add_service(services.partners())
            .add_service(services.platform())
            .add_service(services.audit())
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        wait_for_tokens(&signer, FIRST_START).await;
        if let Err(error) = roll::derive_input_key(&signer, &mut tasks).await {
            stop_tokens(signer.tokens()).await;
            return Err(error.into());
        }
        tracing::info!(%address, admin = admin_address.map(tracing::field::display), policy = signer.policy().digest(), "ready");
        // Outside of systemd there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let mut server = std::pin::pin!(server);
        // With nobody connected the server ends with the signal itself.
        let ended = tokio::select! {
            ended = &mut server => Some(ended),
            () = stop.cancelled() => None,
        };
        accepting.cancel();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        let ended = match ended {
            Some(ended) => ended,
            None => {
                let patience = Duration::from_secs(config.server.drain_timeout_seconds.into());
                tracing::info!(patience = patience.as_secs(), "draining");
                tokio::time::timeout(patience, server)
                    .await
                    .unwrap_or_else(|_| {
                        tracing::warn!(
                            "calls were still under way when the time to drain was over"
                        );
                        Ok(())
                    })
            }
        };
        if let (Some(keeping), Some(audit)) = (keeping, signer.audit()) {
            keeping.close(audit).await;
        }
        stop_tokens(signer.tokens()).await;
        ended?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Lets workers that are just starting finish, and no more start. To be called before a process that has opened
/// tokens ends: a worker that is killed while it logs in can leave a SoftHSM token that nobody can read.
pub async fn stop_tokens(tokens: &[Arc<Token>]) {
    futures_util::future::join_all(tokens.iter().map(|token| token.stop())).await;
}

/// Waits until every token is up or known to be down, at most so long. Says whether all are up.
pub async fn wait_for_tokens(signer: &Signer, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut all_up = true;
    for token in signer.tokens() {
        let mut health = token.health();
        let known = health.wait_for(|health| *health != Health::Starting);
        let up = matches!(
            tokio::time::timeout_at(deadline, known)
                .await
                .as_ref()
                .map(|known| known.as_deref()),
            Ok(Ok(Health::Ready))
        );
        all_up &= up;
    }
    all_up
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| ServerError::Listen { address, cause })
}

/// `grpc.health.v1`: the daemon as a whole and each service serve when every token does; each token is
/// also told of by itself, as `token/NAME`.
async fn report_health(signer: Arc<Signer>, reporter: HealthReporter) {
    let mut receivers: Vec<_> = signer
        .tokens()
        .iter()
        .map(|token| (token.name().to_string(), token.health()))
        .collect();
    let mut ticks = interval(AUDIT_INTERVAL);
    let mut failed = false;
    loop {
        let mut all = ServingStatus::Serving;
        if let Some(fault) = signer.audit_fault() {
            all = ServingStatus::NotServing;
            let ending = signer
                .audit()
                .is_some_and(|audit| audit.health() == audit::Health::Closed);
            if !std::mem::replace(&mut failed, true) && !ending {
                tracing::error!(%fault, "the audit log is not written; nothing is done until it is");
            }
        } else {
            failed = false;
        }
        for (name, health) in &mut receivers {
            let status = match *health.borrow_and_update() {
                Health::Ready => ServingStatus::Serving,
                Health::Starting | Health::Down(_) => ServingStatus::NotServing,
            };
            if status == ServingStatus::NotServing {
                all = ServingStatus::NotServing;
            }
            reporter
                .set_service_status(format!("token/{name}"), status)
                .await;
        }
        for service in SERVICES {
            reporter.set_service_status(service, all).await;
        }
        let changes = receivers
            .iter_mut()
            .map(|(_, health)| Box::pin(watch::Receiver::changed(health)));
        tokio::select! {
            changed = futures_util::future::select_all(changes) => if changed.0.is_err() {
                return;
            },
            _ = ticks.tick() => {}
        }
    }
}

/// A known-answer operation a second, and a listing now and then.
async fn watch_token(token: Arc<Token>, refresh: Duration) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listed = Instant::now();
    loop {
        ticks.tick().await;
        if *token.health().borrow() != Health::Ready {
            continue;
        }
        let checked = token.check().await;
        if let Err(error) = &checked {
            tracing::warn!(token = %token.name(), %error, "the known-answer check failed");
        }
        if checked.is_err() || listed.elapsed() >= refresh {
            listed = Instant::now();
            if let Err(error) = token.refresh().await {
                tracing::warn!(token = %token.name(), %error, "the token can't be listed");
            }
        }
    }
}

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
}

/// How long the ready line waits for tokens that are neither up nor known to be down.
const FIRST_START: Duration = Duration::from_secs(30);

/// How often it is looked whether the audit log is still written.
const AUDIT_INTERVAL: Duration = Duration::from_millis(250);

/// Streams of one connection.
const MAX_STREAMS: u32 = 200;

const SERVICES: [&str; 8] = [
    "",
    "chancery.v1.KeyService",
    "chancery.v1.ApprovalService",
    "chancery.v1.SigningService",
    "chancery.v1.JoseService",
    "chancery.v1.PartnerService",
    "chancery.v1.PlatformService",
    "chancery.v1.AuditService",
];
