//! A message that came, taken apart by its scheme: signatures and strings; and the verdict, when it is
//! known which of them go together.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    scheme::{
        expression::{self, Expression},
        fault::{EvaluationError, Fault},
        fields,
        message::{Bindings, Message},
        opening::Sealed,
        sign::check_body,
        source::{Context, Given, Made},
        text::{Step, Text},
        time::UnixMilliseconds,
        verdict::{Outcome, Protections, Verdict},
        verify::{Signature, Verify},
    },
};

/// A message taken apart: which signatures it has, over which strings.
pub struct Examination<'a> {
    verify: &'a Verify,
    message: &'a Message<'a>,
    bindings: &'a Bindings,
    values: BTreeMap<String, Vec<u8>>,
    strings: Vec<Text>,
    signatures: Vec<Vec<u8>>,
    live_keys: Vec<usize>,
    time: Option<UnixMilliseconds>,
    /// When the message says that it ends.
    expires: Option<UnixMilliseconds>,
    /// What a family found covered.
    covered: Vec<(String, Vec<u8>)>,
    /// What was found, and what the request was.
    echo: Option<(Vec<u8>, Vec<u8>)>,
    access_token: Option<Vec<u8>>,
    access_token_is_good: bool,
}

/// How signatures are to be verified.
#[derive(Clone, Copy)]
pub struct Verifying<'e> {
    /// The role of the key.
    pub key_role: &'e str,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether an ECDSA signature is DER, and not r||s.
    pub is_der: bool,
    /// Which keys of [`Bindings::keys`] for this role it may be: the one that the message names, or all.
    /// Empty if nothing is known of any key.
    pub live_keys: &'e [usize],
}

/// A signature and what it may be over; the message is authentic if one of them is right.
#[derive(Clone, Copy)]
pub struct Candidate<'e> {
    /// The form of the string, 0 being the usual one.
    pub form: usize,
    /// The string.
    pub string: &'e Text,
    /// The signature, decoded.
    pub signature: &'e [u8],
}

/// Which candidate was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    form: usize,
    signature: usize,
}

impl Verify {
    pub(super) fn sealed(
        &self,
        message: &Message<'_>,
        bindings: &Bindings,
    ) -> Result<Option<Sealed>, EvaluationError> {
        check_body(message)?;
        let Some(decrypt) = &self.decrypt else {
            return Ok(None);
        };
        decrypt.order(Given::new(bindings, &BTreeMap::new()).with(message))
    }

    pub(super) fn examine<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
    ) -> Result<Examination<'a>, EvaluationError> {
        check_body(message)?;
        let mut values = BTreeMap::new();
        for (name, expression) in &self.values {
            let value = expression.bytes(Given::new(bindings, &values).with(message))?;
            values.insert(name.clone(), value);
        }
        let (mut signatures, mut strings) = (Vec::new(), Vec::new());
        let (mut live_keys, mut expires, mut covered) = (Vec::new(), None, Vec::new());
        let family = self.signature.as_ref().and_then(|one| one.family.as_ref());
        if let Some(family) = family {
            let found = family.examine(Given::new(bindings, &values).with(message))?;
            (signatures, strings) = (vec![found.signature], vec![found.string]);
            (expires, covered) = (found.expires, found.covered);
            values.extend(found.parameters);
        }
        let context = Given::new(bindings, &values).with(message);
        if let Some(signature) = &self.signature {
            live_keys = self.live_keys(signature, context)?;
            if family.is_none() {
                signatures = signature.signatures(&signature.from.bytes(context)?)?;
            }
            for form in &signature.forms {
                strings.push(form.evaluate(context)?);
            }
        }
        let time = match &self.time {
            None => None,
            Some(time) => {
                let text = time.from.bytes(context)?;
                let read = time.format.read(&text, time.offset);
                let fault = Fault::Time(time.format.name());
                Some(read.ok_or_else(|| time.from.error(fault))?)
            }
        };
        let echo = match &self.echo {
            None => None,
            Some((from, equals)) => {
                let wanted = equals.bytes(context).map_err(|fault| from.error(fault))?;
                let wanted = wanted.ok_or_else(|| from.error(Fault::Absent))?;
                Some((from.bytes(context)?, wanted.into_owned()))
            }
        };
        let access_token = self.access_token.as_ref();
        let access_token = access_token.map(|from| from.bytes(context)).transpose()?;
        Ok(Examination {
            verify: self,
            message,
            bindings,
            strings,
            signatures,
            live_keys,
            time,
            expires,
            covered,
            echo,
            access_token,
            access_token_is_good: false,
            values,
        })
    }

    /// The keys that the message may be signed with.
    fn live_keys(
        &self,
        signature: &Signature,
        context: Context<'_>,
    ) -> Result<Vec<usize>, EvaluationError> {
        let live = context.bindings.keys.get(&signature.key);
        let live = live.map_or(&[][..], Vec::as_slice);
        let Some(expression) = &self.key_id else {
            return Ok((0..live.len()).collect());
        };
        let Some(id) = expression.unless_omitted(context)? else {
            return Ok((0..live.len()).collect());
        };
        let named = |facts: &Option<String>| facts.as_ref().is_some_and(|one| one.as_bytes() == id);
        let found: Vec<_> = (0..live.len()).filter(|at| named(&live[*at].id)).collect();
        match found.is_empty() {
            true => Err(expression.error(Fault::UnknownKey)),
            false => Ok(found),
        }
    }
}

