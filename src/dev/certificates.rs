//! The development authority, and the certificates of the daemon and of two clients, all for thirty days.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::directory::write_private;
use crate::identity::not_after;

/// The two clients; each is `spiffe://chancery.dev/` and this.
pub(super) const CLIENTS: [&str; 2] = ["app-a", "app-b"];

/// The trust domain of the clients' names.
pub(super) const TRUST_DOMAIN: &str = "chancery.dev";

/// Makes all certificates anew, unless all are there and good for another day.
///
/// The authority's key stays in the directory, so that certificates for more clients can be made by hand.
/// Returns whether any were made.
pub(super) fn ensure(directory: &Path, now: SystemTime) -> io::Result<bool> {
    let names = ["ca", "server"].into_iter().chain(CLIENTS);
    let good = names.clone().all(|name| {
        directory.join(format!("{name}.key")).is_file()
            && expiry(&certificate(directory, name)).is_some_and(|end| end > now + RENEW_BEFORE)
    });
    if good {
        return Ok(false);
    }
    let failed = |error: rcgen::Error| io::Error::other(error.to_string());
    let issuer = authority(directory, now).map_err(failed)?;
    fs::write(certificate(directory, "ca"), issuer.1)?;
    write_private(&directory.join("ca.key"), issuer.0.key().serialize_pem())?;
    for name in names.skip(1) {
        let (pem, key) = leaf(name, now, &issuer.0).map_err(failed)?;
        write_private(&directory.join(format!("{name}.key")), key)?;
        fs::write(certificate(directory, name), pem)?;
    }
    Ok(true)
}

/// The file of a certificate.
pub(super) fn certificate(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.pem"))
}

/// The certificate in a PEM file that holds one.
pub(super) fn der(path: &Path) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(path)?;
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body).map_err(io::Error::other)
}

fn expiry(path: &Path) -> Option<SystemTime> {
    not_after(&der(path).ok()?).ok()
}

fn authority(
    directory: &Path,
    now: SystemTime,
) -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let kept = fs::read_to_string(directory.join("ca.key")).ok();
    let key = match kept.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
        Some(key) => key,
        None => KeyPair::generate()?,
    };
    let mut params = valid(now, "Chancery development CA, not for production");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn leaf(
    name: &str,
    now: SystemTime,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let mut params = valid(now, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    if CLIENTS.contains(&name) {
        let id = format!("spiffe://{TRUST_DOMAIN}/{name}");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    } else {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
    }
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn valid(now: SystemTime, name: &str) -> CertificateParams {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + since_epoch;
    let mut params = CertificateParams::default();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + LIFETIME;
    params.serial_number = Some(uuid::Uuid::new_v4().as_bytes().to_vec().into());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(24 * 3600);
/// Containers and virtual machines disagree about the time.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn they_are_made_once_and_again_in_their_last_day() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let now = SystemTime::now();
        assert!(ensure(directory, now).unwrap());
        let first = fs::read(directory.join("app-a.pem")).unwrap();
        let ca_key = fs::read(directory.join("ca.key")).unwrap();
        assert!(!ensure(directory, now).unwrap());
        let hour = Duration::from_secs(3600);
        assert!(!ensure(directory, now + LIFETIME - RENEW_BEFORE - hour).unwrap());
        assert_eq!(fs::read(directory.join("app-a.pem")).unwrap(), first);

        assert!(ensure(directory, now + LIFETIME - RENEW_BEFORE + hour).unwrap());
        assert_ne!(fs::read(directory.join("app-a.pem")).unwrap(), first);
        assert_eq!(fs::read(directory.join("ca.key")).unwrap(), ca_key);

        fs::remove_file(directory.join("server.key")).unwrap();
        assert!(ensure(directory, now).unwrap());
    }

    #[test]
    fn the_clients_have_the_names_that_the_policy_speaks_of() {
        let directory = tempfile::tempdir().unwrap();
        ensure(directory.path(), SystemTime::now()).unwrap();
        for name in CLIENTS {
            let der = der(&certificate(directory.path(), name)).unwrap();
            let identity = Identity::from_certificate(&der).unwrap();
            assert_eq!(
                identity.name().as_str(),
                format!("spiffe://chancery.dev/{name}")
            );
        }
    }
}
