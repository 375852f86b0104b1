//! The PIN: a wrong one is tried once, ever; a right one is read from wherever it may be, and seen nowhere else.

use std::{
    fs::File,
    os::unix::fs::PermissionsExt,
    process::{Child, Command},
};

use chancery::proto::v1::ListKeysRequest;

use super::*;
use crate::{harness::children, softhsm::PIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_is_tried_once_ever_and_the_right_one_heals() {
    let mut bench = Bench::with(|setup| write_pin(&setup.tokens[0].token, "1234", 0o400));
    let line = bench.daemon.wait_for_log("the token refused the PIN");
    assert!(line.contains("ERROR"), "{line}");
    for _ in 0..5 {
        let (code, text) = bench.daemon.admin_get("/readyz");
        assert_eq!(code, 503);
        assert!(text.contains("PIN") && !text.contains("1234"), "{text}");
        let mut keys = bench.client.keys();
        let listed = keys.list_keys(ListKeysRequest::default()).await;
        let unknown = listed.expect_err("nobody knows which keys there are");
        assert_eq!(reason(&unknown), "TOKEN_UNAVAILABLE", "{unknown:?}");
        let (code, _) = bench.daemon.admin_get("/.well-known/jwks.json");
        assert_eq!(code, 503);
        let status = bench.sign_anything().await;
        assert_eq!(reason(&status), "TOKEN_UNAVAILABLE", "{status:?}");
        assert!(passes(&status), "{status:?}");
        bench.daemon.restart().await;
        bench.client = bench.daemon.client("test");
        bench.daemon.wait_for_log("refused before");
    }
    pause(2000).await;
    assert_eq!(
        bench.calls(Function::Login),
        1,
        "a PIN that was refused is not tried again"
    );
    assert_eq!(bench.pin_marks(), 1);
    assert!(
        bench
            .daemon
            .log_lines()
            .iter()
            .all(|line| !line.contains("\"1234\""))
    );

    write_pin(bench.daemon.token(), PIN, 0o400);
    let took = until("it does not heal", PATIENCE, || bench.serving()).await;
    eprintln!("healed {took:?} after the PIN was corrected");
    bench.create_payouts().await;
    bench.sign().await.unwrap();
    bench.whole(2).await;
    assert_eq!(bench.pin_marks(), 0);
    assert_eq!(bench.calls(Function::Login), 3, "one more for each worker");
}

/// Whatever the token says of a PIN, it is not asked twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_about_the_pin_is_asked_for_twice() {
    for (code, name) in [
        (0xa0, "CKR_PIN_INCORRECT"),
        (0xa1, "CKR_PIN_INVALID"),
        (0xa2, "CKR_PIN_LEN_RANGE"),
        (0xa3, "CKR_PIN_EXPIRED"),
    ] {
        let bench = Bench::with(|setup| {
            let control = setup.tokens[0].token.directory().join("control");
            let control = Control::create(&control).unwrap();
            control
                .set(Function::Login, Fault::Return(code), Times::Forever, 0)
                .unwrap();
        });
        until("it is not down", PATIENCE, || !bench.serving()).await;
        pause(1000).await;
        assert_eq!(bench.calls(Function::Login), 1, "{name}");
        assert_eq!(bench.pin_marks(), 1, "{name}");
    }
}

/// A token that is locked is left alone; trying again may start its clock anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_token_is_asked_seldom() {
    let bench = Bench::with(|setup| {
        let control = setup.tokens[0].token.directory().join("control");
        let control = Control::create(&control).unwrap();
        control
            .set(Function::Login, Fault::Return(0xa4), Times::Forever, 0)
            .unwrap();
    });
    until("it is not down", PATIENCE, || !bench.serving()).await;
    pause(2500).await;
    let calls = bench.calls(Function::Login);
    assert!(calls <= 2, "{calls} log-ins at a locked token");
    assert_eq!(bench.pin_marks(), 0, "the PIN may be right");
    let (_, text) = bench.daemon.admin_get("/readyz");
    assert!(text.contains("locked"), "{text}");
    bench.control.clear().unwrap();
    until("it does not heal", PATIENCE, || bench.serving()).await;
}

