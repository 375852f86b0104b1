//! Partners and schemes in the report: which there are, and whether their keys are there.

use serde::Serialize;

use super::Report;
use crate::{
    partner::{Assignment, Partner, RoleKey},
    policy::Policy,
    scheme::Act,
    signer::{ACCESS_TOKENS, NotReady, Signer},
};

/// One partner.
#[derive(Debug, Serialize)]
pub struct PartnerReport {
    /// Its name.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Its keys, a line for each role of each scheme.
    pub keys: Vec<PartnerKeyReport>,
}

/// What plays a part in one of a partner's schemes.
#[derive(Debug, Serialize)]
pub struct PartnerKeyReport {
    /// The scheme.
    pub scheme: String,
    /// What can be done with it.
    pub acts: Vec<Act>,
    /// The role in it.
    pub role: String,
    /// The name of a key in a token, or how many public keys there are.
    pub key: String,
    /// What is wrong, if it can't play its part.
    pub problem: Option<String>,
}

impl PartnerReport {
    fn of(signer: &Signer, partner: &Partner) -> Self {
        let mut keys = Vec::new();
        for (_, assignment) in partner.schemes() {
            let roles = assignment.keys().keys().map(String::as_str);
            let tokens = assignment.access_tokens().map(|_| ACCESS_TOKENS);
            for role in roles.chain(tokens) {
                let readiness = signer.readiness(partner, assignment, role);
                keys.push(PartnerKeyReport {
                    scheme: assignment.name().to_string(),
                    acts: assignment.acts().collect(),
                    role: role.to_owned(),
                    key: shown(assignment, role),
                    problem: readiness.err().map(|not| not.why),
                });
            }
        }
        Self {
            name: partner.name().to_string(),
            title: partner.title().to_owned(),
            keys,
        }
    }
}

fn shown(assignment: &Assignment, role: &str) -> String {
    match (assignment.key(role), assignment.access_tokens()) {
        (Some(RoleKey::Token(key)), _) => key.name.to_string(),
        (Some(RoleKey::Public(keys)), _) => match keys.len() {
            1 => "1 public key".to_owned(),
            many => format!("{many} public keys"),
        },
        (None, Some(tokens)) => tokens.key.to_string(),
        (None, None) => String::new(),
    }
}

impl Report {
    pub(super) fn look_at_partners(&mut self, signer: &Signer) {
        let partners = signer.partners();
        let built_in = crate::scheme::BUILT_IN.len();
        self.schemes = partners.schemes().count();
        self.schemes_of_files = self.schemes.saturating_sub(built_in);
        let report = |partner: &std::sync::Arc<Partner>| PartnerReport::of(signer, partner);
        self.partners = partners.iter().map(report).collect();
    }

    /// A key that is missing may come later, as partners' secrets do; one that is another will not become right.
    pub(super) fn look_for_partners_keys(&mut self, signer: &Signer) {
        for NotReady {
            partner,
            scheme,
            role,
            key,
            missing,
            why,
        } in signer.not_ready()
        {
            let about = format!("partner {partner}");
            let text = format!(
                "the key {:?} in the role {role:?} of {scheme} is not ready: {why}",
                key.as_str()
            );
            match missing {
                true => self.warning(&about, text),
                false => self.error(&about, text),
            }
        }
    }

    pub(super) fn look_for_named_partners(&mut self, policy: &Policy, signer: &Signer) {
        let partners = signer.partners();
        for (rule, name) in policy.named_partners() {
            if partners.partner(name).is_none() {
                self.warning(
                    &format!("policy rule {rule}"),
                    format!(
                        "it names the partner {:?}, and there is none",
                        name.as_str()
                    ),
                );
            }
        }
        for (rule, name) in policy.named_schemes() {
            if partners.scheme(name).is_none() {
                self.warning(
                    &format!("policy rule {rule}"),
                    format!("it names the scheme {:?}, and there is none", name.as_str()),
                );
            }
        }
    }
}
