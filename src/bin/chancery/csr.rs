//! `chancery keys csr`: a certificate request (PKCS#10) signed by a key in the token.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    proto::v1::{CreateCertificateRequestRequest, SubjectAttribute},
    wire::{self, KeyResource},
};

use crate::{Session, arguments, output, trouble::Trouble};

/// Make a certificate request (PKCS#10), signed by the key
///
/// The subject is written as in RFC 4514, the most specific part first: 'CN=payouts,O=Example,C=ID'. A
/// comma, plus sign or backslash inside a value is written with a backslash before it. --subject may be
/// repeated instead: --subject CN=payouts --subject O=Example --subject C=ID.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery keys csr payouts --algorithm ES256 --subject 'CN=payouts,O=Example' --dns payouts.example"
)]
pub(crate) struct Csr {
    /// Key: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(value_parser = arguments::key)]
    key: KeyResource,
    /// What to sign it with; must be one of the key's
    #[arg(long, value_parser = arguments::public_algorithm())]
    algorithm: Algorithm,
    /// Subject; CN, O, OU, C, ST, L and serialNumber are known
    #[arg(long, value_name = "NAME")]
    subject: Vec<String>,
    /// DNS name; may be repeated, as the next three
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// URI, such as a SPIFFE ID
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// IP address
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<std::net::IpAddr>,
    /// E-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Form::Pem)]
    format: Form,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Text
    Pem,
    /// Bytes
    Der,
}

impl Csr {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let subject = subject(&self.subject).map_err(Trouble::Usage)?;
        if self.format == Form::Der {
            session
                .streams
                .check_binary(self.out.as_deref(), session.global.json)?;
        }
        let client = session.client()?;
        let request = CreateCertificateRequestRequest {
            name: self.key.to_string(),
            algorithm: wire::algorithm_to_proto(self.algorithm).into(),
            subject,
            dns_names: self.dns,
            uris: self.uri,
            ip_addresses: self.ip.iter().map(ToString::to_string).collect(),
            email_addresses: self.email,
        };
        let made = client
            .keys()
            .create_certificate_request(client.request(request))
            .await?
            .into_inner();
        let written = match self.format {
            Form::Pem => made.pem.as_bytes(),
            Form::Der => &made.der,
        };
        if !session.global.json {
            return session.streams.write(self.out.as_deref(), written);
        }
        session.streams.write_beside(self.out.as_deref(), written)?;
        session.streams.json(&json!({
            "pem": made.pem,
            "der": output::base64(&made.der),
            "name": made.name,
        }))
    }
}

/// The parts of a subject, the most significant first as the protocol has them: RFC 4514 writes them
/// the other way round.
fn subject(texts: &[String]) -> Result<Vec<SubjectAttribute>, String> {
    let mut attributes = Vec::new();
    for text in texts {
        for part in split(text)? {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("--subject: expected TYPE=VALUE, found {part:?}"))?;
            let name = name.trim();
            let known = TYPES
                .into_iter()
                .find(|one| one.eq_ignore_ascii_case(name))
                .ok_or_else(|| {
                    format!(
                        "--subject: unknown type {name:?}: expected one of {}",
                        TYPES.join(", ")
                    )
                })?;
            let value = unescape(value.trim_start())?;
            if value.is_empty() {
                return Err(format!("--subject: {known} is empty"));
            }
            attributes.push(SubjectAttribute {
                r#type: known.to_owned(),
                value,
            });
        }
    }
    attributes.reverse();
    Ok(attributes)
}

/// The parts between commas that have no backslash before them, still escaped.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for one in text.chars() {
        match one {
            ',' if !escaped => {
                parts.push(String::new());
                continue;
            }
            '+' if !escaped => {
                let message =
                    "--subject: parts joined by + are not supported; write \\+ for a plus sign";
                return Err(message.into());
            }
            _ => {}
        }
        escaped = one == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(one);
        }
    }
    Ok(parts)
}

fn unescape(text: &str) -> Result<String, String> {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(one) = characters.next() {
        if one != '\\' {
            value.push(one);
            continue;
        }
        match characters.next() {
            Some(next) if !next.is_ascii_alphanumeric() => value.push(next),
            _ => {
                return Err(format!(
                    "--subject: a backslash must stand before the character that it protects, in {text:?}"
                ));
            }
        }
    }
    Ok(value)
}

const TYPES: [&str; 7] = ["CN", "O", "OU", "C", "ST", "L", "serialNumber"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Result<Vec<(String, String)>, String> {
        let texts = texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(subject(&texts)?
            .into_iter()
            .map(|one| (one.r#type, one.value))
            .collect())
    }

    /// RFC 4514 section 2.1: the string starts with the last element of the sequence.
    #[test]
    fn the_most_significant_part_comes_first_on_the_wire() {
        let expected = vec![
            ("C".to_owned(), "ID".to_owned()),
            ("O".to_owned(), "Example, Inc.".to_owned()),
            ("CN".to_owned(), "payouts+1=a".to_owned()),
        ];
        assert_eq!(
            parsed(&["CN=payouts\\+1=a,o=Example\\, Inc., C=ID"]),
            Ok(expected.clone())
        );
        assert_eq!(
            parsed(&["CN=payouts\\+1=a", "O=Example\\, Inc.", "C=ID"]),
            Ok(expected)
        );
        assert_eq!(parsed(&[]), Ok(vec![]));
    }

    #[test]
    fn what_is_not_a_subject_is_refused() {
        for bad in ["CN", "CN=", "X=1", "CN=a+O=b", "CN=a\\", "CN=a,", "CN=\\41"] {
            assert!(parsed(&[bad]).is_err(), "{bad}");
        }
    }
}
