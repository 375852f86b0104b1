//! `chancery partners secret set`: a partner's secret into the token, under the name that the partner's file gives it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use chancery::{
    key::{Custody, KeyName},
    partner::PartnerName,
    proto::v1::{GetPartnerRequest, GetSchemeRequest, Partner, PartnerKey, PartnerScheme},
    scheme::SecretEncoding,
    wire::{self, KeyResource, PartnerResource},
};

use crate::{Session, import, keys, partners::partner_name, secret::Material, trouble::Trouble};

#[derive(Subcommand)]
pub(crate) enum Secret {
    Set(Set),
}

/// Put a partner's secret into the token
///
/// The text is turned into bytes as the partner's scheme says, wrapped with a public key of the token, which alone
/// unwraps it, and kept under the name that the partner's file gives the key: the daemon does not see it. If there is
/// a secret already, the new one becomes the key's next version: it signs, and both verify.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery partners secret set ayolinx client_secret < client-secret.txt\n  \
    chancery partners secret set upay signing --file upay-secret.txt"
)]
pub(crate) struct Set {
    /// NAME or partners/NAME
    #[arg(value_name = "PARTNER", value_parser = partner_name)]
    partner: PartnerName,
    /// Its role in the partner's schemes; see `chancery partners show`
    role: String,
    /// In which scheme, where the role has another key in each
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// The file that has it, as the platform hands it out [default: stdin]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which token; needed only if the daemon has several
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
}

/// The one key that a role means, with everything that all its schemes say of it.
struct Target {
    key: KeyName,
    encoding: SecretEncoding,
    algorithms: Vec<chancery::algorithm::Algorithm>,
    schemes: Vec<String>,
}

impl Set {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let seconds = session.global.timeout.unwrap_or(import::TIMEOUT_SECONDS);
        let client = session.client_with(Some(seconds))?;
        let request = GetPartnerRequest {
            name: PartnerResource(self.partner.clone()).to_string(),
        };
        let mut service = client.partners();
        let partner = service.get_partner(client.request(request)).await?;
        let partner = partner.into_inner().partner.unwrap_or_default();
        let target = self.target(&partner)?;
        let mut custody = Custody::TokenOnly;
        for name in &target.schemes {
            let request = GetSchemeRequest { name: name.clone() };
            let scheme = service.get_scheme(client.request(request)).await?;
            let scheme = scheme.into_inner().scheme.unwrap_or_default();
            if scheme.secret_in_message {
                custody = Custody::WorkerReadable;
            }
        }
        let material = Material::read_text(session.streams, self.file.as_deref(), |text| {
            target
                .encoding
                .bytes(text)
                .map_err(|error| error.to_string())
        })?;
        let wanted = import::Wanted {
            key: target.key,
            algorithms: target.algorithms,
            custody,
            token: self.token.unwrap_or_default(),
        };
        let imported = import::secret(&client, wanted, material).await?;
        keys::show(session, imported)
    }

    fn target(&self, partner: &Partner) -> Result<Target, Trouble> {
        let asked = |scheme: &&PartnerScheme| {
            let wanted = self.scheme.as_deref();
            wanted
                .is_none_or(|wanted| scheme.scheme.rsplit('/').next() == wanted.rsplit('/').next())
        };
        let of_role = |scheme: &'_ PartnerScheme| -> Vec<(String, PartnerKey)> {
            let keys = scheme.keys.iter().filter(|key| key.role == self.role);
            keys.map(|key| (scheme.scheme.clone(), key.clone()))
                .collect()
        };
        let named: Vec<_> = partner
            .schemes
            .iter()
            .filter(asked)
            .flat_map(of_role)
            .collect();
        let usage = |why: String| Trouble::Usage(format!("partner {}: {why}", self.partner));
        let Some((_, first)) = named.first() else {
            return Err(usage(format!("no scheme of it has a role {:?}", self.role)));
        };
        if named.iter().any(|(_, key)| key.key != first.key) {
            return Err(usage(format!(
                "the role {:?} has another key in each scheme; say which with --scheme",
                self.role
            )));
        }
        if first.secret_encoding.is_empty() {
            return Err(usage(format!(
                "what plays the role {:?} is no shared secret; a private key of ours is made with `chancery keys create`, or brought in with `chancery keys import`",
                self.role
            )));
        }
        let KeyResource { key, .. } = first
            .key
            .parse()
            .map_err(|error| usage(format!("{error}")))?;
        // The same key may play other roles, in all schemes; it must be right for each.
        let mut target = Target {
            key,
            encoding: first
                .secret_encoding
                .parse()
                .map_err(|error| usage(format!("{error}")))?,
            algorithms: Vec::new(),
            schemes: Vec::new(),
        };
        for scheme in &partner.schemes {
            for key in scheme.keys.iter().filter(|key| key.key == first.key) {
                if !key.secret_encoding.is_empty() && key.secret_encoding != first.secret_encoding {
                    return Err(usage(format!(
                        "{} is written as {} in one scheme and as {} in another; give each a key of its own",
                        first.key, first.secret_encoding, key.secret_encoding
                    )));
                }
                target.schemes.push(scheme.scheme.clone());
                let algorithm = wire::algorithm_from_proto(key.algorithm);
                target.algorithms.extend(algorithm);
            }
        }
        target.algorithms.sort_unstable();
        target.algorithms.dedup();
        if target.algorithms.is_empty() {
            return Err(usage("the daemon is newer than this program".to_owned()));
        }
        Ok(target)
    }
}
