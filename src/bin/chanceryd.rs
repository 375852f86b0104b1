//! The daemon: `serve`, `check`, `dev`, and the workers that it starts itself.

use std::{path::PathBuf, process::ExitCode};

use chancery::{
    config::Config,
    pkcs11,
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
    /// Speak to a token on the daemon's behalf. The daemon starts this itself.
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Worker => {
            // A worker that can't log can still sign.
            let _ = telemetry::start(&telemetry::Config::default());
            pkcs11::run_worker()
        }
        Command::Serve { config } => finish(load(&config).and_then(|config| serve(config))),
        Command::Check { config } => finish(load(&config).and_then(|config| check(config))),
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

fn check(mut config: Config) -> Result<(), String> {
    runtime(1)?.block_on(async {
        let tokens = open_tokens(&config, &executable()?);
        let policy = chancery::config::load_policy(&config.policy_file)
            .map_err(|error| error.to_string())?;
        let signer = Signer::new(tokens, std::mem::replace(&mut config.policy, policy));
        let up = wait_for_tokens(&signer, std::time::Duration::from_secs(60)).await;
        for token in signer.tokens() {
            token.stop().await;
        }
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
