//! Chancery keeps keys inside a PKCS#11 token and gives applications, over gRPC with mutual TLS, the
//! results of using them.
//!
//! # The life of a request
//!
//! ```text
//! tls       a client connects and shows a certificate: a valid chain, and exactly one usable name,
//!           which is its identity for as long as the connection lasts
//! grpc      a call comes: sizes and deadlines are bounded, words of the wire become types (wire), and
//!           the rest runs in a task of its own, so that a caller who hangs up stops nothing half-way
//! signer    1 policy   may this identity do this with this key and algorithm? A permit, or a denial;
//!                      asked before it matters whether the key exists, so that names can't be probed
//!           2 jose     drafts the exact bytes to sign, or takes apart what came; bad content ends here
//!           3 pkcs11   the permit is moved into the call, and with it the one right to make it
//!                      waits for a free lane of a worker; the worker, which alone knows the PIN,
//!                      computes in the token, verifies the signature, answers within the deadline
//!           4 jose     finishes the draft with what the token made
//! grpc      answers, and names the key version and the algorithm really used; errors go through one
//!           table, in which the caller learns the code and the log the cause
//! ```
//!
//! # Who may import whom
//!
//! A room is a file and the folder of the same name. It names no room but those beside it here, and
//! those stand above it. A test reads this table, and the `use` lines.
//!
//! ```text
//! algorithm  ->
//! identity   ->
//! telemetry  ->
//! proto      ->
//! key        -> algorithm
//! jose       -> algorithm key
//! scheme     -> algorithm jose key
//! store      -> algorithm identity key
//! partner    -> algorithm key scheme
//! policy     -> algorithm identity jose key partner scheme
//! tls        -> identity
//! audit      -> algorithm identity key policy tls
//! wire       -> algorithm key partner proto scheme
//! pkcs11     -> algorithm identity key policy
//! signer     -> algorithm audit identity jose key partner pkcs11 policy scheme store
//! grpc       -> algorithm audit identity jose key partner pkcs11 policy proto scheme signer store tls wire
//! admin      -> audit grpc key partner pkcs11 policy signer tls
//! client     -> proto tls
//! config     -> admin algorithm audit grpc key partner pkcs11 policy scheme store telemetry tls
//! server     -> admin audit config grpc key pkcs11 policy proto scheme signer store telemetry tls
//! check      -> algorithm audit config key partner pkcs11 policy scheme server signer store tls
//! dev        -> algorithm audit client config identity key pkcs11 policy server signer telemetry tls
//! chanceryd  -> check config dev pkcs11 server telemetry
//! chancery   -> algorithm audit client identity key partner policy proto scheme wire
//! ```
//!
//! Outside crates that are more than a convenience are confined likewise, tests apart:
//!
//! ```text
//! cryptoki         pkcs11
//! tonic            grpc server client proto tls
//! tonic_health     server client
//! tonic_reflection server
//! tonic_types      grpc client
//! tonic_prost      proto
//! prost            grpc proto wire
//! prost_types      grpc wire chancery
//! rustls           tls client
//! tokio_rustls     tls client
//! hyper            client
//! hyper_util       client
//! x509_parser      identity
//! rcgen            signer dev
//! josekit          jose
//! axum             admin
//! prometheus_client admin
//! sqlx             store
//! toml             config policy scheme
//! clap             chanceryd chancery
//! ```

pub mod admin;
pub mod algorithm;
pub mod audit;
pub mod check;
pub mod client;
pub mod config;
pub mod dev;
pub mod grpc;
pub mod identity;
pub mod jose;
pub mod key;
pub mod partner;
pub mod pkcs11;
pub mod policy;
pub mod scheme;
pub mod server;
pub mod signer;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod wire;

/// Types and stubs generated from `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod proto {
    pub mod v1 {
        tonic::include_proto!("chancery.v1");
    }
    /// The descriptor set, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
