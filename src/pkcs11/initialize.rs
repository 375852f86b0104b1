//! Initialising a new token, in a process of its own: the daemon never loads a module, and no PIN is an argument.
//!
//! It is this same program, started as `chanceryd initialize-token`: the order comes as JSON on standard
//! input, the answer goes as JSON to standard output, and the process ends like a worker, by killing itself.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::UserType,
    slot::Slot,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::{
    errors::{Fault, Work},
    pin::PinSource,
    worker::{end, harden},
};

/// A token that is to be there, with a user PIN.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// The label that the token gets, at most 32 bytes.
    pub label: String,
    /// Where the PIN of its security officer is read from.
    pub so_pin: PinSource,
    /// Where the PIN of its user is read from.
    pub user_pin: PinSource,
}

/// What was found and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initialized {
    /// There was no such token, and now there is.
    Now,
    /// It was there already, with its user PIN.
    Before,
}

/// Sees to it that the token is there; started again after it was cut short, it finishes.
///
/// # Errors
///
/// A sentence: what failed, and what the token answered.
pub async fn initialize(
    executable: &Path,
    wanted: &NewToken,
    environment: &BTreeMap<String, String>,
) -> Result<Initialized, String> {
    let mut command = std::process::Command::new(executable);
    command
        .arg0("chanceryd")
        .arg("initialize-token")
        .process_group(0)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let order = serde_json::to_vec(wanted).expect("paths in UTF-8 and names");
    let mut command = tokio::process::Command::from(command);
    let exchange = async {
        let mut child = command.kill_on_drop(true).spawn()?;
        let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(&order).await?;
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("the module did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("the process that initialises the token failed: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| Err(format!("the module {} crashed", wanted.module.display())))
}

/// Does what standard input says. Never returns in the ordinary course.
pub fn run() -> ExitCode {
    let outcome = harden()
        .map_err(|error| error.to_string())
        .and_then(|()| obey());
    let answer = serde_json::to_string(&outcome).expect("a name or a text");
    let mut output = io::stdout().lock();
    // If the answer can't be given, its absence is the answer.
    let _ = output
        .write_all(answer.as_bytes())
        .and_then(|()| output.flush());
    end()
}

fn obey() -> Result<Initialized, String> {
    let mut order = String::new();
    io::stdin()
        .take(MAX_ORDER)
        .read_to_string(&mut order)
        .map_err(|error| error.to_string())?;
    let wanted: NewToken = serde_json::from_str(&order).map_err(|error| error.to_string())?;
    let pkcs11 = Pkcs11::new(&wanted.module).map_err(|error| {
        format!(
            "the PKCS#11 module {} can't be loaded: {error}",
            wanted.module.display()
        )
    })?;
    pkcs11
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(answered)?;
    let (so_pin, user_pin) = (wanted.so_pin.read()?, wanted.user_pin.read()?);
    let (mut blank, mut fitting) = (None, None);
    for slot in pkcs11.get_slots_with_token().map_err(answered)? {
        let info = pkcs11.get_token_info(slot).map_err(answered)?;
        if !info.token_initialized() {
            blank.get_or_insert(slot);
        } else if info.label().trim_end() == wanted.label {
            fitting = Some((slot, info.user_pin_initialized()));
        }
    }
    match (fitting, blank) {
        (Some((_, true)), _) => Ok(Initialized::Before),
        // Cut short between the two calls.
        (Some((slot, false)), _) => set_user_pin(&pkcs11, slot, &so_pin, &user_pin),
        (None, Some(slot)) => {
            pkcs11
                .init_token(slot, &so_pin, &wanted.label)
                .map_err(answered)?;
            set_user_pin(&pkcs11, slot, &so_pin, &user_pin)
        }
        (None, None) => Err(format!(
            "{} has no slot with a token that is not initialised yet",
            wanted.module.display()
        )),
    }
}

fn set_user_pin(
    pkcs11: &Pkcs11,
    slot: Slot,
    so_pin: &SecretString,
    user_pin: &SecretString,
) -> Result<Initialized, String> {
    let session = pkcs11.open_rw_session(slot).map_err(answered)?;
    session
        .login(UserType::So, Some(so_pin))
        .map_err(answered)?;
    session.init_pin(user_pin).map_err(answered)?;
    Ok(Initialized::Now)
}

fn answered(error: cryptoki::error::Error) -> String {
    Fault::of(&error, Work::Ours).to_string()
}

/// A software token needs a tenth of a second, most of it for hashing PINs.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ORDER: u64 = 64 << 10;
