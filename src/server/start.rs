//! The policy at the start: what is wider than the one that was in force last needs the same approval as at a reload.

use crate::{
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
