//! `chanceryd dev`: a daemon to try things with, all of it in one directory, one command away.
//!
//! There is a SoftHSM token, certificates for the daemon and two clients, sample keys and partners, and a policy. What is
//! started here is the ordinary daemon with an ordinary configuration file; only the making of it is special.

use std::{
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ConfigError},
    identity::Identity,
    pkcs11::{self, Health, Initialized, NewToken, PinSource},
    server::{Server, ServerError, stop_tokens, wait_for_tokens},
};

use directory::{CONFIG, Directory, SO_PIN, SOFTHSM, USER_PIN};
use samples::Skipped;
use screen::Screen;

mod certificates;
mod directory;
mod files;
mod module;
mod partners;
mod samples;
mod screen;

/// What `chanceryd dev` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept.
    pub directory: PathBuf,
    /// Where gRPC is served; else what the directory's configuration says, or a free port with a command.
    pub address: Option<SocketAddr>,
    /// Where health and public keys are served; likewise.
    pub admin_address: Option<SocketAddr>,
    /// The PKCS#11 module; else SoftHSM's, where distributions put it.
    pub module: Option<PathBuf>,
    /// Whether what earlier starts left is thrown away first.
    pub reset: bool,
    /// What to run; if there is none, the daemon serves until Ctrl-C.
    pub command: Vec<OsString>,
}

/// Why it does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Keys in software must not be reachable from elsewhere.
    #[error(
        "{option} is {address}; this daemon is for development, so expected a loopback address such as 127.0.0.1"
    )]
    NotLoopback {
        /// The option.
        option: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// No module.
    #[error("{0}")]
    Module(String),
    /// The directory can't be used.
    #[error("{}: {cause}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The directory is somebody else's.
    #[error(
        "{} is not empty and was not made by `chanceryd dev`; name another with --directory",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// The directory can be read by others.
    #[error(
        "{0} has mode {mode:04o}; expected 0700, since PINs and keys are in it: chmod 700 {0}",
        path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another instance has the directory.
    #[error(
        "another `chanceryd dev` is using {} ({holder}); call that one, stop it first, or name another directory with --directory",
        path.display()
    )]
    Running {
        /// The directory.
        path: PathBuf,
        /// Which process, if it said.
        holder: String,
    },
    /// The token can't be made or opened.
    #[error("the token in {}: {cause}; --reset makes a new one", path.display())]
    Token {
        /// The directory.
        path: PathBuf,
        /// What was said.
        cause: String,
    },
    /// The directory's configuration, which somebody may have edited.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is taken.
    #[error("{cause}; {option} 127.0.0.1:0 takes a free port")]
    Port {
        /// What the server said.
        cause: Box<ServerError>,
        /// The option that helps.
        option: &'static str,
    },
    /// Ctrl-C, before it served.
    #[error("interrupted; the same command goes on from here")]
    Interrupted,
    /// The daemon.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// The command to run.
    #[error("{command:?} can't be run: {cause}")]
    Command {
        /// As it was given.
        command: OsString,
        /// Why not.
        cause: io::Error,
    },
}

impl From<ServerError> for DevError {
    fn from(error: ServerError) -> Self {
        Self::Server(Box::new(error))
    }
}

