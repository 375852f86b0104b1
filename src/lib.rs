//! Chancery keeps keys inside a PKCS#11 token and gives applications, over gRPC with mutual TLS, the
//! results of using them.

pub mod admin;
pub mod algorithm;
pub mod client;
pub mod config;
pub mod dev;
pub mod grpc;
pub mod identity;
pub mod jose;
pub mod key;
pub mod pkcs11;
pub mod policy;
pub mod server;
pub mod signer;
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
