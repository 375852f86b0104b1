//! The partners in force, and whether the keys that their files name are there and can play their parts.

use std::sync::Arc;

use crate::{
    algorithm::{Algorithm, Purpose},
    key::{Custody, KeyName},
    partner::{Assignment, Partner, PartnerName, Partners, RoleKey},
    policy::{Operation, Partnership},
    scheme::{Act, SchemeName},
    signer::{Account, Call, Error, Granted, Signer},
};

/// A key that a partner's file names, and that can't play its part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "partner {partner}, scheme {scheme}: the key {key} in the role {role:?} is not ready: {why}"
)]
pub struct NotReady {
    /// Which partner.
    pub partner: PartnerName,
    /// In which of its schemes.
    pub scheme: SchemeName,
    /// In which role.
    pub role: String,
    /// Which key.
    pub key: KeyName,
    /// Whether no token has it; else it is there, and is another than it must be.
    pub missing: bool,
    /// What is wrong, and what to do.
    pub why: String,
}

/// The role of the key that access tokens are signed with; no scheme declares it.
pub const ACCESS_TOKENS: &str = "access_tokens";

impl Signer {
    /// The partners and schemes in force.
    pub fn partners(&self) -> Arc<Partners> {
        self.partners.load_full()
    }

    /// The scheme of a partner that a caller means, and leave to follow it. A partner that is not there and one that
    /// the caller may do nothing with look alike.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; then [`Error::NoSuchPartner`] and [`Error::Choice`].
    pub(super) fn partnership(
        &self,
        account: &Account,
        call: &Call,
        name: &PartnerName,
        wanted: Option<&SchemeName>,
        act: Act,
        operation: Operation,
    ) -> Result<(Arc<Partner>, Granted<Partnership>), Error> {
        let (policy, now) = (self.policy.load(), self.clock.now());
        let ask = |scheme: &SchemeName| {
            let identity = &call.identity;
            account.authorized(policy.authorize_partner(identity, name, scheme, operation, now))
        };
        let partners = self.partners.load();
        let partner = || {
            let partner = partners.partner(name);
            partner.ok_or_else(|| Error::NoSuchPartner(name.clone()))
        };
        let (partner, granted) = match wanted {
            Some(scheme) => {
                let granted = ask(scheme)?;
                (partner()?, granted)
            }
            None => {
                // First whether any scheme would do: what the partner has is told to nobody else.
                let sight = policy.authorize_sight(&call.identity, name, operation, now);
                let _sight = account.authorized(sight)?;
                let partner = partner()?;
                (partner, ask(partner.choose(None, act)?.name())?)
            }
        };
        account.deals(&granted);
        partner.choose(Some(granted.scheme()), act)?;
        Ok((Arc::clone(partner), granted))
    }

    /// A partner, for a caller who may do anything with it.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; then [`Error::NoSuchPartner`].
    pub async fn partner(&self, call: &Call, name: &PartnerName) -> Result<Arc<Partner>, Error> {
        let account = self.roll.open(call);
        let (seeing, now) = (Operation::GetPartner, self.clock.now());
        let policy = self.policy.load_full();
        let sight = policy.authorize_sight(&call.identity, name, seeing, now);
        let partner = account.seen(sight).and_then(|sight| {
            let partners = self.partners.load();
            let partner = partners.partner(sight.partner());
            partner
                .cloned()
                .ok_or_else(|| Error::NoSuchPartner(name.clone()))
        });
        account.close(partner).await
    }

    /// The partners that a caller may do anything with, by name.
    pub fn visible_partners(&self, call: &Call) -> Vec<Arc<Partner>> {
        let (policy, partners) = (self.policy.load(), self.partners.load());
        let now = self.clock.now();
        let visible = |partner: &&Arc<Partner>| {
            let sight = Operation::GetPartner;
            policy
                .authorize_sight(&call.identity, partner.name(), sight, now)
                .is_ok()
        };
        partners.iter().filter(visible).cloned().collect()
    }

    /// Puts others in force, for the next request.
    pub fn replace_partners(&self, partners: Partners) {
        self.partners.store(Arc::new(partners));
    }

