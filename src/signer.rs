//! The life of a request, told in one place: find the key, ask the policy, let the token do it.
//!
//! Every public function here has the same course. The policy is asked before anything that depends on
//! whether a key exists, so that a refused key and one that is not there look alike. Bad content stops before the
//! token is asked. What is allowed is recorded before it begins, which is the only way to a permit that can be
//! moved into the token's call; and what came of it before it is answered.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use crate::{
    algorithm::{Algorithm, Purpose},
    audit::{self, Audit, Word},
    identity::Identity,
    key::{KeyName, KeyVersion, PublicKey, Version},
    partner::Partners,
    pkcs11::{Key, Token},
    policy::{Denied, Operation, Permit, Policy, QuotaKind, Signing, Subject},
    store::KeyFacts,
};

pub use approval::{
    Executed, PolicyLeave, PolicyRefused, ProposalState, Proposed, Standing, leave_for_policy,
};
pub use checkpoints::{Checkpoints, Waits};
pub use clock::Clock;
pub use error::Error;
pub use idempotency::{Identified, Permitted};
pub use import::ImportRequest;
pub use inputs::InputKeyError;
pub use keys::{Certify, KeyRequest};
pub use lifecycle::{KeyView, Update, keep};
pub use long::LongSignature;
pub use message::{DecryptedJwe, JweRecipient, JweRequest, JwsRequest, VerifiedJws};
pub use partners::{ACCESS_TOKENS, NotReady};
pub use platform::{
    Dealing, Decision, DecryptedField, EncryptedField, ExplainedString, Explanation, Holder,
    Issued, KeyUsed, Named, PlatformError, Protection, ReplayMemory, SignedMessage, Verification,
    missing_or_wrong,
};
pub use reading::LogRead;
pub use sign::{Content, SignRequest, Signature, SignatureForm};

use account::{Account, Granted, Roll, digest_of};
use admission::Admission;
use approval::Approved;
use sign::{check_form, finish, signing_input};
use verify::{Given, verified};

mod account;
mod admission;
mod approval;
mod certificate_request;
mod checkpoints;
mod clock;
mod error;
mod idempotency;
mod import;
mod inputs;
mod keys;
mod lifecycle;
mod long;
mod message;
mod partners;
mod platform;
mod reading;
mod sign;
mod verify;

/// What all requests share: the tokens, and the policy and the partners in force.
pub struct Signer {
    tokens: Vec<Arc<Token>>,
    policy: ArcSwap<Policy>,
    /// Why the policy file is not the policy in force.
    refused_policy: ArcSwapOption<String>,
    partners: ArcSwap<Partners>,
    clock: Clock,
    replay: ReplayMemory,
    roll: Arc<Roll>,
    checkpoints: Arc<Checkpoints>,
    lives: Arc<lifecycle::Lives>,
    waiting: lifecycle::Waiting,
    readers: reading::Readers,
}

/// Who calls, and until when the answer is of use.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who.
    pub identity: Arc<Identity>,
    /// By which name the log knows the call.
    pub name: Word,
    /// Until when.
    pub deadline: Instant,
    /// What tells the request from every other, if the caller gave it an id.
    pub request: Option<String>,
    /// Where what is permitted is noted, if the answer is kept.
    pub permitted: Option<Permitted>,
}

/// A key, or one version of it, as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Which key.
    pub key: KeyName,
    /// Which version; `None` is the primary one, or, to verify, every one.
    pub version: Option<Version>,
}

/// A key that was found, and the token that holds it.
struct Found {
    token: Arc<Token>,
    key: Arc<Key>,
    facts: Option<Arc<KeyFacts>>,
}

impl Signer {
    /// With these tokens, this policy, these partners, this clock, this memory of messages, and this log; without
    /// a log nothing is recorded.
    pub fn new(
        tokens: Vec<Arc<Token>>,
        policy: Policy,
        partners: Partners,
        clock: Clock,
        replay: ReplayMemory,
        audit: Option<Arc<Audit>>,
    ) -> Self {
        let lives = Arc::new(lifecycle::Lives::new(replay.store()));
        let start = std::time::Instant::now();
        let elapsed = Box::new(move || start.elapsed());
        let admission = Admission::new(Arc::clone(&lives), clock.clone(), elapsed);
        admission.replace(policy.quotas());
        Self {
            tokens,
            policy: ArcSwap::from_pointee(policy),
            refused_policy: ArcSwapOption::empty(),
            partners: ArcSwap::from_pointee(partners),
            clock,
            lives,
            replay,
            roll: Roll::new(audit, admission),
            checkpoints: Arc::default(),
            waiting: lifecycle::Waiting::default(),
            readers: reading::Readers::default(),
        }
    }

    /// The tokens.
    pub fn tokens(&self) -> &[Arc<Token>] {
        &self.tokens
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// How many requests the policy has denied.
    pub fn denials(&self) -> u64 {
        self.roll.denials()
    }

    /// How often each quota has refused something, and for which of its limits.
    pub fn quota_refusals(&self) -> Vec<(Arc<str>, QuotaKind, u64)> {
        self.roll.admission().refusals()
    }

    /// The log, if there is one.
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.roll.audit()
    }

    /// Why nothing is recorded, and so nothing done; `None` if all is well, or there is no log.
    pub fn audit_fault(&self) -> Option<String> {
        match self.audit()?.health() {
            audit::Health::Good => None,
            audit::Health::Stalled(since) => Some(format!(
                "the disk of the audit log has not answered for {} s",
                since.as_secs()
            )),
            audit::Health::Failed(trouble) => Some(trouble.to_string()),
            audit::Health::Closed => {
                Some("the audit log is closed: the daemon is ending".to_owned())
            }
        }
    }

