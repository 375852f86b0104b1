//! Chancery keeps keys inside a PKCS#11 token and gives applications, over gRPC with mutual TLS, the
//! results of using them.

pub mod algorithm;
pub mod client;
pub mod identity;
pub mod key;
pub mod policy;
pub mod tls;
pub mod wire;

/// Types and stubs generated from `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated"
)]
pub mod proto {
    pub mod v1 {
        tonic::include_proto!("chancery.v1");
    }
    /// The descriptor set, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
