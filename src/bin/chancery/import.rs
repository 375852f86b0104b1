//! `chancery keys import`: a key from elsewhere, wrapped here for the token alone.

use std::path::PathBuf;

use clap::Args;

use chancery::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Hash, KeyType},
    client::{Client, Code},
    key::{Custody, ImportMethod, KeyName, PublicKey, Usage},
    proto::v1::{
        GetImportWrappingKeyRequest, GetKeyRequest, ImportKeyRequest, ImportKeyVersionRequest, Key,
        WrappedKey, proposed_act::Act,
    },
    wire::{self, KeyResource},
};

use crate::{
    Session, arguments,
    keys::show,
    proposals::propose,
    secret::{Encoding, Material},
    trouble::Trouble,
};

/// Bring a key that was made elsewhere into the token
///
/// It is wrapped here with a public key of the token, which alone unwraps it; the daemon does not see it. What it
/// is made of is seen from the key itself, or, of a secret, from the algorithms.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery keys import payouts --file payouts.pem --algorithm RS256\n  \
    chancery keys import snap-client --encoding utf8 --algorithm HS512 < client-secret.txt\n  \
    chancery keys import snap-client --new-version --encoding utf8 < next-client-secret.txt"
)]
pub(crate) struct Import {
    /// Its name: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit
    #[arg(value_name = "KEY", value_parser = arguments::key_name)]
    key: KeyName,
    /// The file that has it [default: stdin]: a private key (PEM or DER), a JWK, or, with --encoding, a secret
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file has a secret, written like this
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// What it may be used with; may be repeated
    #[arg(long, required_unless_present = "new_version", value_parser = arguments::any_algorithm())]
    algorithm: Vec<Algorithm>,
    /// Content encryption of the JWE that it may open, if it decrypts or wraps; may be repeated
    #[arg(long, value_parser = arguments::content_encryption())]
    enc: Vec<ContentEncryption>,
    /// A JWE for it may be compressed
    #[arg(long)]
    allow_compression: bool,
    /// The secret is itself a part of messages: the token shows it to whoever has its PIN
    #[arg(long)]
    worker_readable: bool,
    /// Which token; needed only if the daemon has several
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Propose it instead of doing it, for others to approve; the wrapped key is written to this file, and is to be given
    /// to `proposals execute` again
    #[arg(long, value_name = "FILE")]
    propose: Option<PathBuf>,
    /// It is the next version of a key that is there, for the same uses
    #[arg(long, conflicts_with_all = ["algorithm", "enc", "allow_compression", "worker_readable", "token"])]
    new_version: bool,
}

impl Import {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let material = Material::read(session.streams, self.file.as_deref(), self.encoding)?;
        let seconds = session.global.timeout.unwrap_or(TIMEOUT_SECONDS);
        let client = session.client_with(Some(seconds))?;
        let file = self.propose.clone();
        let act = if self.new_version {
            Act::ImportKeyVersion(self.next_version(&client, material).await?)
        } else {
            Act::ImportKey(self.first_version(&client, material).await?)
        };
        let Some(file) = file else {
            return show(session, bring_in(&client, act).await?);
        };
        let wrapped = match &act {
            Act::ImportKey(request) => request.wrapped.as_ref(),
            Act::ImportKeyVersion(request) => request.wrapped.as_ref(),
            _ => None,
        };
        let bytes = wrapped.map(|wrapped| wrapped.wrapped_key.clone());
        session
            .streams
            .write(Some(&file), &bytes.unwrap_or_default())?;
        propose(session, &client, act).await
    }

    async fn first_version(
        self,
        client: &Client,
        material: Material,
    ) -> Result<ImportKeyRequest, Trouble> {
        let key_type = key_type(&material, &self.algorithm)?;
        let purpose = self.algorithm[0].purpose();
        // The daemon decides; but what can't be is told without a call.
        Usage::new(
            key_type,
            purpose,
            self.algorithm.clone(),
            self.enc.clone(),
            self.allow_compression,
        )
        .map_err(|error| Trouble::Usage(error.to_string()))?;
        let custody = if self.worker_readable {
            Custody::WorkerReadable
        } else {
            Custody::TokenOnly
        };
        let token = self.token.unwrap_or_default();
        let wrapped = wrap(client, &self.key, &token, material, key_type, custody).await?;
        Ok(ImportKeyRequest {
            key_id: self.key.to_string(),
            token,
            r#type: wire::key_type_to_proto(key_type).into(),
            purpose: wire::purpose_to_proto(purpose).into(),
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
            custody: wire::custody_to_proto(custody).into(),
            wrapped: Some(wrapped),
            request_id: String::new(),
        })
    }

    async fn next_version(
        self,
        client: &Client,
        material: Material,
    ) -> Result<ImportKeyVersionRequest, Trouble> {
        let name = KeyResource::from(self.key.clone()).to_string();
        let request = GetKeyRequest { name: name.clone() };
        let there = client.keys().get_key(client.request(request)).await?;
        let there = there.into_inner().key.unwrap_or_default();
        let newer = || Trouble::Usage("the daemon is newer than this program".into());
        let key_type = wire::key_type_from_proto(there.r#type).ok_or_else(newer)?;
        let custody = wire::custody_from_proto(there.custody).ok_or_else(newer)?;
        let wrapped = wrap(client, &self.key, &there.token, material, key_type, custody).await?;
        Ok(ImportKeyVersionRequest {
            name,
            wrapped: Some(wrapped),
            request_id: String::new(),
        })
    }
}

