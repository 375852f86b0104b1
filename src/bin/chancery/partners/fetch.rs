//! `chancery partners fetch-public-key`: what a platform publishes, taken only if it is what was told otherwise.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use chancery::{
    client::fetch,
    key::pem,
    partner::{PartnerName, public_key_of},
};

use crate::{Session, partners::partner_name, trouble::Trouble};

/// Fetch a partner's public key over HTTPS, and write it if it is the one that you expect
///
/// The answer is the key (PEM, certificate, base64 or JWK) or a JSON object with the member public_key. Its
/// SHA-256, of the DER SubjectPublicKeyInfo, is shown. Nothing is written unless --pin says the same: get that from
/// the platform by another way than this one.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery partners fetch-public-key oneaccess encryption \\\n      \
    --url https://example.huaweioneaccess.com/api/v2/sdk/public-key --header X-client-id=DRrYIqauawN0I8my \\\n      \
    --pin 6f1a... --output partners/oneaccess/encryption.pem"
)]
pub(crate) struct FetchPublicKey {
    /// Whose: NAME or partners/NAME
    #[arg(value_name = "PARTNER", value_parser = partner_name)]
    partner: PartnerName,
    /// For which role of its schemes
    role: String,
    /// Where it is published
    #[arg(long)]
    url: String,
    /// A header to send; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// SHA-256 of the key, hexadecimal, as the platform told it by another way
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pin: Option<[u8; 32]>,
    /// Where to write it, PEM
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Root certificates to trust, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
}

impl FetchPublicKey {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let roots = match &self.roots {
            Some(path) => read(path)?,
            None => system_roots()?,
        };
        let refuse = |why: String| Trouble::Fetch(why);
        let answer = fetch(&self.url, &self.headers, &roots)
            .await
            .map_err(|error| refuse(error.to_string()))?;
        let text = key_text(&answer);
        let key = public_key_of(text.as_deref().unwrap_or(&answer))
            .map_err(|error| refuse(format!("{}: {error}", self.url)))?;
        let found = key.sha256();
        let shown = hex::encode(found);
        session
            .streams
            .tell(&format!("{} key, sha256 {shown}", key.key_type()));
        let Some(pin) = self.pin else {
            return Err(refuse(format!(
                "nothing was written: compare the digest with what {} told you by another way, then add --pin {shown}",
                self.partner
            )));
        };
        if pin != found {
            return Err(refuse(format!(
                "nothing was written: --pin is {}, and the server gives the key {shown}; ask {} which is right",
                hex::encode(pin),
                self.partner
            )));
        }
        write_whole(&self.output, pem("PUBLIC KEY", key.der()).as_bytes())?;
        let output = self.output.display().to_string();
        if session.global.json {
            let answer = json!({"file": output, "sha256": crate::output::base64(&found)});
            return session.streams.json(&answer);
        }
        session.streams.tell(&format!(
            "written to {output}; in the file of the partner {}:\n[keys.{}]\npublic_keys = [{{ file = {output:?} }}]",
            self.partner, self.role
        ));
        Ok(())
    }
}

/// The member `public_key`, if the answer is an object that has it.
fn key_text(answer: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    let text = value.get("public_key")?.as_str()?;
    Some(text.as_bytes().to_vec())
}

/// All of it or nothing: the daemon may read the file at any time.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let trouble = |source| Trouble::File {
        what: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::File::create_new(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    renamed.map_err(|error| {
        // What is left of it is of no use; that it can't be removed either changes nothing.
        let _ = fs::remove_file(&beside);
        trouble(error)
    })
}

fn system_roots() -> Result<Vec<u8>, Trouble> {
    let bundle = BUNDLES.iter().find(|path| Path::new(path).exists());
    match bundle {
        Some(path) => read(Path::new(path)),
        None => Err(Trouble::Usage(
            "the system has no bundle of root certificates where it is looked for; name one with --roots"
                .to_owned(),
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let plain: String = text.chars().filter(|one| *one != ':').collect();
    let bytes = hex::decode(plain).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

/// Debian and its kin, Fedora and its kin, Alpine.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
