//! The module in a process of its own, before a real token: it forwards, and each fault is the fault it says.

use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Fault, Function, MODULE_VARIABLE, Times, module_path,
};

#[path = "../../integration/softhsm.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod softhsm;

const CKR_DEVICE_ERROR: u64 = 0x30;

/// A token with two P-256 keys, `a` and `b`, and the control file of the module in front of it.
struct Setup {
    token: softhsm::Token,
    control: Control,
}

impl Setup {
    fn new() -> Self {
        let token = softhsm::Token::new("faults");
        for (label, id) in [("a", "0a"), ("b", "0b")] {
            let private = token.directory().join(format!("{label}.pem"));
            let public = token.directory().join(format!("{label}.pub.pem"));
            openssl(
                &[
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-out",
                ],
                &[&private],
            );
            openssl(
                &["pkey", "-pubout", "-in"],
                &[&private, "-out".as_ref(), &public],
            );
            token.import_pkcs8(label, id, &fs::read_to_string(private).unwrap());
        }
        fs::write(token.directory().join("input"), INPUT).unwrap();
        let control = Control::create(&token.directory().join("control")).unwrap();
        Self { token, control }
    }

    /// A command that signs the input with `a` by way of the module.
    fn sign_command(&self) -> Command {
        let mut command = self.token.pkcs11_tool_command(&module_path());
        let directory = self.token.directory();
        command.args([
            "--sign",
            "--mechanism",
            "ECDSA",
            "--id",
            "0a",
            "--signature-format",
            "openssl",
        ]);
        command.arg("--input-file").arg(directory.join("input"));
        command
            .arg("--output-file")
            .arg(directory.join("signature"));
        self.environment(&mut command);
        command
    }

    fn sign(&self) -> Output {
        self.sign_command().output().unwrap()
    }

    /// Signs the input with one key after the other in one process in Rust; the last signature stays.
    fn sign_in_one_process(&self, keys: &str) -> ExitStatus {
        let directory = self.token.directory();
        let raw = directory.join("signature.raw");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sign-through-module"));
        command
            .arg(module_path())
            .arg(directory.join("input"))
            .arg(&raw);
        command.args(keys.split(' '));
        command.env("SOFTHSM2_CONF", self.token.conf());
        self.environment(&mut command);
        command.stdin(fs::File::open(self.token.pin_file()).unwrap());
        let status = command.stdout(Stdio::null()).status().unwrap();
        if let Ok(raw) = fs::read(raw) {
            fs::write(directory.join("signature"), der(&raw)).unwrap();
        }
        status
    }

    fn environment(&self, command: &mut Command) {
        command.env(MODULE_VARIABLE, self.token.module_path());
        command.env(CONTROL_VARIABLE, self.control.path());
    }

