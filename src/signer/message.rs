//! JWS and JWE: the framing of `jose`, the keys of the token. Which algorithm a message is for, only the message
//! says; so whether the caller may use the key at all is asked before it is read.

use super::{Account, Call, Error, Found, Selector, Signer};
use crate::{
    algorithm::Algorithm,
    key::{KeyVersion, Version},
    policy::Operation,
};

pub(super) use jwe::{DECRYPTION_FAILED, open};
pub use jwe::{DecryptedJwe, JweRecipient, JweRequest};
pub use jws::{JwsRequest, VerifiedJws};

mod jwe;
mod jws;

impl Signer {
    /// Finds a key that the caller may use for this operation with at least one of its algorithms: which one,
    /// only the message will say.
    fn allowed(
        &self,
        account: &Account,
        call: &Call,
        wanted: &Selector,
        operation: Operation,
    ) -> Result<Found, Error> {
        let (policy, now) = (self.policy.load(), self.clock.now());
        let found = self.find(&wanted.key);
        let candidates = match &found {
            Ok(found) => found.key.usage.algorithms().to_vec(),
            // The same question for a key that is not there, so that the answers are alike.
            Err(_) => Algorithm::ALL.to_vec(),
        };
        let version = KeyVersion {
            key: wanted.key.clone(),
            version: wanted.version.unwrap_or(Version::FIRST),
        };
        let mut refusal = None;
        for algorithm in candidates {
            match policy.authorize(&call.identity, &version, operation, algorithm, now) {
                Ok(permit) => {
                    // Consumed: what is done asks again, with its algorithm.
                    let _granted = account.authorized(Ok(permit))?;
                    let found = found?;
                    if wanted.version.is_some() && found.key.version(&version).is_none() {
                        return Err(Error::NoSuchVersion(version));
                    }
                    found.is_live(wanted, operation)?;
                    return Ok(found);
                }
                Err(denied) => refusal = Some(denied),
            }
        }
        let refusal = refusal.expect("a key has at least one algorithm");
        account
            .seen::<()>(Err(refusal))
            .map(|_| unreachable!("a refusal is no permit"))
    }
}
