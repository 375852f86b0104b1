//! What one call did, for the audit log: the one way to what a permit permits.
//!
//! A public function opens an account, does its work with it, and answers with what [`Account::close`] gives. The
//! policy's verdicts go through it: denials are recorded, and a permit comes out of it only for an intent. What
//! came of the intents is recorded when the account is closed, with one wait for the disk; where somebody forgets
//! that, the log says that they were abandoned.

use std::{
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    algorithm::{Algorithm, Hash},
    audit::{
        Audit, AuditError, Caller, Denial, Digest, Ending, Event, InputDigest, Intent, KeyAct,
        KeyChange, LogRead, Name, Ticket, Word,
    },
    identity::Identity,
    key::{KeyVersion, PublicKey, Version},
    pkcs11::Key,
    policy::{
        Asked, Denied, KeyUse, Keyless, Operation, Partnership, Permit, Signing, StreamLimit,
        Subject, Use,
    },
    signer::{
        Call, Error, KeyView, Permitted, Waits,
        admission::{Admission, Slip},
        inputs::Inputs,
    },
};

/// Where accounts are recorded; nowhere, if the operator said so.
pub(super) struct Roll {
    audit: Option<Arc<Audit>>,
    admission: Arc<Admission>,
    inputs: Inputs,
    denials: AtomicU64,
    waits: Waits,
}

/// What one call does.
#[must_use = "what is not closed is recorded as abandoned"]
pub(super) struct Account {
    roll: Arc<Roll>,
    identity: Arc<Identity>,
    call: Word,
    /// Where what was permitted is noted, to be asked again when the answer is given again.
    permitted: Option<Permitted>,
    state: Mutex<State>,
}

/// What the policy allows, and the log does not know of yet.
#[derive(Debug)]
#[must_use = "what nobody begins was allowed for nothing"]
pub(super) struct Granted<S = Use> {
    permit: Permit<S>,
    /// What the caller asked for, if that is something else, in the course of which this is done.
    within: Option<Operation>,
}

#[derive(Default)]
struct State {
    acts: Vec<Act>,
    /// What was allowed last, until it is begun.
    idle: Option<Asked>,
    /// Partner and scheme.
    dealing: Option<(Name, Name)>,
    /// What else has to be on the disk before the answer.
    waits: Vec<Wait>,
    /// The room that it takes, until it is closed.
    slips: Vec<Slip>,
}

struct Act {
    ticket: Ticket,
    ending: Option<Ending>,
    signature: Option<Digest>,
}

/// What an account leaves behind.
struct Closing {
    ended: Vec<(Ticket, Ending, Option<Digest>)>,
    waits: Vec<Wait>,
    slips: Vec<Slip>,
}

type Wait = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send>>;

impl Roll {
    pub(super) fn new(audit: Option<Arc<Audit>>, admission: Arc<Admission>) -> Arc<Self> {
        Arc::new(Self {
            audit,
            admission,
            inputs: Inputs::default(),
            denials: AtomicU64::new(0),
            waits: Waits::default(),
        })
    }

    pub(super) const fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }

    pub(super) const fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(super) const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    pub(super) const fn waits(&self) -> &Waits {
        &self.waits
    }

    pub(super) fn denials(&self) -> u64 {
        self.denials.load(Ordering::Relaxed)
    }

    /// Closes the accounts of a batch, each with its result; together they wait for the disk once.
    pub(super) async fn close_all<T>(
        &self,
        accounts: impl IntoIterator<Item = (Account, Result<T, Error>)>,
    ) -> Vec<Result<T, Error>> {
        let accounts = accounts.into_iter();
        let Some(audit) = &self.audit else {
            return accounts.map(|(_, result)| result).collect();
        };
        let (mut results, mut waiting, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut held = Vec::new();
        for (account, result) in accounts {
            let Closing {
                ended,
                waits,
                slips,
            } = account.ended(&result);
            held.extend(slips);
            all.extend(ended);
            waiting.extend(waits.into_iter().map(|wait| (results.len(), wait)));
            results.push(result);
        }
        if all.is_empty() && waiting.is_empty() {
            return results;
        }
        let begun = Instant::now();
        let outcomes = audit.outcomes(all);
        for (index, wait) in waiting {
            if let Err(error) = wait.await {
                results[index] = Err(error.into());
            }
        }
        if let Err(error) = outcomes.await {
            results.fill_with(|| Err(error.clone().into()));
        }
        self.waits.count(begun.elapsed());
        drop(held);
        results
    }

    pub(super) fn open(self: &Arc<Self>, call: &Call) -> Account {
        Account {
            roll: Arc::clone(self),
            identity: Arc::clone(&call.identity),
            call: call.name.clone(),
            permitted: call.permitted.clone(),
            state: Mutex::default(),
        }
    }
}

