//! What the daemon does when its token fails: every caller is answered, nothing wrong is released, and it heals.
//!
//! The token is SoftHSM behind a module that fails when it is told to; the daemon is the shipped one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, Code, Status},
    proto::v1::{
        Algorithm, ContentEncryption, CreateKeyRequest, DecryptJweRequest, EcdsaEncoding,
        EncryptJweRequest, GetPublicKeyRequest, KeyPurpose, KeyType, SignRequest,
        encrypt_jwe_request::Recipient,
    },
};
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Fault, Function, MODULE_VARIABLE, Times, module_path,
};
use josekit::{
    jwk::Jwk,
    jws::{ES256, JwsVerifier},
};
use rustix::process::{Pid, Signal, kill_process};
use tonic_types::StatusExt;

use crate::{
    harness::{Daemon, Seat, Setup},
    softhsm::Token,
};

mod codes;
mod keys;
mod pin;
mod pressure;
mod soak;
mod tokens;
mod workers;

/// A daemon over a token that fails when it is told to.
struct Bench {
    control: Control,
    daemon: Daemon,
    client: Client,
}

/// One of the daemon's public keys, as OpenSSL verifies with it.
struct Verifier(Box<dyn JwsVerifier>);

impl Bench {
    /// With so many workers of so many threads, and these lines in the token's configuration. It has one key,
    /// `keys/payouts`, P-256.
    async fn start(workers: usize, threads: usize, lines: &str) -> Self {
        let bench = Self::with(|setup| {
            let seat = &mut setup.tokens[0];
            (seat.workers, seat.threads) = (workers, threads);
            seat.lines = lines.to_owned();
        });
        bench.create_payouts().await;
        // A worker that is killed while it logs in may leave a SoftHSM token that nobody can read any more.
        bench.whole(workers).await;
        bench
    }

    /// With what `edit` makes of the configuration, and no key yet.
    fn with(edit: impl FnOnce(&mut Setup)) -> Self {
        let token = Token::new("faults");
        let control = Control::create(&token.directory().join("control")).unwrap();
        let mut setup = Setup::new(token).rare_checkpoints();
        route(&mut setup.tokens[0], &control);
        edit(&mut setup);
        let daemon = setup.start();
        let client = daemon.client("test");
        Self {
            control,
            daemon,
            client,
        }
    }

    async fn create_payouts(&self) {
        let (kind, purpose) = (KeyType::EcP256, KeyPurpose::Sign);
        self.create("payouts", kind, purpose, Algorithm::Es256)
            .await;
    }

    async fn create(&self, id: &str, kind: KeyType, purpose: KeyPurpose, algorithm: Algorithm) {
        let encrypts = matches!(purpose, KeyPurpose::Decrypt | KeyPurpose::Wrap);
        let request = CreateKeyRequest {
            key_id: id.to_owned(),
            token: "main".to_owned(),
            r#type: kind.into(),
            purpose: purpose.into(),
            algorithms: vec![algorithm.into()],
            content_encryptions: if encrypts {
                vec![ContentEncryption::A256gcm.into()]
            } else {
                Vec::new()
            },
            compression_allowed: false,
            critical: false,
            request_id: String::new(),
            maximum_uses: 0,
        };
        // SoftHSM now and then fails to write what several processes look at; the answer says to ask again.
        for _ in 0..5 {
            match self.client.keys().create_key(request.clone()).await {
                Err(status) if status.code() == Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                made => {
                    made.unwrap();
                    return;
                }
            }
        }
        panic!("{id} can't be made");
    }

    /// Signs with `keys/payouts`.
    async fn sign(&self) -> Result<Vec<u8>, Status> {
        sign(&self.client, "keys/payouts", MESSAGE).await
    }

    /// Has this plaintext encrypted for a key.
    async fn encrypt(&self, name: &str, algorithm: Algorithm) -> String {
        let request = EncryptJweRequest {
            recipient: Some(Recipient::Name(name.to_owned())),
            algorithm: algorithm.into(),
            content_encryption: ContentEncryption::A256gcm.into(),
            plaintext: MESSAGE.into(),
            ..EncryptJweRequest::default()
        };
        let answer = self.client.jose().encrypt_jwe(request).await.unwrap();
        answer.into_inner().jwe
    }

    async fn decrypt(&self, name: &str, jwe: &str) -> Result<Vec<u8>, Status> {
        decrypt(&self.client, name, jwe).await
    }

    async fn verifier(&self, name: &str) -> Verifier {
        verifier(&self.client, name).await
    }

    /// Orders a fault from the next call on.
    fn order(&self, function: Function, fault: Fault, times: Times) {
        self.control.set(function, fault, times, 0).unwrap();
    }

    fn calls(&self, function: Function) -> u32 {
        self.control.calls(function).unwrap()
    }