/// Without a place to remember that a PIN was refused, it is not tried at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_could_not_be_remembered_is_not_tried() {
    let bench = Bench::with(|_| {});
    until("it is not ready", PATIENCE, || bench.serving()).await;
    bench.whole(2).await;
    let before = bench.calls(Function::Login);
    // A directory where the mark would be made.
    let state = bench.daemon.directory().join("state");
    let mark = bench.daemon.log_lines();
    assert!(mark.iter().all(|line| !line.contains("pin-refused")));
    let serial = serials(bench.daemon.token())[0].clone();
    let obstacle = state.join(format!("pin-refused-{serial}.json.new"));
    fs::create_dir(&obstacle).unwrap();
    bench.kill_workers();
    let line = bench.daemon.wait_for_log("could not be remembered");
    assert!(line.contains("state"), "{line}");
    assert_eq!(bench.calls(Function::Login), before);
    fs::remove_dir(obstacle).unwrap();
    until("it does not heal", PATIENCE, || bench.serving()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_file_that_others_can_read_or_that_is_missing_is_refused() {
    let bench = Bench::with(|setup| write_pin(&setup.tokens[0].token, PIN, 0o644));
    let line = bench.daemon.wait_for_log("mode 0644");
    assert!(line.contains("chmod 400"), "{line}");
    let pin = bench.daemon.token().pin_file();
    fs::remove_file(&pin).unwrap();
    bench.daemon.wait_for_log("No such file");
    assert!(!bench.serving());
    assert_eq!(bench.calls(Function::Login), 0);
    write_pin(bench.daemon.token(), PIN, 0o400);
    until("it does not heal", PATIENCE, || bench.serving()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_comes_by_descriptor_also_for_the_second_worker() {
    let daemon = Raw::start("pin = { descriptor = 5 }", |command, pin| {
        command.args(["-c", r#"exec "$0" serve --config "$1" 5<"$2""#]);
        command.arg(env!("CARGO_BIN_EXE_chanceryd"));
        let _ = pin;
    });
    daemon.comes_up_twice().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_comes_as_a_systemd_credential() {
    let daemon = Raw::start(r#"pin = { credential = "hsm-pin" }"#, |command, pin| {
        let directory = pin.with_file_name("credentials");
        fs::create_dir(&directory).unwrap();
        fs::copy(pin, directory.join("hsm-pin")).unwrap();
        command.env("CREDENTIALS_DIRECTORY", directory);
        command.args(["-c", r#"exec "$0" serve --config "$1""#]);
        command.arg(env!("CARGO_BIN_EXE_chanceryd"));
    });
    daemon.comes_up_twice().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_never_holds_the_pin_nor_the_module() {
    let bench = Bench::start(2, 1, "").await;
    bench.sign().await.unwrap();
    bench.kill_workers();
    bench.heals(PATIENCE).await;
    bench.whole(2).await;
    let daemon = bench.daemon.pid();
    for pid in [vec![daemon], bench.daemon.worker_pids()].concat() {
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap();
            assert!(!contains(&bytes, PIN.as_bytes()), "{file} of {pid}");
        }
    }
    let log = bench.daemon.log_lines().join("\n");
    assert!(!log.contains(PIN));
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.as_raw_nonzero())).unwrap();
    assert!(
        !maps.contains("softhsm") && !maps.contains("fault_module"),
        "{maps}"
    );
    // Where the system lets us look: the memory itself.
    if let Ok(memory) = File::open(format!("/proc/{}/mem", daemon.as_raw_nonzero())) {
        let mut seen = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let parse = |text| u64::from_str_radix(text, 16).unwrap();
            let (from, to) = (parse(from), parse(to));
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            // Some of the kernel's own can't be read.
            if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, from).is_ok() {
                seen += bytes.len();
                assert!(!contains(&bytes, PIN.as_bytes()), "{line}");
            }
        }
        eprintln!("{seen} bytes of the daemon's memory hold no PIN");
    }
}

impl Bench {
    async fn sign_anything(&self) -> Status {
        self.sign().await.expect_err("there is no key")
    }
}

/// A daemon whose PIN does not come from a file.
struct Raw {
    child: Child,
    log: PathBuf,
    _setup: Setup,
    _directory: tempfile::TempDir,
}

impl Raw {
    fn start(pin: &str, edit: impl FnOnce(&mut Command, &Path)) -> Self {
        let setup = Setup::new(Token::new("faults")).workers(1, 1);
        let directory = tempfile::tempdir().unwrap();
        let config = setup.write(directory.path());
        let text = fs::read_to_string(&config).unwrap();
        let lines = text.lines().map(|line| {
            if line.starts_with("pin = ") {
                pin
            } else {
                line
            }
        });
        fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let pin = setup.tokens[0].token.pin_file();
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        edit(&mut command, &pin);
        let child = command
            .arg(&config)
            .arg(&pin)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            _setup: setup,
            _directory: directory,
        }
    }

    async fn comes_up_twice(&self) {
        let read = || fs::read_to_string(&self.log).unwrap();
        let ready = || read().matches("worker ready").count();
        for count in 1..=2 {
            let start = Instant::now();
            while ready() < count {
                assert!(start.elapsed() < PATIENCE, "{}", read());
                pause(10).await;
            }
            for pid in children(Pid::from_child(&self.child)) {
                kill(pid, Signal::KILL);
            }
        }
        assert!(!read().contains(PIN));
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_pin(token: &Token, pin: &str, mode: u32) {
    let path = token.pin_file();
    // Another file, as an operator's tool does it; the old one may not be written to.
    let _ = fs::remove_file(&path);
    fs::write(&path, pin).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The serial numbers of the initialised tokens.
pub(super) fn serials(token: &Token) -> Vec<String> {
    let output = token
        .command("softhsm2-util")
        .arg("--show-slots")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Serial number:"));
    let numbers = numbers.map(|number| number.trim().to_owned());
    numbers.filter(|number| !number.is_empty()).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
