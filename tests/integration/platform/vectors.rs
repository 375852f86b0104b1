//! Every vector of every shipped scheme through the daemon, as a caller would; and with them those of the
//! platforms' collection, which carries what was checked with other programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use chancery::{
    algorithm::{Algorithm, Hash},
    partner::Custody,
    proto::v1::{
        self, DecryptFieldRequest, EncryptFieldRequest, HttpHeader, HttpRequest, HttpResponse,
        SignHttpRequestRequest, SignHttpResponseRequest, Verdict, VerifyCallbackRequest,
        VerifyHttpResponseRequest,
    },
    scheme::{Act, KeyRole, Scheme},
    wire,
};
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::{
    harness::Refusal,
    platform::world::{Held, World},
    softhsm::{Secret, Token},
};

/// A vector of a shipped scheme, and the partner that it is tried with.
struct Case {
    partner: String,
    scheme: Scheme,
    file: Table,
    vector: Table,
}

/// What of the vectors was compared, to know which of the collection were.
#[derive(Default)]
struct Seen {
    texts: BTreeSet<String>,
    tried: BTreeMap<&'static str, usize>,
    faults: Vec<String>,
}

#[tokio::test]
async fn every_vector_of_a_shipped_scheme_passes_through_the_daemon() {
    let (mut cases, mut partners) = (Vec::new(), Vec::new());
    let mut secrets: BTreeMap<(i32, bool, Vec<u8>), String> = BTreeMap::new();
    for path in tomls(&root().join("config/schemes")) {
        let text = fs::read_to_string(&path).unwrap();
        let file: Table = text.parse().unwrap();
        for (index, vector) in file["vectors"].as_array().unwrap().iter().enumerate() {
            let scheme = Scheme::parse(&text).unwrap();
            let case = Case {
                partner: format!("{}.{index}", scheme.name()),
                vector: vector.as_table().unwrap().clone(),
                file: file.clone(),
                scheme,
            };
            partners.push((case.partner.clone(), case.partner_file(&mut secrets)));
            cases.push(case);
        }
    }
    let token = Token::new("vectors");
    let pem = fs::read_to_string(root().join("demo/ayolinx/key.pem")).unwrap();
    token.import_pkcs8("demo-sign", "01", &pem);
    token.import_pkcs8("demo-decrypt", "02", &pem);
    token.import_pkcs8("demo-decrypt-sha1", "03", &pem);
    token.import_pkcs8("demo-origin", "04", &pem);
    token.import_pkcs8("demo-decrypt-java", "05", &pem);
    let direct: i32 = v1::Algorithm::Dir.into();
    let mut keys = KEYS.to_owned();
    for ((_, _, secret), name) in secrets.iter().filter(|((one, ..), _)| *one == direct) {
        token.import_secret(name, secret, Secret::Aes);
        let bits = secret.len() * 8;
        keys += &format!(
            "[[keys]]\nname = {name:?}\npurpose = \"decrypt\"\nalgorithms = [\"dir\"]\ncontent_encryptions = [\"A{bits}GCM\"]\n"
        );
    }
    let world = World::with(&partners, token, &keys);
    for ((algorithm, readable, secret), name) in &secrets {
        if *algorithm == direct {
            continue;
        }
        let held = Held {
            name,
            algorithm: v1::Algorithm::try_from(*algorithm).unwrap(),
            secret,
            readable: *readable,
        };
        world.import(held).await;
    }

    let mut seen = Seen::default();
    for case in &cases {
        case.run(&world, &mut seen).await;
    }
    assert!(seen.faults.is_empty(), "{}", seen.faults.join("\n"));
    for (kind, least) in [("sign", 35), ("verify", 80), ("encrypt", 2), ("decrypt", 1)] {
        assert!(
            seen.tried.get(kind).is_some_and(|count| *count >= least),
            "{:?}",
            seen.tried
        );
    }
    compare_with_the_collection(&seen);
}

