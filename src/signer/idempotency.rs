//! Requests with an id: done once, answered again with the same bytes, also by another daemon, also after a crash.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Account, Call, Content, Error, Selector, Signer, digest_of, signing_input};
use crate::{
    audit::Ending,
    key::KeyVersion,
    policy::{Asked, Operation},
    store::{Answer, Begun, Request, StoreError},
};

/// A request with an id.
#[derive(Clone, Debug)]
pub struct Identified {
    /// By which method.
    pub method: &'static str,
    /// What the caller calls it.
    pub id: String,
    /// SHA-256 of all that it asks.
    pub content: [u8; 32],
    /// What it has signed, for the policy's limits.
    pub signs: Option<Content>,
}

/// What the policy permitted in the course of a call. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Permitted(Arc<Mutex<Vec<Asked>>>);

impl Identified {
    /// What tells it from every other, whoever asks.
    pub fn fingerprint(&self, call: &Call) -> String {
        let mut hash = Sha256::new();
        for part in [call.identity.name().as_str(), self.method, &self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }
}

impl Signer {
    /// Does a request if it is new, and keeps its answer before it is given; else gives the answer that was given
    /// before, if the caller still may have it. While another attempt is under way, waits for it as long as the caller
    /// does.
    ///
    /// # Errors
    ///
    /// Those of the work; [`Error::Denied`] and the like, if it may not be answered again;
    /// [`Error::RequestIdReused`]; [`Error::RequestInProgress`]; [`Error::AnswerUnreadable`]; [`Error::Store`].
    pub async fn once<F>(
        &self,
        call: &Call,
        request: &Identified,
        work: impl FnOnce(Call) -> F + Send,
    ) -> Result<Vec<u8>, Error>
    where
        F: Future<Output = Result<Vec<u8>, Error>> + Send,
    {
        let store = self.lives.store()?;
        let lease = call.deadline.saturating_duration_since(Instant::now()) + MARGIN;
        let mut pause = PAUSE;
        let claim = loop {
            let asked = Request {
                identity: call.identity.name(),
                method: request.method,
                id: &request.id,
                content_hash: request.content,
            };
            match store.idempotency().begin(asked, self.time(), lease).await? {
                Begun::New(claim) => break claim,
                Begun::Answered(answer) => return self.again(call, request, answer).await,
                Begun::OtherContent => return Err(Error::RequestIdReused(request.id.clone())),
                Begun::InProgress { .. } if Instant::now() + PAUSE > call.deadline => {
                    return Err(Error::RequestInProgress(request.id.clone()));
                }
                // To ask costs a transaction: who has waited long waits a little longer.
                Begun::InProgress { .. } => {
                    tokio::time::sleep_until((Instant::now() + pause).min(call.deadline - PAUSE))
                        .await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        let permitted = Permitted::default();
        let known = Call {
            request: Some(request.fingerprint(call)),
            permitted: Some(permitted.clone()),
            ..call.clone()
        };
        match work(known).await {
            Ok(answer) => match claim
                .complete(&answer, &permitted.text(), self.time())
                .await
            {
                Ok(()) => Ok(answer),
                // Another attempt has taken over: its answer is the one.
                Err(StoreError::ClaimLost) => Err(Error::RequestInProgress(request.id.clone())),
                Err(error) => Err(error.into()),
            },
            Err(error) if error.leaves_open() => {
                // Given up: the next attempt is told that it is not the first.
                drop(claim);
                Err(error)
            }
            Err(error) => {
                if let Err(kept) = claim.release().await {
                    tracing::warn!(error = %kept, "a request id is taken until its lease is over");
                }
                Err(error)
            }
        }
    }

    /// Gives an answer again, once the policy and the key's state of now allow what was permitted for it, and that is
    /// recorded like the first time.
    async fn again(
        &self,
        call: &Call,
        request: &Identified,
        answer: Answer,
    ) -> Result<Vec<u8>, Error> {
        let permitted = answer.permitted.as_deref().and_then(Permitted::parse);
        let signs = |asked: &Asked| asked.operation == Operation::Sign;
        let permitted = permitted
            .filter(|all| request.signs.is_some() == all.iter().any(signs))
            .ok_or_else(|| Error::AnswerUnreadable(request.id.clone()))?;
        let account = self.roll.open(call);
        let allowed = permitted
            .iter()
            .try_for_each(|asked| self.ask_again(&account, call, request, asked));
        if allowed.is_ok() {
            account.all_end(&Ending::Repeated);
        }
        account.close(allowed).await?;
        Ok(answer.bytes)
    }

    fn ask_again(
        &self,
        account: &Account,
        call: &Call,
        request: &Identified,
        asked: &Asked,
    ) -> Result<(), Error> {
        if asked.operation != Operation::Sign {
            let now = self.clock.now();
            let verdict = self
                .policy
                .load()
                .authorize_again(&call.identity, asked, now);
            let granted = account.authorized(verdict)?;
            return account.remember(&granted, None, None);
        }
        let unreadable = || Error::AnswerUnreadable(request.id.clone());
        let (Some(content), Some(key), Some(version), [algorithm]) = (
            &request.signs,
            &asked.key,
            asked.version,
            asked.algorithms.as_slice(),
        ) else {
            return Err(unreadable());
        };
        // By the version that signed, whichever is primary now: one that was disabled since gives nothing out.
        let signed_by = Selector {
            key: key.clone(),
            version: Some(version),
        };
        let (found, granted) = self.permit_to_sign(account, call, &signed_by, *algorithm)?;
        let granted = account.limited(granted, |permit| match content {
            Content::Message(message) => permit.for_message(message),
            Content::Digest(_) => permit.for_digest(),
        })?;
        let input = signing_input(*algorithm, content.clone())?;
        let signed_by = KeyVersion {
            key: key.clone(),
            version,
        };
        let public = found.public(&signed_by);
        account.remember(&granted, Some(digest_of(*algorithm, &input)), public)
    }
}

impl Permitted {
    /// Notes what something was begun for.
    pub(super) fn note(&self, asked: Asked) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
    }

    /// What was noted, to be kept.
    fn text(&self) -> String {
        let all = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        serde_json::to_string(&all).expect("names and words are JSON")
    }

    /// What was kept; none if it is not that, or says nothing: whatever is answered was permitted by something.
    fn parse(text: &str) -> Option<Vec<Asked>> {
        let all: Vec<Asked> = serde_json::from_str(text).ok()?;
        (!all.is_empty()).then_some(all)
    }
}

/// What a call may take beyond its deadline.
const MARGIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