    /// How long calls waited for the log.
    pub fn audit_waits(&self) -> &Waits {
        self.roll.waits()
    }

    /// What is known of the log's checkpoints.
    pub const fn checkpoints(&self) -> &Arc<Checkpoints> {
        &self.checkpoints
    }

    /// Puts another policy in force, for the next request.
    pub fn replace_policy(&self, policy: Policy) {
        self.roll.admission().replace(policy.quotas());
        self.policy.store(Arc::new(policy));
    }

    /// Leave to use a key otherwise than to sign.
    fn permit(
        &self,
        account: &Account,
        call: &Call,
        wanted: &Selector,
        operation: Operation,
        algorithm: Algorithm,
    ) -> Result<(Found, Granted), Error> {
        self.permitted(account, wanted, operation, algorithm, |policy, version| {
            let now = self.clock.now();
            policy.authorize(&call.identity, version, operation, algorithm, now)
        })
    }

    /// Leave to sign, for which the content has still to pass the policy's limits.
    fn permit_to_sign(
        &self,
        account: &Account,
        call: &Call,
        wanted: &Selector,
        algorithm: Algorithm,
    ) -> Result<(Found, Granted<Signing>), Error> {
        let sign = Operation::Sign;
        self.permitted(account, wanted, sign, algorithm, |policy, version| {
            policy.authorize_sign(&call.identity, version, algorithm, self.clock.now())
        })
    }

    /// Finds the key and asks the policy, in the order that tells nothing to whom nothing is due.
    fn permitted<S: Subject>(
        &self,
        account: &Account,
        wanted: &Selector,
        operation: Operation,
        algorithm: Algorithm,
        ask: impl FnOnce(&Policy, &KeyVersion) -> Result<Permit<S>, Denied>,
    ) -> Result<(Found, Granted<S>), Error> {
        let found = self.find(&wanted.key);
        let version = match (&found, wanted.version) {
            (_, Some(version)) => version,
            (Ok(found), None) => found.primary_number(),
            // What is asked of the policy does not depend on the version.
            (Err(_), None) => Version::FIRST,
        };
        let version = KeyVersion {
            key: wanted.key.clone(),
            version,
        };
        let granted = account.authorized(ask(&self.policy.load(), &version))?;
        let found = found?;
        found
            .key
            .version(&version)
            .ok_or(Error::NoSuchVersion(version))?;
        found.is_live(wanted, operation)?;
        found.allows(algorithm)?;
        if !serves(operation, algorithm) {
            return Err(Error::AlgorithmOfAnotherOperation(algorithm, operation));
        }
        Ok((found, granted))
    }

    /// The one key of this name among all tokens.
    fn find(&self, name: &KeyName) -> Result<Found, Error> {
        if self.roll.inputs().is_key(name) {
            return Err(Error::Unusable {
                key: name.clone(),
                why: "it hashes the audit log's inputs (audit.input_hash_key), and is for nothing else"
                    .to_owned(),
            });
        }
        let mut found = Vec::new();
        let mut unusable = None;
        for token in &self.tokens {
            let keys = token.keys();
            match keys.get(name) {
                Some(key) => found.push(Found {
                    token: Arc::clone(token),
                    key: Arc::clone(key),
                    facts: self.lives.facts(name),
                }),
                None => unusable = unusable.or_else(|| keys.why_unusable(name).map(str::to_owned)),
            }
        }
        match (found.len(), unusable) {
            (1, None) => {
                self.lives.known()?;
                Ok(found.swap_remove(0))
            }
            (0, None) => {
                // In a token that was never seen it may well be.
                self.tokens.iter().try_for_each(|token| token.known())?;
                Err(Error::NoSuchKey(name.clone()))
            }
            (0, Some(why)) => Err(Error::Unusable {
                key: name.clone(),
                why,
            }),
            _ => Err(Error::Unusable {
                key: name.clone(),
                why: "more than one token has a key of this name; give all but one another label"
                    .to_owned(),
            }),
        }
    }
}

impl Found {
    /// The public half of a version, unless it is a secret.
    fn public(&self, version: &KeyVersion) -> Option<&PublicKey> {
        self.key.version(version)?.public.as_ref()
    }

    /// Whether the key's record names the algorithm, and the token can do it.
    fn allows(&self, algorithm: Algorithm) -> Result<(), Error> {
        let usage = &self.key.usage;
        if !usage.allows(algorithm) {
            return Err(Error::AlgorithmNotAllowed {
                key: self.key.name.clone(),
                algorithm,
                allowed: usage.algorithms().to_vec(),
            });
        }
        Ok(())
    }
}

/// Whether this can be done with this algorithm at all, whatever the key.
const fn serves(operation: Operation, algorithm: Algorithm) -> bool {
    match operation {
        Operation::Sign => matches!(
            algorithm.purpose(),
            Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin
        ),
        Operation::Verify | Operation::RequestCertificate => {
            matches!(algorithm.purpose(), Purpose::Sign | Purpose::Mac)
        }
        Operation::Encrypt | Operation::Decrypt => {
            matches!(algorithm.purpose(), Purpose::Decrypt | Purpose::Wrap)
        }
        Operation::Get
        | Operation::Create
        | Operation::Import
        | Operation::Rotate
        | Operation::Update
        | Operation::Destroy
        | Operation::Approve
        | Operation::ApprovePolicy
        | Operation::ChangePolicy
        | Operation::GenerateRandom
        | Operation::SignRequest
        | Operation::SignResponse
        | Operation::VerifyCallback
        | Operation::VerifyResponse
        | Operation::EncryptField
        | Operation::DecryptField
        | Operation::IssueAccessToken
        | Operation::ExplainMessage
        | Operation::GetPartner
        | Operation::ReadAudit => true,
    }
}
