//! Two sample partners: one whose requests we sign with a sample key, one whose webhooks are signed with a secret.

/// A file for each, in the directory `partners`: name and text.
pub(super) const SAMPLES: [(&str, &str); 2] = [
    ("partners/paykka.toml", PAYKKA),
    ("partners/github.toml", GITHUB),
];

/// The partner that needs no secret.
pub(super) const SIGNED: &str = "paykka";

/// The partner whose secret and webhook GitHub's documentation prints.
pub(super) const CALLING: &str = "github";

/// The calls to paste, for a shell. The webhook is the example of GitHub's documentation, to the byte.
pub(super) fn calls(chancery: &str, scratch: &str) -> String {
    format!(
        r#"# Sign a request to a payment platform by its rules; see the string that is signed, and the rule of each piece:
mkdir -p {scratch} && printf 'POST /collection/v1/orders HTTP/1.1\nHost: paykka.example\n\n{{"amount":20.00}}' > {scratch}/request.http
{chancery} request sign --partner {SIGNED} --in {scratch}/request.http
{chancery} request explain --partner {SIGNED} --in {scratch}/request.http

# Put a webhook's secret into the token, and verify a webhook; the same again would be a duplicate:
printf "It's a Secret to Everybody" | {chancery} partners secret set {CALLING} platform
printf 'POST /hook HTTP/1.1\nX-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n\nHello, World!' > {scratch}/webhook.http
{chancery} callback verify --partner {CALLING} --in {scratch}/webhook.http
"#
    )
}

const PAYKKA: &str = r#"# PayKKa: requests that are signed with a key of ours.
# docs/partners has a page on each platform that is worked through; `chancery schemes list` has all others.
[partner]
name = "paykka"
title = "PayKKa, a sample"

# Our key, and the name that the platform knows it by.
[keys.signing]
key = "demo-rs256"
id = "sample-key-id"

[schemes.paykka-collection]
constants.merchant_id = "18200001"
"#;

const GITHUB: &str = r#"# GitHub: webhooks that are signed with a secret.
[partner]
name = "github"
title = "GitHub webhooks, a sample"

# The webhook's secret. `chancery partners secret set github platform` puts it into the token.
[keys.platform]
key = "github-secret"

[schemes.github]
"#;
