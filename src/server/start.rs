//! The start: a policy that is wider than the one that was in force last needs the same approval as at a reload, and
//! what of the configuration does nothing yet is said.

use std::sync::Arc;

use crate::{
    pkcs11::{Declaration, Health, Token},
    policy::Policy,
    signer::{self, Clock, PolicyLeave, PolicyRefused, Signer},
    store::{Store, Timestamp},
};

/// Whether the policy may follow the one that was in force when the last daemon ended. The first is taken as it is.
pub(super) async fn leave_for_policy(
    store: &Store,
    new: &Policy,
    clock: &Clock,
) -> Result<PolicyLeave, PolicyRefused> {
    let last = store.policies().last().await;
    let last = match last.map_err(|error| PolicyRefused::Failed(Box::new(error.into())))? {
        None => return Ok(PolicyLeave::Free),
        Some(last) if last.sha256 == *new.sha256() => return Ok(PolicyLeave::Free),
        Some(last) => last,
    };
    let before =
        Policy::parse(&last.text).map_err(|error| PolicyRefused::Unknown(error.to_string()))?;
    let now = Timestamp(i64::try_from(clock.now().0).unwrap_or(i64::MAX));
    signer::leave_for_policy(store, &before, new, now).await
}

/// Remembers the policy that is in force from now on, and executes its proposal, if it needed one.
pub(super) async fn adopt_policy(signer: &Signer, leave: PolicyLeave) -> Result<(), PolicyRefused> {
    let adopted = signer.adopt_policy(&signer.policy(), leave).await;
    adopted.map_err(|error| PolicyRefused::Failed(Box::new(error)))
}

/// Says that tokens are not up, and which keys of the configuration are in none. How many tokens are up.
pub(super) fn tell_tokens(tokens: &[Arc<Token>], declared: &[Declaration]) -> usize {
    let is_up = |token: &&Arc<Token>| *token.health().borrow() == Health::Ready;
    let ready = tokens.iter().filter(is_up).count();
    if ready < tokens.len() {
        tracing::warn!(
            tokens.ready = ready,
            tokens.configured = tokens.len(),
            "not every token is ready; calls that need one are refused until it is"
        );
    }
    // What is in a token that was never up is not known.
    if tokens.iter().all(|token| token.known().is_ok()) {
        let tables: Vec<_> = tokens.iter().map(|token| token.keys()).collect();
        for declaration in declared {
            let name = &declaration.name;
            let unusable = tables.iter().find_map(|table| table.why_unusable(name));
            if let Some(why) = unusable {
                tracing::warn!(key = %name, why, "a key of [[keys]] can't be served");
            } else if tables.iter().all(|table| table.get(name).is_none()) {
                tracing::warn!(key = %name, "a key of [[keys]] is in no token: none has a private or secret key with this label");
            }
        }
    }
    ready
}