/// What the collection of platforms' vectors says, in one form or the other, is among what was compared; but for
/// what concerns no scheme, and what can't be checked by anyone.
fn compare_with_the_collection(seen: &Seen) {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: Json = serde_json::from_str(&text).unwrap();
    let mut missing = Vec::new();
    for vector in collection["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let wanted: Vec<&str> = [
            "expected",
            "string_to_sign",
            "expected_sha256",
            "token",
            "ciphertext_b64",
        ]
        .iter()
        .filter_map(|member| vector[*member].as_str())
        .collect();
        let found = wanted
            .iter()
            .any(|wanted| seen.texts.iter().any(|text| text.contains(wanted)));
        if !found && !ELSEWHERE.contains(&id) && vector["status"] != "not-reproducible" {
            missing.push(id);
        }
    }
    assert!(missing.is_empty(), "not checked: {missing:?}");
}

/// Checked by other tests, without a scheme; but for the last three: a public key that no scheme has a vector with, a
/// digest that is of no message, and OAEP with two different hashes, which the token is not asked for.
const ELSEWHERE: [&str; 9] = [
    "ayolinx.token.demo-signature",
    "rfc7797.4.2",
    "openbankinguk.b64false",
    "rfc9421.b.2.5",
    "oneaccess.event-callback",
    "oneaccess.public-key",
    "rfc9421.b.2.6",
    "rfc9530.content-digest",
    "oaep.sha256.mgf1-sha1",
];

const KEYS: &str = r#"
[[keys]]
name = "demo-sign"
purpose = "sign"
algorithms = ["RS256"]

[[keys]]
name = "demo-decrypt"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256"]
content_encryptions = ["A128GCM", "A256GCM"]
allow_compression = true

[[keys]]
name = "demo-decrypt-sha1"
purpose = "decrypt"
algorithms = ["RSA-OAEP"]
content_encryptions = ["A256GCM"]

[[keys]]
name = "demo-decrypt-java"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256-MGF1-SHA1"]

[[keys]]
name = "demo-origin"
purpose = "prove-origin"
algorithms = ["RSA1_5-PRIVATE"]
"#;

impl Case {
    fn name(&self) -> String {
        format!("{}: {}", self.scheme.name(), self.text("name"))
    }

