//! `chancery schemes new`: the beginning of a scheme file, which lacks nothing but the platform's rule and a vector.

use std::fmt::Write;

use clap::{Args, ValueEnum};

use chancery::scheme::Scheme;

use crate::{Session, trouble::Trouble};

/// Begin a scheme file: commented, and right but for its vectors
///
/// The file goes to stdout. It signs, or verifies, time and body with a dot between; write the platform's
/// rule in its place.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  chancery schemes new acme > acme.toml\n  \
    chancery schemes new acme-webhook --kind webhook --algorithm RS256 > acme-webhook.toml\n  \
    chancery schemes test acme.toml"
)]
pub(crate) struct New {
    /// The scheme's name, of a-z 0-9 -
    #[arg(value_name = "NAME")]
    name: String,
    /// What the platform's messages are
    #[arg(long, value_enum, default_value_t = Kind::Request)]
    kind: Kind,
    /// What they are signed with: HS256, HS512, RS256, PS256, ES256, EdDSA, …
    #[arg(long, value_name = "ALGORITHM", default_value = "HS256")]
    algorithm: String,
    /// How the text of a shared secret becomes its bytes, for HS256, HS384, HS512 [default: utf8]
    #[arg(long, value_enum, value_name = "ENCODING")]
    secret_encoding: Option<Encoding>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Requests that we sign
    Request,
    /// Calls of the platform that we verify
    Webhook,
    /// Answers of the platform that we verify
    Response,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Utf8,
    Hex,
    Base64,
}

impl New {
    pub(crate) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let text = self.text()?;
        // Whatever is wrong with the options is wrong with the file.
        Scheme::read(&text).map_err(|error| Trouble::Usage(error.to_string()))?;
        session.streams.write(None, text.as_bytes())
    }

    fn text(&self) -> Result<String, Trouble> {
        let hmac = self.algorithm.starts_with("HS");
        if !hmac && self.secret_encoding.is_some() {
            let why = format!(
                "--secret-encoding is for HMAC; {} has no secret",
                self.algorithm
            );
            return Err(Trouble::Usage(why));
        }
        let (noun, messages, template) = match self.kind {
            Kind::Request => ("request", "", REQUEST),
            Kind::Webhook => ("webhook", "callback", RECEIVED),
            Kind::Response => ("response", "response", RECEIVED),
        };
        let mut key = format!("algorithm = \"{}\"", self.algorithm);
        if hmac {
            let encoding = match self.secret_encoding {
                None | Some(Encoding::Utf8) => "utf8",
                Some(Encoding::Hex) => "hex",
                Some(Encoding::Base64) => "base64",
            };
            let comment =
                "# the bytes of the text; or hex, base64, { base64-after-prefix = \"whsec_\" }";
            // Writing to a string does not fail.
            let _ = write!(key, "\nsecret_encoding = \"{encoding}\" {comment}");
        }
        let vector_key = match hmac {
            true => "# key = { secret = \"the secret of the example\" }",
            false => {
                "# [vectors.key]\n# public_pem = \"\"\"\n# -----BEGIN PUBLIC KEY-----\n# …\n# -----END PUBLIC KEY-----\n# \"\"\""
            }
        };
        let ecdsa = match self.algorithm.starts_with("ES") {
            true => "ecdsa = \"der\" # or raw: r and s one after the other, as in JOSE\n",
            false => "",
        };
        let acknowledge = match self.kind {
            Kind::Webhook => ACKNOWLEDGE,
            Kind::Request | Kind::Response => "",
        };
        let start_line = match self.kind {
            Kind::Request | Kind::Webhook => "# method = \"POST\"\n# path = \"/v1/payments\"\n",
            Kind::Response => "# status = 200\n",
        };
        let text = [HEAD, template]
            .concat()
            .replace("MESSAGES", messages)
            .replace("ACKNOWLEDGE\n", acknowledge)
            .replace("ECDSA\n", ecdsa)
            .replace("START_LINE\n", start_line)
            .replace("VECTOR_KEY", vector_key)
            .replace("ALGORITHM", &key)
            .replace("NOUN", noun)
            .replace("NAME", &self.name);
        Ok(text)
    }
}

