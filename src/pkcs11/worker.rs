//! The worker process: the only one that loads a vendor's module, reads the PIN and logs in.
//!
//! It is this same program, started as `chanceryd worker` with a socket for its standard input. PKCS#11 has
//! no time-outs and modules crash, so everything here may hang or die at any time; the daemon kills it and
//! starts another. It ends by killing itself: `exit` would run the module's destructors, which crash too.

use std::{
    fs::File,
    io::{self, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, KeyType as TokenKeyType, ObjectClass},
    session::{Session, UserType},
    slot::{Limit, Slot, TokenInfo},
};
use rustix::{
    fs::FlockOperation,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
    process::{DumpableBehavior, Resource, Rlimit, Signal},
};

use super::{
    errors::{Fault, Treatment, Work},
    mechanism::{oaep_sha256, oaep_sha256_mgf1_sha1},
    operation::{Lane, Module},
    pin::Mark,
    protocol::{
        Capabilities, Inventory, MechanismFacts, Selector, Setup, StartError, Started, TokenFacts,
        receive, send,
    },
    state_file,
    turns::Turns,
};

/// Runs a worker until the daemon closes its socket. Never returns in the ordinary course.
pub fn run() -> ExitCode {
    let outcome = harden().and_then(|()| serve());
    if let Err(error) = outcome {
        tracing::error!(%error, "worker failed");
    }
    end()
}

/// Nobody may read this process's memory.
pub(super) fn harden() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    // A panic in one lane leaves locks and sessions in doubt: the whole worker goes.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        end();
    }));
    Ok(())
}

/// Ends at once, without destructors.
pub(super) fn end() -> ! {
    loop {
        // Cannot fail: a process may always signal itself.
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    }
}

fn serve() -> io::Result<()> {
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let lanes = receive_lanes(&control)?;
    let setup: Setup = receive(&mut control)?;
    if lanes.len() != setup.lanes {
        return Err(io::Error::other(
            "the daemon sent another number of lanes than it said",
        ));
    }
    let started = Arc::new(AtomicBool::new(false));
    end_with_the_daemon(control.try_clone()?, Arc::clone(&started))?;
    let outcome = start(&setup);
    started.store(true, Ordering::Release);
    let module = match outcome {
        Ok((module, inventory)) => {
            send(&mut control, &Started::Ok(inventory))?;
            Arc::new(module)
        }
        Err(error) => {
            send(&mut control, &Started::Err(error))?;
            // Until the daemon has read it, and closes its end.
            loop {
                thread::park();
            }
        }
    };
    for stream in lanes {
        let lane = Lane::new(Arc::clone(&module));
        thread::Builder::new()
            .name("lane".to_owned())
            .spawn(move || run_lane(lane, stream))?;
    }
    loop {
        thread::park();
    }
}

/// Must not outlive the daemon, but may not end in the middle of a log-in either: SoftHSM rewrites its token file
/// then, and leaves one that nobody can read. A signal of the parent's death would not wait for that.
fn end_with_the_daemon(mut control: UnixStream, started: Arc<AtomicBool>) -> io::Result<()> {
    let watch = move || {
        // Nothing more is said here; the end of the stream is the daemon's end.
        let _ = control.read(&mut [0]);
        let mut patience = LAST_START;
        while !started.load(Ordering::Acquire) && !patience.is_zero() {
            thread::sleep(STEP);
            patience -= STEP;
        }
        end();
    };
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(watch)?;
    Ok(())
}

fn run_lane(mut lane: Lane, stream: UnixStream) {
    let mut reader = io::BufReader::with_capacity(64 << 10, &stream);
    let mut writer = &stream;
    loop {
        let exchanged =
            receive(&mut reader).and_then(|request| send(&mut writer, &lane.execute(request)));
        if exchanged.is_err() {
            end();
        }
    }
}