/// Sets up what is missing, says what is there, and serves until Ctrl-C or until the command has ended.
/// Returns the code to exit with. `executable` is this program.
///
/// # Errors
///
/// [`DevError`].
pub async fn run(options: Options, executable: &Path) -> Result<u8, DevError> {
    check_loopback("--address", options.address)?;
    check_loopback("--admin-address", options.admin_address)?;
    let directory = Directory::open(&options.directory, options.reset)?;
    let (config, news) = prepare(&directory, &options, executable).await?;
    let (grpc_wanted, admin_wanted) = (
        config.server.address,
        config.admin.as_ref().map(|admin| admin.address),
    );
    let server = Server::bind(config, executable.to_owned())
        .await
        .map_err(|error| port(error, grpc_wanted, admin_wanted))?;
    let failed = |cause| DevError::Directory {
        path: directory.path().to_owned(),
        cause,
    };
    let address = server.address().map_err(failed)?;
    directory.say_who(address).map_err(failed)?;
    // Until the daemon serves nobody listens for Ctrl-C but this.
    let ready = tokio::select! {
        ready = furnish(&directory, &server, address) => ready,
        () = interrupted() => Err(DevError::Interrupted),
    };
    let skipped = match ready {
        Ok(skipped) => skipped,
        Err(error) => {
            stop_tokens(server.signer().tokens()).await;
            return Err(error);
        }
    };
    let screen = Screen::new(&directory, &options, news);
    if options.command.is_empty() {
        screen.welcome(&server, address, &skipped);
        server.serve(CancellationToken::new()).await?;
        screen.goodbye();
        return Ok(0);
    }
    screen.short_welcome(address, &skipped);
    let child = match start(&options.command, &directory, address) {
        Ok(child) => child,
        Err(error) => {
            stop_tokens(server.signer().tokens()).await;
            return Err(error);
        }
    };
    serve_for(server, child).await.map_err(|error| match error {
        Ended::Server(error) => error.into(),
        Ended::Wait(cause) => DevError::Command {
            command: options.command[0].clone(),
            cause,
        },
    })
}

/// Everything that is made while the daemon has its token open and its port bound.
async fn furnish(
    directory: &Directory,
    server: &Server,
    address: SocketAddr,
) -> Result<Vec<Skipped>, DevError> {
    if !wait_for_tokens(server.signer(), FIRST_START).await {
        return Err(token_failed(directory, why_down(server)));
    }
    let failed = |cause| DevError::Directory {
        path: directory.path().to_owned(),
        cause,
    };
    let identity = app_a(directory).map_err(failed)?;
    let skipped = samples::ensure(server.signer(), &identity).await;
    let named = certificates::CLIENTS.map(|name| (format!("client-{name}.env"), name));
    let usual = ("client.env".to_owned(), certificates::CLIENTS[0]);
    for (file, name) in named.into_iter().chain([usual]) {
        let text = files::client(directory.path(), address, name);
        directory::write_private(&directory.file(&file), text).map_err(failed)?;
    }
    Ok(skipped)
}

/// Ctrl-C, or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// What of the directory is new.
#[derive(Clone, Copy, Debug)]
struct News {
    directory: bool,
    certificates: bool,
}

