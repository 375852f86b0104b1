//! How the strings of a message come about: the same way as when it is signed or verified, up to the key.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    Admitted, Dealing, Named, PlatformError,
    sign::operation,
    verify::{Verification, inputs_of, missing_or_wrong},
};
use crate::{
    policy::Operation,
    scheme::{
        Act, EvaluationError, Message, Outcome, Refusal, SchemeName, Step, Text, UnixMilliseconds,
    },
    signer::{Call, Error, Signer},
};

/// What a message is signed over, and how that comes about.
#[derive(Debug)]
pub struct Explanation {
    /// By which rules.
    pub scheme: SchemeName,
    /// Values, then the segments, in order; those of every form.
    pub steps: Vec<Step>,
    /// The strings, one for each form.
    pub strings: Vec<ExplainedString>,
    /// What is wrong with the message, or why it is not valid: a code, and words.
    pub fault: Option<(&'static str, String)>,
}

/// A string to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedString {
    /// Its bytes, `***` for each secret.
    pub bytes: Vec<u8>,
    /// The SHA-256 of what is signed; `None` if a secret is part of it.
    pub sha256: Option<[u8; 32]>,
}

impl Signer {
    /// Explains a message as it would be signed, or as it is verified. Nothing is signed or remembered.
    ///
    /// # Errors
    ///
    /// [`Error`]; what is wrong with the message is told in the explanation.
    pub async fn explain_message(
        &self,
        call: &Call,
        act: Act,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Explanation, Error> {
        let account = self.roll.open(call);
        let explained = async {
            let explain = Operation::ExplainMessage;
            let admitted = self.admit(&account, call, dealing, act, explain)?;
            if matches!(act, Act::VerifyCallback | Act::VerifyResponse) {
                // Keys are used for that, and what they decrypt may be shown: so it takes leave to do it, too.
                let (partner, scheme) = (&dealing.partner, Some(&admitted.scheme));
                let _granted =
                    self.partnership(&account, call, partner, scheme, act, operation(act))?;
            }
            self.explain_admitted(call, act, &admitted, dealing, message)
                .await
        };
        let explained = explained.await;
        account.close(explained).await
    }

    async fn explain_admitted(
        &self,
        call: &Call,
        act: Act,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Explanation, Error> {
        let mut explanation = Explanation {
            scheme: admitted.scheme.clone(),
            steps: Vec::new(),
            strings: Vec::new(),
            fault: None,
        };
        let ended = match act {
            Act::SignRequest | Act::SignResponse => {
                admitted.check_values(dealing)?;
                self.explain_signing(admitted, dealing, &message, &mut explanation)
            }
            _ => {
                self.explain_verifying(call, act, admitted, dealing, message, &mut explanation)
                    .await
            }
        };
        match ended {
            Ok(()) => Ok(explanation),
            Err(Error::Platform(PlatformError::Message(error))) => {
                explanation.fault = Some((missing_or_wrong(&error), error.to_string()));
                Ok(explanation)
            }
            Err(error) => Err(error),
        }
    }

    fn explain_signing(
        &self,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        message: &Message<'_>,
        explanation: &mut Explanation,
    ) -> Result<(), Error> {
        let bindings = self.bindings(admitted, &dealing.inputs, &dealing.values);
        let mut failed = false;
        let mut random = super::system_random(&mut failed);
        let now: UnixMilliseconds = self.clock.now();
        let prepared = admitted
            .scheme()
            .prepare(message, &bindings, now, &mut random)
            .map_err(PlatformError::from)?;
        let jwe = match prepared.sealing() {
            None => None,
            // No key is used for an explanation: the encrypted key is left empty.
            Some(sealing) if sealing.proves_origin() => {
                let draft = sealing.proving_origin().map_err(PlatformError::from)?;
                Some(draft.finish(&[]).map_err(PlatformError::from)?)
            }
            Some(sealing) => Some(Self::sealed_to(admitted, sealing)?),
        };
        let draft = prepared
            .draft(jwe.as_deref())
            .map_err(PlatformError::Message)?;
        explanation.steps = draft.explain();
        explanation.strings = draft
            .signing()
            .map(|signing| ExplainedString::of(signing.string))
            .into_iter()
            .collect();
        Ok(())
    }

    async fn explain_verifying(
        &self,
        call: &Call,
        act: Act,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        mut message: Message<'_>,
        explanation: &mut Explanation,
    ) -> Result<(), Error> {
        let scheme = admitted.scheme();
        let inputs = inputs_of(admitted, dealing);
        let bindings = self.bindings(admitted, &inputs, &Named::new());
        let refused = |refusal: Refusal| Error::Platform(refusal.into());
        let sealed = scheme.sealed(&message, &bindings).map_err(refused)?;
        let decrypted: Zeroizing<Vec<u8>>;
        if let Some(sealed) = &sealed {
            match self.opened(call, admitted, sealed).await? {
                Some((plaintext, _)) => decrypted = plaintext,
                None => {
                    let words = format!(
                        "what the key in the role {:?} has to decrypt could not be",
                        sealed.key_role
                    );
                    explanation.fault = Some(("DECRYPTION_FAILED", words));
                    return Ok(());
                }
            }
            message.decrypted = Some(Cow::Borrowed(&decrypted));
        }
        let mut examination = scheme.examine(&message, &bindings).map_err(refused)?;
        explanation.steps = examination.explain();
        let mut shown = None;
        for (_, candidate) in examination.candidates() {
            // A form stands there once for each signature.
            if shown != Some(candidate.form) {
                shown = Some(candidate.form);
                explanation
                    .strings
                    .push(ExplainedString::of(candidate.string));
            }
        }
        let now = self.clock.now();
        if let Some(token) = examination.access_token()
            && self.access_token_holds(call, admitted, token, now).await?
        {
            examination.access_token_is_good();
        }
        let right = self.right(call, admitted, &examination).await?;
        let verdict = examination
            .conclude(right.map(|(one, _)| one), now)
            .map_err(PlatformError::from)?;
        if !matches!(verdict.outcome, Outcome::Valid | Outcome::Unsigned) {
            let mut result = Verification::malformed(admitted, act);
            result.decline(verdict.outcome, &examination);
            explanation.fault = Some((result.reason, result.message));
        }
        Ok(())
    }
}

impl ExplainedString {
    fn of(text: &Text) -> Self {
        let (bytes, masked) = text.masked();
        let sha256 = (!masked).then(|| Sha256::digest(&bytes).into());
        Self { bytes, sha256 }
    }
}

impl From<EvaluationError> for PlatformError {
    fn from(error: EvaluationError) -> Self {
        Self::Message(error)
    }
}