const HEAD: &str = r#"# NAME: NOUN.
[scheme]
name = "NAME"
title = "NAME: NOUN"
source = "the page that states the rule"
confidence = "our-reading" # documented: the platform's pages say so; integrators: others who did it say so
notes = """
What an integrator must know; what is open.
"""

"#;

const REQUEST: &str = r#"# What a partner of the platform gives once. Not secret.
[constants.key_id]
description = "the id of our key at the platform"

# What the caller gives with each request, if there is such a thing:
# [inputs.access_token]
# description = "the token, without Bearer"
# secret = true

[keys.signing]
description = "what the platform calls the key"
use = "sign"
ALGORITHM

[sign.values]
# Formats: unix-seconds, unix-milliseconds, rfc3339, http-date, and others. Also { uuid = true } and
# { random = 32, alphabet = "hex" }.
timestamp = { now = "unix-seconds" }

[sign.signature]
key = "signing"
# The string to sign, segment by segment. Text stands for itself; a source is named by `from`, and `then` lists
# functions: [{ from = "body", then = ["minify-json", "sha256", "hex"] }].
string = [{ from = "value.timestamp" }, ".", { from = "body" }]
encode = ["hex"] # of the signature: hex, HEX, base64, base64url, percent-encode
ECDSA

# Where everything goes, in this order: header = …, query = …, form = … or json = ….
[[sign.set]]
header = "X-Key-Id"
value = [{ from = "constant.key_id" }]
[[sign.set]]
header = "X-Timestamp"
value = [{ from = "value.timestamp" }]
[[sign.set]]
header = "X-Signature"
value = [{ from = "signature" }]

# At least one vector. Take it from the platform's documentation (origin = "published"), or let another tool make
# its values (origin = "computed"), such as openssl. To see the string, write the message as JSON and run
#   chancery schemes explain NAME.toml --request message.json
# [[vectors]]
# name = "the example of the documentation"
# kind = "sign"
# origin = "published"
# source = "the page, and where on it"
START_LINE
# body = '{"amount":"10.00"}'
# constants = { key_id = "key-1" }
# values = { timestamp = "1726641396" }
# string = '1726641396.{"amount":"10.00"}'
# signature = "the signature, as it is sent"
VECTOR_KEY
"#;

const RECEIVED: &str = r#"[keys.platform]
description = "what the platform calls the key"
use = "verify"
ALGORITHM

[verify]
messages = ["MESSAGES"]
# What the signature covers: nothing else of the message may be trusted.
authenticated = ["body"]

[verify.signature]
key = "platform"
from = [{ from = "header.X-Signature" }]
decode = ["decode-hex"] # decode-base64, decode-base64url, percent-decode
# The string that was signed, segment by segment. Text stands for itself; a source is named by `from`, and `then`
# lists functions: [{ from = "body", then = ["minify-json", "sha256", "hex"] }].
string = [{ from = "header.X-Timestamp" }, ".", { from = "body" }]
ECDSA

# Delete this if nothing that is signed tells the time.
[verify.time]
from = [{ from = "header.X-Timestamp" }]
format = "unix-seconds" # unix-milliseconds, rfc3339, http-date, and others
past_seconds = 300
future_seconds = 60

# What tells one message from another, so that it is taken once. It must be signed.
[verify.replay]
from = [{ from = "json.id" }]
ACKNOWLEDGE

# At least one vector. Take it from the platform's documentation (origin = "published"), or let another tool make
# its values (origin = "computed"), such as openssl. To see the string, write the message as JSON and run
#   chancery schemes explain NAME.toml --request message.json
# Add one of a message that was changed (outcome = "invalid") and one that is too old (outcome = "stale").
# [[vectors]]
# name = "the example of the documentation"
# kind = "verify"
# origin = "published"
# source = "the page, and where on it"
START_LINE
# headers = { X-Timestamp = "1726641396", X-Signature = "…" }
# body = '{"id":"1"}'
# now = 1726641400000
# string = '1726641396.{"id":"1"}'
VECTOR_KEY
"#;

const ACKNOWLEDGE: &str = r#"
# What the platform wants to hear.
[verify.acknowledge]
status = 200
body = "OK"
content_type = "text/plain"
"#;
