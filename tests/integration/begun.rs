//! Files that change while the daemon starts: after they were read, and before anybody looks whether they change.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use chancery::{config::Config, server::Server, signer::Signer};
use tokio_util::sync::CancellationToken;

use crate::{harness::Setup, softhsm::Token};

const OTHER_POLICY: &str = r#"
[[rules]]
name = "other"
identities = ["spiffe://chancery.test/other"]
keys = ["*"]
operations = ["get"]
"#;

const SCHEME: &str = include_str!("../../config/schemes/upay-request.toml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_during_the_start_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let schemes = directory.path().join("schemes");
    fs::create_dir(&schemes).unwrap();
    let setup = Setup::new(Token::new("begun")).tables(&format!(
        "[audit]\nenabled = false\n[platforms]\nschemes = {schemes:?}"
    ));
    let config = Config::load(&setup.write(directory.path())).unwrap();
    let built_in = config.partners.schemes().count();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_chanceryd"));
    let server = Server::bind(config, program).await.unwrap();
    let signer = Arc::clone(server.signer());
    let before = signer.policy().digest().to_owned();

    fs::write(directory.path().join("policy.toml"), OTHER_POLICY).unwrap();
    fs::write(
        schemes.join("mine.toml"),
        SCHEME.replacen("upay-request", "mine", 1),
    )
    .unwrap();

    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    until(|| signer.policy().digest() != before).await;
    until(|| schemes_of(&signer) == built_in + 1).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
}

fn schemes_of(signer: &Signer) -> usize {
    signer.partners().schemes().count()
}

async fn until(fits: impl Fn() -> bool) {
    let patience = Duration::from_secs(60);
    let waiting = async {
        while !fits() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, waiting)
        .await
        .expect("it is taken");
}