    /// Whether the key in a role of a partner's scheme is there and can play its part; [`ACCESS_TOKENS`] is one for
    /// this, where the partner's file has them. Public keys always are.
    ///
    /// # Errors
    ///
    /// [`NotReady`], with what to do.
    pub fn readiness(
        &self,
        partner: &Partner,
        assignment: &Assignment,
        role: &str,
    ) -> Result<(), Box<NotReady>> {
        let scheme = assignment.scheme();
        let declared = scheme.keys().find(|(name, _)| *name == role);
        let wanted = match (declared, assignment.key(role)) {
            (Some((_, declared)), Some(RoleKey::Token(key))) => {
                let readable = scheme.secret_in_message() && declared.secret_encoding.is_some();
                Some((&key.name, Some(declared.algorithm), readable))
            }
            (Some(_), Some(RoleKey::Public(_)) | None) => None,
            (None, _) if role == ACCESS_TOKENS => {
                let tokens = assignment.access_tokens();
                tokens.map(|tokens| (&tokens.key, None, false))
            }
            (None, _) => None,
        };
        let Some((key, algorithm, readable)) = wanted else {
            return Ok(());
        };
        self.can_play(key, algorithm, readable)
            .map_err(|(missing, why)| {
                Box::new(NotReady {
                    partner: partner.name().clone(),
                    scheme: assignment.name().clone(),
                    role: role.to_owned(),
                    key: key.clone(),
                    missing,
                    why,
                })
            })
    }

    /// The same, before the key is used. That its token is away for now is no fault of the partner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], [`Error::Token`] and [`Error::Store`].
    pub(super) fn ready(
        &self,
        partner: &Partner,
        assignment: &Assignment,
        role: &str,
    ) -> Result<(), Error> {
        let Err(not) = self.readiness(partner, assignment, role) else {
            return Ok(());
        };
        match self.find(&not.key) {
            Err(error @ (Error::Token(_) | Error::Store(_))) => Err(error),
            _ => Err(Error::NotReady(not)),
        }
    }

    /// Every key of every partner that can't play its part.
    pub fn not_ready(&self) -> Vec<NotReady> {
        let mut not_ready = Vec::new();
        for partner in self.partners().iter() {
            for (_, assignment) in partner.schemes() {
                let roles = assignment.keys().keys().map(String::as_str);
                for role in roles.chain([ACCESS_TOKENS]) {
                    let readiness = self.readiness(partner, assignment, role);
                    not_ready.extend(readiness.err().map(|not| *not));
                }
            }
        }
        not_ready
    }

    /// Without an algorithm: any key that makes a MAC. `readable`: a secret that is a part of messages.
    fn can_play(
        &self,
        name: &KeyName,
        algorithm: Option<Algorithm>,
        readable: bool,
    ) -> Result<(), (bool, String)> {
        let found = match self.find(name) {
            Ok(found) => found,
            Err(Error::NoSuchKey(_)) => {
                let text = "no token has it; make it, or import the secret";
                return Err((true, text.to_owned()));
            }
            // Why is for the operator: it names paths. That it is away is told of the token itself, too.
            Err(Error::Token(_)) => {
                let text =
                    "its token is not available; the daemon's operator finds the cause in its log";
                return Err((false, text.to_owned()));
            }
            Err(error) => return Err((false, error.to_string())),
        };
        let usage = &found.key.usage;
        let Some(algorithm) = algorithm else {
            return match usage.purpose() {
                Purpose::Mac => Ok(()),
                Purpose::Sign | Purpose::Decrypt | Purpose::Wrap | Purpose::ProveOrigin => Err((
                    false,
                    format!(
                        "it is for {}; access tokens take a key that makes MACs, such as one for HS256",
                        usage.purpose()
                    ),
                )),
            };
        };
        if usage.allows(algorithm) && readable && found.key.custody != Custody::WorkerReadable {
            let why = "the scheme puts the secret itself into messages, so its custody must be worker-readable; import it so under another name, as `chancery partners secret set` does";
            return Err((false, why.to_owned()));
        }
        if usage.allows(algorithm) {
            return Ok(());
        }
        let why = if !algorithm.fits(usage.key_type()) {
            format!(
                "it is of type {}, which can't be used with {algorithm}; name another key",
                usage.key_type()
            )
        } else if algorithm.purpose() != usage.purpose() {
            format!(
                "its purpose is {}, and {algorithm} is for keys whose purpose is {}; name another key",
                usage.purpose(),
                algorithm.purpose()
            )
        } else {
            format!("its record does not allow {algorithm}; make a key that may be used with it")
        };
        Err((false, why))
    }
}
