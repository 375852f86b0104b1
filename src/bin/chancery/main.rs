//! `chancery`: the command line client. Exact bytes go to stdout, words for people to stderr.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};

use chancery::client::{Client, Config, Wanted};

use crate::{
    output::Streams,
    trouble::{Exit, Trouble},
};

mod arguments;
mod audit;
mod create;
mod csr;
mod health;
mod http_message;
mod import;
mod jwe;
mod jws;
mod keys;
mod life;
mod message;
mod output;
mod partners;
mod platform;
mod policy;
mod proposals;
mod random;
mod schemes;
mod secret;
mod sign;
mod trouble;
mod verify;

/// Use keys that never leave their token: sign, verify, decrypt, and look after them
///
/// Results go to stdout byte for byte, everything else to stderr.
///
/// The daemon is found by flags, by the environment (CHANCERY_ADDR, CHANCERY_CA, CHANCERY_CERT,
/// CHANCERY_KEY; CHANCERY_SERVER_NAME if its certificate has another name than the address), or in the
/// directory of a running `chanceryd dev` (CHANCERY_DEV, or .chancery-dev where you are).
#[derive(Parser)]
#[command(
    name = "chancery",
    version,
    verbatim_doc_comment,
    after_help = "Exit status: 0 done, or valid; 1 failed, or not valid; 2 wrong usage or configuration;\n\
                  3 denied; 4 the daemon or its token can't be reached."
)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
#[command(next_help_heading = "Connection and output")]
struct Global {
    /// Address of the daemon, https://HOST:PORT [default: $CHANCERY_ADDR]
    #[arg(long, global = true, value_name = "ADDRESS")]
    addr: Option<String>,
    /// Certificate of the authority that signed the daemon's, PEM [default: $CHANCERY_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
    /// Client certificate, PEM [default: $CHANCERY_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<std::path::PathBuf>,
    /// Private key of the client certificate, PEM [default: $CHANCERY_KEY]
    // Not `--key`: that names the key in the token.
    #[arg(long, global = true, value_name = "FILE")]
    cert_key: Option<std::path::PathBuf>,
    /// Be this one of the identities that `chanceryd dev` made
    #[arg(id = "as", long, global = true, value_name = "NAME")]
    identity: Option<String>,
    /// Directory of a running `chanceryd dev` [default: $CHANCERY_DEV, or .chancery-dev]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    dev: Option<std::path::PathBuf>,
    /// Print the answer as one JSON object on stdout, errors as one on stderr
    ///
    /// Names are those of the protocol's fields (snake_case), bytes are base64, algorithms have their
    /// registered names. A file named with --out is written all the same.
    #[arg(long, global = true, verbatim_doc_comment)]
    json: bool,
    /// Give up after so many seconds [default: 10; none for messages over 1 MiB]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

#[derive(Subcommand)]
enum Command {
    Sign(sign::Sign),
    Verify(verify::Verify),
    /// Make and verify message authentication codes
    #[command(subcommand)]
    Mac(Mac),
    /// Make and verify JSON Web Signatures
    #[command(subcommand)]
    Jws(jws::Jws),
    /// Make and open JSON Web Encryption
    #[command(subcommand)]
    Jwe(jwe::Jwe),
    /// List keys, make them, get their public halves
    #[command(subcommand)]
    Keys(keys::Keys),
    Random(random::Random),
    /// Sign requests to platforms, and show what is signed of them
    #[command(subcommand)]
    Request(platform::RequestCommand),
    /// Sign answers to platforms, verify answers of theirs
    #[command(subcommand)]
    Response(platform::ResponseCommand),
    /// Verify what platforms call us with
    #[command(subcommand)]
    Callback(platform::CallbackCommand),
    /// Answer platforms that ask us for access tokens
    #[command(subcommand)]
    AccessTokens(platform::AccessTokensCommand),
    /// Encrypt single values to platforms, decrypt theirs
    #[command(subcommand)]
    Fields(platform::FieldsCommand),
    /// Approve what others propose, see what became of proposals of yours, execute them
    #[command(subcommand)]
    Proposals(proposals::Proposals),
    /// Ask a policy file what it allows, without a daemon
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// List partners, show whether their keys are ready, fetch their public keys
    #[command(subcommand)]
    Partners(partners::Partners),
    /// Read the audit log, prove its records; examine one without a daemon
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// List, show, test and try schemes, the signing rules of platforms
    #[command(subcommand)]
    Schemes(schemes::SchemesCommand),
    Health(health::Health),
}

#[derive(Subcommand)]
enum Mac {
    Sign(sign::MacSign),
    Verify(verify::MacVerify),
}

/// One run of the command: what it was told globally, and where it writes.
struct Session<'a> {
    global: Global,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    streams: &'a mut Streams,
}

