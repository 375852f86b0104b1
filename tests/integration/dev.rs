//! `chanceryd dev` as a newcomer and a CI job meet it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const CHANCERYD: &str = env!("CARGO_BIN_EXE_chanceryd");
const CHANCERY: &str = env!("CARGO_BIN_EXE_chancery");

/// The calls on the screen are a script; it is pasted whole, into a shell that knows nothing else.
#[test]
fn the_calls_on_the_screen_do_what_they_say() {
    let place = tempfile::tempdir().unwrap();
    let (mut daemon, screen) = Daemon::start(place.path(), &[]);
    assert!(screen.contains("NOT FOR PRODUCTION"), "{screen}");
    assert!(!screen.contains('\x1b'), "no colours in a pipe: {screen}");
    for key in [
        "demo-rs256  rsa-2048     sign     RS256 PS256",
        "demo-es256  ec-p256      sign     ES256",
        "demo-eddsa  ed25519      sign     EdDSA",
        "demo-hs256  hmac-sha256  mac      HS256",
        "demo-oaep   rsa-2048     decrypt  RSA-OAEP-256",
        "demo-ecdh   ec-p256      decrypt  ECDH-ES ECDH-ES+A128KW ECDH-ES+A256KW",
        "demo-kw     aes-256      wrap     A256KW",
    ] {
        assert!(screen.contains(key), "{key} is missing in\n{screen}");
    }
    let (_, calls) = screen.split_once("In another terminal").unwrap();
    let (_, calls) = calls.split_once(":\n").unwrap();
    let (calls, _) = calls.split_once("\nCtrl-C").unwrap();

    let pasted = Command::new("sh")
        .args(["-c", calls])
        .current_dir(place.path())
        .env_remove("CHANCERY_ADDR")
        .output()
        .unwrap();

    let (said, told) = texts(&pasted);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..3],
        ["Verified OK", "{\"sub\":\"me\"}", "for your eyes only"],
        "{said}{told}"
    );
    // The sample partners: a request is signed, its string is shown, and a webhook is found authentic.
    assert_eq!(
        lines[3], "POST /collection/v1/orders HTTP/1.1",
        "{said}{told}"
    );
    assert!(
        said.contains("\r\nX-Merch-Id: 18200001\r\nAuthorization: %7B"),
        "{said}"
    );
    assert!(
        said.contains("constant.merchant_id\t\"18200001\"\n"),
        "{said}"
    );
    assert!(
        said.contains("keys/github-secret/versions/1"),
        "{said}{told}"
    );
    assert!(told.contains("valid: schemes/github"), "{told}");
    let random = lines.last().unwrap().strip_prefix("Hello, World!");
    assert_eq!(random.map(str::len), Some(32), "{said}");
    // The last call is the refused one.
    assert_eq!(pasted.status.code(), Some(3), "{told}");
    assert!(
        told.contains("app-b may not sign with \"demo-rs256\""),
        "{told}"
    );

    let jwks = screen
        .lines()
        .find_map(|line| line.trim().strip_prefix("public keys"))
        .unwrap();
    let address = jwks
        .trim()
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/.well-known/jwks.json"))
        .unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.matches("\"kid\"").count(), 5, "{answer}");

    // A second one is told who has the directory.
    let second = dev(place.path(), &["--", "true"]);
    let (_, told) = texts(&second);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        told.contains(&format!("process {}, on 127.0.0.1:", daemon.child.id())),
        "{told}"
    );

    // Ctrl-C reaches the whole group, as on a terminal.
    let (rest, log) = daemon.interrupt();
    assert!(rest.contains("Stopped. .chancery-dev is kept"), "{rest}");
    assert!(log.contains("\"message\":\"denied\""), "{log}");
    assert_eq!(log.lines().count(), 1, "the log is quiet: {log}");
}

