//! Below the calls: frames that are no gRPC, messages that are no message, and deadlines.

use std::time::Duration;

use bytes::Bytes;
use chancery::{
    client::Code,
    proto::v1::{Algorithm as A, StreamSignRequest},
};

use super::{DAEMON, client_with, sign};
use crate::{
    calls::message,
    harness::{Refusal, Shared},
};

/// What the gRPC library refuses by itself is told like everything else.
#[tokio::test]
async fn errors_of_the_protocol_have_a_reason_too() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let large = message("p256", A::Es256, &vec![0; (4 << 20) + 1]);
    let refusal = sign(&client, large.clone()).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_TOO_LARGE")
    );
    let fits = message("p256", A::Es256, &vec![0; (4 << 20) - 100]);
    assert!(sign(&client, fits).await.is_ok());
    // In the middle of a stream, when the headers of the answer are long gone.
    let requests = [
        message("p256", A::Es256, b"x"),
        large,
        message("p256", A::Es256, b"x"),
    ];
    let requests = requests
        .into_iter()
        .enumerate()
        .map(|(id, request)| StreamSignRequest {
            id: id as u64,
            request: Some(request),
        });
    let mut answers = client
        .signing()
        .stream_sign(tokio_stream::iter(requests.collect::<Vec<_>>()))
        .await
        .unwrap()
        .into_inner();
    let last = loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if nothing had happened"),
            Err(status) => break Refusal::of(&status),
        }
    };
    assert_eq!(
        (last.code, last.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_TOO_LARGE")
    );

    let unary = async |path: &'static str, body: Bytes| raw::call(&daemon, path, body).await;
    for (path, code, reason) in [
        (
            "/chancery.v1.SigningService/Forge",
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        (
            "/chancery.v2.SigningService/Sign",
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        ("/", Code::Unimplemented, "METHOD_UNKNOWN"),
        (
            "/chancery.v1.SigningService/Sign",
            Code::InvalidArgument,
            "REQUEST_MALFORMED",
        ),
        (
            "/chancery.v1.KeyService/ListKeys",
            Code::InvalidArgument,
            "REQUEST_MALFORMED",
        ),
    ] {
        let refusal = Refusal::of(
            &unary(path, Bytes::from_static(&[0xff; 9]))
                .await
                .unwrap_err(),
        );
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (code, reason),
            "{path}"
        );
    }
}

/// Calls whose bytes are not those of any generated stub.
mod raw {
    use bytes::{Buf, BufMut, Bytes};
    use chancery::client::Status;
    use tonic::{
        client::Grpc,
        codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
        transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
    };

    use crate::harness::Daemon;

    pub(super) async fn call(
        daemon: &Daemon,
        path: &'static str,
        body: Bytes,
    ) -> Result<Bytes, Status> {
        let config = daemon.client_config(&daemon.certificate("test"));
        let read = |path| std::fs::read(path).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(config.ca)))
            .identity(Identity::from_pem(
                read(config.certificate),
                read(config.key),
            ))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(config.address).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.unwrap();
        let request = tonic::Request::new(body);
        let answer = grpc.unary(request, path.parse().unwrap(), Plain).await;
        answer.map(tonic::Response::into_inner)
    }

    #[derive(Clone, Copy)]
    struct Plain;

    impl Codec for Plain {
        type Encode = Bytes;
        type Decode = Bytes;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            *self
        }

        fn decoder(&mut self) -> Self {
            *self
        }
    }

    impl Encoder for Plain {
        type Item = Bytes;
        type Error = Status;

        fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.put(item);
            Ok(())
        }
    }

    impl Decoder for Plain {
        type Item = Bytes;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
            Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
        }
    }
}

#[tokio::test]
async fn a_deadline_is_kept_and_costs_nothing() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256", "rsa"]).await;
    let workers = daemon.worker_pids();
    for microseconds in [1, 10, 100, 300] {
        for _ in 0..25 {
            let mut request = tonic::Request::new(message("rsa", A::Rs256, b"message"));
            request.set_timeout(Duration::from_micros(microseconds));
            match client.signing().sign(request).await {
                // The client's own clock may be first.
                Err(status) => {
                    let shown = format!("{status:?}");
                    let failure = chancery::client::Failure::from(status);
                    assert_eq!(
                        (failure.code, failure.reason.as_str()),
                        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
                        "{shown}"
                    );
                }
                Ok(_) => assert!(microseconds > 10, "a signature in {microseconds} us"),
            }
            // So that the daemon has seen the end of it: of many at once that end before it has looked, it thinks badly,
            // and hangs up.
            sign(&client, message("p256", A::Es256, b"message"))
                .await
                .unwrap();
        }
    }
    assert!(
        sign(&client, message("p256", A::Es256, b"message"))
            .await
            .is_ok()
    );
    assert_eq!(daemon.worker_pids(), workers);
}
