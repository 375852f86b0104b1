//! The bare token: `cryptoki` alone, in a child process of the benchmark, as the daemon's workers have it.
//!
//! The child is this same program, started as `cost bare MODULE LABEL PIN` with `SOFTHSM2_CONF` in its
//! environment. It reads one [`Order`] a line and answers each with one line of JSON.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use serde::{Deserialize, Serialize};

use crate::{
    kind::{INPUT, Kind},
    sample::{Pace, Sample},
};

/// The child, seen from the benchmark.
pub(crate) struct Bare {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the child is told to do.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Sign on so many threads, each with a session of its own.
    Sign {
        kind: Kind,
        threads: usize,
        duration: Duration,
        pace: Pace,
    },
    /// Make so many keys, with the records that the daemon would have made for them.
    Fill { count: usize },
}

impl Bare {
    /// Starts the child and waits until it is logged in.
    pub(crate) fn start(conf: &Path, module: &Path, label: &str, pin: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("the path of the benchmark"))
            .arg(ARGUMENT)
            .arg(module)
            .args([label, pin])
            .env("SOFTHSM2_CONF", conf)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            orders,
            answers,
        }
    }

    /// Signs for so long.
    pub(crate) fn sign(
        &mut self,
        kind: Kind,
        threads: usize,
        duration: Duration,
        pace: Pace,
    ) -> Sample {
        self.order(&Order::Sign {
            kind,
            threads,
            duration,
            pace,
        })
    }

    /// The child's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Makes so many P-256 keys like the one that the daemon made.
    pub(crate) fn fill(&mut self, count: usize) {
        self.order(&Order::Fill { count })
    }

    fn order<T: serde::de::DeserializeOwned>(&mut self, order: &Order) -> T {
        let line = serde_json::to_string(order).expect("plain data");
        writeln!(self.orders, "{line}").expect("the child lives");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the child lives");
        serde_json::from_str(&answer).expect("the child's answer")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first argument of the child.
pub(crate) const ARGUMENT: &str = "bare";

/// The child's life.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [module, label, pin] = arguments else {
        return Err("expected MODULE LABEL PIN".into());
    };
    let pkcs11 = Pkcs11::new(module)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = pkcs11
        .get_slots_with_initialized_token()?
        .into_iter()
        .find(|slot| {
            pkcs11
                .get_token_info(*slot)
                .is_ok_and(|info| info.label().trim_end() == label)
        })
        .ok_or("no such token")?;
    // Log-in lasts as long as a session is open.
    let session = pkcs11.open_rw_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::from(pin.as_str())))?;
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Order::Sign {
                kind,
                threads,
                duration,
                pace,
            } => serde_json::to_string(&sign(
                &pkcs11, slot, &session, kind, threads, duration, pace,
            )?)?,
            Order::Fill { count } => serde_json::to_string(&fill(&session, count)?)?,
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn sign(
    pkcs11: &Pkcs11,
    slot: Slot,
    session: &Session,
    kind: Kind,
    threads: usize,
    duration: Duration,
    pace: Pace,
) -> cryptoki::error::Result<Sample> {
    let handle = find(session, kind)?;
    let sessions = (0..threads)
        .map(|_| pkcs11.open_ro_session(slot))
        .collect::<Result<Vec<_>, _>>()?;
    let samples = thread::scope(|scope| {
        let running: Vec<_> = sessions
            .into_iter()
            .map(|session| scope.spawn(move || sign_alone(&session, handle, kind, duration, pace)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Sample::sum(samples))
}

fn sign_alone(
    session: &Session,
    key: ObjectHandle,
    kind: Kind,
    duration: Duration,
    pace: Pace,
) -> cryptoki::error::Result<Sample> {
    let (mechanism, input) = match kind {
        Kind::Rsa2048 => (Mechanism::RsaPkcs, [&DIGEST_INFO[..], &INPUT].concat()),
        Kind::P256 => (Mechanism::Ecdsa, INPUT.to_vec()),
        Kind::Hmac => (Mechanism::Sha256Hmac, INPUT.to_vec()),
    };
    session.sign(&mechanism, key, &input)?;
    let mut sample = Sample::start();
    let start = Instant::now();
    while start.elapsed() < duration {
        let before = Instant::now();
        session.sign(&mechanism, key, &input)?;
        sample.took(before.elapsed(), 1);
        if let Some(pause) = pace.pause() {
            thread::sleep(pause);
        }
    }
    sample.seconds = start.elapsed().as_secs_f64();
    Ok(sample)
}

fn find(session: &Session, kind: Kind) -> cryptoki::error::Result<ObjectHandle> {
    let class = match kind {
        Kind::Rsa2048 | Kind::P256 => ObjectClass::PRIVATE_KEY,
        Kind::Hmac => ObjectClass::SECRET_KEY,
    };
    let label = Attribute::Label(kind.label().into_bytes());
    let found = session.find_objects(&[Attribute::Class(class), label])?;
    assert_eq!(found.len(), 1, "one key {}", kind.label());
    Ok(found[0])
}

/// Each is three objects, as the daemon makes them: the record, the public and the private key. The record
/// is copied from the one that the daemon made.
fn fill(session: &Session, count: usize) -> cryptoki::error::Result<()> {
    let record = session.find_objects(&[
        Attribute::Class(ObjectClass::DATA),
        Attribute::Label(Kind::P256.key().as_bytes().to_vec()),
    ])?[0];
    let wanted = [AttributeType::Application, AttributeType::Value];
    let mut template = session.get_attributes(record, &wanted)?;
    template.extend([
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
    ]);
    for number in 0..count {
        let name = format!("filler-{number:04}");
        let mut record = template.clone();
        record.push(Attribute::Label(name.clone().into_bytes()));
        session.create_object(&record)?;
        let shared = [
            Attribute::Token(true),
            Attribute::Label(format!("{name}/1").into_bytes()),
            Attribute::Id(name.into_bytes()),
        ];
        let mut public = shared.to_vec();
        public.extend([
            Attribute::EcParams(P256.to_vec()),
            Attribute::Private(false),
            Attribute::Verify(true),
        ]);
        let mut private = shared.to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Derive(false),
        ]);
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    }
    Ok(())
}

/// DER of an AlgorithmIdentifier of SHA-256 and the head of its digest (RFC 8017 section 9.2, note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
/// DER of the object identifier 1.2.840.10045.3.1.7.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
