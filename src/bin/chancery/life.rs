//! `chancery keys versions | rotate | enable | disable | destroy | restore | update`: the life of a key.

use std::collections::BTreeMap;

use clap::Args;

use chancery::{
    key::KeyName,
    proto::v1::{
        CreateKeyVersionRequest, DestroyKeyVersionRequest, Key, KeyVersion, KeyVersionState,
        RestoreKeyVersionRequest, UpdateKeyRequest, UpdateKeyVersionRequest, proposed_act::Act,
    },
    wire::KeyResource,
};
use prost_types::{Duration, FieldMask};

use crate::{Session, arguments, keys::show, proposals::propose, trouble::Trouble};

/// Generate the next version of a key inside its token
///
/// It signs at once with --primary; else it is shown in key sets until `keys update --primary` makes it the one.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Rotate {
    /// Its name
    #[arg(value_name = "KEY", value_parser = arguments::key_name)]
    key: KeyName,
    /// It becomes the primary version at once
    #[arg(long)]
    primary: bool,
    /// Done once under this id, however often it is asked for
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

/// One version, and what is to be known to change it.
#[derive(Args)]
pub(crate) struct Turn {
    /// The version: NAME/VERSION, or a full resource name
    #[arg(value_name = "KEY/VERSION", value_parser = arguments::key)]
    version: KeyResource,
    /// Only if the key's etag is this
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    /// Done once under this id, however often it is asked for
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

/// Have a version destroyed; until its time is over it is refused, and can be restored
#[derive(Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    turn: Turn,
    /// Propose it instead of doing it, for others to approve
    #[arg(long, conflicts_with = "request_id")]
    propose: bool,
}

/// Change what is said of a key, which version is the primary one, and how often it is rotated
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Update {
    /// Its name
    #[arg(value_name = "KEY", value_parser = arguments::key_name)]
    key: KeyName,
    /// What it is for, in words
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A label; may be repeated, and replaces all that were there
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Number of the version that is used when none is named
    #[arg(long, value_name = "VERSION")]
    primary: Option<u32>,
    /// Make the next version, and have it sign, every so many seconds; 0 is never
    #[arg(long, value_name = "SECONDS")]
    rotation_period: Option<u32>,
    /// How often each version may be used to make something; lower than it is, if there is a limit
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    maximum_uses: Option<i64>,
    /// Only if the key's etag is this
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    /// Done once under this id, however often it is asked for
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

impl Rotate {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let client = session.client()?;
        let request = CreateKeyVersionRequest {
            name: KeyResource::from(self.key).to_string(),
            make_primary: self.primary,
            request_id: self.request_id,
        };
        let response = client
            .keys()
            .create_key_version(client.request(request))
            .await?;
        show(session, response.into_inner().key)
    }
}

impl Turn {
    pub(crate) async fn enable(
        self,
        session: &mut Session<'_>,
        enable: bool,
    ) -> Result<(), Trouble> {
        let name = self.name()?;
        let client = session.client()?;
        let state = match enable {
            true => KeyVersionState::Enabled,
            false => KeyVersionState::Disabled,
        };
        let request = UpdateKeyVersionRequest {
            key_version: Some(KeyVersion {
                name,
                state: state.into(),
                ..KeyVersion::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["state".to_owned()],
            }),
            etag: self.etag,
            request_id: self.request_id,
        };
        let response = client
            .keys()
            .update_key_version(client.request(request))
            .await?;
        show(session, response.into_inner().key)
    }

    pub(crate) async fn restore(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let name = self.name()?;
        let client = session.client()?;
        let request = RestoreKeyVersionRequest {
            name,
            etag: self.etag,
            request_id: self.request_id,
        };
        let response = client
            .keys()
            .restore_key_version(client.request(request))
            .await?;
        show(session, response.into_inner().key)
    }

    /// Nothing is guessed: which version dies or lives is said.
    fn name(&self) -> Result<String, Trouble> {
        match self.version.version {
            Some(_) => Ok(self.version.to_string()),
            None => Err(Trouble::Usage(format!(
                "expected KEY/VERSION, such as {}/1",
                self.version.key
            ))),
        }
    }
}

impl Destroy {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let name = self.turn.name()?;
        let client = session.client()?;
        let request = DestroyKeyVersionRequest {
            name,
            etag: self.turn.etag,
            request_id: self.turn.request_id,
        };
        if self.propose {
            return propose(session, &client, Act::DestroyKeyVersion(request)).await;
        }
        let response = client
            .keys()
            .destroy_key_version(client.request(request))
            .await?;
        show(session, response.into_inner().key)
    }
}

impl Update {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let name = KeyResource::from(self.key).to_string();
        let mut paths = Vec::new();
        let mut key = Key {
            etag: self.etag,
            ..Key::default()
        };
        if let Some(description) = self.description {
            paths.push("description".to_owned());
            key.description = description;
        }
        if !self.label.is_empty() {
            paths.push("labels".to_owned());
            key.labels = self.label.into_iter().collect::<BTreeMap<_, _>>();
        }
        if let Some(primary) = self.primary {
            paths.push("primary_version".to_owned());
            key.primary_version = format!("{name}/versions/{primary}");
        }
        if let Some(seconds) = self.rotation_period {
            paths.push("rotation_period".to_owned());
            key.rotation_period = (seconds != 0).then(|| Duration {
                seconds: seconds.into(),
                nanos: 0,
            });
        }
        if let Some(number) = self.maximum_uses {
            paths.push("maximum_uses".to_owned());
            key.maximum_uses = number;
        }
        if paths.is_empty() {
            return Err(Trouble::Usage(
                "expected at least one of --description, --label, --primary, --rotation-period and --maximum-uses"
                    .to_owned(),
            ));
        }
        key.name = name;
        let client = session.client()?;
        let request = UpdateKeyRequest {
            key: Some(key),
            update_mask: Some(FieldMask { paths }),
            request_id: self.request_id,
        };
        let response = client.keys().update_key(client.request(request)).await?;
        show(session, response.into_inner().key)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