impl Account {
    /// Takes what the policy said. A denial is recorded; what is allowed is, when it begins.
    pub(super) fn authorized<S: Subject>(
        &self,
        verdict: Result<Permit<S>, Denied>,
    ) -> Result<Granted<S>, Error> {
        let granted = self.seen(verdict)?;
        if self.roll.audit.is_some() {
            self.state().idle = Some(granted.asked());
        }
        Ok(granted)
    }

    /// Leave to sign, narrowed to what is signed.
    pub(super) fn limited<S, T: Subject>(
        &self,
        granted: Granted<S>,
        limit: impl FnOnce(Permit<S>) -> Result<Permit<T>, Denied>,
    ) -> Result<Granted<T>, Error> {
        self.authorized(limit(granted.permit))
    }

    /// The same for a message that is still to come.
    pub(super) fn limited_stream(
        &self,
        granted: Granted<Signing>,
    ) -> Result<(Granted, StreamLimit), Error> {
        match granted.permit.for_stream() {
            Ok((permit, limit)) => Ok((self.authorized(Ok(permit))?, limit)),
            Err(denied) => Err(self.refused(denied)),
        }
    }

    /// A denial that came later, recorded.
    pub(super) fn refused(&self, denied: Denied) -> Error {
        match self.seen::<Use>(Err(denied)) {
            Err(error) => error,
            Ok(_) => unreachable!("a denial is no permit"),
        }
    }

