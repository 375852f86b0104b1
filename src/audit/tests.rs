//! Writes logs, and looks at them with other eyes.

use std::{collections::BTreeMap, fs, future::Future, path::Path, time::SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use tempfile::TempDir;

use super::{tree::Tree, *};
use crate::{
    algorithm::Curve,
    key::{KeyName, PublicKey, Version},
    policy::Operation,
};

mod attacks;
mod crash;
mod life;
mod lines;
mod listing;
mod sinks;
mod vectors;

/// A log in a directory of its own, and the key that signs its checkpoints.
struct Log {
    directory: TempDir,
    audit: Audit,
    keeper: Keeper,
}

impl Log {
    fn new() -> Self {
        Self::within(TempDir::new().unwrap())
    }

    fn within(directory: TempDir) -> Self {
        let (audit, keeper) = Audit::open(opening(directory.path())).unwrap();
        Self {
            directory,
            audit,
            keeper,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Signs something, successfully.
    fn sign(&self, key: &str) -> u64 {
        let ticket = self.audit.intent(intent(key)).unwrap();
        let sequence = ticket.sequence();
        wait(self.audit.signed(ticket, key.as_bytes())).unwrap();
        sequence
    }

    fn checkpoint(&mut self) -> SignedCheckpoint {
        let draft = self.keeper.draft().unwrap().unwrap();
        let signature = signer().sign(&draft.body());
        let signed = self.keeper.publish(&draft, &vkey(), signature.as_ref());
        signed.unwrap().clone()
    }

    /// Closes it, and waits until the writer has let go.
    fn close(self) -> TempDir {
        let Self {
            directory,
            audit,
            keeper,
        } = self;
        let _ = wait(audit.close(StopReason::Asked));
        drop((audit, keeper));
        directory
    }
}

fn opening(directory: &Path) -> Opening {
    Opening {
        directory: directory.to_owned(),
        origin: ORIGIN.parse().unwrap(),
        durability: Durability::Os,
        segment_bytes: 1 << 20,
        vkeys: vec![vkey()],
        policy: None,
        config: None,
        clock: SystemTime::now,
    }
}

fn intent(key: &str) -> Intent {
    let identity = Identity::for_test("spiffe://example.org/payments");
    let asked = Asked {
        operation: Operation::Sign,
        key: Some(key.parse::<KeyName>().unwrap()),
        version: Some(Version::FIRST),
        algorithms: vec![Algorithm::Ecdsa(Curve::P256)],
        partner: None,
        scheme: None,
    };
    Intent::new(SIGN, &identity, "payments-sign", asked).input(InputDigest::of(key.as_bytes()))
}

/// The key whose seed is 0, 1, 2, ... 31.
fn signer() -> Ed25519KeyPair {
    let seed: Vec<u8> = (0..32).collect();
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

fn vkey() -> Vkey {
    let public = PublicKey::from_ed25519(signer().public_key().as_ref()).unwrap();
    Vkey::new(ORIGIN.parse().unwrap(), &public).unwrap()
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// All lines of all segments.
fn lines(directory: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let text: String = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    text.lines().map(str::to_owned).collect()
}

const ORIGIN: &str = "example.com/chancery/test";
const SIGN: Word = Word::new("chancery.v1.SigningService/Sign");
