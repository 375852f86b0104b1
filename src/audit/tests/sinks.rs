//! Checkpoints leave the host: to a directory, over HTTP, to syslog; and the loop that makes and sends them.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket, UnixDatagram},
};
use tokio_util::sync::CancellationToken;

use super::*;

fn checkpoint() -> (Log, SignedCheckpoint) {
    let mut log = Log::new();
    log.sign("payouts");
    let signed = log.checkpoint();
    (log, signed)
}

/// Answers one request with this status, and gives back what came.
async fn answer(listener: TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    // The signature's line is the last; the root's ends as it does.
    while !(request.ends_with(b"=\n") && String::from_utf8_lossy(&request).contains('—')) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        request.push(byte[0]);
    }
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(response.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

#[tokio::test]
async fn http_posts_the_note() {
    let (_log, signed) = checkpoint_elsewhere().await;
    for (status, accepted) in [
        ("200 OK", true),
        ("204 No Content", true),
        ("500 Oh", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = SinkConfig::Http {
            address,
            path: "/checkpoints?log=1".to_owned(),
        };
        let (sent, request) = tokio::join!(sink.send(&signed), answer(listener, status));
        assert_eq!(sent.is_ok(), accepted, "{status}: {sent:?}");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, signed.text());
        assert!(
            head.starts_with("POST /checkpoints?log=1 HTTP/1.1\r\n"),
            "{head}"
        );
        let length = format!("Content-Length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{head}");
    }
}

#[tokio::test]
async fn syslog_messages_are_those_of_rfc_5424() {
    let (log, signed) = checkpoint_elsewhere().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let path = log.path().join("syslog");
    let local = UnixDatagram::bind(&path).unwrap();
    for (number, address) in [address.to_string(), path.display().to_string()]
        .into_iter()
        .enumerate()
    {
        SinkConfig::Syslog { address }.send(&signed).await.unwrap();
        let mut bytes = [0; 4096];
        let length = match number {
            0 => socket.recv(&mut bytes).await.unwrap(),
            _ => local.recv(&mut bytes).await.unwrap(),
        };
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let words: Vec<_> = text.splitn(8, ' ').collect();
        assert_eq!(words[0], "<109>1");
        words[1].parse::<Timestamp>().unwrap();
        let process = std::process::id().to_string();
        assert_eq!(words[2..7], ["-", "chanceryd", &process, "checkpoint", "-"]);
        let note = words[7]
            .strip_prefix('\u{feff}')
            .unwrap()
            .replace('|', "\n")
            + "\n";
        assert_eq!(note.parse(), Ok(signed.clone()));
    }
}

#[tokio::test]
async fn a_directory_gets_a_file_for_each_and_none_is_made() {
    let (log, signed) = checkpoint_elsewhere().await;
    let path = log.path().join("drop");
    let sink = SinkConfig::Directory { path: path.clone() };
    assert!(sink.send(&signed).await.is_err());
    fs::create_dir(&path).unwrap();
    sink.send(&signed).await.unwrap();
    let text = fs::read_to_string(path.join("00000000000000000003.checkpoint")).unwrap();
    assert_eq!(text, signed.text());
}

#[tokio::test]
async fn the_loop_makes_checkpoints_and_the_last_one_covers_all() {
    let Log {
        directory,
        audit,
        keeper,
    } = blocking(Log::new).await;
    let drop_directory = TempDir::new().unwrap();
    let sinks = Sinks::new(vec![SinkConfig::Directory {
        path: drop_directory.path().to_owned(),
    }]);
    let schedule = Schedule {
        every: Duration::from_secs(3600),
        records: 10,
        retention: None,
    };
    let stop = CancellationToken::new();
    let sign = |body: Vec<u8>| async move {
        Ok::<_, std::convert::Infallible>(signer().sign(&body).as_ref().to_vec())
    };
    let kept = keep(keeper, schedule, vkey(), sign, sinks, stop.clone());
    let work = async {
        for _ in 0..20 {
            let ticket = audit.intent(intent("payouts")).unwrap();
            audit.signed(ticket, b"x").await.unwrap();
        }
        // Ten records are enough for a checkpoint; it comes without being asked for.
        let dropped = async {
            while fs::read_dir(drop_directory.path()).unwrap().count() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let dropped = tokio::time::timeout(Duration::from_secs(60), dropped).await;
        assert!(dropped.is_ok(), "no checkpoint came");
        audit.close(StopReason::Asked).await.unwrap();
        stop.cancel();
    };
    tokio::join!(kept, work);
    let report = Verification::new(directory.path(), Some(vkey()))
        .run()
        .unwrap();
    assert_eq!((report.covered, report.unknown), (report.records, 0));
    assert_eq!(report.kinds["stopped"], 1);
    let written = fs::read_to_string(directory.path().join("vkey")).unwrap();
    assert_eq!(written.trim_end(), vkey().to_string());
}

#[test]
fn settings_are_checked() {
    let parse = |rest: &str| {
        let text = format!("directory = \"audit\"\norigin = \"example.com/chancery\"\n{rest}");
        let config: Config = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
        config
            .check()
            .map_err(|(key, message)| format!("{key}: {message}"))?;
        Ok::<_, String>(config)
    };
    let config = parse("").unwrap();
    assert_eq!(config.durability, Durability::Fsync);
    assert_eq!(config.schedule().every, Duration::from_secs(10));
    assert_eq!(config.schedule().retention, None);
    let sinks = "checkpoint_token = \"main\"\n[[sinks]]\ntype = \"http\"\naddress = \"10.0.0.1:80\"\n\
                 [[sinks]]\ntype = \"syslog\"\naddress = \"/dev/log\"\n\
                 [[sinks]]\ntype = \"directory\"\npath = \"/mnt/log\"\n";
    assert_eq!(parse(sinks).unwrap().sinks.len(), 3);
    for (bad, says) in [
        (
            "checkpoint_seconds = 0",
            "audit.checkpoint_seconds: it is 0",
        ),
        (
            "checkpoint_records = 0",
            "audit.checkpoint_records: it is 0",
        ),
        ("segment_bytes = 1000", "audit.segment_bytes: it is 1000"),
        ("durability = \"none\"", "unknown variant"),
        ("checkpoint_keys = 1", "unknown field"),
        ("checkpoint_token = \"a/b\"", "not a"),
        (
            "[[sinks]]\ntype = \"syslog\"\naddress = \"log.example.com:514\"",
            "expected IP:PORT",
        ),
        (
            "[[sinks]]\ntype = \"directory\"\npath = \"here\"",
            "expected an absolute path",
        ),
        (
            "[[sinks]]\ntype = \"http\"\naddress = \"10.0.0.1:80\"\npath = \"a b\"",
            "begins with a slash",
        ),
        (
            "[[sinks]]\ntype = \"http\"\naddress = \"10.0.0.1:80\"\nca = \"/ca.pem\"",
            "unknown field",
        ),
        (
            "[[sinks]]\ntype = \"https\"\naddress = \"log.example.com:443\"",
            "invalid socket address",
        ),
        (
            "[[sinks]]\ntype = \"https\"\naddress = \"10.0.0.1:443\"\nca = \"ca.pem\"",
            "the sink's ca is ca.pem; expected an absolute path",
        ),
        (
            "[[sinks]]\ntype = \"https\"\naddress = \"10.0.0.1:443\"\nca = \"/nowhere/ca.pem\"",
            "the sink's ca /nowhere/ca.pem: No such file",
        ),
        (
            "[[sinks]]\ntype = \"https\"\naddress = \"10.0.0.1:443\"\nca = \"/dev/null\"",
            "there is no certificate in it",
        ),
        (
            "[[sinks]]\ntype = \"https\"\naddress = \"10.0.0.1:443\"\nserver_name = \"a b\"",
            "the sink's server_name is",
        ),
    ] {
        let error = parse(bad).unwrap_err();
        assert!(error.contains(says), "{bad}: {error}");
    }
}

/// What waits for its own threads must not be done on the runtime's.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn checkpoint_elsewhere() -> (Log, SignedCheckpoint) {
    blocking(checkpoint).await
}
