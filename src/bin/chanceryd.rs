//! The daemon: `serve`, `check`, `dev`, and the workers that it starts itself.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

use chancery::{
    config::Config,
    dev, pkcs11,
    server::{Server, open_tokens, wait_for_tokens},
    signer::Signer,
    telemetry,
};
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

/// Keeps keys in a PKCS#11 token and gives applications the results of using them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM. SIGHUP reloads policy and certificates.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Load the configuration, open the tokens, show what is there, and exit.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Start a daemon to try things with: a SoftHSM token, certificates, sample keys, all in one directory.
    Dev(DevArguments),
    /// Initialise a token. `dev` starts this itself.
    #[command(hide = true)]
    InitializeToken,
    /// Speak to a token on the daemon's behalf. The daemon starts this itself.
    #[command(hide = true)]
    Worker,
}

#[derive(clap::Args)]
struct DevArguments {
    /// Where everything is kept; made if it is not there, and used again if it is
    #[arg(long, value_name = "DIR", default_value = ".chancery-dev")]
    directory: PathBuf,
    /// Address and port of gRPC, loopback only; port 0 takes a free one [default: what the directory's
    /// chancery.toml says, at first 127.0.0.1:7443; with a COMMAND a free port]
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
    /// Address and port of health and public keys, plain HTTP [default: what the directory's chancery.toml
    /// says, at first 127.0.0.1:7480; with a COMMAND a free port]
    #[arg(long, value_name = "IP:PORT")]
    admin_address: Option<SocketAddr>,
    /// The PKCS#11 module [default: SoftHSM's, where distributions put it]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Throw away the keys, certificates and policy of earlier starts first
    #[arg(long)]
    reset: bool,
    /// Log what happens, not only what is refused or goes wrong
    #[arg(long)]
    verbose: bool,
    /// Run this with CHANCERY_ADDR, CHANCERY_CA, CHANCERY_CERT and CHANCERY_KEY set, stop when it ends, and
    /// exit as it did
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Worker => {
            // A worker that can't log can still sign.
            let _ = telemetry::start(&telemetry::Config::default());
            pkcs11::run_worker()
        }
        Command::InitializeToken => pkcs11::run_initialization(),
        Command::Dev(arguments) => match try_out(arguments) {
            Ok(code) => ExitCode::from(code),
            Err(error) => finish(Err(error)),
        },
        Command::Serve { config } => finish(load(&config).and_then(serve)),
        Command::Check { config } => finish(load(&config).and_then(check)),
    }
}

fn load(path: &std::path::Path) -> Result<Config, String> {
    let config = Config::load(path).map_err(|error| error.to_string())?;
    telemetry::start(&config.log)?;
    Ok(config)
}

fn finish(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chanceryd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> Result<(), String> {
    chancery::server::harden()
        .map_err(|error| format!("this process can't be protected: {error}"))?;
    runtime(config.server.threads)?.block_on(async {
        let server = Server::bind(config, executable()?)
            .await
            .map_err(|error| error.to_string())?;
        server
            .serve(CancellationToken::new())
            .await
            .map_err(|error| error.to_string())
    })
}

fn try_out(arguments: DevArguments) -> Result<u8, String> {
    let filter = if arguments.verbose { "info" } else { "warn" };
    telemetry::start(&telemetry::Config {
        format: None,
        filter: Some(filter.to_owned()),
    })?;
    let options = dev::Options {
        directory: arguments.directory,
        address: arguments.address,
        admin_address: arguments.admin_address,
        module: arguments.module,
        reset: arguments.reset,
        command: arguments.command,
    };
    runtime(1)?.block_on(async {
        dev::run(options, &executable()?)
            .await
            .map_err(|error| error.to_string())
    })
}

fn check(mut config: Config) -> Result<(), String> {
    runtime(1)?.block_on(async {
        let tokens = open_tokens(&config, &executable()?);
        let policy = chancery::config::load_policy(&config.policy_file)
            .map_err(|error| error.to_string())?;
        let signer = Signer::new(tokens, std::mem::replace(&mut config.policy, policy));
        let up = wait_for_tokens(&signer, std::time::Duration::from_secs(60)).await;
        if up {
            Ok(())
        } else {
            Err("a token is not available; see above".to_owned())
        }
    })
}

fn executable() -> Result<PathBuf, String> {
    // By this link a worker is the same program even if the file was replaced meanwhile.
    Ok(PathBuf::from("/proc/self/exe"))
}

fn runtime(threads: u32) -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1) as usize)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))
}