    fn text(&self, entry: &str) -> &str {
        self.vector
            .get(entry)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn table(&self, entry: &str) -> Vec<(String, String)> {
        let table = self.vector.get(entry).and_then(Value::as_table);
        table
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The role that the vector's `key` plays.
    fn main_role(&self) -> Option<&str> {
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
    fn key(&self, role: &str) -> Option<&Table> {
        let own = || self.vector.get("keys")?.as_table()?.get(role)?.as_table();
        let main = (self.main_role() == Some(role)).then(|| self.vector.get("key")?.as_table());
        main.flatten().or_else(own)
    }

    fn partner_file(&self, secrets: &mut BTreeMap<(i32, bool, Vec<u8>), String>) -> String {
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

    fn key_entry(
        &self,
        role: &str,
        declared: &KeyRole,
        secrets: &mut BTreeMap<(i32, bool, Vec<u8>), String>,
    ) -> Table {
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

    async fn run(&self, world: &World, seen: &mut Seen) {
        let (kind, result) = match self.text("kind") {
            "sign" => ("sign", self.sign(world, seen).await),
            "verify" => ("verify", self.verify(world, seen).await),
            "encrypt" => ("encrypt", self.encrypt(world).await),
            "decrypt" => ("decrypt", self.decrypt(world, seen).await),
            "string" => ("string", self.string(world, seen).await),
            _ => return,
        };
        match result {
            Ok(true) => *seen.tried.entry(kind).or_default() += 1,
            Ok(false) => *seen.tried.entry("left out").or_default() += 1,
            Err(why) => seen.faults.push(format!("{}: {why}", self.name())),
        }
    }

    fn request(&self) -> HttpRequest {
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
    fn headers(&self) -> Vec<HttpHeader> {
        let header = |(name, value): (String, String)| HttpHeader {
            name,
            value: value.trim().to_owned(),
        };
        self.table("headers").into_iter().map(header).collect()
    }

    fn response(&self) -> HttpResponse {
        let status = self.vector.get("status").and_then(Value::as_integer);
        HttpResponse {
            status_code: i32::try_from(status.unwrap_or(200)).unwrap(),
            headers: self.headers(),
            body: self.text("body").to_owned().into(),
        }
    }

    /// What a response answers; it has the request line of the vector.
    fn answered(&self) -> HttpRequest {
        HttpRequest {
            headers: vec![],
            body: Default::default(),
            ..self.request()
        }
    }

    fn does(&self, act: Act) -> bool {
        self.scheme.acts().any(|one| one == act)
    }

    async fn sign(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        let public = self.key(self.main_role().unwrap_or_default());
        let public = public.and_then(|key| key.get("public_pem")?.as_str());
        if public.is_some_and(|pem| pem.trim() != demo_public().trim()) {
            return Ok(false);
        }
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let (inputs, values) = (self.table("inputs"), values);
        let (headers, url, body) = if self.does(Act::SignRequest) {
            let request = SignHttpRequestRequest {
                partner: format!("partners/{}", self.partner),
                request: Some(self.request()),
                inputs: inputs.into_iter().collect(),
                values: values.into_iter().collect(),
                ..SignHttpRequestRequest::default()
            };
            let answer = world.client().platform().sign_http_request(request).await;
            let answer = answer.map_err(refusal)?.into_inner();
            let sent = answer.request.unwrap();
            (sent.headers, sent.url, sent.body)
        } else {
            let request = SignHttpResponseRequest {
                partner: format!("partners/{}", self.partner),
                response: Some(self.response()),
                request: Some(self.answered()),
                inputs: inputs.into_iter().collect(),
                values: values.into_iter().collect(),
                ..SignHttpResponseRequest::default()
            };
            let answer = world.client().platform().sign_http_response(request).await;
            let answer = answer.map_err(refusal)?.into_inner();
            let sent = answer.response.unwrap();
            (sent.headers, String::new(), sent.body)
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        for (place, expected) in self.table("set") {
            let found = match place.split_once('.') {
                Some(("header", name)) => headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case(name))
                    .map(|header| header.value.clone()),
                _ if place == "body" => Some(body.clone()),
                _ => url.split_once('?').map(|(_, query)| query.to_owned()),
            };
            // A JWE is another each time.
            let same = |found: &str| match expected.split_once("JWE") {
                Some((before, after)) if place == "body" => {
                    found.starts_with(&format!("{before}eyJ")) && found.ends_with(after)
                }
                _ => found == expected,
            };
            if !found.as_deref().is_some_and(same) {
                return Err(format!("{place}: expected {expected:?}, got {found:?}"));
            }
        }
        let signature = self.text("signature");
        let all: String = headers
            .iter()
            .map(|one| format!("{}\n", one.value))
            .collect();
        let all = format!("{all}{url}\n{body}");
        let deterministic = !matches!(self.text("signature"), "");
        let encoded = percent(signature);
        let escaped = signature.replace('/', "\\/");
        let is_there = [signature, &encoded, &escaped, &percent(&encoded)]
            .iter()
            .any(|one| all.contains(*one));
        if deterministic && !is_there {
            return Err(format!("expected the signature {signature:?} in\n{all}"));
        }
        seen.texts.insert(all);
        seen.texts.insert(signature.to_owned());
        seen.texts.insert(self.text("string").to_owned());
        Ok(true)
    }

    async fn verify(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        if self.vector.contains_key("token_is_good") {
            return Ok(false);
        }
        let expected = self.verdict();
        let inputs = self.table("inputs").into_iter().collect();
        let partner = format!("partners/{}", self.partner);
        let verified = if self.does(Act::VerifyCallback) && !self.vector.contains_key("status") {
            let request = VerifyCallbackRequest {
                partner,
                request: Some(self.request()),
                inputs,
                ..VerifyCallbackRequest::default()
            };
            let answer = world.client().platform().verify_callback(request).await;
            answer.map_err(refusal)?.into_inner().verification.unwrap()
        } else {
            let request = VerifyHttpResponseRequest {
                partner,
                response: Some(self.response()),
                request: Some(self.answered()),
                inputs,
                ..VerifyHttpResponseRequest::default()
            };
            let answer = world
                .client()
                .platform()
                .verify_http_response(request)
                .await;
            answer.map_err(refusal)?.into_inner().verification.unwrap()
        };
        if !expected.contains(&verified.verdict()) {
            return Err(format!("expected one of {expected:?}, got {verified:?}"));
        }
        if !matches!(verified.verdict(), Verdict::Valid | Verdict::Duplicate)
            && !verified.authenticated.is_empty()
        {
            return Err(format!(
                "parts of a message that is not valid: {verified:?}"
            ));
        }
        seen.texts.insert(self.text("string").to_owned());
        seen.texts.insert(self.text("body").to_owned());
        let headers = self.headers().into_iter();
        seen.texts.extend(headers.map(|header| header.value));
        Ok(true)
    }

    /// The vectors are old: what was valid then is stale now, where the scheme has a window.
    fn verdict(&self) -> Vec<Verdict> {
        let timed = self.file["verify"].get("time").is_some();
        match self.text("outcome") {
            "" | "valid" if timed => vec![Verdict::Stale],
            "" | "valid" => vec![Verdict::Valid],
            "invalid" => vec![Verdict::Invalid],
            "stale" => vec![Verdict::Stale],
            "future" if timed => vec![Verdict::Stale, Verdict::Future],
            "other-request" if timed => vec![Verdict::Stale, Verdict::OtherRequest],
            "other-request" => vec![Verdict::OtherRequest],
            "unsigned" => vec![Verdict::Unsigned],
            "bad-token" => vec![Verdict::Invalid],
            _ => vec![Verdict::Malformed, Verdict::Invalid],
        }
    }

    async fn encrypt(&self, world: &World) -> Result<bool, String> {
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let request = EncryptFieldRequest {
            partner: format!("partners/{}", self.partner),
            inputs: self.table("inputs").into_iter().collect(),
            values: values.into_iter().collect(),
            ..EncryptFieldRequest::default()
        };
        let answer = world.client().platform().encrypt_field(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        match answer.oaep_hash.is_empty() || answer.mgf1_hash.is_empty() {
            true => Err(format!("a hash is not said: {answer:?}")),
            false => Ok(true),
        }
    }

    async fn decrypt(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        let inputs: BTreeMap<_, _> = self.table("inputs").into_iter().collect();
        let request = DecryptFieldRequest {
            partner: format!("partners/{}", self.partner),
            ciphertext: inputs["value"].clone(),
            ..DecryptFieldRequest::default()
        };
        let answer = world.client().platform().decrypt_field(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        if answer.plaintext != self.text("string").as_bytes() {
            return Err(format!("got {:?}", answer.plaintext));
        }
        seen.texts.insert(inputs["value"].clone());
        Ok(true)
    }

    /// The string, as an explanation shows it.
    async fn string(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        if !self.does(Act::SignRequest) || self.text("string").is_empty() {
            return Ok(false);
        }
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let request = SignHttpRequestRequest {
            partner: format!("partners/{}", self.partner),
            request: Some(self.request()),
            inputs: self.table("inputs").into_iter().collect(),
            values: values.into_iter().collect(),
            ..SignHttpRequestRequest::default()
        };
        let call = v1::explain_http_message_request::Call::SignRequest(request);
        let request = v1::ExplainHttpMessageRequest { call: Some(call) };
        let answer = world
            .client()
            .platform()
            .explain_http_message(request)
            .await;
        let answer = answer.map_err(refusal)?.into_inner();
        let shown = String::from_utf8_lossy(&answer.strings_to_sign[0]).into_owned();
        // Secret inputs are masked; each stands between two colons in the schemes that have them.
        let whole = self
            .table("inputs")
            .iter()
            .fold(shown, |shown, (_, value)| shown.replacen("***", value, 1));
        if whole != self.text("string") {
            return Err(format!("expected {:?}, got {whole:?}", self.text("string")));
        }
        seen.texts.insert(whole);
        Ok(true)
    }
}

/// The name of the key with this secret; one for each way of holding it.
fn secret(
    secrets: &mut BTreeMap<(i32, bool, Vec<u8>), String>,
    algorithm: Algorithm,
    readable: bool,
    bytes: &[u8],
) -> String {
    let number: i32 = wire::algorithm_to_proto(algorithm).into();
    let next = format!("secret-{}", secrets.len());
    let name = secrets.entry((number, readable, bytes.to_vec()));
    name.or_insert(next).clone()
}

fn refusal(status: tonic::Status) -> String {
    format!("{:?}", Refusal::of(&status))
}

fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The public half of the key in the demo, which vectors are made with.
fn demo_public() -> String {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: Json = serde_json::from_str(&text).unwrap();
    let pem = &collection["keys"]["demo-key"]["public_pem"];
    pem.as_str().unwrap().to_owned()
}

fn tomls(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|one| one == "toml"));
    paths.sort();
    paths
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