/// Everything that has to be there before the daemon starts.
async fn prepare(
    directory: &Directory,
    options: &Options,
    executable: &Path,
) -> Result<(Config, News), DevError> {
    let failed = |cause| DevError::Directory {
        path: directory.path().to_owned(),
        cause,
    };
    let new = directory.is_new();
    let named = options.module.is_some();
    let module = if new || named {
        Some(module::find(options.module.clone()).map_err(DevError::Module)?)
    } else {
        None
    };
    // A free port is of use to one run, and not what to remember.
    let remembered = |asked: Option<SocketAddr>, port| {
        asked
            .filter(|address| address.port() != 0)
            .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    directory
        .fill(
            module.as_deref().unwrap_or_else(|| Path::new("")),
            remembered(options.address, GRPC_PORT),
            remembered(options.admin_address, ADMIN_PORT),
        )
        .map_err(failed)?;
    let renewed = certificates::ensure(directory.path(), SystemTime::now()).map_err(failed)?;
    let mut config = Config::load(&directory.file(CONFIG))?;
    let free = (!options.command.is_empty()).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    if let Some(address) = options.address.or(free) {
        config.server.address = address;
    }
    check_loopback("server.address", Some(config.server.address))?;
    if let (Some(admin), Some(address)) = (&mut config.admin, options.admin_address.or(free)) {
        admin.address = address;
    }
    for token in &mut config.tokens {
        if let Some(module) = &module {
            token.module.clone_from(module);
        }
        // Right also if the directory was moved.
        if let Some(path) = token.environment.get_mut("SOFTHSM2_CONF") {
            *path = directory.file(SOFTHSM).display().to_string();
        }
    }
    let token = config
        .tokens
        .first()
        .expect("a checked configuration has one");
    let wanted = NewToken {
        module: token.module.clone(),
        label: files::TOKEN_LABEL.to_owned(),
        so_pin: PinSource::File(directory.file(SO_PIN)),
        user_pin: PinSource::File(directory.file(USER_PIN)),
    };
    let made = pkcs11::initialize(executable, &wanted, &token.environment)
        .await
        .map_err(|cause| token_failed(directory, cause))?;
    let news = News {
        directory: made == Initialized::Now,
        certificates: renewed,
    };
    Ok((config, news))
}

/// Who makes the sample keys.
fn app_a(directory: &Directory) -> io::Result<Arc<Identity>> {
    let path = certificates::certificate(directory.path(), certificates::CLIENTS[0]);
    Identity::from_certificate(&certificates::der(&path)?)
        .map(Arc::new)
        .map_err(io::Error::other)
}

fn check_loopback(option: &'static str, address: Option<SocketAddr>) -> Result<(), DevError> {
    match address {
        Some(address) if !address.ip().is_loopback() => {
            Err(DevError::NotLoopback { option, address })
        }
        _ => Ok(()),
    }
}

fn port(error: ServerError, grpc: SocketAddr, admin: Option<SocketAddr>) -> DevError {
    match &error {
        ServerError::Listen { address, .. } if *address == grpc => DevError::Port {
            cause: Box::new(error),
            option: "--address",
        },
        ServerError::Listen { address, .. } if Some(*address) == admin => DevError::Port {
            cause: Box::new(error),
            option: "--admin-address",
        },
        _ => error.into(),
    }
}

fn token_failed(directory: &Directory, cause: String) -> DevError {
    DevError::Token {
        path: directory.path().to_owned(),
        cause,
    }
}

fn why_down(server: &Server) -> String {
    let down = |health: Health| match health {
        Health::Down(why) => Some(why),
        Health::Starting => Some("it did not start in time".to_owned()),
        Health::Ready => None,
    };
    server
        .signer()
        .tokens()
        .iter()
        .find_map(|token| down(token.health().borrow().clone()))
        .unwrap_or_default()
}

fn start(
    command: &[OsString],
    directory: &Directory,
    address: SocketAddr,
) -> Result<Child, DevError> {
    Command::new(&command[0])
        .args(&command[1..])
        .envs(files::variables(
            directory.path(),
            address,
            certificates::CLIENTS[0],
        ))
        .env("CHANCERY_DEV", directory.path())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| DevError::Command {
            command: command[0].clone(),
            cause,
        })
}

enum Ended {
    Server(ServerError),
    Wait(io::Error),
}

/// Serves until the command ends. If the daemon is stopped first, the command is told, and waited for.
async fn serve_for(server: Server, mut child: Child) -> Result<u8, Ended> {
    let stop = CancellationToken::new();
    let mut serving = pin!(server.serve(stop.clone()));
    tokio::select! {
        ended = child.wait() => {
            stop.cancel();
            serving.await.map_err(Ended::Server)?;
            ended.map(exit_code).map_err(Ended::Wait)
        }
        served = &mut serving => {
            served.map_err(Ended::Server)?;
            let id = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
            if let Some(id) = id {
                // It may have ended this moment.
                let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            }
            match tokio::time::timeout(LAST_WORDS, child.wait()).await {
                Ok(ended) => ended.map(exit_code).map_err(Ended::Wait),
                Err(_) => Ok(128 + TERMINATED),
            }
        }
    }
}

/// As a shell tells it: 128 and the number for a command that a signal ended.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(1)
}

const GRPC_PORT: u16 = 7443;
const ADMIN_PORT: u16 = 7480;
const FIRST_START: Duration = Duration::from_secs(30);
const LAST_WORDS: Duration = Duration::from_secs(5);
const TERMINATED: u8 = 15;
