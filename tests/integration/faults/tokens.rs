//! Tokens that are not there, not what they should be, go away and come back; and the other token meanwhile.

use std::{process::Command, sync::Arc};

use chancery::proto::v1::{Algorithm as A, KeyType as T};

use super::{pin::serials, *};
use crate::calls::{create, new_key};

/// What is wrong, how it is made so, and what is said of it.
type Case = (&'static str, fn(&mut Seat, &Path), &'static [&'static str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_can_not_be_used_says_why_and_the_other_one_serves() {
    // Of this process's own libraries, one that is surely there and surely is no PKCS#11 module.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut files = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let libc = files.rfind(|path| path.contains("libc.so") || path.contains("libc-"));
    let libc = PathBuf::from(libc.unwrap());
    let cases: [Case; 4] = [
        (
            "no module",
            |seat, _| seat.module = Some("/nowhere/libnone.so".into()),
            &["/nowhere/libnone.so", "can't be loaded", "check `module`"],
        ),
        (
            "not PKCS#11",
            |seat, libc| seat.module = Some(libc.to_owned()),
            &["can't be loaded", "C_GetFunctionList"],
        ),
        (
            "no such token",
            |seat, _| {
                let empty = seat.token.directory().join("none");
                fs::create_dir(&empty).unwrap();
                let conf = seat.token.directory().join("empty.conf");
                fs::write(
                    &conf,
                    format!("directories.tokendir = {}\n", empty.display()),
                )
                .unwrap();
                seat.environment
                    .insert("SOFTHSM2_CONF".to_owned(), conf.display().to_string());
            },
            &["no token with label", "broken"],
        ),
        (
            "two of that name",
            |seat, _| seat.token.initialize(),
            &["2 tokens fit label", "name one by its serial number"],
        ),
    ];
    let good = Arc::new(Token::new("good"));
    let mut alone = Setup::new(Arc::clone(&good)).start();
    create(&alone.client("test"), "payouts", T::EcP256, &[A::Es256]).await;
    alone.terminate().await;
    drop(alone);
    for (name, break_it, expected) in cases {
        let mut broken = Seat::new("broken", Token::new("broken"));
        break_it(&mut broken, &libc);
        let setup = Setup::new(Arc::clone(&good)).token(broken);

        let directory = tempfile::tempdir().unwrap();
        let config = setup.write(directory.path());
        let mut check = Command::new(env!("CARGO_BIN_EXE_chanceryd"));
        let check = check
            .args(["check", "--config"])
            .arg(config)
            .output()
            .unwrap();
        // The report is on stdout.
        let said = [check.stdout, check.stderr].concat();
        let said = String::from_utf8_lossy(&said).replace("\\\"", "\"");
        assert!(!check.status.success(), "{name}: {said}");
        for part in expected {
            assert!(
                said.contains(part),
                "{name}: {part:?} is missing in\n{said}"
            );
        }

        let daemon = setup.start();
        for part in expected {
            daemon.wait_for_log(part);
        }
        let (code, text) = daemon.admin_get("/readyz");
        assert_eq!(code, 503, "{name}");
        assert!(
            text.contains("main: ready\n") && text.contains("broken: down: "),
            "{name}: {text}"
        );
        let client = daemon.client("test");
        sign(&client, "keys/payouts", MESSAGE).await.unwrap();
        // Nor is a key made in the other one: this one may have a key of that name.
        for token in ["broken", "main"] {
            let request = CreateKeyRequest {
                token: token.to_owned(),
                ..new_key("other", T::EcP256, &[A::Es256])
            };
            let status = client.keys().create_key(request).await.unwrap_err();
            assert!(passes(&status), "{name}, {token}: {status:?}");
            assert!(!status.message().contains('/'), "{name}: {status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serial_number_chooses_between_twins() {
    let token = Token::new("twins");
    token.initialize();
    let serials = serials(&token);
    assert_eq!(serials.len(), 2);
    let mut setup = Setup::new(token);
    setup.tokens[0].lines = format!("serial = {:?}", serials[1]);
    let daemon = setup.start();
    assert_eq!(daemon.admin_get("/readyz").0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_goes_away_and_comes_back_needs_no_restart() {
    let bench = Bench::with(|setup| setup.server += "refresh_interval_seconds = 1\n");
    bench.create_payouts().await;
    let verifier = bench.verifier("keys/payouts").await;
    let daemon = bench.daemon.pid();
    let here = bench.daemon.token().directory().join("tokens");
    let away = bench.daemon.token().directory().join("away");
    for _ in 0..2 {
        assert!(bench.serving());
        fs::rename(&here, &away).unwrap();
        fs::create_dir(&here).unwrap();
        // Also if nobody calls.
        let noticed = until("nobody notices", PATIENCE, || !bench.serving()).await;
        let status = bench.sign().await.unwrap_err();
        assert!(passes(&status), "{status:?}");
        pause(500).await;
        fs::remove_dir(&here).unwrap();
        fs::rename(&away, &here).unwrap();
        let back = until("it does not come back", PATIENCE, || bench.serving()).await;
        eprintln!("away: noticed after {noticed:?}; back: served after {back:?}");
        bench.heals(PATIENCE).await;
        let signature = bench.sign().await.unwrap();
        assert!(verifier.takes(MESSAGE, &signature));
        bench.whole(2).await;
    }
    assert_eq!(bench.daemon.pid(), daemon);
}

/// A name means one key: it is not given to another while its token is away, nor once its token has lost it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_not_given_again_while_its_token_is_away() {
    let hsm = Seat::new("hsm", Token::new("hsm"));
    let here = hsm.token.directory().join("tokens");
    let away = hsm.token.directory().join("away");
    let mut daemon = Setup::new(Token::new("soft")).token(hsm).start();
    let in_token = |token: &str| CreateKeyRequest {
        token: token.to_owned(),
        ..new_key("payouts", T::EcP256, &[A::Es256])
    };
    let client = daemon.client("test");
    client.keys().create_key(in_token("hsm")).await.unwrap();
    let verifier = verifier(&client, "keys/payouts").await;
    daemon.terminate().await;

    fs::rename(&here, &away).unwrap();
    fs::create_dir(&here).unwrap();
    daemon.start_again();
    let client = daemon.client("test");
    let status = client.keys().create_key(in_token("main")).await;
    let status = status.unwrap_err();
    assert!(passes(&status), "{status:?}");

    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    until("it does not come back", PATIENCE, || {
        daemon.admin_get("/readyz").0 == 200
    })
    .await;
    let status = client.keys().create_key(in_token("main")).await;
    assert_eq!(reason(&status.unwrap_err()), "KEY_EXISTS");
    let signature = sign(&client, "keys/payouts", MESSAGE).await.unwrap();
    assert!(verifier.takes(MESSAGE, &signature));

    daemon.terminate().await;
    fs::remove_dir_all(&here).unwrap();
    fs::create_dir(&here).unwrap();
    daemon.tokens()[1].token.initialize();
    daemon.start_again();
    let client = daemon.client("test");
    let status = client.keys().create_key(in_token("main")).await;
    assert_eq!(reason(&status.unwrap_err()), "KEY_EXISTS");
}

/// A module that hangs at its start is nobody's trouble but its own token's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_hangs_does_not_hold_up_the_other_token() {
    let hanging = Token::new("hanging");
    let control = Control::create(&hanging.directory().join("control")).unwrap();
    let mut seat = Seat::new("hanging", hanging);
    route(&mut seat, &control);
    seat.lines = "start_timeout_seconds = 120".to_owned();
    let daemon = Setup::new(Token::new("good")).token(seat).start();
    until("not all are up", PATIENCE, || started(&daemon) == 4).await;
    control
        .set(Function::Initialize, Fault::Hang, Times::Forever, 0)
        .unwrap();
    let all = daemon.worker_pids();
    assert_eq!(all.len(), 4);
    for pid in all {
        kill(pid, Signal::KILL);
    }
    // The two of the other token are up again long before the start of the hanging ones is given up.
    let took = until("it waits for the other token", PATIENCE, || {
        started(&daemon) >= 6
    })
    .await;
    eprintln!("up after {took:?}");
    assert!(took < Duration::from_secs(120));
    assert!(daemon.admin_get("/readyz").1.contains("main: ready\n"));
    control.clear().unwrap();
}
