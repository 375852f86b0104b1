//! The text of the files that are written into the directory.

use std::{net::SocketAddr, path::Path};

/// Names under which the sample token and its module are configured.
pub(super) const TOKEN_LABEL: &str = "chancery-dev";

/// `policy.toml`: one client may do everything but read the audit log, the other three things with one key.
pub(super) const POLICY: &str = r#"# Who may do what with which key. What no rule allows is denied.
# Change it while `chanceryd dev` runs: a good file is in force within seconds, a bad one changes nothing.

[[rules]]
name = "app-a-does-all-with-keys"
identities = ["spiffe://chancery.dev/app-a"]
keys = ["*"]
operations = ["sign", "verify", "encrypt", "decrypt", "get", "create", "import", "rotate", "update", "destroy", "request_certificate", "generate_random"]
algorithms = ["*"]

[[rules]]
name = "app-a-serves-all-platforms"
identities = ["spiffe://chancery.dev/app-a"]
partners = ["*"]
operations = [
  "sign_request", "sign_response", "verify_callback", "verify_response", "encrypt_field", "decrypt_field",
  "issue_access_token", "explain_message", "get_partner",
]

[[rules]]
name = "app-b-signs-with-one-key"
identities = ["spiffe://chancery.dev/app-b"]
keys = ["demo-es256"]
operations = ["sign", "verify", "get"]
algorithms = ["ES256"]
"#;

/// `softhsm2.conf`.
pub(super) fn softhsm(tokens: &Path) -> String {
    format!(
        "# Written by `chanceryd dev`, anew at every start.\n\
         directories.tokendir = {}\n\
         objectstore.backend = file\n\
         log.level = ERROR\n\
         slots.removable = false\n",
        tokens.display()
    )
}

/// `chancery.toml`, with which `chanceryd serve` runs too.
pub(super) fn config(
    module: &Path,
    softhsm: &Path,
    address: SocketAddr,
    admin: SocketAddr,
) -> String {
    // A JSON string is a TOML basic string too.
    let text = |path: &Path| serde_json::Value::from(path.display().to_string());
    let (module, softhsm) = (text(module), text(softhsm));
    format!(
        r#"# Written once by `chanceryd dev`; change it as you like. NOT FOR PRODUCTION.
# Also: chanceryd check --config THIS_FILE, chanceryd serve --config THIS_FILE

state_directory = "state"
policy = "policy.toml"

[server]
address = "{address}"
drain_timeout_seconds = 2

[tls]
certificate = "server.pem"
private_key = "server.key"
client_ca = "ca.pem"

[admin]
address = "{admin}"
jwks_keys = ["*"]

# A file for each platform that is served. Change them while it runs, or add more.
[platforms]
partners = "partners"

[[tokens]]
name = "dev"
module = {module}
label = "{TOKEN_LABEL}"
pin = {{ file = "user.pin" }}
environment = {{ SOFTHSM2_CONF = {softhsm} }}
"#
    )
}

/// `client*.env`: what the client reads; a shell can too.
pub(super) fn client(directory: &Path, address: SocketAddr, name: &str) -> String {
    let mut text = format!(
        "# Written by `chanceryd dev`, anew at every start. A shell can read it too: . {}\n",
        shell(&format!("client-{name}.env"))
    );
    for (variable, value) in variables(directory, address, name) {
        text.push_str(&format!("export {variable}={}\n", shell(&value)));
    }
    text
}

/// What a program needs to be this client.
pub(super) fn variables(
    directory: &Path,
    address: SocketAddr,
    name: &str,
) -> Vec<(&'static str, String)> {
    let file = |name: String| directory.join(name).display().to_string();
    let mut variables = vec![
        ("CHANCERY_ADDR", format!("https://{address}")),
        ("CHANCERY_CA", file("ca.pem".to_owned())),
        ("CHANCERY_CERT", file(format!("{name}.pem"))),
        ("CHANCERY_KEY", file(format!("{name}.key"))),
    ];
    let in_certificate = ["127.0.0.1", "::1"].map(|ip| ip.parse().expect("an address"));
    if !in_certificate.contains(&address.ip()) {
        variables.push(("CHANCERY_SERVER_NAME", "localhost".to_owned()));
    }
    variables
}

/// A word as a shell reads it back.
pub(super) fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:[]=+@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn the_policy_and_its_denial_are_what_the_screen_says() {
        use crate::{algorithm::Algorithm, policy::Operation};
        let policy = Policy::parse(POLICY).unwrap();
        let allowed = |who: &str, key: &str, operation, algorithm: &str| {
            let who = format!("spiffe://chancery.dev/{who}").parse().unwrap();
            let algorithm: Algorithm = algorithm.parse().unwrap();
            let key = key.parse().unwrap();
            policy
                .explain(&who, Some(&key), operation, Some(algorithm), None)
                .allowed
        };
        assert!(allowed(
            "app-a",
            "demo-oaep",
            Operation::Decrypt,
            "RSA-OAEP-256"
        ));
        assert!(allowed("app-a", "new", Operation::Create, "ES384"));
        assert!(allowed("app-b", "demo-es256", Operation::Sign, "ES256"));
        assert!(!allowed("app-b", "demo-rs256", Operation::Sign, "RS256"));
        assert!(!allowed("app-b", "demo-es256", Operation::Create, "ES256"));
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell("/a/b-1.pem"), "/a/b-1.pem");
        assert_eq!(shell("/a b/$HOME"), "'/a b/$HOME'");
        assert_eq!(shell("it's"), r"'it'\''s'");
    }
}