    /// The same for what changes nothing and touches no private key: only its denial is recorded.
    pub(super) fn seen<S>(&self, verdict: Result<Permit<S>, Denied>) -> Result<Granted<S>, Error> {
        match verdict {
            Ok(permit) => {
                tracing::debug!(
                    client.id = %permit.identity().name(),
                    operation = %permit.operation(),
                    rule = permit.rule(),
                    "permitted"
                );
                Ok(Granted {
                    permit,
                    within: None,
                })
            }
            Err(denied) => {
                self.roll.denials.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    client.id = %denied.identity().name(),
                    operation = %denied.asked().operation,
                    key = denied.asked().key.as_ref().map(tracing::field::display),
                    reason = %denied.reason(),
                    "denied"
                );
                self.denied(Denial::by_policy(self.call.clone(), &denied));
                Err(Error::Denied(Box::new(denied)))
            }
        }
    }

    /// All that follows is about this partner.
    pub(super) fn deals(&self, permit: &Granted<Partnership>) {
        if self.roll.audit.is_some() {
            let name = Name::fitted;
            let dealing = (
                name(permit.partner().as_str()),
                name(permit.scheme().as_str()),
            );
            self.state().dealing = Some(dealing);
        }
    }

    /// Takes the room that there must be for it, and records that something begins, before it does: on what, and with
    /// which public key, if there is one.
    pub(super) async fn intend<S: Subject>(
        &self,
        granted: Granted<S>,
        input: Option<InputDigest>,
        public: Option<&PublicKey>,
    ) -> Result<Permit<S>, Error> {
        self.begin(&granted, input, public).await?;
        Ok(granted.permit)
    }

    /// The same where nothing takes the permit: it is done here.
    pub(super) async fn begin<S: Subject>(
        &self,
        permit: &Granted<S>,
        input: Option<InputDigest>,
        public: Option<&PublicKey>,
    ) -> Result<(), Error> {
        let admission = &self.roll.admission;
        if !admission.is_idle() {
            let operation = permit.within.unwrap_or_else(|| permit.operation());
            let asked = permit.asked();
            // Apart, for few have quotas, and every call's future would have room for it.
            let slip = Box::pin(admission.admit(permit.identity(), operation, &asked));
            let slip = slip.await?;
            self.state().slips.push(slip);
        }
        self.remember(permit, input, public)
    }

    /// The same where nothing is done, and an answer given again: it uses up no quota.
    pub(super) fn remember<S: Subject>(
        &self,
        permit: &Granted<S>,
        input: Option<InputDigest>,
        public: Option<&PublicKey>,
    ) -> Result<(), Error> {
        if let Some(permitted) = &self.permitted {
            permitted.note(permit.asked());
        }
        let Some(audit) = &self.roll.audit else {
            return Ok(());
        };
        let mut intent = Intent::new(
            self.call.clone(),
            permit.identity(),
            permit.rule(),
            permit.asked(),
        );
        intent.input = input
            .map(|input| self.roll.inputs.recorded(input))
            .transpose()?;
        intent.public_key = public.map(|public| Digest::from_bytes(public.sha256()));
        let mut state = self.state();
        if let Some((partner, scheme)) = &state.dealing {
            intent = intent.partner(partner.clone(), scheme.clone());
        }
        let ticket = audit.intent(intent)?;
        state.idle = None;
        state.acts.push(Act {
            ticket,
            ending: None,
            signature: None,
        });
        drop(state);
        Ok(())
    }

    /// What was begun may still be done: nothing more begins.
    pub(super) fn goes_on<S>(&self, _granted: Granted<S>) {
        self.state().idle = None;
    }

    /// What came of the last intent, where the call's own result does not tell.
    pub(super) fn ends(&self, ending: Ending) {
        if let Some(act) = self.state().acts.last_mut() {
            act.ending = Some(ending);
        }
    }

    /// What came of the first intent, of which the others were parts.
    pub(super) fn began_with(&self, ending: Ending) {
        if let Some(act) = self.state().acts.first_mut() {
            act.ending = Some(ending);
        }
    }

    /// The same of all intents.
    pub(super) fn all_end(&self, ending: &Ending) {
        for act in &mut self.state().acts {
            act.ending = Some(ending.clone());
        }
    }

    /// The same of something that was verified.
    pub(super) fn verified(&self, right: bool) {
        self.ends(if right {
            Ending::Valid
        } else {
            Ending::Invalid
        });
    }

    /// The last intent gave this signature.
    pub(super) fn signed(&self, signature: &[u8]) {
        if let Some(act) = self.state().acts.last_mut() {
            act.ending = Some(Ending::Succeeded);
            act.signature = act.ticket.signature(signature);
        }
    }

    /// A key came into being, or another version of it.
    pub(super) fn made(&self, view: &KeyView, act: KeyAct) {
        let newest = view.key.as_deref().map(Key::newest);
        let version = newest.map(|newest| newest.version.version);
        self.changed(view, version, act);
    }

    /// A key, or one version of it, is in another state.
    pub(super) fn changed(&self, view: &KeyView, version: Option<Version>, act: KeyAct) {
        if let Some(audit) = &self.roll.audit {
            let mut change = key_change(view, version, act);
            change.by = Some(self.identity.as_ref().into());
            let wait = audit.record(Event::KeyChanged(change));
            self.state().waits.push(Box::pin(wait));
        }
    }

    /// The log was read: so many records, of which this was the first to be looked at.
    pub(super) fn log_read(&self, granted: &Granted<Keyless>, first: u64, shown: u64) {
        let Some(audit) = &self.roll.audit else {
            return;
        };
        let wait = audit.record(Event::LogRead(LogRead {
            caller: self.identity.as_ref().into(),
            call: self.call.clone(),
            rule: Name::fitted(granted.rule()),
            first,
            shown,
        }));
        let mut state = self.state();
        state.idle = None;
        state.waits.push(Box::pin(wait));
    }

    /// Records what came of it all, and gives the result when that is on the disk. If it can't be, the result is
    /// that.
    pub(super) fn close<T>(
        self,
        result: Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>> + use<T> {
        let roll = Arc::clone(&self.roll);
        // At once: what is waited for does not carry the account.
        let closed = roll.audit.as_ref().map(|audit| {
            let Closing {
                ended,
                waits,
                slips,
            } = self.ended(&result);
            let outcomes = (!ended.is_empty()).then(|| audit.outcomes(ended));
            (outcomes, waits, slips)
        });
        async move {
            let (outcomes, waits, _slips) = match closed {
                Some(closed) if closed.0.is_some() || !closed.1.is_empty() => closed,
                _ => return result,
            };
            let begun = Instant::now();
            for wait in waits {
                wait.await?;
            }
            if let Some(outcomes) = outcomes {
                outcomes.await?;
            }
            roll.waits.count(begun.elapsed());
            result
        }
    }

    /// Something else happened that the log tells.
    pub(super) fn tells(&self, event: impl FnOnce(Caller) -> Event) {
        if let Some(audit) = &self.roll.audit {
            let wait = audit.record(event(self.identity.as_ref().into()));
            self.state().waits.push(Box::pin(wait));
        }
    }

    /// What there is to record, and to wait for.
    fn ended<T>(self, result: &Result<T, Error>) -> Closing {
        let failure = result.as_ref().err().map(|error| Word::new(error.reason()));
        // Allowed, and given up before it began: that is a refusal too. Of a denial it is known already.
        if let (Err(error), Some(reason)) = (result, &failure)
            && !matches!(error, Error::Denied(_) | Error::Audit(_))
        {
            let idle = self.state().idle.take();
            if let Some(asked) = idle {
                let call = self.call.clone();
                let denial = Denial::other(call, &self.identity, asked, reason.clone());
                self.denied(denial);
            }
        }
        let State {
            acts, waits, slips, ..
        } = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let ended = |act: Act| {
            let ending = act.ending.unwrap_or_else(|| match &failure {
                Some(reason) => Ending::Failed(reason.clone()),
                None => Ending::Succeeded,
            });
            (act.ticket, ending, act.signature)
        };
        Closing {
            ended: acts.into_iter().map(ended).collect(),
            waits,
            slips,
        }
    }

    fn denied(&self, denial: Denial) {
        if let Some(audit) = &self.roll.audit {
            let wait = audit.denied(denial);
            self.state().waits.push(Box::pin(wait));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Granted<Partnership> {
    /// The same, done with a public key of the partner's.
    pub(super) fn for_public_key(&self, algorithm: Algorithm) -> Self {
        Self {
            permit: self.permit.for_public_key(algorithm),
            within: self.within,
        }
    }

    /// Leave to use a key in the course of what is permitted.
    pub(super) fn for_key(
        &self,
        key: &KeyVersion,
        used: KeyUse,
        algorithm: Algorithm,
    ) -> Result<Granted, Denied> {
        Ok(Granted {
            permit: self.permit.for_key(key, used, algorithm)?,
            within: Some(self.operation()),
        })
    }
}

/// What is permitted can be looked at; only [`Account::intend`] hands it out.
impl<S> Deref for Granted<S> {
    type Target = Permit<S>;

    fn deref(&self) -> &Permit<S> {
        &self.permit
    }
}

/// What the log says of a change that nobody asked for.
pub(super) fn key_change(view: &KeyView, version: Option<Version>, act: KeyAct) -> KeyChange {
    let facts = version.and_then(|version| {
        let key = view.name.clone();
        view.key.as_ref()?.version(&KeyVersion { key, version })
    });
    let public = facts.and_then(|facts| facts.public.as_ref());
    KeyChange {
        key: view.name.clone(),
        version,
        act,
        public_key: public.map(|public| Digest::from_bytes(public.sha256())),
        by: None,
    }
}

/// The hash of what the token sees. Where that is a SHA-256 digest, it is that itself, so that it does not matter
/// whether the caller sent the message or its digest.
pub(super) fn digest_of(algorithm: Algorithm, input: &[u8]) -> InputDigest {
    match (algorithm.prehash(), <[u8; 32]>::try_from(input)) {
        (Some(Hash::Sha256), Ok(digest)) => InputDigest::Sha256(Digest::from_bytes(digest)),
        _ => InputDigest::of(input),
    }
}
