//! Public keys in the shape of OneAccess: ours from the admin port, theirs fetched and pinned by the client.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{openssl, served::daemon, utf8};
use crate::{harness::Daemon, requests::make_ec_key};

/// The daemon gives our key in the shape of the interface; the client takes a platform's key in that shape, and only
/// the one that is expected. What is a key is for openssl to say.
#[tokio::test(flavor = "multi_thread")]
async fn public_keys_go_both_ways_as_oneaccess_has_it() {
    let (daemon, _partners) = daemon(
        "[[admin.oneaccess_public_keys]]\nclient_id = \"mobile-1\"\nkey = \"mobile\"\n[[admin.oneaccess_public_keys]]\nclient_id = \"mobile-2\"\nkey = \"missing\"",
    );
    make_ec_key(&daemon.client("test"), "mobile").await;
    let (status, answer) = get(&daemon, "X-client-id: mobile-1\r\n");
    assert_eq!(status, 200, "{answer}");
    let told: Value = serde_json::from_str(&answer).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("told.pem"), told["public_key"].as_str().unwrap()).unwrap();
    openssl(&[
        "pkey",
        "-pubin",
        "-in",
        utf8(&path("told.pem")),
        "-outform",
        "DER",
        "-out",
        utf8(&path("told.der")),
    ]);
    let digest = openssl(&["dgst", "-sha256", "-r", utf8(&path("told.der"))]);
    let (digest, _) = digest.split_once(' ').unwrap();
    for (headers, code) in [
        ("", "CLIENT_ID_MISSING"),
        (
            "X-client-id: mobile-1\r\nX-client-id: mobile-2\r\n",
            "CLIENT_ID_MISSING",
        ),
        ("X-client-id: other\r\n", "CLIENT_ID_UNKNOWN"),
        ("X-client-id: mobile-2\r\n", "PUBLIC_KEY_UNAVAILABLE"),
    ] {
        let (status, answer) = get(&daemon, headers);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, answer["error_code"].as_str()), (400, Some(code)));
        assert!(answer["error_msg"].is_string());
    }

    fs::write(path("public-key"), &answer).unwrap();
    let server = HttpsServer::start(&daemon, directory.path());
    let output = path("fetched.pem");
    let fetch = |pin: Option<&str>, url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command
            .args([
                "partners",
                "fetch-public-key",
                "oneaccess",
                "encryption",
                "--url",
                url,
            ])
            .args(["--header", "X-client-id=mobile-1", "--output"])
            .arg(&output)
            .arg("--roots")
            .arg(daemon.pki().ca());
        if let Some(pin) = pin {
            command.args(["--pin", pin]);
        }
        let ended = command.output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code().unwrap(), said)
    };
    let url = server.url("public-key");
    let (code, said) = fetch(None, &url);
    assert!(
        code == 1 && said.contains(digest) && !output.exists(),
        "{said}"
    );
    let (code, said) = fetch(Some(&"00".repeat(32)), &url);
    assert!(
        code == 1 && said.contains("nothing was written") && !output.exists(),
        "{said}"
    );
    let (code, said) = fetch(
        Some(digest),
        &server.url("public-key").replace("https", "http"),
    );
    assert!(code == 1 && said.contains("https://"), "{said}");
    let (code, said) = fetch(Some(digest), &url);
    assert_eq!(code, 0, "{said}");
    openssl(&[
        "pkey",
        "-pubin",
        "-in",
        utf8(&output),
        "-outform",
        "DER",
        "-out",
        utf8(&path("fetched.der")),
    ]);
    assert_eq!(
        fs::read(path("fetched.der")).unwrap(),
        fs::read(path("told.der")).unwrap()
    );
}

/// What the admin port answers.
fn get(daemon: &Daemon, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(daemon.admin()).unwrap();
    let request = format!(
        "GET /api/v2/sdk/public-key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// `openssl s_server`, which gives the files of a directory.
struct HttpsServer {
    child: Child,
    port: u16,
}

impl HttpsServer {
    fn start(daemon: &Daemon, directory: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let leaf = daemon.pki().server();
        let mut child = Command::new("openssl")
            .args([
                "s_server",
                "-WWW",
                "-accept",
                &format!("127.0.0.1:{port}"),
                "-cert",
            ])
            .arg(&leaf.cert)
            .arg("-key")
            .arg(&leaf.key)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It says so when it listens.
        let mut said = Vec::new();
        let mut output = child.stdout.take().unwrap();
        while !said.ends_with(b"ACCEPT") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).unwrap(), 1, "it ended");
            said.push(byte[0]);
        }
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, port }
    }

    fn url(&self, file: &str) -> String {
        format!("https://127.0.0.1:{}/{file}", self.port)
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