    /// Signs until it goes well, and says how long that took. Nothing but a passing error is seen meanwhile.
    #[track_caller]
    fn heals(&self, limit: Duration) -> impl Future<Output = Duration> {
        let at = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            loop {
                match self.sign().await {
                    Ok(_) => return start.elapsed(),
                    Err(status) => {
                        assert!(passes(&status), "at {at}: {status:?}");
                        assert!(
                            start.elapsed() < limit,
                            "at {at}: it does not heal: {status:?}"
                        );
                    }
                }
                pause(10).await;
            }
        }
    }

    /// How many workers have come up so far, as the log says.
    fn started(&self) -> usize {
        started(&self.daemon)
    }

    /// Waits until so many workers are there and up.
    async fn whole(&self, workers: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failures = self.logged("worker did not start");
            let killed = self.logged("worker ended");
            // As many have started as are there and have ended: nobody is half way.
            if self.daemon.worker_pids().len() == workers && self.started() == killed + workers {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} workers, {} started, {killed} ended, {failures} failed",
                self.daemon.worker_pids().len(),
                self.started()
            );
            pause(10).await;
        }
    }

    fn logged(&self, part: &str) -> usize {
        logged(&self.daemon, part)
    }

    fn pin_marks(&self) -> usize {
        pin_marks(&self.daemon.directory().join("state"))
    }

    /// Returns when the daemon knows that they are gone.
    fn kill_workers(&self) {
        let pids = self.daemon.worker_pids();
        for pid in &pids {
            kill(*pid, Signal::KILL);
        }
        let deadline = Instant::now() + PATIENCE;
        while self
            .daemon
            .worker_pids()
            .iter()
            .any(|pid| pids.contains(pid))
        {
            assert!(Instant::now() < deadline, "{pids:?} are still there");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn serving(&self) -> bool {
        self.daemon.admin_get("/readyz").0 == 200
    }
}

impl Verifier {
    fn takes(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(message, signature).is_ok()
    }
}

/// Has this token reached through the module that fails.
fn route(seat: &mut Seat, control: &Control) {
    seat.module = Some(module_path());
    let real = seat.token.module_path().display().to_string();
    let control = control.path().display().to_string();
    seat.environment.insert(MODULE_VARIABLE.to_owned(), real);
    seat.environment
        .insert(CONTROL_VARIABLE.to_owned(), control);
}

async fn sign(client: &Client, name: &str, message: &[u8]) -> Result<Vec<u8>, Status> {
    let request = SignRequest {
        name: name.to_owned(),
        algorithm: Algorithm::Es256.into(),
        message: Some(message.to_vec().into()),
        ecdsa_encoding: EcdsaEncoding::Raw.into(),
        ..SignRequest::default()
    };
    let answer = client.signing().sign(client.request(request)).await?;
    Ok(answer.into_inner().signature.to_vec())
}

async fn decrypt(client: &Client, name: &str, jwe: &str) -> Result<Vec<u8>, Status> {
    let request = DecryptJweRequest {
        name: name.to_owned(),
        jwe: jwe.to_owned(),
    };
    let answer = client.jose().decrypt_jwe(client.request(request)).await?;
    Ok(answer.into_inner().plaintext.to_vec())
}

async fn verifier(client: &Client, name: &str) -> Verifier {
    let request = GetPublicKeyRequest {
        name: name.to_owned(),
    };
    let answer = client.keys().get_public_key(request).await.unwrap();
    let jwk = Jwk::from_bytes(&answer.into_inner().jwk).unwrap();
    Verifier(Box::new(ES256.verifier_from_jwk(&jwk).unwrap()))
}

/// Whether the daemon says that the same call may go well soon, and when to make it.
fn passes(status: &Status) -> bool {
    let details = status.get_error_details();
    let told = details
        .retry_info()
        .is_some_and(|info| info.retry_delay.is_some());
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) && told
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

fn kill(pid: Pid, signal: Signal) {
    // One that is gone already is as good as killed.
    let _ = kill_process(pid, signal);
}

fn logged(daemon: &Daemon, part: &str) -> usize {
    let lines = daemon.log_lines();
    lines.iter().filter(|line| line.contains(part)).count()
}

fn started(daemon: &Daemon) -> usize {
    logged(daemon, r#""message":"worker ready""#)
}

fn pin_marks(state: &Path) -> usize {
    let entries = fs::read_dir(state).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("pin-refused") && name.ends_with(".json"))
        .count()
}

/// Waits until this holds.
#[track_caller]
fn until(
    what: &'static str,
    limit: Duration,
    mut holds: impl FnMut() -> bool,
) -> impl Future<Output = Duration> {
    let at = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < limit, "at {at}: {what}");
            pause(10).await;
        }
        start.elapsed()
    }
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// What the daemon's process holds: descriptors and threads.
fn holdings(pid: Pid) -> (usize, usize) {
    let count = |name: &str| {
        let path: PathBuf = format!("/proc/{}/{name}", pid.as_raw_nonzero()).into();
        fs::read_dir(path).unwrap().count()
    };
    (count("fd"), count("task"))
}

/// Keys that open messages, one for each way: their names, types, purposes and algorithms.
const OPENERS: [(&str, KeyType, KeyPurpose, Algorithm); 3] = [
    (
        "letters",
        KeyType::Rsa2048,
        KeyPurpose::Decrypt,
        Algorithm::RsaOaep256,
    ),
    (
        "agreements",
        KeyType::EcP256,
        KeyPurpose::Decrypt,
        Algorithm::EcdhEsA256kw,
    ),
    (
        "wraps",
        KeyType::Aes256,
        KeyPurpose::Wrap,
        Algorithm::A256kw,
    ),
];
const MESSAGE: &[u8] = b"pay 100 to the bearer";
/// The machine may be busy; what takes this long never comes.
const PATIENCE: Duration = Duration::from_secs(60);
