//! Who a verified certificate says the caller is: the one SPIFFE id or DNS name in it.
//!
//! The common name is never looked at. A certificate with several names is refused rather than one
//! of them picked: which one came first would then decide who the caller is.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
    prelude::FromDer,
};

/// Who a caller is, and the certificate that said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: IdentityName,
    certificate_sha256: [u8; 32],
}

/// The name of a caller: `spiffe://trust-domain/path` or `dns:host.name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityName(Arc<str>);

/// Why a certificate does not say who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not one X.509 certificate in DER.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// An extension that matters here can't be read, or is there twice.
    #[error("the {0} extension is malformed or there twice")]
    Extension(&'static str),
    /// It is a certificate authority's.
    #[error("the certificate is a certificate authority's (CA:TRUE); expected an end entity's")]
    Authority,
    /// Its extended key usage does not name clientAuth.
    #[error("the extended key usage is {0}; expected one that names clientAuth")]
    ExtendedKeyUsage(&'static str),
    /// Its key usage is not that of a client's certificate.
    #[error("the key usage {0}")]
    KeyUsage(&'static str),
    /// It has no name, or several.
    #[error(
        "{uris} URI and {dns} DNS subject alternative names; expected one in all (a common name counts for nothing)"
    )]
    Names {
        /// How many URIs.
        uris: usize,
        /// How many DNS names.
        dns: usize,
    },
    /// A subject alternative name whose bytes are not what its type asks for.
    #[error("a subject alternative name is malformed")]
    MalformedName,
    /// The one name is not an acceptable one.
    #[error(transparent)]
    Name(#[from] InvalidIdentityName),
}

/// A text that is not the name of a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identity: {reason}")]
pub struct InvalidIdentityName {
    text: String,
    reason: &'static str,
}

impl Identity {
    /// Reads the identity from a leaf certificate, DER, whose chain has been verified.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], if it is not a client's certificate with exactly one usable name.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = match X509Certificate::from_der(der) {
            Ok(([], certificate)) => certificate,
            Ok(_) => return Err(IdentityError::Malformed("bytes follow it".to_owned())),
            Err(error) => return Err(IdentityError::Malformed(error.to_string())),
        };
        check_constraints(&certificate)?;
        check_key_usage(&certificate)?;
        check_extended_key_usage(&certificate)?;
        Ok(Self {
            name: only_name(&certificate)?,
            certificate_sha256: Sha256::digest(der).into(),
        })
    }

    /// The name.
    pub const fn name(&self) -> &IdentityName {
        &self.name
    }

    /// SHA-256 of the certificate, DER.
    pub const fn certificate_sha256(&self) -> &[u8; 32] {
        &self.certificate_sha256
    }

    /// An identity without a certificate, for tests of other rooms.
    #[cfg(test)]
    pub(crate) fn for_test(name: &str) -> Self {
        Self {
            name: name.parse().expect("a test names a valid identity"),
            certificate_sha256: Sha256::digest(name).into(),
        }
    }
}

/// When a certificate is valid, and whether it is one for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// From when on; times before 1970 count as 1970.
    pub not_before: SystemTime,
    /// Until when; times before 1970 count as 1970.
    pub not_after: SystemTime,
    /// Whether its extended key usage names serverAuth or anything, or it has none.
    pub is_for_servers: bool,
}

impl CertificateFacts {
    /// Reads a certificate, DER.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`] and [`IdentityError::Extension`].
    pub fn of(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| IdentityError::Malformed(error.to_string()))?;
        let usage = certificate
            .extended_key_usage()
            .map_err(|_| IdentityError::Extension("extended key usage"))?;
        let since_1970 =
            |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
        let validity = certificate.validity();
        Ok(Self {
            not_before: since_1970(validity.not_before.timestamp()),
            not_after: since_1970(validity.not_after.timestamp()),
            is_for_servers: usage.is_none_or(|usage| usage.value.any || usage.value.server_auth),
        })
    }
}

