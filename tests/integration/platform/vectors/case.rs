//! A vector of a shipped scheme: what it says, the partner file that it is tried with, and its messages.

use std::{collections::BTreeMap, fs};

use chancery::{
    algorithm::{Algorithm, Hash},
    partner::Custody,
    proto::v1::{HttpHeader, HttpRequest, HttpResponse},
    scheme::{Act, KeyRole, Scheme},
    wire,
};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::root;

/// The secrets of all cases, with the names of their keys: algorithm, whether the worker may read it, its bytes.
pub(super) type Secrets = BTreeMap<(i32, bool, Vec<u8>), String>;

/// A vector of a shipped scheme, and the partner that it is tried with.
pub(super) struct Case {
    pub(super) partner: String,
    pub(super) scheme: Scheme,
    pub(super) file: Table,
    pub(super) vector: Table,
}

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{}: {}", self.scheme.name(), self.text("name"))
    }

    pub(super) fn text(&self, entry: &str) -> &str {
        self.vector
            .get(entry)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn table(&self, entry: &str) -> Vec<(String, String)> {
        let table = self.vector.get(entry).and_then(Value::as_table);
        table
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The role that the vector's `key` plays.
    pub(super) fn main_role(&self) -> Option<&str> {
        let part = match self.text("kind") {
            "sign" => &["sign", "signature"][..],
            "verify" => &["verify", "signature"],
            "encrypt" => &["encrypt"],
            "decrypt" => &["decrypt"],
            _ => return None,
        };
        let mut table = &self.file;
        for name in part {
            table = table.get(*name)?.as_table()?;
        }
        table.get("key")?.as_str()
    }

    /// What the vector says of the key in a role.
    pub(super) fn key(&self, role: &str) -> Option<&Table> {
        let own = || self.vector.get("keys")?.as_table()?.get(role)?.as_table();
        let main = (self.main_role() == Some(role)).then(|| self.vector.get("key")?.as_table());
        main.flatten().or_else(own)
    }

    pub(super) fn partner_file(&self, secrets: &mut Secrets) -> String {
        let mut file = Table::new();
        let mut head = Table::new();
        head.insert("name".into(), self.partner.clone().into());
        head.insert("title".into(), "of a vector".into());
        file.insert("partner".into(), head.into());
        let given: BTreeMap<_, _> = self.table("constants").into_iter().collect();
        let mut constants = Table::new();
        for (name, declared) in self.scheme.constants() {
            match given.get(name) {
                Some(value) => {
                    constants.insert(name.into(), value.clone().into());
                }
                None if declared.optional => {}
                None => {
                    constants.insert(name.into(), "unused".into());
                }
            }
        }
        let mut keys = Table::new();
        for (role, declared) in self.scheme.keys() {
            keys.insert(role.into(), self.key_entry(role, declared, secrets).into());
        }
        let mut own = Table::new();
        own.insert("constants".into(), constants.into());
        own.insert("keys".into(), keys.into());
        if self
            .file
            .get("verify")
            .and_then(|verify| verify.get("access_token"))
            .is_some()
        {
            let tokens = secret(
                secrets,
                Algorithm::Hmac(Hash::Sha256),
                false,
                b"tokens of nobody",
            );
            let mut table = Table::new();
            table.insert("key".into(), tokens.into());
            table.insert("lifetime_seconds".into(), 900.into());
            own.insert("access_tokens".into(), table.into());
        }
        let mut schemes = Table::new();
        schemes.insert(self.scheme.name().to_string(), own.into());
        file.insert("schemes".into(), schemes.into());
        file.to_string()
    }

    fn key_entry(&self, role: &str, declared: &KeyRole, secrets: &mut Secrets) -> Table {
        let mut entry = Table::new();
        let said = self.key(role);
        let facts = self
            .vector
            .get("keys")
            .and_then(|keys| keys.get(role)?.as_table());
        let fact = |name: &str| facts.or(said)?.get(name)?.as_str();
        if Custody::of(declared) == Custody::Theirs {
            let mut public = Table::new();
            let pem = said
                .or(facts)
                .and_then(|key| key.get("public_pem")?.as_str())
                .map_or_else(|| self.public_of_file(), str::to_owned);
            public.insert("pem".into(), pem.into());
            for name in ["id", "certificate_serial"] {
                if let Some(text) = fact(name) {
                    public.insert(name.into(), text.into());
                }
            }
            entry.insert("public_keys".into(), vec![Value::Table(public)].into());
            return entry;
        }
        let name = match declared.algorithm {
            Algorithm::Hmac(_) | Algorithm::Dir => {
                let text = said.and_then(|key| key.get("secret")?.as_str());
                let bytes = match text {
                    Some(text) => declared.secret_bytes(text).unwrap(),
                    None => vec![b'0'; 32],
                };
                let readable = self.scheme.secret_in_message();
                secret(secrets, declared.algorithm, readable, &bytes)
            }
            Algorithm::RsaPkcs1(_) => "demo-sign".to_owned(),
            Algorithm::RsaOaep => "demo-decrypt-sha1".to_owned(),
            Algorithm::RsaOaep256Mgf1Sha1 => "demo-decrypt-java".to_owned(),
            Algorithm::Rsa15Private => "demo-origin".to_owned(),
            _ => "demo-decrypt".to_owned(),
        };
        entry.insert("key".into(), name.into());
        for name in ["id", "certificate_serial"] {
            if let Some(text) = fact(name) {
                entry.insert(name.into(), text.into());
            }
        }
        entry
    }

    /// A public key of another vector of the file, for a role that this one does without.
    fn public_of_file(&self) -> String {
        let vectors = self.file["vectors"].as_array().into_iter().flatten();
        let mut keys = vectors.filter_map(|vector| vector.get("key")?.get("public_pem")?.as_str());
        keys.next().map_or_else(demo_public, str::to_owned)
    }

    pub(super) fn request(&self) -> HttpRequest {
        let mut url = self.text("path").to_owned();
        if let Some(query) = self.vector.get("query").and_then(Value::as_str) {
            url = format!("{}?{query}", if url.is_empty() { "/" } else { &url });
        }
        if !self.text("authority").is_empty() {
            let scheme = match self.text("scheme") {
                "" => "https",
                scheme => scheme,
            };
            url = format!("{scheme}://{}{url}", self.text("authority"));
        }
        HttpRequest {
            method: self.text("method").to_owned(),
            url,
            headers: self.headers(),
            body: self.text("body").to_owned().into(),
        }
    }

    /// Without the white space around values, as a caller has them from an HTTP library.
    pub(super) fn headers(&self) -> Vec<HttpHeader> {
        self.named_headers("headers")
    }

    fn named_headers(&self, entry: &str) -> Vec<HttpHeader> {
        let header = |(name, value): (String, String)| HttpHeader {
            name,
            value: value.trim().to_owned(),
        };
        self.table(entry).into_iter().map(header).collect()
    }

    pub(super) fn response(&self) -> HttpResponse {
        let status = self.vector.get("status").and_then(Value::as_integer);
        HttpResponse {
            status_code: i32::try_from(status.unwrap_or(200)).unwrap(),
            headers: self.headers(),
            body: self.text("body").to_owned().into(),
        }
    }

    /// What a response answers; it has the request line of the vector, and headers of its own.
    pub(super) fn answered(&self) -> HttpRequest {
        HttpRequest {
            headers: self.named_headers("request_headers"),
            body: Default::default(),
            ..self.request()
        }
    }

    pub(super) fn does(&self, act: Act) -> bool {
        self.scheme.acts().any(|one| one == act)
    }
}

/// The name of the key with this secret; one for each way of holding it.
fn secret(secrets: &mut Secrets, algorithm: Algorithm, readable: bool, bytes: &[u8]) -> String {
    let number: i32 = wire::algorithm_to_proto(algorithm).into();
    let next = format!("secret-{}", secrets.len());
    let name = secrets.entry((number, readable, bytes.to_vec()));
    name.or_insert(next).clone()
}

/// The public half of the key in the demo, which vectors are made with.
pub(super) fn demo_public() -> String {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: Json = serde_json::from_str(&text).unwrap();
    let pem = &collection["keys"]["demo-key"]["public_pem"];
    pem.as_str().unwrap().to_owned()
}
