//! The life of a platform's message: who may, by which scheme, with which keys; then the scheme drafts, the
//! token does it, the scheme finishes.
//!
//! The policy is asked first, so that a partner that is refused and one that is not there look alike. Keys come from
//! the partner's file alone: no caller names one, and a permit for a partner signs nothing but what its scheme
//! has put together.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    algorithm::Algorithm,
    audit::InputDigest,
    key::{KeyVersion, PublicKey},
    partner::{Assignment, Partner, PartnerName, RoleKey},
    pkcs11::VersionFacts,
    policy::{KeyUse, Operation, Partnership, Permit},
    scheme::{Act, Bindings, KeyFacts, Scheme, SchemeName},
    signer::{Account, Call, Error, Found, Granted, Signer},
};

pub use access_token::Issued;
pub use error::PlatformError;
pub use explain::{ExplainedString, Explanation};
pub use fields::{DecryptedField, EncryptedField};
pub use replay::ReplayMemory;
pub use sign::SignedMessage;
pub use verify::{Decision, Protection, Verification, missing_or_wrong};

mod access_token;
mod error;
mod explain;
mod fields;
mod mac;
mod opening;
mod protections;
mod replay;
mod sign;
mod verify;

/// Whose message it is, by which rules, and what the caller knows beside it.
#[derive(Clone, Debug)]
pub struct Dealing {
    /// With whom.
    pub partner: PartnerName,
    /// By which rules; `None` if just one of the partner's schemes can be meant.
    pub scheme: Option<SchemeName>,
    /// What the scheme asks of the caller.
    pub inputs: Named,
    /// To sign: values that the scheme would make, given instead. To verify an answer: those of its request.
    pub values: Named,
}

/// Texts, or bytes, by their names.
pub type Named = BTreeMap<String, Vec<u8>>;

/// A key that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsed {
    /// Which.
    pub key: Holder,
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// SHA-256 of its SubjectPublicKeyInfo; `None` for secrets.
    pub public_key_sha256: Option<[u8; 32]>,
}

/// Whose key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Ours, in a token.
    Token(KeyVersion),
    /// The partner's, by its role.
    Partner(PartnerName, String),
}

/// A dealing that the policy allows.
struct Admitted<'a> {
    account: &'a Account,
    partner: Arc<Partner>,
    scheme: SchemeName,
    granted: Granted<Partnership>,
}

impl Signer {
    /// Asks the policy, and chooses the scheme.
    fn admit<'a>(
        &self,
        account: &'a Account,
        call: &Call,
        dealing: &Dealing,
        act: Act,
        operation: Operation,
    ) -> Result<Admitted<'a>, Error> {
        let (partner, granted) = self.partnership(
            account,
            call,
            &dealing.partner,
            dealing.scheme.as_ref(),
            act,
            operation,
        )?;
        let admitted = Admitted {
            account,
            partner,
            scheme: granted.scheme().clone(),
            granted,
        };
        admitted.check_inputs(&dealing.inputs)?;
        Ok(admitted)
    }

    /// What the scheme is told beside the message. The primary versions of keys of ours stand for them.
    fn bindings(&self, admitted: &Admitted<'_>, inputs: &Named, values: &Named) -> Bindings {
        let assignment = admitted.assignment();
        let mut keys = BTreeMap::new();
        for (role, key) in assignment.keys() {
            let facts = match key {
                RoleKey::Token(key) => {
                    // That it is not there is said if it turns out to be needed.
                    let found = self.find(&key.name).ok();
                    vec![KeyFacts {
                        id: key.id.clone(),
                        public_key: found.and_then(|found| found.primary().ok()?.public.clone()),
                        certificate_serial: key.certificate_serial.clone(),
                    }]
                }
                RoleKey::Public(keys) => keys
                    .iter()
                    .map(|key| KeyFacts {
                        id: key.id.clone(),
                        public_key: Some(key.key.clone()),
                        certificate_serial: key.certificate_serial.clone(),
                    })
                    .collect(),
            };
            keys.insert(role.clone(), facts);
        }
        Bindings {
            constants: assignment.constants().clone(),
            inputs: inputs.clone(),
            values: values.clone(),
            keys,
            window_seconds: assignment.window(),
        }
    }

    /// The key of ours in this role, which must be one for this algorithm.
    fn playing(
        &self,
        admitted: &Admitted<'_>,
        role: &str,
        algorithm: Algorithm,
    ) -> Result<Found, Error> {
        let Some(RoleKey::Token(key)) = admitted.assignment().key(role) else {
            return Err(PlatformError::NoTokenKey(role.to_owned()).into());
        };
        self.readiness(&admitted.partner, admitted.assignment(), role)
            .map_err(Error::NotReady)?;
        let found = self.find(&key.name)?;
        found.allows(algorithm)?;
        Ok(found)
    }
}

