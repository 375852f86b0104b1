//! A key's handle is found at the worker's start, never on the path of a request.

use std::path::PathBuf;

use chancery::proto::v1;
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Function, MODULE_VARIABLE, module_path,
};
use futures_util::future::join_all;

use crate::{
    harness::{Seat, Setup},
    softhsm::Token,
};

#[tokio::test]
async fn no_lookup_on_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let control = Control::create(&directory.path().join("control")).unwrap();
    let token = Token::new("lookup");
    let variable = |name: &str, path: PathBuf| (name.to_owned(), path.display().to_string());
    let softhsm = token.module_path().to_owned();
    let mut seat = Seat::new("main", token);
    // A second worker may still list the token when the first is at work.
    seat.workers = 1;
    seat.module = Some(module_path());
    seat.environment.extend([
        variable(MODULE_VARIABLE, softhsm),
        variable(CONTROL_VARIABLE, control.path().to_owned()),
    ]);
    let mut setup = Setup::new(Token::new("unused")).server("refresh_interval_seconds = 3600");
    setup.tokens = vec![seat];
    let daemon = setup.start();
    let client = daemon.client("test");
    let creation = v1::CreateKeyRequest {
        key_id: "callbacks".to_owned(),
        r#type: v1::KeyType::HmacSha256.into(),
        purpose: v1::KeyPurpose::Mac.into(),
        algorithms: vec![v1::Algorithm::Hs256.into()],
        ..Default::default()
    };
    client.keys().create_key(creation).await.unwrap();
    let (found, signed) = (
        control.calls(Function::FindObjectsInit).unwrap(),
        control.calls(Function::SignInit).unwrap(),
    );

    let sign = || async {
        let request = v1::SignRequest {
            name: "keys/callbacks".to_owned(),
            algorithm: v1::Algorithm::Hs256.into(),
            message: Some(b"a message".as_slice().into()),
            ..Default::default()
        };
        client.signing().sign(request).await.unwrap();
    };
    for _ in 0..20 {
        join_all((0..50).map(|_| sign())).await;
    }

    assert!(control.calls(Function::SignInit).unwrap() >= signed + 1000);
    assert_eq!(control.calls(Function::FindObjectsInit).unwrap(), found);
}
