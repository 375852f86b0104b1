//! The daemon: `serve`, `check`, `dev`, and the workers that it starts itself.

use std::{ffi::OsString, io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use chancery::{check::Report, config::Config, dev, pkcs11, server::Server, telemetry};
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

/// Keeps keys in a PKCS#11 token and gives applications the results of using them.
#[derive(Parser)]
#[command(name = "chanceryd", version)]
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
    /// Load the configuration, open the tokens, show what is there; exit with 1 if the daemon would not do what
    /// the configuration says.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
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
        Command::Check { config, json } => finish(check(&config, json)),
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

fn check(path: &std::path::Path, json: bool) -> Result<(), String> {
    // What it would say is in the report.
    telemetry::start(&telemetry::Config {
        format: None,
        filter: Some("off".to_owned()),
    })?;
    let report = match Config::load(path) {
        Ok(config) => {
            let report = async { Ok::<_, String>(Report::of(config, &executable()?).await) };
            runtime(1)?.block_on(report)?
        }
        Err(error) if json => Report::unreadable(error.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    let text = if json {
        let report = serde_json::json!({ "ok": report.is_good(), "report": report });
        format!("{report:#}\n")
    } else {
        report.to_string()
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| format!("the report can't be written: {error}"))?;
    if report.is_good() {
        Ok(())
    } else {
        Err("the daemon would not do what this configuration says".to_owned())
    }
}

fn executable() -> Result<PathBuf, String> {
    // By this link a worker is the same program even if the file was replaced meanwhile.
    Ok(PathBuf::from("/proc/self/exe"))
}

fn runtime(threads: u32) -> Result<tokio::runtime::Runtime, String> {
    // One thread needs no scheduler that shares work between several.
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .worker_threads(threads.max(1) as usize)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))
}
