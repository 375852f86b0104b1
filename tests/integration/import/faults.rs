//! A token that fails in the middle of an import: nothing half done is served, and trying again does it.

use std::collections::BTreeMap;

use chancery::client::Code;
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Fault, Function, MODULE_VARIABLE, Times, module_path,
};

use super::*;
use crate::harness::{Refusal, Seat, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_or_fails_in_the_middle_leaves_nothing() {
    let token = Token::new("import-faults");
    let control = Control::create(&token.directory().join("control")).unwrap();
    let mut setup = Setup::new(token).rare_checkpoints();
    route(&mut setup.tokens[0], &control);
    let bench = Bench::over(setup.start());
    let client = bench.daemon.client("test");
    bench.whole(0).await;
    let (key, public) = bench.openssl_key("key", &["EC", "ec_paramgen_curve:P-256"]);
    let mut wrapped = bench
        .wrap(&client, "payouts", &pkcs8(Path::new(&key)))
        .await;
    wrapped.public_key = spki(&public).into();
    let request = || ImportKeyRequest {
        wrapped: Some(wrapped.clone()),
        ..import(
            "payouts",
            KeyType::EcP256,
            KeyPurpose::Sign,
            Algorithm::Es256,
        )
    };
    // Of the four unwrappings the last makes the key; before it come the trial, the records and the public half.
    let died = [
        (Function::UnwrapKey, 0),
        (Function::UnwrapKey, 1),
        (Function::Sign, 0),
        (Function::DestroyObject, 0),
        (Function::DestroyObject, 1),
        (Function::CreateObject, 0),
        (Function::CreateObject, 1),
        (Function::CreateObject, 2),
        (Function::UnwrapKey, 2),
        (Function::UnwrapKey, 3),
    ];
    let mut failed = 0;
    for fault in [Fault::Abort, Fault::Return(0x30)] {
        for (function, skip) in died {
            control.set(function, fault, Times::Once, skip).unwrap();
            let result = client.keys().import_key(request()).await;
            assert!(result.is_err(), "{function:?} {skip} {fault:?}");
            let refused = Refusal::expect(result);
            assert_eq!(control.hits(function).unwrap(), 1, "{function:?} {skip}");
            assert!(
                matches!(refused.code, Code::Aborted | Code::Unavailable),
                "{function:?} {skip}: {refused:?}"
            );
            control.clear().unwrap();
            // Each of them costs one worker.
            failed += 1;
            bench.whole(failed).await;
            assert!(
                client.all_keys().await.unwrap().is_empty(),
                "{function:?} {skip}"
            );
            // The key that signs the audit log's checkpoints is of another kind.
            let objects = bench.objects();
            let left = |line: &str| line.trim_end() == "Private Key Object; EC";
            assert!(!objects.lines().any(left), "{function:?} {skip}: {objects}");
        }
    }
    // What died early left at most what the next one clears away.
    client.keys().import_key(request()).await.unwrap();
    let objects = bench.objects();
    assert_eq!(objects.matches("payouts/1").count(), 3, "{objects}");
    let signature = bench.signature(&client).await.unwrap();
    bench.openssl_verifies("-sha256", &public, MESSAGE, &signature);
}

impl Bench {
    /// Waits until both workers are there again after so many have ended, and none is on its way: a start also makes
    /// objects.
    async fn whole(&self, failed: usize) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let logged = |part: &str| {
            let lines = self.daemon.log_lines();
            lines.iter().filter(|line| line.contains(part)).count()
        };
        loop {
            let ended = logged("worker ended");
            let ready = logged(r#""message":"worker ready""#);
            if ended >= failed && self.daemon.worker_pids().len() == 2 && ready == ended + 2 {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "no worker comes back");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// DER, as openssl takes it.
    async fn signature(&self, client: &Client) -> Result<Vec<u8>, Status> {
        let request = SignRequest {
            name: "keys/payouts".to_owned(),
            algorithm: Algorithm::Es256.into(),
            message: Some(MESSAGE.into()),
            ecdsa_encoding: chancery::proto::v1::EcdsaEncoding::Der.into(),
            ..SignRequest::default()
        };
        let answer = client.signing().sign(request).await?;
        Ok(answer.into_inner().signature.to_vec())
    }
}

fn route(seat: &mut Seat, control: &Control) {
    let module = seat.token.module_path().display().to_string();
    let environment: BTreeMap<_, _> = [
        (MODULE_VARIABLE.to_owned(), module),
        (
            CONTROL_VARIABLE.to_owned(),
            control.path().display().to_string(),
        ),
    ]
    .into();
    seat.environment.extend(environment);
    seat.module = Some(module_path());
}