/// The lanes come as descriptors beside one byte (`SCM_RIGHTS`).
fn receive_lanes(control: &UnixStream) -> io::Result<Vec<UnixStream>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LANES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(
        control,
        &mut [io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    Ok(ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .map(|descriptor: OwnedFd| UnixStream::from(descriptor))
        .collect())
}

/// Loads, finds the token, logs in, lists.
fn start(setup: &Setup) -> Result<(Module, Inventory), StartError> {
    let pkcs11 = Pkcs11::new(&setup.module).map_err(|error| StartError::Module {
        module: setup.module.display().to_string(),
        cause: error.to_string(),
    })?;
    // SoftHSM 2.6 fails half the time when several processes start and log in at once.
    let lock = lock(&setup.state_directory, &setup.module).map_err(|error| {
        StartError::Token(Fault::new(
            Treatment::Configuration,
            "start lock",
            error.to_string(),
        ))
    })?;
    // Without this flag a module may assume one thread: two crash or hang it.
    pkcs11
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(token)?;
    let (slot, info) = select(&pkcs11, &setup.token)?;
    let pinned = log_in(&pkcs11, slot, &info, setup)?;
    drop(lock);
    let facts = facts(&info);
    let capabilities = capabilities(&pkcs11, slot, &pinned).map_err(token)?;
    let turns = Turns::new(&setup.state_directory, &setup.module);
    Module::new(
        pkcs11,
        slot,
        facts,
        capabilities,
        pinned,
        turns,
        &setup.known,
    )
    .map_err(StartError::Token)
}

fn lock(directory: &Path, module: &Path) -> io::Result<File> {
    let path = state_file::of_module(directory, "start", module);
    let file = state_file::open(&path, 0o600)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// The one token that fits. Slots are looked through, never named.
pub(super) fn select(pkcs11: &Pkcs11, wanted: &Selector) -> Result<(Slot, TokenInfo), StartError> {
    let mut fitting = Vec::new();
    let mut present = Vec::new();
    let mut unreadable = None;
    for slot in pkcs11.get_slots_with_token().map_err(token)? {
        let info = match pkcs11.get_token_info(slot) {
            Ok(info) => info,
            // Another token of the same module may be broken, or just now be written to.
            Err(error) => {
                present.push("one that can't be read".to_owned());
                unreadable = Some(error);
                continue;
            }
        };
        if !info.token_initialized() {
            continue;
        }
        present.push(format!(
            "{:?} (serial {})",
            info.label().trim_end(),
            info.serial_number().trim_end()
        ));
        let label_fits = wanted
            .label
            .as_deref()
            .is_none_or(|label| label == info.label().trim_end());
        let serial_fits = wanted
            .serial
            .as_deref()
            .is_none_or(|serial| serial == info.serial_number().trim_end());
        if label_fits && serial_fits {
            fitting.push((slot, info));
        }
    }
    let shown = if present.is_empty() {
        "no initialised token".to_owned()
    } else {
        present.join(", ")
    };
    match (fitting.len(), unreadable) {
        (1, _) => Ok(fitting.swap_remove(0)),
        (0, Some(error)) => Err(token(error)),
        (0, None) => Err(StartError::Absent {
            wanted: wanted.to_string(),
            present: shown,
        }),
        (count, _) => Err(StartError::Ambiguous {
            wanted: wanted.to_string(),
            count,
            present: shown,
        }),
    }
}

fn log_in(
    pkcs11: &Pkcs11,
    slot: Slot,
    info: &TokenInfo,
    setup: &Setup,
) -> Result<Session, StartError> {
    let at_risk = if info.user_pin_locked() {
        Some("is locked")
    } else if info.user_pin_final_try() {
        Some("has one try left")
    } else {
        None
    };
    if let Some(why) = at_risk {
        return Err(StartError::PinAtRisk(why.to_owned()));
    }
    let pin = setup.pin.read().map_err(StartError::PinSource)?;
    let mark = Mark::new(&setup.state_directory, info.serial_number().trim_end());
    if mark.path().exists() && mark.holds(&pin) {
        return Err(StartError::PinRefusedBefore {
            mark: mark.path().display().to_string(),
        });
    }
    // First a place to remember a refusal, then the try.
    let place = mark.prepare().map_err(|error| StartError::NoMark {
        mark: mark.path().display().to_string(),
        cause: error.to_string(),
    })?;
    let mut tries = 0;
    loop {
        tries += 1;
        let session = pkcs11.open_ro_session(slot).map_err(token)?;
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                mark.clear();
                return Ok(session);
            }
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinLenRange
                | RvError::PinInvalid
                | RvError::PinExpired,
                _,
            )) => {
                if let Err(error) = mark.set(place, &pin) {
                    tracing::error!(%error, mark = %mark.path().display(), "the refused PIN can't be remembered");
                }
                return Err(StartError::PinRefused);
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                return Err(StartError::PinAtRisk("is locked".to_owned()));
            }
            // What SoftHSM answers while another process is writing its token file; see the start lock,
            // which other programs do not take.
            Err(Error::Pkcs11(
                RvError::GeneralError
                | RvError::UserPinNotInitialized
                | RvError::TokenNotRecognized,
                _,
            )) if tries < setup.start_attempts => {
                drop(session);
                thread::sleep(setup.start_pause);
            }
            Err(error) => return Err(token(error)),
        }
    }
}

