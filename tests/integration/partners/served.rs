//! Partners as the running daemon tells of them, and as its clients see to their keys.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use chancery::proto::v1::{
    self, GetPartnerRequest, GetSchemeRequest, ListPartnersRequest, ListSchemesRequest, Partner,
    PartnerKey, SignRequest,
};
use rustix::process::Signal;
use serde_json::Value;

use super::{root, utf8};
use crate::{
    harness::{Daemon, Refusal, Setup},
    requests::make_ec_key,
    softhsm::Token,
};

const POLICY: &str = r#"
[[rules]]
name = "keys"
identities = ["spiffe://chancery.test/test"]
keys = ["*"]
operations = ["get", "create", "import", "sign", "verify"]
algorithms = ["*"]

[[rules]]
name = "payments"
identities = ["spiffe://chancery.test/test"]
partners = ["upay", "pay*"]
operations = ["sign_request"]

[[rules]]
name = "look"
identities = ["spiffe://chancery.test/pager"]
partners = ["ayolinx"]
operations = ["get_partner"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_the_partners_that_it_may_do_anything_with() {
    let (daemon, _partners) = daemon("");
    for (name, expected) in [
        ("test", &["paykka", "paywizard", "upay"][..]),
        ("pager", &["ayolinx"]),
        ("stranger", &[]),
    ] {
        let client = daemon.client(name);
        let mut service = client.partners();
        let all = service.list_partners(ListPartnersRequest::default());
        let all = all.await.unwrap().into_inner().partners;
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|name| format!("partners/{name}"))
            .collect();
        assert_eq!(names, expected, "{name}");
    }
    // One page after the other.
    let client = daemon.client("test");
    let request = ListPartnersRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let first = client.partners().list_partners(request).await.unwrap();
    let v1::ListPartnersResponse {
        partners,
        next_page_token: page_token,
    } = first.into_inner();
    assert_eq!(partners.len(), 2);
    let request = ListPartnersRequest {
        page_size: 2,
        page_token,
    };
    let last = client.partners().list_partners(request).await.unwrap();
    let last = last.into_inner();
    assert_eq!(last.partners[0].name, "partners/upay");
    assert_eq!(last.next_page_token, "");

    // Who may not see a partner does not learn whether there is one.
    let refusal = |name: &str| {
        let (client, name) = (daemon.client("pager"), format!("partners/{name}"));
        async move {
            let request = GetPartnerRequest { name };
            Refusal::expect(client.partners().get_partner(request).await)
        }
    };
    let (there, not_there) = (refusal("upay").await, refusal("nobody").await);
    assert_eq!(there.reason, "PERMISSION_DENIED");
    assert_eq!(there.reason, not_there.reason);
    assert_eq!(there.message.replace("upay", "nobody"), not_there.message);
    // Who may, does.
    let request = GetPartnerRequest {
        name: "partners/payless".to_owned(),
    };
    let refusal = Refusal::expect(client.partners().get_partner(request).await);
    assert_eq!(refusal.reason, "PARTNER_NOT_FOUND");

    let stranger = daemon.client("stranger");
    let mut service = stranger.partners();
    let schemes = service.list_schemes(ListSchemesRequest::default());
    let schemes = schemes.await.unwrap().into_inner().schemes;
    assert!(schemes.len() >= 29);
    let request = GetSchemeRequest {
        name: "schemes/paywizard-v3".to_owned(),
    };
    let scheme = stranger.partners().get_scheme(request).await.unwrap();
    assert!(scheme.into_inner().scheme.unwrap().secret_in_message);
    let request = GetSchemeRequest {
        name: "schemes/nobody".to_owned(),
    };
    let refusal = Refusal::expect(stranger.partners().get_scheme(request).await);
    assert_eq!(refusal.reason, "SCHEME_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_set_is_the_one_that_signs() {
    let (daemon, _partners) = daemon("");
    let client = daemon.client("test");
    let cli = Cli::new(&daemon);
    let missing = key(&partner(&daemon, "upay").await, "upay-request", "signing");
    assert!(!missing.ready);
    assert!(missing.problem.contains("no token has it"), "{missing:?}");
    let shown = cli.run(&["--json", "partners", "show", "upay"], "");
    assert_eq!(shown.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["schemes"][0]["keys"][0]["ready"], false, "{shown:#}");

    // Shorter than the hash, and then another.
    for (version, secret) in [
        (1, "kurz"),
        (2, "another secret, longer than the first of them"),
    ] {
        let text = format!("{secret}\n");
        cli.ok(&["partners", "secret", "set", "upay", "signing"], &text);
        let request = SignRequest {
            name: "keys/upay-secret".to_owned(),
            algorithm: v1::Algorithm::Hs256.into(),
            message: Some("message".into()),
            ..SignRequest::default()
        };
        let mac = client.sign(request).await.unwrap();
        assert_eq!(mac.name, format!("keys/upay-secret/versions/{version}"));
        let expected = hmac(secret, "message");
        assert_eq!(hex::encode(&mac.signature), expected, "{secret}");
    }
    let upay = partner(&daemon, "upay").await;
    assert!(key(&upay, "upay-request", "signing").ready);
    assert!(key(&upay, "upay-webhook", "platform").ready);
    assert!(!key(&upay, "upay-webhook", "decryption").ready);

    // A secret that is message text gets the custody that this takes, and one of the other is not good enough.
    cli.ok(
        &["partners", "secret", "set", "paywizard", "signing"],
        "sample-secret",
    );
    assert!(
        key(
            &partner(&daemon, "paywizard").await,
            "paywizard-v3",
            "signing"
        )
        .ready
    );
    let described = cli.ok(&["--json", "keys", "describe", "paywizard-secret"], "");
    assert!(described.to_lowercase().contains("worker"), "{described}");

    // A key of another type is told as what it is.
    make_ec_key(&client, "paykka-signing").await;
    let wrong = key(
        &partner(&daemon, "paykka").await,
        "paykka-collection",
        "signing",
    );
    assert!(
        wrong.problem.contains("can't be used with RS256"),
        "{wrong:?}"
    );
    let refused = cli.run(
        &["partners", "secret", "set", "paykka", "signing"],
        "secret",
    );
    assert_eq!(refused.status.code(), Some(2));
    let page = daemon.admin_get("/").1;
    assert!(
        page.contains("paykka-collection signing (paykka-signing)"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_replace_the_old_ones_whole_or_not_at_all() {
    let (daemon, partners) = daemon("");
    let file = partners.join("upay.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("title = \"UPay\"", "title = \"UPay, live\""),
    )
    .unwrap();
    fs::remove_file(partners.join("paywizard.toml")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("partners reloaded");
    assert_eq!(partner(&daemon, "upay").await.title, "UPay, live");
    let request = GetPartnerRequest {
        name: "partners/paywizard".to_owned(),
    };
    let client = daemon.client("test");
    let refusal = Refusal::expect(client.partners().get_partner(request).await);
    assert_eq!(refusal.reason, "PARTNER_NOT_FOUND");

    fs::write(
        &file,
        text.replace("[schemes.upay-request]", "[schemes.upay-requests]"),
    )
    .unwrap();
    fs::remove_file(partners.join("paykka.toml")).unwrap();
    daemon.signal(Signal::HUP);
    let said = daemon.wait_for_log("the new partners are refused");
    assert!(said.contains("SCHEME_UNKNOWN"), "{said}");
    assert_eq!(partner(&daemon, "upay").await.title, "UPay, live");
    assert!(!partner(&daemon, "paykka").await.schemes.is_empty());
}

#[test]
fn check_tells_of_partners_and_of_keys_that_are_missing() {
    let setup = Setup::new(Token::new("partners"))
        .policy(&POLICY.replace("\"upay\"", "\"upay\", \"nobody\""))
        .tables(&format!(
            "[platforms]\npartners = {:?}",
            root().join("config/partners")
        ));
    let directory = tempfile::tempdir().unwrap();
    let config = setup.write(directory.path());
    let check = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chanceryd"))
            .args(["check", "--config"])
            .arg(&config)
            .args(more)
            .output()
            .unwrap();
        // What is missing may come: a warning.
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check(&[]);
    for expected in [
        "PARTNER ayolinx: Ayolinx (SNAP BI), sandbox",
        "  snap-token    access_tokens  ayolinx-tokens   NOT READY",
        "  snap-token    platform       1 public key     ready",
        "warning: partner upay: the key \"upay-secret\" in the role \"signing\" of upay-request is not ready: no token has it",
        "warning: policy rule payments: it names the partner \"nobody\", and there is none",
        " built in, 0 from files",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    let report: Value = serde_json::from_str(&check(&["--json"])).unwrap();
    assert_eq!(report["report"]["partners"][0]["name"], "ayolinx");
}

#[test]
fn the_schemes_that_are_built_in_are_told_without_a_daemon() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = run(&["schemes", "list", "--offline"]);
    assert!(list.lines().count() >= 29);
    let wechat = list
        .lines()
        .find(|line| line.starts_with("wechat-pay-response\t"));
    assert!(
        wechat.unwrap().contains("verify_response verify_callback"),
        "{list}"
    );
    let shown = run(&["schemes", "show", "stripe", "--offline"]);
    for expected in [
        "does        verify_callback",
        "key         platform (verify HS256, a secret written as utf8)",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
}

/// A daemon with a copy of the shipped partners, which it uses.
pub(super) fn daemon(tables: &str) -> (Daemon, PathBuf) {
    let token = Token::new("partners");
    let partners = tempfile::tempdir().unwrap().keep();
    copy(&root().join("config/partners"), &partners);
    let tables = format!("[platforms]\npartners = {partners:?}\n{tables}");
    let daemon = Setup::new(token).policy(POLICY).tables(&tables).start();
    (daemon, partners)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).unwrap()),
        }
    }
}

async fn partner(daemon: &Daemon, name: &str) -> Partner {
    let request = GetPartnerRequest {
        name: format!("partners/{name}"),
    };
    let client = daemon.client("test");
    let answer = client.partners().get_partner(request).await.unwrap();
    answer.into_inner().partner.unwrap()
}

fn key(partner: &Partner, scheme: &str, role: &str) -> PartnerKey {
    let name = format!("schemes/{scheme}");
    let scheme = partner.schemes.iter().find(|one| one.scheme == name);
    let key = scheme.unwrap().keys.iter().find(|one| one.role == role);
    key.unwrap().clone()
}

fn hmac(secret: &str, message: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret, "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(message.as_bytes())
        .unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.split_once(' ').unwrap().0.to_owned()
}

struct Cli(Vec<(&'static str, String)>);

impl Cli {
    fn new(daemon: &Daemon) -> Self {
        let config = daemon.client_config(&daemon.certificate("test"));
        Self(vec![
            ("CHANCERY_ADDR", config.address),
            ("CHANCERY_CA", utf8(&config.ca).to_owned()),
            ("CHANCERY_CERT", utf8(&config.certificate).to_owned()),
            ("CHANCERY_KEY", utf8(&config.key).to_owned()),
        ])
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(arguments)
            .env_clear()
            .envs(self.0.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It need not read what it does not want.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
