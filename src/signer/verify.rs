//! Verifying a signature or MAC: with the public key here, or, for a MAC, by making it again in the token.

use bytes::Bytes;
use subtle::ConstantTimeEq;

use super::{
    Account, Call, Content, Error, Found, Granted, Selector, SignatureForm, Signer, check_form,
    digest_of, signing_input,
};
use crate::{
    algorithm::{Algorithm, Purpose},
    key::{Input, KeyVersion},
    pkcs11::VersionFacts,
    policy::Operation,
};

impl Signer {
    /// Verifies a signature or MAC. Gives the version that made it, or `None` if none did.
    ///
    /// # Errors
    ///
    /// [`Error`]; a signature that is not valid is none.
    pub async fn verify(
        &self,
        call: &Call,
        key: &Selector,
        algorithm: Algorithm,
        content: Content,
        signature: &[u8],
        form: SignatureForm,
    ) -> Result<Option<KeyVersion>, Error> {
        let account = self.roll.open(call);
        let maker = async {
            let (found, granted) =
                self.permit(&account, call, key, Operation::Verify, algorithm)?;
            check_form(algorithm, form)?;
            let input = signing_input(algorithm, content)?;
            let mut granted = Some(granted);
            for facts in found.live(key) {
                let granted = match granted
                    .take()
                    .filter(|granted| *granted.key() == facts.version)
                {
                    Some(granted) => granted,
                    None => account.authorized(self.policy.load().authorize(
                        &call.identity,
                        &facts.version,
                        Operation::Verify,
                        algorithm,
                        self.clock.now(),
                    ))?,
                };
                let signature = Given { signature, form };
                let right = verified(&account, call, &found, facts, granted, &input, signature);
                if right.await? {
                    return Ok(Some(facts.version.clone()));
                }
            }
            Ok(None)
        };
        let maker = maker.await;
        account.close(maker).await
    }
}

/// A signature that is to be verified.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) signature: &'a [u8],
    pub(super) form: SignatureForm,
}

/// Whether a version made the signature: with its public key here, or, for a MAC, by making it again there.
pub(super) async fn verified(
    account: &Account,
    call: &Call,
    found: &Found,
    facts: &VersionFacts,
    granted: Granted,
    input: &Bytes,
    given: Given<'_>,
) -> Result<bool, Error> {
    let Given { signature, form } = given;
    let algorithm = granted.algorithm();
    let digest = digest_of(algorithm, input);
    let permit = account
        .intend(granted, Some(digest), facts.public.as_ref())
        .await?;
    let right = match &facts.public {
        Some(public) => {
            let input = if algorithm.prehash().is_some() {
                Input::Digest(input)
            } else {
                Input::Message(input)
            };
            public.verifies(algorithm, input, signature, form == SignatureForm::Der)
        }
        None => {
            debug_assert_eq!(algorithm.purpose(), Purpose::Mac);
            let mac = found.token.sign(permit, input.clone(), call.deadline);
            mac.await?.ct_eq(signature).into()
        }
    };
    account.verified(right);
    Ok(right)
}
