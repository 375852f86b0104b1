//! Many signatures by one call: a batch, and a stream that answers as it goes.

use chancery::{
    client::{Code, checksum},
    proto::v1::{
        Algorithm as A, BatchSignRequest, EcdsaEncoding, SignRequest, StreamSignRequest,
        sign_result::Result as Item,
    },
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{DAEMON, client_with, mac};
use crate::{
    calls::message,
    harness::{Refusal, Shared},
};

#[tokio::test]
async fn a_batch_keeps_its_order_whatever_is_in_it() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let batch = async |requests| {
        let response = client
            .signing()
            .batch_sign(BatchSignRequest { requests })
            .await;
        response.map(|response| response.into_inner().results)
    };
    for size in [0, 1001] {
        let requests = vec![message("mac", A::Hs256, b"x"); size];
        let refusal = Refusal::expect(batch(requests).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "BATCH_SIZE_INVALID")
        );
    }
    for size in [1, 2, 3, 999, 1000_usize] {
        let texts: Vec<_> = (0..size)
            .map(|index| index.to_string().into_bytes())
            .collect();
        let requests = texts
            .iter()
            .enumerate()
            .map(|(index, text)| match index % 7 {
                3 => message("nobodys", A::Hs256, text),
                5 => message("mac", A::Rs256, text),
                _ => message("mac", A::Hs256, text),
            });
        let results = batch(requests.collect()).await.unwrap();
        assert_eq!(results.len(), size);
        for (index, (result, text)) in results.into_iter().zip(&texts).enumerate() {
            match (index % 7, result.result.unwrap()) {
                (3, Item::Error(error)) => assert_eq!(error.reason, "KEY_NOT_FOUND"),
                (5, Item::Error(error)) => assert_eq!(error.reason, "ALGORITHM_NOT_ALLOWED"),
                (0 | 1 | 2 | 4 | 6, Item::Response(response)) => {
                    assert_eq!(response.signature, mac(A::Hs256, text));
                    assert_eq!(response.signature_crc32c, checksum(&response.signature));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_answers_each_request_once() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let (requests, outgoing) = mpsc::channel(16);
    let sender = tokio::spawn(async move {
        for id in 0..2000_u64 {
            let text = id.to_string().into_bytes();
            let request = match id % 10 {
                4 => Some(message("nobodys", A::Hs256, &text)),
                7 => None,
                9 => Some(SignRequest {
                    ecdsa_encoding: EcdsaEncoding::Raw.into(),
                    ..message("p256", A::Es256, &text)
                }),
                _ => Some(message("mac", A::Hs384, &text)),
            };
            requests
                .send(StreamSignRequest {
                    id: id ^ (1 << 63),
                    request,
                })
                .await
                .unwrap();
        }
    });
    let answers = client
        .signing()
        .stream_sign(ReceiverStream::new(outgoing))
        .await
        .unwrap();
    let answers: Vec<_> = answers.into_inner().collect().await;
    sender.await.unwrap();
    assert_eq!(answers.len(), 2000);
    let mut seen = std::collections::BTreeSet::new();
    for answer in answers {
        let answer = answer.unwrap();
        let id = answer.id ^ (1 << 63);
        assert!(id < 2000 && seen.insert(id));
        match (id % 10, answer.result.unwrap().result.unwrap()) {
            (4, Item::Error(error)) => assert_eq!(error.reason, "KEY_NOT_FOUND"),
            (7, Item::Error(error)) => assert_eq!(error.reason, "KEY_NAME_INVALID"),
            (9, Item::Response(response)) => assert_eq!(response.signature.len(), 64),
            (_, Item::Response(response)) => {
                assert_eq!(response.signature, mac(A::Hs384, id.to_string().as_bytes()))
            }
            other => panic!("{other:?}"),
        }
    }
}