async fn bring_in(client: &Client, act: Act) -> Result<Option<Key>, Trouble> {
    let mut keys = client.keys();
    Ok(match act {
        Act::ImportKey(request) => {
            let response = keys.import_key(client.request(request)).await?;
            response.into_inner().key
        }
        Act::ImportKeyVersion(request) => {
            let response = keys.import_key_version(client.request(request)).await?;
            response.into_inner().key
        }
        Act::DestroyKeyVersion(_) | Act::CreateKey(_) | Act::ChangePolicy(_) => None,
    })
}

/// A secret that is to be brought in, whatever is there already.
pub(crate) struct Wanted {
    pub(crate) key: KeyName,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) custody: Custody,
    pub(crate) token: String,
}

/// Brings a secret in: as a new key, or as the next version of the one that is there.
pub(crate) async fn secret(
    client: &Client,
    wanted: Wanted,
    material: Material,
) -> Result<Option<Key>, Trouble> {
    let request = GetKeyRequest {
        name: KeyResource::from(wanted.key.clone()).to_string(),
    };
    let there = match client.keys().get_key(client.request(request)).await {
        Ok(there) => there.into_inner().key,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status.into()),
    };
    // A secret that encrypts by itself fits one content encryption, by its length.
    let enc = match material.len() {
        _ if !wanted.algorithms.contains(&Algorithm::Dir) => Vec::new(),
        16 => vec![ContentEncryption::A128Gcm],
        _ => vec![ContentEncryption::A256Gcm],
    };
    let import = Import {
        key: wanted.key,
        file: None,
        encoding: None,
        algorithm: wanted.algorithms,
        enc,
        allow_compression: false,
        worker_readable: wanted.custody == Custody::WorkerReadable,
        token: Some(wanted.token).filter(|token| !token.is_empty()),
        propose: None,
        new_version: there.is_some(),
    };
    let act = match there {
        None => Act::ImportKey(import.first_version(client, material).await?),
        Some(there) if wire::custody_from_proto(there.custody) == Some(wanted.custody) => {
            Act::ImportKeyVersion(import.next_version(client, material).await?)
        }
        Some(there) => {
            return Err(Trouble::Usage(format!(
                "{} is there already, and its custody is not {}, which the partner's schemes need; name another key in the partner's file",
                there.name, wanted.custody
            )));
        }
    };
    bring_in(client, act).await
}

/// Asks for the token's wrapping key, and wraps.
pub(crate) async fn wrap(
    client: &Client,
    key: &KeyName,
    token: &str,
    material: Material,
    key_type: KeyType,
    custody: Custody,
) -> Result<WrappedKey, Trouble> {
    let is_private = material.public.is_some();
    if is_private != key_type.is_asymmetric() {
        return Err(Trouble::Usage(format!(
            "{} was given, and the key is of type {key_type}",
            if is_private {
                "a private key"
            } else {
                "a secret"
            }
        )));
    }
    let request = GetImportWrappingKeyRequest {
        key_id: key.to_string(),
        token: token.to_owned(),
    };
    let wrapping = client
        .keys()
        .get_import_wrapping_key(client.request(request))
        .await?
        .into_inner();
    let wrapping_key = from_pem(&wrapping.pem)?;
    let hmac = matches!(key_type, KeyType::Hmac(_));
    let method = wrapping
        .methods
        .iter()
        .filter_map(|number| wire::import_method_from_proto(*number))
        .find(|method: &ImportMethod| method.has_aes() || hmac)
        .ok_or_else(|| Trouble::Usage("the token has no way to take such a key".into()))?;
    let secret_bytes = match custody {
        Custody::TokenOnly => 0,
        Custody::WorkerReadable => material.len() as u32,
    };
    let material = material.padded_for(key_type);
    Ok(WrappedKey {
        wrapping_key: wrapping.name,
        method: wire::import_method_to_proto(method).into(),
        wrapped_key: material.wrapped(method, &wrapping_key)?.into(),
        public_key: material
            .public
            .as_ref()
            .map(|public| public.der().to_vec())
            .unwrap_or_default()
            .into(),
        secret_bytes,
    })
}

/// What it is made of: seen from a private key itself, from a secret's length, or from what it is for.
fn key_type(material: &Material, algorithms: &[Algorithm]) -> Result<KeyType, Trouble> {
    if let Some(public) = &material.public {
        return Ok(public.key_type());
    }
    let hash: Option<Hash> = algorithms
        .iter()
        .filter_map(|one| match one {
            Algorithm::Hmac(hash) => Some(*hash),
            _ => None,
        })
        .max();
    match (hash, material.len()) {
        (Some(hash), _) => Ok(KeyType::Hmac(hash)),
        (None, 16) => Ok(KeyType::Aes(AesSize::Bits128)),
        (None, 32) => Ok(KeyType::Aes(AesSize::Bits256)),
        (None, length) => Err(Trouble::Usage(format!(
            "a secret of {length} bytes; one that makes no MACs is an AES key of 16 or 32"
        ))),
    }
}

fn from_pem(pem: &str) -> Result<PublicKey, Trouble> {
    use rsa::pkcs8::Document;
    Document::from_pem(pem)
        .ok()
        .and_then(|(_, document)| PublicKey::from_spki(document.as_bytes()).ok())
        .ok_or_else(|| Trouble::Usage("the daemon's wrapping key can't be read".into()))
}

/// The token may have to make its wrapping key first, which takes some of them many seconds.
pub(crate) const TIMEOUT_SECONDS: u64 = 60;
