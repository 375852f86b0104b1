//! The sample keys: one of each kind, made through the same door as any caller's.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Curve, Hash, KeyType, RsaSize},
    audit::Word,
    identity::Identity,
    signer::{Call, KeyRequest, Signer},
};

/// The key that `app-b` may sign with.
pub(super) const SHARED: &str = "demo-es256";

/// A sample that is not there, and why.
#[derive(Debug)]
pub(super) struct Skipped {
    /// The name of the key.
    pub(super) name: &'static str,
    /// What the token lacks, or what it said.
    pub(super) reason: String,
}

/// Makes those that are not there yet, in the name of `identity`.
pub(super) async fn ensure(signer: &Signer, identity: &Arc<Identity>) -> Vec<Skipped> {
    let mut skipped = Vec::new();
    for (name, key_type, algorithms) in samples() {
        let key_name = name.parse().expect("the samples have good names");
        let there = |token: &Arc<crate::pkcs11::Token>| token.keys().get(&key_name).is_some();
        if signer.tokens().iter().any(there) {
            continue;
        }
        let purpose = algorithms[0].purpose();
        let opens = matches!(
            purpose,
            crate::algorithm::Purpose::Decrypt | crate::algorithm::Purpose::Wrap
        );
        let request = KeyRequest {
            name: key_name,
            token: None,
            key_type,
            purpose,
            algorithms,
            content_encryptions: if opens {
                ContentEncryption::ALL.to_vec()
            } else {
                Vec::new()
            },
            compression_allowed: false,
            critical: false,
            maximum_uses: None,
        };
        let call = Call {
            request: None,
            permitted: None,
            identity: Arc::clone(identity),
            name: Word::new("dev.CreateSamples"),
            deadline: Instant::now() + PATIENCE,
        };
        if let Err(error) = signer.create_key(&call, request).await {
            skipped.push(Skipped {
                name,
                reason: error.to_string(),
            });
        }
    }
    skipped
}

fn samples() -> [(&'static str, KeyType, Vec<Algorithm>); 7] {
    let rsa = KeyType::Rsa(RsaSize::Bits2048);
    let p256 = KeyType::Ec(Curve::P256);
    [
        (
            "demo-rs256",
            rsa,
            vec![
                Algorithm::RsaPkcs1(Hash::Sha256),
                Algorithm::RsaPss(Hash::Sha256),
            ],
        ),
        (SHARED, p256, vec![Algorithm::Ecdsa(Curve::P256)]),
        ("demo-eddsa", KeyType::Ed25519, vec![Algorithm::EdDsa]),
        (
            "demo-hs256",
            KeyType::Hmac(Hash::Sha256),
            vec![Algorithm::Hmac(Hash::Sha256)],
        ),
        ("demo-oaep", rsa, vec![Algorithm::RsaOaep256]),
        (
            "demo-ecdh",
            p256,
            vec![
                Algorithm::EcdhEs,
                Algorithm::EcdhEsA128Kw,
                Algorithm::EcdhEsA256Kw,
            ],
        ),
        (
            "demo-kw",
            KeyType::Aes(AesSize::Bits256),
            vec![Algorithm::A256Kw],
        ),
    ]
}

/// RSA keys take a software token up to a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Usage;

    #[test]
    fn every_sample_is_a_key_that_can_be() {
        for (name, key_type, algorithms) in samples() {
            let purpose = algorithms[0].purpose();
            let encryptions = match purpose {
                crate::algorithm::Purpose::Decrypt | crate::algorithm::Purpose::Wrap => {
                    ContentEncryption::ALL.to_vec()
                }
                crate::algorithm::Purpose::Sign
                | crate::algorithm::Purpose::Mac
                | crate::algorithm::Purpose::ProveOrigin => Vec::new(),
            };
            Usage::new(key_type, purpose, algorithms, encryptions, false).expect(name);
        }
    }
}