impl Admitted<'_> {
    /// The same for a message with this body, which may be longer than the policy lets be signed.
    fn with_body(self, body: &[u8]) -> Result<Self, Error> {
        let length = body.len() as u64;
        let limit = |permit: Permit<Partnership>| permit.for_body(length);
        let granted = self.account.limited(self.granted, limit)?;
        Ok(Self { granted, ..self })
    }

    /// Leave to use a key of ours on this, recorded.
    async fn intend(
        &self,
        facts: &VersionFacts,
        used: KeyUse,
        algorithm: Algorithm,
        input: Option<InputDigest>,
    ) -> Result<Permit, Error> {
        let granted = self.granted.for_key(&facts.version, used, algorithm);
        let granted = granted.map_err(|denied| self.account.refused(denied))?;
        let public = facts.public.as_ref();
        self.account.intend(granted, input, public).await
    }

    /// Records that what no key of ours is needed for begins.
    async fn begin(&self, input: Option<InputDigest>) -> Result<(), Error> {
        self.account.begin(&self.granted, input, None).await
    }

    /// Records that something is encrypted to a public key of the partner's, and to which.
    async fn begin_encryption(
        &self,
        algorithm: Algorithm,
        recipient: &PublicKey,
    ) -> Result<(), Error> {
        let granted = self.granted.for_public_key(algorithm);
        self.account.begin(&granted, None, Some(recipient)).await
    }

    fn assignment(&self) -> &Assignment {
        self.partner
            .scheme(&self.scheme)
            .expect("the scheme was chosen among the partner's")
    }

    fn scheme(&self) -> &Scheme {
        self.assignment().scheme()
    }

    /// A name that the scheme does not know is a mistake, and not one to be silent about.
    fn check_inputs(&self, inputs: &Named) -> Result<(), PlatformError> {
        let unknown = inputs
            .keys()
            .find(|name| !self.scheme().inputs().any(|(known, _)| known == *name));
        match unknown {
            None => Ok(()),
            Some(name) => Err(PlatformError::UnknownInput {
                scheme: self.scheme.clone(),
                name: shown(name),
                known: self
                    .scheme()
                    .inputs()
                    .map(|(name, _)| name.to_owned())
                    .collect(),
            }),
        }
    }
}

impl KeyUsed {
    fn ours(version: KeyVersion, algorithm: Algorithm, public: Option<&PublicKey>) -> Self {
        Self {
            key: Holder::Token(version),
            algorithm,
            public_key_sha256: public.map(PublicKey::sha256),
        }
    }

    fn theirs(
        admitted: &Admitted<'_>,
        role: &str,
        algorithm: Algorithm,
        public: &PublicKey,
    ) -> Self {
        Self {
            key: Holder::Partner(admitted.partner.name().clone(), role.to_owned()),
            algorithm,
            public_key_sha256: Some(public.sha256()),
        }
    }
}

/// Random bytes of the system; says whether there were any each time.
fn system_random(failed: &mut bool) -> impl FnMut(&mut [u8]) + '_ {
    |bytes| *failed |= aws_lc_rs::rand::fill(bytes).is_err()
}

/// Enough of a text of the caller to recognise it by.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