/// Until when a certificate, DER, is valid.
///
/// # Errors
///
/// As [`CertificateFacts::of`].
pub fn not_after(der: &[u8]) -> Result<SystemTime, IdentityError> {
    Ok(CertificateFacts::of(der)?.not_after)
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

impl IdentityName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdentityName {
    type Err = InvalidIdentityName;

    fn from_str(text: &str) -> Result<Self, InvalidIdentityName> {
        let checked = if let Some(id) = text.strip_prefix(SPIFFE) {
            check_spiffe(id)
        } else if let Some(host) = text.strip_prefix(DNS) {
            check_host(host)
        } else {
            Err("expected spiffe://TRUST-DOMAIN/PATH or dns:HOST; no other scheme is accepted")
        };
        match checked {
            Ok(()) => Ok(Self(text.into())),
            Err(reason) => Err(InvalidIdentityName {
                text: text.chars().take(MAX_SHOWN).collect(),
                reason,
            }),
        }
    }
}

impl TryFrom<String> for IdentityName {
    type Error = InvalidIdentityName;

    fn try_from(text: String) -> Result<Self, InvalidIdentityName> {
        text.parse()
    }
}

impl From<IdentityName> for String {
    fn from(name: IdentityName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl InvalidIdentityName {
    /// What is wrong with the text.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

fn check_constraints(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    // The parser's own accessor takes an extension that it can't read for one that isn't there.
    let extension = certificate
        .get_extension_unique(&OID_X509_EXT_BASIC_CONSTRAINTS)
        .map_err(|_| IdentityError::Extension("basic constraints"))?;
    match extension.map(|extension| extension.parsed_extension()) {
        None => Ok(()),
        Some(ParsedExtension::BasicConstraints(constraints)) if !constraints.ca => Ok(()),
        Some(ParsedExtension::BasicConstraints(_)) => Err(IdentityError::Authority),
        Some(_) => Err(IdentityError::Extension("basic constraints")),
    }
}

/// The X.509-SVID standard, section 4.3: signs, and signs no certificates and no CRLs.
fn check_key_usage(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    let Some(usage) = read(certificate.key_usage(), "key usage")? else {
        return Ok(());
    };
    if !usage.value.digital_signature() {
        return Err(IdentityError::KeyUsage("lacks digitalSignature"));
    }
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(IdentityError::KeyUsage(
            "names keyCertSign or cRLSign, which is an authority's",
        ));
    }
    Ok(())
}

/// Path validation takes an absent usage for every usage; a certificate that was not meant for
/// clients must not make one.
fn check_extended_key_usage(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    match read(certificate.extended_key_usage(), "extended key usage")? {
        Some(usage) if usage.value.client_auth => Ok(()),
        Some(usage) if usage.value.any => {
            Err(IdentityError::ExtendedKeyUsage("anyExtendedKeyUsage"))
        }
        Some(_) => Err(IdentityError::ExtendedKeyUsage("another")),
        None => Err(IdentityError::ExtendedKeyUsage("absent")),
    }
}

fn only_name(certificate: &X509Certificate<'_>) -> Result<IdentityName, IdentityError> {
    let names = read(
        certificate.subject_alternative_name(),
        "subject alternative name",
    )?;
    let names = names.map_or(&[][..], |names| &names.value.general_names[..]);
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(host) => hosts.push(*host),
            GeneralName::Invalid(..) => return Err(IdentityError::MalformedName),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    match (&uris[..], &hosts[..]) {
        // A URI that reads `dns:…` is not a DNS name.
        ([uri], []) if uri.starts_with(DNS) => Err(InvalidIdentityName {
            text: uri.chars().take(MAX_SHOWN).collect(),
            reason: "of URIs, only spiffe://TRUST-DOMAIN/PATH is accepted",
        }
        .into()),
        ([uri], []) => Ok(uri.parse()?),
        ([], [host]) => Ok(format!("{DNS}{host}").parse()?),
        (uris, hosts) => Err(IdentityError::Names {
            uris: uris.len(),
            dns: hosts.len(),
        }),
    }
}

fn read<T>(extension: Result<T, X509Error>, name: &'static str) -> Result<T, IdentityError> {
    extension.map_err(|_| IdentityError::Extension(name))
}

/// The SPIFFE-ID standard, section 2; what follows `spiffe://`.
fn check_spiffe(id: &str) -> Result<(), &'static str> {
    if SPIFFE.len() + id.len() > MAX_SPIFFE {
        return Err("a SPIFFE id has at most 2048 bytes");
    }
    let (domain, path) = id
        .split_once('/')
        .ok_or("a caller's SPIFFE id has a path after its trust domain")?;
    check_trust_domain(domain)?;
    path.split('/').try_for_each(check_segment)
}

/// The SPIFFE-ID standard, section 2.1: `A-Z` are not allowed, though DNS takes them for `a-z`.
fn check_trust_domain(domain: &str) -> Result<(), &'static str> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    if domain.is_empty() || domain.len() > MAX_TRUST_DOMAIN || !domain.bytes().all(good) {
        return Err("a trust domain is 1 to 255 of a-z 0-9 . - _");
    }
    Ok(())
}

/// The SPIFFE-ID standard, section 2.2: no percent-encoding, no relative segments.
fn check_segment(segment: &str) -> Result<(), &'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match segment {
        "" => Err("a path has no empty segment and no slash at its end"),
        "." | ".." => Err("a path has no segment . or .."),
        _ if segment.bytes().all(good) => Ok(()),
        _ => Err("a path segment is made of A-Z a-z 0-9 . - _"),
    }
}

/// RFC 1123 section 2.1, in lower case.
fn check_host(host: &str) -> Result<(), &'static str> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if host.is_empty() || host.len() > MAX_HOST {
        return Err("a host name has 1 to 253 bytes");
    }
    for label in host.split('.') {
        if label.is_empty()
            || label.len() > MAX_LABEL
            || label.starts_with('-')
            || label.ends_with('-')
            || !label.bytes().all(good)
        {
            return Err(
                "a host name's labels are 1 to 63 of a-z 0-9 -, with no - at either end and no wildcard",
            );
        }
    }
    Ok(())
}

const SPIFFE: &str = "spiffe://";
const DNS: &str = "dns:";
const MAX_SPIFFE: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;
/// How much of a refused name is shown, in characters.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests;
