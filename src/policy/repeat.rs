//! Leave to give an answer again: what was permitted for it then is asked of the rules of now.

use std::sync::Arc;

use crate::{
    identity::Identity,
    policy::{
        Asked, Denied, Operation, Permit, Policy,
        operation::Need,
        permit::Subject,
        rule::{AlgorithmSet, Question},
    },
    scheme::UnixMilliseconds,
};

/// What a permit is about that lets an answer be given again, and nothing be done.
///
/// It uses no key:
///
/// ```compile_fail,E0308
/// use chancery::policy::{Permit, Repetition};
/// fn sign(permit: Permit) {}
/// fn again(permit: Permit<Repetition>) {
///     sign(permit);
/// }
/// ```
#[derive(Debug)]
pub struct Repetition {
    asked: Asked,
}

impl Policy {
    /// Asks once more for what was asked before, to give the same answer. A signature has limits beside: for that,
    /// [`Policy::authorize_sign`] is asked once more.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it now, if it is to sign, or if its parts are not those of its operation.
    pub fn authorize_again(
        &self,
        identity: &Arc<Identity>,
        asked: &Asked,
        now: UnixMilliseconds,
    ) -> Result<Permit<Repetition>, Denied> {
        let algorithms: AlgorithmSet = asked.algorithms.iter().copied().collect();
        let question = Question {
            key: asked.key.as_ref(),
            algorithms: (!asked.algorithms.is_empty()).then_some(algorithms),
            partner: asked.partner.as_ref(),
            scheme: asked.scheme.as_ref(),
            ..Question::about(identity.name(), asked.operation, Some(now))
        };
        let needs = asked.operation.needs();
        let fits = [
            (needs.key, asked.key.is_some()),
            (needs.algorithm, !asked.algorithms.is_empty()),
            (needs.partner, asked.partner.is_some()),
            (needs.scheme, asked.scheme.is_some()),
        ];
        let fits = fits.into_iter().all(|(need, given)| match need {
            Need::Always => given,
            Need::Sometimes => true,
            Need::Never => !given,
        });
        let makes_sense = fits && asked.operation != Operation::Sign;
        let question = makes_sense.then_some(question);
        self.decide(identity, question, asked.operation, || Repetition {
            asked: asked.clone(),
        })
    }
}

impl Subject for Repetition {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            operation,
            ..self.asked.clone()
        }
    }
}