    /// Waits until a running process has come to the fault of `function`.
    fn wait_for_hit(&self, function: Function) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.control.hits(function).unwrap() == 0 {
            assert!(Instant::now() < deadline, "C_{function:?} was never called");
            sleep(Duration::from_millis(5));
        }
    }

    /// Whether OpenSSL finds the signature to be one by `key`.
    fn verifies(&self, key: &str) -> bool {
        let directory = self.token.directory();
        let public = directory.join(format!("{key}.pub.pem"));
        let mut command = Command::new("openssl");
        command
            .args(["pkeyutl", "-verify", "-pubin", "-inkey"])
            .arg(public);
        command.arg("-in").arg(directory.join("input"));
        command.arg("-sigfile").arg(directory.join("signature"));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        match said.trim() {
            "Signature Verified Successfully" => true,
            "Signature Verification Failure" => false,
            other => panic!("{other} {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[test]
fn without_orders_it_forwards_and_counts() {
    let setup = Setup::new();
    let output = setup.sign();
    assert!(output.status.success(), "{output:?}");
    assert!(setup.verifies("a"));
    assert!(!setup.verifies("b"));
    assert_eq!(setup.control.calls(Function::GetFunctionList).unwrap(), 1);
    assert_eq!(setup.control.calls(Function::Login).unwrap(), 1);
    assert_eq!(setup.control.calls(Function::SignInit).unwrap(), 1);
    assert_eq!(setup.control.calls(Function::Decrypt).unwrap(), 0);
    assert_eq!(setup.control.hits(Function::SignInit).unwrap(), 0);
}

#[test]
fn without_a_control_file_it_forwards() {
    let setup = Setup::new();
    let mut command = setup.sign_command();
    command.env_remove(CONTROL_VARIABLE);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(setup.verifies("a"));
    assert_eq!(setup.control.calls(Function::SignInit).unwrap(), 0);
}

#[test]
fn a_control_file_or_module_that_is_missing_is_an_error() {
    let setup = Setup::new();
    for variable in [MODULE_VARIABLE, CONTROL_VARIABLE] {
        let mut command = setup.sign_command();
        let output = command.env(variable, "/nonexistent").output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("fault module: /nonexistent"), "{said}");
    }
}

#[test]
fn a_code_is_returned_as_often_as_ordered_after_those_that_are_skipped() {
    let setup = Setup::new();
    let fault = Fault::Return(CKR_DEVICE_ERROR);
    setup
        .control
        .set(Function::SignInit, fault, Times::Count(2), 1)
        .unwrap();
    let outcomes = [(); 4].map(|()| {
        let output = setup.sign();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            said.contains("CKR_DEVICE_ERROR"),
            !output.status.success(),
            "{said}"
        );
        output.status.success()
    });
    assert_eq!(outcomes, [true, false, false, true]);
    assert_eq!(setup.control.hits(Function::SignInit).unwrap(), 2);
    assert_eq!(setup.control.calls(Function::SignInit).unwrap(), 4);
}

#[test]
fn an_order_for_ever_ends_when_it_is_cleared() {
    let setup = Setup::new();
    let fault = Fault::Return(CKR_DEVICE_ERROR);
    setup
        .control
        .set(Function::Login, fault, Times::Forever, 0)
        .unwrap();
    assert!(!setup.sign().status.success());
    assert!(!setup.sign().status.success());
    setup.control.clear().unwrap();
    assert!(setup.sign().status.success());
    assert_eq!(setup.control.hits(Function::Login).unwrap(), 2);
}

#[test]
fn a_lost_answer_is_of_work_that_was_done() {
    let setup = Setup::new();
    let fault = Fault::ForwardThenReturn(CKR_DEVICE_ERROR);
    setup
        .control
        .set(Function::DestroyObject, fault, Times::Once, 0)
        .unwrap();
    let mut command = setup.token.pkcs11_tool_command(&module_path());
    setup.environment(&mut command);
    let output = command
        .args(["--delete-object", "--type", "privkey", "--id", "0a"])
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(setup.control.hits(Function::DestroyObject).unwrap(), 1);
    let left = setup
        .token
        .pkcs11_tool(&["--list-objects", "--type", "privkey"]);
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(
        !left.contains("ID:         0a") && left.contains("ID:         0b"),
        "{left}"
    );
}

#[test]
fn a_delay_delays_and_no_more() {
    let setup = Setup::new();
    let delay = Duration::from_millis(300);
    setup
        .control
        .set(Function::Initialize, Fault::Delay(delay), Times::Once, 0)
        .unwrap();
    let start = Instant::now();
    assert!(setup.sign().status.success());
    assert!(start.elapsed() >= delay);
    assert!(setup.verifies("a"));
}

#[test]
fn an_order_reaches_a_process_that_runs_already() {
    let setup = Setup::new();
    let delay = Fault::Delay(Duration::from_secs(1));
    setup
        .control
        .set(Function::Initialize, delay, Times::Once, 0)
        .unwrap();
    let mut child = Killed(setup.sign_command().stderr(Stdio::piped()).spawn().unwrap());
    setup.wait_for_hit(Function::Initialize);
    let fault = Fault::Return(CKR_DEVICE_ERROR);
    setup
        .control
        .set(Function::SignInit, fault, Times::Once, 0)
        .unwrap();
    assert!(!child.0.wait().unwrap().success());
    assert!(child.said().contains("CKR_DEVICE_ERROR"));
}

#[test]
fn a_hang_hangs() {
    let setup = Setup::new();
    setup
        .control
        .set(Function::SignInit, Fault::Hang, Times::Once, 0)
        .unwrap();
    let mut child = Killed(setup.sign_command().stderr(Stdio::piped()).spawn().unwrap());
    setup.wait_for_hit(Function::SignInit);
    // It is inside the call now. That it would not come back can't be seen, only that it does not.
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        assert!(child.0.try_wait().unwrap().is_none(), "{}", child.said());
        sleep(Duration::from_millis(20));
    }
    child.0.kill().unwrap();
    assert_eq!(child.0.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_crash_is_a_crash() {
    let setup = Setup::new();
    for (fault, signal, code) in [
        (Fault::Segfault, Some(11), None),
        (Fault::Abort, Some(6), None),
        (Fault::Exit(42), None, Some(42)),
    ] {
        setup
            .control
            .set(Function::SignInit, fault, Times::Once, 0)
            .unwrap();
        let status = setup.sign().status;
        assert_eq!(
            (status.signal(), status.code()),
            (signal, code),
            "{fault:?}"
        );
        assert_eq!(
            setup.control.hits(Function::SignInit).unwrap(),
            1,
            "{fault:?}"
        );
        assert!(setup.sign().status.success(), "after {fault:?}");
    }
}

#[test]
fn a_corrupt_signature_does_not_verify() {
    let setup = Setup::new();
    setup
        .control
        .set(Function::Sign, Fault::Corrupt, Times::Once, 0)
        .unwrap();
    assert!(setup.sign().status.success());
    assert_eq!(setup.control.hits(Function::Sign).unwrap(), 1);
    assert!(!setup.verifies("a"));
    assert!(setup.sign().status.success());
    assert!(setup.verifies("a"));
}

#[test]
fn a_swapped_key_signs_in_place_of_the_other() {
    let setup = Setup::new();
    let set = |skip| {
        let fault = Fault::OtherKey;
        setup
            .control
            .set(Function::SignInit, fault, Times::Forever, skip)
            .unwrap();
    };
    set(1); // the first call has no other key, the second is skipped, the third is swapped
    assert!(setup.sign_in_one_process("b a a").success());
    assert!(setup.verifies("b"), "ordered from a, but by b");
    assert!(!setup.verifies("a"));
    assert_eq!(setup.control.hits(Function::SignInit).unwrap(), 1);

    set(0);
    assert!(setup.sign_in_one_process("a a a").success());
    assert!(setup.verifies("a"), "no other key was ever given");
    assert_eq!(setup.control.hits(Function::SignInit).unwrap(), 0);
}

#[test]
fn a_handle_put_in_place_of_the_key_reaches_the_token() {
    let setup = Setup::new();
    let fault = Fault::SwapKey(0xdead);
    setup
        .control
        .set(Function::SignInit, fault, Times::Once, 0)
        .unwrap();
    let said = String::from_utf8(setup.sign().stderr).unwrap();
    assert!(said.contains("HANDLE_INVALID"), "{said}");
    assert_eq!(setup.control.hits(Function::SignInit).unwrap(), 1);
}

#[test]
fn a_segfault_kills_a_host_in_rust_too() {
    // The standard library has a handler for that signal, which tells a stack overflow from the rest.
    let setup = Setup::new();
    setup
        .control
        .set(Function::Sign, Fault::Segfault, Times::Once, 0)
        .unwrap();
    assert_eq!(setup.sign_in_one_process("a").signal(), Some(11));
}

#[test]
#[should_panic(expected = "Login has no output")]
fn a_fault_that_can_not_be_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let control = Control::create(&directory.path().join("control")).unwrap();
    let _ = control.set(Function::Login, Fault::Corrupt, Times::Once, 0);
}

/// A child that does not outlive a test that fails.
struct Killed(Child);

impl Killed {
    fn said(&mut self) -> String {
        let mut said = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        said
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(arguments: &[&str], files: &[&Path]) {
    let output = Command::new("openssl")
        .args(arguments)
        .args(files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// r||s as the DER that OpenSSL reads: two integers in a sequence.
fn der(signature: &[u8]) -> Vec<u8> {
    let integers = signature.chunks(signature.len() / 2).flat_map(|half| {
        let from = half.iter().position(|&byte| byte != 0).unwrap();
        let mut value = half[from..].to_vec();
        if value[0] >= 0x80 {
            value.insert(0, 0);
        }
        [vec![0x02, value.len() as u8], value].concat()
    });
    let integers: Vec<u8> = integers.collect();
    [vec![0x30, integers.len() as u8], integers].concat()
}

/// 32 bytes, which stand for a SHA-256 digest.
const INPUT: &[u8; 32] = b"the digest of a well known input";