impl Signature {
    fn signatures(&self, text: &[u8]) -> Result<Vec<Vec<u8>>, EvaluationError> {
        let error = |fault| self.from.error(fault);
        let decode =
            |text: &[u8]| expression::apply(&self.decode, Cow::Borrowed(text)).map(Cow::into_owned);
        let Some(each) = &self.each else {
            return Ok(vec![decode(text).map_err(error)?]);
        };
        let parts = fields::split(text, &each.split);
        let wanted: Vec<_> = parts
            .filter_map(|part| part.trim_ascii().strip_prefix(each.strip_prefix.as_bytes()))
            .take(MAX_SIGNATURES + 1)
            .collect();
        if wanted.len() > MAX_SIGNATURES {
            return Err(error(Fault::TooMany(MAX_SIGNATURES)));
        }
        // One that can't be read is one that does not match; but if none can be, that is said.
        let mut last = Fault::Absent;
        let mut found = Vec::new();
        for part in wanted {
            match decode(part) {
                Ok(signature) => found.push(signature),
                Err(fault) => last = fault,
            }
        }
        if found.is_empty() {
            return Err(error(last));
        }
        Ok(found)
    }
}

impl Examination<'_> {
    /// How the candidates are to be verified; `None` in a scheme whose messages are not signed.
    pub fn verifying(&self) -> Option<Verifying<'_>> {
        let signature = self.verify.signature.as_ref()?;
        Some(Verifying {
            key_role: &signature.key,
            algorithm: signature.algorithm,
            is_der: signature.der,
            live_keys: &self.live_keys,
        })
    }

    /// Signatures and strings, in the order in which they are to be tried; at most 40.
    pub fn candidates(&self) -> impl Iterator<Item = (Match, Candidate<'_>)> {
        self.strings.iter().enumerate().flat_map(|(form, string)| {
            self.signatures
                .iter()
                .enumerate()
                .map(move |(index, signature)| {
                    let candidate = Candidate {
                        form,
                        string,
                        signature,
                    };
                    (
                        Match {
                            form,
                            signature: index,
                        },
                        candidate,
                    )
                })
        })
    }

    /// The time that the message says of itself. Nobody may believe it who has not concluded.
    pub const fn time(&self) -> Option<UnixMilliseconds> {
        self.time
    }

    /// The access token that the message brings, if the scheme has such: whoever issued it has to say,
    /// by [`Examination::access_token_is_good`], whether it did and whether it still holds.
    pub fn access_token(&self) -> Option<&[u8]> {
        self.access_token.as_deref()
    }

    /// The access token is one that was issued to this partner and still holds. Without this no
    /// message that needs a token is valid.
    pub const fn access_token_is_good(&mut self) {
        self.access_token_is_good = true;
    }

    /// The verdict, when it is known which candidate is right, if any.
    ///
    /// # Errors
    ///
    /// If what the scheme calls authentic, or tells messages apart by, is not in the message.
    pub fn conclude(
        &self,
        right: Option<Match>,
        now: UnixMilliseconds,
    ) -> Result<Verdict, EvaluationError> {
        let verify = self.verify;
        let mut verdict = Verdict {
            outcome: self.outcome(right, now),
            form: right.map(|right| right.form),
            authenticated: Vec::new(),
            unsigned: Vec::new(),
            sealed: None,
            time: self.time.filter(|_| right.is_some()),
            replay_id: None,
            remember_seconds: None,
            protections: Protections {
                window_seconds: self.window_seconds(),
                ..verify.protections()
            },
            acknowledgement: None,
        };
        if !matches!(verdict.outcome, Outcome::Valid | Outcome::Unsigned) {
            return Ok(verdict);
        }
        let signature = right.and_then(|right| self.signatures.get(right.signature));
        let context = self.context(signature.map(Vec::as_slice));
        let mut parts = self.covered.clone();
        let fields = self.fields(right, context)?;
        for (name, source) in &verify.parts {
            let error = |fault| EvaluationError {
                at: "verify.authenticated".to_owned(),
                rule: name.clone(),
                fault,
            };
            // What is not in the message is not in the result.
            if let Some(bytes) = source.bytes(context).map_err(error)? {
                parts.push((name.clone(), bytes.into_owned()));
            }
        }
        parts.extend(fields);
        match verdict.outcome {
            Outcome::Valid => verdict.authenticated = parts,
            _ => verdict.unsigned = parts,
        }
        if let Some(replay) = &verify.replay {
            verdict.replay_id = Some(replay.from.bytes(context)?);
            let window = self
                .window_seconds()
                .map_or(0, |(past, future)| past + future);
            verdict.remember_seconds = Some(replay.seconds.max(window));
        }
        let open = verify.open.as_ref();
        verdict.sealed = open.map_or(Ok(None), |open| open.order(context))?;
        verdict.acknowledgement = verify.acknowledgement.clone();
        Ok(verdict)
    }

    /// The fields that were joined in the form that is right, if they are to be handed on; and in any case an error
    /// if other fields are joined to the same bytes, of whom nobody knows which the platform meant.
    fn fields(
        &self,
        right: Option<Match>,
        context: Context<'_>,
    ) -> Result<Vec<(String, Vec<u8>)>, EvaluationError> {
        let verify = self.verify;
        let forms = verify.signature.as_ref().map_or(&[][..], |one| &one.forms);
        let Some(form) = right.and_then(|right| forms.get(right.form)) else {
            return Ok(Vec::new());
        };
        let joined = form.joined(context)?;
        if !verify.fields {
            return Ok(Vec::new());
        }
        let error = |fault| EvaluationError {
            at: "verify.authenticated".to_owned(),
            rule: "fields".to_owned(),
            fault,
        };
        let mut found = BTreeMap::new();
        for field in joined {
            let name = str::from_utf8(&field.name).map_err(|_| error(Fault::Utf8))?;
            let value = field.value.into_owned();
            if found.insert(format!("field.{name}"), value).is_some() {
                return Err(error(Fault::RepeatedField));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The scheme's own limits, unless others were given.
    fn window_seconds(&self) -> Option<(u64, u64)> {
        let own = self.verify.protections().window_seconds?;
        Some(self.bindings.window_seconds.unwrap_or(own))
    }

    fn outcome(&self, right: Option<Match>, now: UnixMilliseconds) -> Outcome {
        let verify = self.verify;
        let echoes = self
            .echo
            .as_ref()
            .is_none_or(|(came, wanted)| came == wanted);
        if verify.signature.is_some() && right.is_none() {
            return Outcome::Invalid;
        }
        if self.access_token.is_some() && !self.access_token_is_good {
            return Outcome::BadToken;
        }
        if self.expires.is_some_and(|end| end <= now) {
            return Outcome::Stale;
        }
        if let (Some((past, future)), Some(time)) = (self.window_seconds(), self.time) {
            if now.0.saturating_sub(time.0) > past.saturating_mul(1000) {
                return Outcome::Stale;
            }
            if time.0.saturating_sub(now.0) > future.saturating_mul(1000) {
                return Outcome::Future;
            }
        }
        match (echoes, verify.signature.is_some()) {
            (false, _) => Outcome::OtherRequest,
            (true, true) => Outcome::Valid,
            (true, false) => Outcome::Unsigned,
        }
    }

    /// Puts what came out of [`Verdict::sealed`] among the authenticated parts, as `opened`.
    ///
    /// # Errors
    ///
    /// If it is not written as the scheme says. A verdict that has nothing to be opened stays as it is.
    pub fn opened(
        &self,
        mut verdict: Verdict,
        plaintext: &[u8],
    ) -> Result<Verdict, EvaluationError> {
        if let (Some(open), Some(_)) = (&self.verify.open, verdict.sealed.take()) {
            let opened = open.message(plaintext, self.message, self.bindings, &self.values)?;
            verdict.authenticated.push(("opened".to_owned(), opened));
        }
        Ok(verdict)
    }

    fn context<'c>(&'c self, signature: Option<&'c [u8]>) -> Context<'c> {
        let given = Given {
            made: Made {
                signature,
                ..Made::default()
            },
            ..Given::new(self.bindings, &self.values)
        };
        given.with(self.message)
    }

    /// Every value, every segment of each form of the string, and what else is looked at: key id, access
    /// token, time with its window, echo, and what tells the message from every other.
    pub fn explain(&self) -> Vec<Step> {
        let verify = self.verify;
        let step = |at: &str, rule: String, bytes: Option<Vec<u8>>| Step {
            at: at.to_owned(),
            rule,
            bytes,
        };
        let shown = |at: &str, expression: &Expression| {
            // By any signature: which one is right is not known yet.
            let context = self.context(self.signatures.first().map(Vec::as_slice));
            let bytes = expression.unless_omitted(context).ok().flatten();
            let bytes = bytes.filter(|_| !expression.is_secret());
            step(at, expression.rule(), bytes)
        };
        let value = |(name, expression): &(String, Expression)| {
            let bytes = self.values.get(name).filter(|_| !expression.is_secret());
            let at = format!("verify.values.{name}");
            step(&at, expression.rule(), bytes.cloned())
        };
        let mut steps: Vec<_> = verify.values.iter().map(value).collect();
        steps.extend(self.strings.iter().flat_map(Text::steps));
        let key_id = verify.key_id.as_ref();
        steps.extend(key_id.map(|one| shown("verify.key.id", one)));
        let token = verify.access_token.as_ref();
        steps.extend(token.map(|one| step("verify.access_token.from", one.rule(), None)));
        steps.extend(verify.time.as_ref().map(|time| Step {
            rule: format!(
                "{} as {}, at most {} seconds ago and {} ahead",
                time.from.rule(),
                time.format.name(),
                time.past / 1000,
                time.future / 1000
            ),
            ..shown("verify.time.from", &time.from)
        }));
        steps.extend(verify.replay.as_ref().map(|replay| Step {
            rule: format!(
                "{}, remembered for {} seconds",
                replay.from.rule(),
                replay.seconds
            ),
            ..shown("verify.replay.from", &replay.from)
        }));
        if let (Some((from, _)), Some((_, wanted))) = (&verify.echo, &self.echo) {
            steps.push(shown("verify.echo.from", from));
            let rule = "what it has to be".to_owned();
            steps.push(step("verify.echo.equals", rule, Some(wanted.clone())));
        }
        steps
    }
}

/// Signatures of one message, any of which may be right.
const MAX_SIGNATURES: usize = 8;
