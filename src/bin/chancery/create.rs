//! `chancery keys create`: a key is generated in the token, or proposed.

use clap::Args;

use chancery::{
    algorithm::{Algorithm, ContentEncryption, KeyType, Purpose},
    key::{KeyName, Usage},
    proto::v1::{CreateKeyRequest, proposed_act::Act},
    wire,
};

use crate::{Session, arguments, keys::show, proposals::propose, trouble::Trouble};

/// Generate a key inside the token
///
/// Its private half never leaves it.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery keys create login --type ec-p256 --purpose sign --algorithm ES256\n  \
    chancery keys create inbox --type rsa-3072 --purpose decrypt --algorithm RSA-OAEP-256 --enc A256GCM"
)]
pub(crate) struct Create {
    /// Its name: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit
    #[arg(value_name = "KEY", value_parser = arguments::key_name)]
    key: KeyName,
    /// What it is made of
    #[arg(long = "type", value_name = "TYPE", value_parser = arguments::key_type())]
    key_type: KeyType,
    /// The one thing that it is for
    #[arg(long, value_parser = arguments::purpose())]
    purpose: Purpose,
    /// What it may be used with; may be repeated
    #[arg(long, required = true, value_parser = arguments::any_algorithm())]
    algorithm: Vec<Algorithm>,
    /// Content encryption of the JWE that it may open, for purposes decrypt and wrap; may be repeated
    #[arg(long, value_parser = arguments::content_encryption())]
    enc: Vec<ContentEncryption>,
    /// A JWE for it may be compressed
    #[arg(long)]
    allow_compression: bool,
    /// How often each version may be used to make something; it can be lowered later, and not raised
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    maximum_uses: Option<i64>,
    /// Mark it, for good, as one whose loss or misuse would be grave
    #[arg(long)]
    critical: bool,
    /// Propose it instead of doing it, for others to approve; only with --critical
    #[arg(long, requires = "critical", conflicts_with = "request_id")]
    propose: bool,
    /// Which token; needed only if the daemon has several
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Done once under this id, however often it is asked for
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

impl Create {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        // The daemon decides; but what can't be is told without a call.
        Usage::new(
            self.key_type,
            self.purpose,
            self.algorithm.clone(),
            self.enc.clone(),
            self.allow_compression,
        )
        .map_err(|error| Trouble::Usage(error.to_string()))?;
        let client = session.client()?;
        let request = CreateKeyRequest {
            key_id: self.key.to_string(),
            token: self.token.unwrap_or_default(),
            r#type: wire::key_type_to_proto(self.key_type).into(),
            purpose: wire::purpose_to_proto(self.purpose).into(),
            algorithms: self
                .algorithm
                .into_iter()
                .map(|one| wire::algorithm_to_proto(one).into())
                .collect(),
            content_encryptions: self
                .enc
                .into_iter()
                .map(|one| wire::content_encryption_to_proto(one).into())
                .collect(),
            compression_allowed: self.allow_compression,
            critical: self.critical,
            maximum_uses: self.maximum_uses.unwrap_or_default(),
            request_id: self.request_id,
        };
        if self.propose {
            return propose(session, &client, Act::CreateKey(request)).await;
        }
        let response = client.keys().create_key(client.request(request)).await?;
        show(session, response.into_inner().key)
    }
}