fn facts(info: &TokenInfo) -> TokenFacts {
    TokenFacts {
        label: info.label().trim_end().to_owned(),
        serial: info.serial_number().trim_end().to_owned(),
        manufacturer: info.manufacturer_id().trim_end().to_owned(),
        model: info.model().trim_end().to_owned(),
        firmware: info.firmware_version().to_string(),
        max_sessions: match info.max_session_count() {
            Limit::Max(count) => Some(count),
            Limit::Infinite | Limit::Unavailable => None,
        },
        pin_count_low: info.user_pin_count_low(),
    }
}

fn capabilities(pkcs11: &Pkcs11, slot: Slot, session: &Session) -> Result<Capabilities, Error> {
    let mut mechanisms = Vec::new();
    for mechanism in pkcs11.get_mechanism_list(slot)? {
        let info = pkcs11.get_mechanism_info(slot, mechanism)?;
        mechanisms.push(MechanismFacts::new(
            mechanism,
            info.min_key_size() as u64,
            info.max_key_size() as u64,
        ));
    }
    let lists_oaep = mechanisms
        .iter()
        .any(|facts| facts.number == *MechanismType::RSA_PKCS_OAEP);
    Ok(Capabilities {
        oaep_sha256: lists_oaep && can_begin(&oaep_sha256(), pkcs11, slot, session),
        oaep_sha256_mgf1_sha1: lists_oaep
            && can_begin(&oaep_sha256_mgf1_sha1(), pkcs11, slot, session),
        mechanisms,
    })
}

/// The mechanism list does not say with which hashes; so one encryption with a passing public key is begun.
fn can_begin(oaep: &Mechanism<'_>, pkcs11: &Pkcs11, slot: Slot, _logged_in: &Session) -> bool {
    let mut modulus = vec![0xff; 256];
    modulus[255] = 0xfd;
    let template = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(TokenKeyType::RSA),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Encrypt(true),
        Attribute::Modulus(modulus),
        Attribute::PublicExponent(vec![1, 0, 1]),
    ];
    // The session, and with it the object and whatever was begun, ends with this function.
    let probe = || {
        let session = pkcs11.open_ro_session(slot)?;
        let key = session.create_object(&template)?;
        session.encrypt_init(oaep, key)
    };
    probe().is_ok()
}

fn token(error: Error) -> StartError {
    StartError::Token(Fault::of(&error, Work::Ours))
}

/// The most lanes that one worker can be given.
pub(super) const MAX_LANES: usize = 64;

/// So long a start may go on after the daemon is gone.
const LAST_START: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);