#[test]
fn a_command_runs_against_a_fresh_directory_and_then_against_the_same() {
    let place = tempfile::tempdir().unwrap();
    let script = format!(
        "{CHANCERY} keys public demo-es256 --format thumbprint; env | grep -c ^CHANCERY_; exit 7"
    );
    let first = dev(place.path(), &["--", "sh", "-c", &script]);
    let (said, told) = texts(&first);
    assert_eq!(first.status.code(), Some(7), "{told}");
    let (key, count) = said.trim().split_once('\n').unwrap();
    assert_eq!(count, "5", "ADDR, CA, CERT, KEY and DEV");

    let second = dev(place.path(), &["--", "sh", "-c", &script]);
    assert_eq!(texts(&second).0, said, "the key is the same");
    let third = dev(place.path(), &["--reset", "--", "sh", "-c", &script]);
    assert!(!texts(&third).0.contains(key), "the key is another");

    let refused = format!("echo x | {CHANCERY} --as app-b sign --key demo-rs256 --algorithm RS256");
    let refused = dev(place.path(), &["--", "sh", "-c", &refused]);
    assert_eq!(refused.status.code(), Some(3));
    let allowed = format!(
        "echo x | {CHANCERY} --as app-b sign --key demo-es256 --algorithm ES256 --raw --hex"
    );
    let allowed = dev(place.path(), &["--", "sh", "-c", &allowed]);
    assert_eq!(allowed.status.code(), Some(0), "{}", texts(&allowed).1);
    let killed = dev(place.path(), &["--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.status.code(), Some(137));
    let absent = dev(place.path(), &["--", "no-such-command"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        texts(&absent)
            .1
            .contains("\"no-such-command\" can't be run")
    );
}

/// What is in the directory is for its owner; the PINs are in their files and nowhere else.
#[test]
fn pins_are_in_no_command_line_and_no_environment() {
    // The process that makes the token is there for a moment only; a busy machine may not see it.
    let is_seen = (0..20).any(|_| a_first_start_shows_no_pin());
    assert!(is_seen, "the token is made by a process of its own");
}

/// Whether the process that makes the token was seen, and more than a few others while there were PINs.
fn a_first_start_shows_no_pin() -> bool {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join(".chancery-dev");
    let child = Command::new(CHANCERYD)
        .args(["dev", "--", "sleep", "0.3"])
        .current_dir(place.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Killed(child);
    let mut seen = 0;
    let mut initializers = 0;
    while daemon.0.try_wait().unwrap().is_none() {
        let pins: Vec<_> = ["user.pin", "so.pin"]
            .iter()
            .filter_map(|name| fs::read_to_string(directory.join(name)).ok())
            .filter(|pin| pin.len() == 16)
            .collect();
        for process in descendants(daemon.0.id()) {
            for part in ["cmdline", "environ"] {
                // A process may have ended; and one that protects itself can only be read by root.
                let Ok(bytes) = fs::read(format!("/proc/{process}/{part}")) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes);
                initializers += usize::from(text.contains("initialize-token"));
                for pin in &pins {
                    assert!(!text.contains(pin.as_str()), "{part}: {text}");
                    seen += 1;
                }
            }
        }
    }
    for (name, mode) in [
        ("", 0o700),
        ("user.pin", 0o400),
        ("so.pin", 0o400),
        ("ca.key", 0o600),
        ("server.key", 0o600),
        ("app-a.key", 0o600),
        ("client.env", 0o600),
    ] {
        let found = fs::metadata(directory.join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
    }
    initializers > 0 && seen > 10
}

#[test]
fn what_it_writes_is_an_ordinary_configuration() {
    let place = tempfile::tempdir().unwrap();
    assert!(dev(place.path(), &["--", "true"]).status.success());
    let output = Command::new(CHANCERYD)
        .args(["check", "--config", ".chancery-dev/chancery.toml"])
        .current_dir(place.path())
        .output()
        .unwrap();
    let (said, told) = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    // The secret of the sample webhooks is still to be put in.
    assert!(
        said.contains("\"github-secret\" in the role \"platform\""),
        "{said}"
    );
    assert!(said.ends_with("\n0 errors, 1 warning\n"), "{said}");
}

/// SoftHSM rewrites its token file at every log-in; a worker that is killed then leaves an empty one.
#[test]
fn stopping_while_workers_start_does_not_break_the_token() {
    let place = tempfile::tempdir().unwrap();
    for _ in 0..4 {
        let output = dev(place.path(), &["--", "true"]);
        assert!(output.status.success(), "{}", texts(&output).1);
    }
    // With so many some are always starting when the first is ready and the check is over.
    let file = place.path().join(".chancery-dev/chancery.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "workers = 12\n").unwrap();
    for _ in 0..12 {
        let output = Command::new(CHANCERYD)
            .args(["check", "--config", ".chancery-dev/chancery.toml"])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", texts(&output).0);
    }
}

#[test]
fn it_refuses_what_is_not_for_it() {
    let place = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (
            &["--address", "0.0.0.0:7443"][..],
            "--address is 0.0.0.0:7443; this daemon is for development, so expected a loopback address",
        ),
        (
            &["--admin-address", "192.0.2.1:1"],
            "--admin-address is 192.0.2.1:1;",
        ),
        (&["--module", "/nowhere.so"], "there is no file /nowhere.so"),
        (
            &["--directory", "..", "--reset"],
            "is not empty and was not made by `chanceryd dev`",
        ),
    ] {
        let output = dev(place.path(), arguments);
        let (said, told) = texts(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(told.contains(expected) && said.is_empty(), "{told}");
    }
    let text = fs::read(CHANCERYD).map(|_| ()).and_then(|()| {
        // A module that is none, and one that is a library but no module.
        let path = place.path().join("not-a-module.so");
        fs::write(&path, "text")?;
        let output = dev(
            place.path(),
            &["--directory", "other", "--module", path.to_str().unwrap()],
        );
        Ok(texts(&output).1)
    });
    let text = text.unwrap();
    assert!(text.contains("not-a-module.so can't be loaded"), "{text}");
}

/// A running `chanceryd dev`, leader of a process group of its own.
struct Daemon {
    child: Killed,
    output: BufReader<std::process::ChildStdout>,
}

struct Killed(Child);

impl Daemon {
    /// Starts it, and gives what is on the screen then.
    fn start(place: &Path, arguments: &[&str]) -> (Self, String) {
        let mut child = Command::new(CHANCERYD)
            .args([
                "dev",
                "--address",
                "127.0.0.1:0",
                "--admin-address",
                "127.0.0.1:0",
            ])
            .args(arguments)
            .current_dir(place)
            .env_remove("CHANCERY_DEV")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let child = Killed(child);
        let mut screen = String::new();
        while !screen.contains("\nCtrl-C") {
            let read = output.read_line(&mut screen).unwrap();
            assert!(read > 0, "it ended: {screen}");
        }
        (Self { child, output }, screen)
    }

    /// The rest of the screen, and the log.
    fn interrupt(&mut self) -> (String, String) {
        kill_process_group(Pid::from_child(&self.child.0), Signal::INT).unwrap();
        let (mut rest, mut log) = (String::new(), String::new());
        self.output.read_to_string(&mut rest).unwrap();
        let mut error = self.child.0.stderr.take().unwrap();
        error.read_to_string(&mut log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.child.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not stop");
        }
        assert!(self.child.0.wait().unwrap().success());
        (rest, log)
    }
}

impl Killed {
    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // After its end there is nothing to kill.
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

fn dev(place: &Path, arguments: &[&str]) -> Output {
    Command::new(CHANCERYD)
        .arg("dev")
        .args(arguments)
        .current_dir(place)
        .env_remove("CHANCERY_DEV")
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn descendants(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task");
    let tasks = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found = vec![process];
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            found.extend(descendants(child.parse().unwrap()));
        }
    }
    found
}