impl Session<'_> {
    /// A client with the usual deadline.
    fn client(&self) -> Result<Client, Trouble> {
        self.client_with(Some(self.global.timeout.unwrap_or(TIMEOUT_SECONDS)))
    }

    /// A client for a call that takes as long as its input: no deadline but the one asked for.
    fn patient_client(&self) -> Result<Client, Trouble> {
        self.client_with(self.global.timeout)
    }

    fn client_with(&self, seconds: Option<u64>) -> Result<Client, Trouble> {
        let global = self.global.clone();
        let wanted = Wanted {
            address: global.addr,
            ca: global.ca,
            certificate: global.cert,
            key: global.cert_key,
            identity: global.identity,
            dev_directory: global.dev,
        };
        let config = Config::resolve(wanted, self.environment)?;
        let timeout = seconds.map(Duration::from_secs);
        Ok(Client::connect_within(&config, timeout)?)
    }

    async fn run(&mut self, command: Command) -> Result<(), Trouble> {
        match command {
            Command::Sign(sign) => sign.run(self).await,
            Command::Verify(verify) => verify.run(self).await,
            Command::Mac(Mac::Sign(sign)) => sign.run(self).await,
            Command::Mac(Mac::Verify(verify)) => verify.run(self).await,
            Command::Jws(jws) => jws.run(self).await,
            Command::Jwe(jwe) => jwe.run(self).await,
            Command::Keys(keys) => keys.run(self).await,
            Command::Random(random) => random.run(self).await,
            Command::Request(request) => request.run(self).await,
            Command::Response(response) => response.run(self).await,
            Command::Callback(callback) => callback.run(self).await,
            Command::AccessTokens(tokens) => tokens.run(self).await,
            Command::Fields(fields) => fields.run(self).await,
            Command::Proposals(proposals) => proposals.run(self).await,
            Command::Policy(policy) => policy.run(self).await,
            Command::Schemes(schemes) => schemes.run(self).await,
            Command::Partners(partners) => partners.run(self).await,
            Command::Audit(audit) => audit.run(self).await,
            Command::Health(health) => health.run(self).await,
        }
    }
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: can't start: {error}");
            return Exit::Failure.into();
        }
    };
    let mut streams = Streams {
        input: Some(Box::new(io::stdin())),
        output: Box::new(io::stdout()),
        error: Box::new(io::stderr()),
        output_is_terminal: io::stdout().is_terminal(),
    };
    let exit = runtime.block_on(run(env::args_os(), &|name| env::var_os(name), &mut streams));
    // A thread that still reads from stdin must not keep a finished command alive.
    runtime.shutdown_background();
    exit.into()
}

/// Everything but the process: arguments, environment and streams are given.
async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
    streams: &mut Streams,
) -> Exit {
    let CommandLine { global, command } = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Clap decides between stdout and stderr and adds colours; nothing is left to do if that fails.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
        }
    };
    let json = global.json;
    let mut session = Session {
        global,
        environment,
        streams,
    };
    let result = session.run(command).await;
    match result.and_then(|()| streams.flush()) {
        Ok(()) => Exit::Done,
        Err(trouble) => {
            trouble.report(streams, json);
            trouble.exit()
        }
    }
}

const TIMEOUT_SECONDS: u64 = 10;

#[cfg(test)]
mod tests;
