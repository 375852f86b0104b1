//! A certificate authority of a test's own, with the certificates that a daemon takes and those that it must refuse.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, date_time_ymd,
};
use tempfile::TempDir;

/// The trust domain of every client's SPIFFE ID.
pub const TRUST_DOMAIN: &str = "chancery.test";

/// A CA, a server certificate for `localhost` and 127.0.0.1, and as many clients as are asked for, as PEM files.
pub struct Pki {
    directory: TempDir,
    ca: Issuer<'static, KeyPair>,
    stranger: Issuer<'static, KeyPair>,
    server: Leaf,
    last: AtomicU64,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate, a PEM file.
    pub cert: PathBuf,
    /// Its private key, a PKCS#8 PEM file that only its owner may read.
    pub key: PathBuf,
    /// Its serial number, for [`Pki::crl`].
    pub serial: u64,
}

/// What can be wrong with a client certificate. Each has that one fault alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Signed by a CA of the same name and another key.
    WrongCa,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// For servers only.
    WrongUsage,
    /// No subject alternative name, and an empty subject.
    NoSan,
    /// Two SPIFFE IDs.
    TwoSans,
    /// The name only in the subject, as was done long ago.
    CommonNameOnly,
    /// A DNS name in place of the SPIFFE ID.
    DnsSan,
}

impl Bad {
    /// Every fault.
    pub const ALL: [Self; 8] = [
        Self::WrongCa,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUsage,
        Self::NoSan,
        Self::TwoSans,
        Self::CommonNameOnly,
        Self::DnsSan,
    ];
}

impl Pki {
    /// Makes the CA and the server's certificate.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (ca, ca_pem) = authority();
        fs::write(directory.path().join("ca.pem"), ca_pem).expect("ca.pem");
        let (stranger, _) = authority();
        let server = issue(directory.path(), "server", 1, server_params(), &ca);
        Self {
            directory,
            ca,
            stranger,
            server,
            last: AtomicU64::new(1),
        }
    }

    /// The directory that holds all the files, and goes away with this.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// The server's certificate.
    pub fn server(&self) -> &Leaf {
        &self.server
    }

    /// Puts another server's certificate in its place, good but for what `edit` does to it.
    pub fn write_server(&self, edit: impl FnOnce(&mut CertificateParams)) {
        let mut params = server_params();
        edit(&mut params);
        for file in [&self.server.cert, &self.server.key] {
            fs::remove_file(file).expect("the old one");
        }
        issue(self.directory(), "server", 1, params, &self.ca);
    }

    /// The SPIFFE ID of the client `name`.
    pub fn spiffe_id(name: &str) -> String {
        format!("spiffe://{TRUST_DOMAIN}/{name}")
    }

    /// A good client certificate, whose one name is [`spiffe_id`](Self::spiffe_id) of `name`.
    pub fn client(&self, name: &str) -> Leaf {
        self.issue(name, client_params(name), &self.ca)
    }

    /// A good client certificate but for what `edit` does to it.
    pub fn client_with(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = client_params(name);
        edit(&mut params);
        self.issue(name, params, &self.ca)
    }

    /// The certificate of the client `name` with one fault.
    pub fn bad(&self, fault: Bad, name: &str) -> Leaf {
        let mut params = client_params(name);
        let mut issuer = &self.ca;
        match fault {
            Bad::WrongCa => issuer = &self.stranger,
            Bad::Expired => params.not_after = date_time_ymd(2021, 1, 1),
            Bad::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            Bad::WrongUsage => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Bad::NoSan => {
                params.subject_alt_names.clear();
                params.distinguished_name = DistinguishedName::new();
            }
            Bad::TwoSans => params.subject_alt_names.push(uri(&format!("{name}/other"))),
            Bad::CommonNameOnly => params.subject_alt_names.clear(),
            Bad::DnsSan => {
                let host = format!("{name}.{TRUST_DOMAIN}");
                params.subject_alt_names =
                    vec![SanType::DnsName(host.try_into().expect("an ASCII name"))];
            }
        }
        self.issue(name, params, issuer)
    }

    /// A list, signed by the CA, that revokes the certificates with these serial numbers.
    /// Each is newer than the one before, and in a file of its own.
    pub fn crl(&self, serials: &[u64]) -> PathBuf {
        let number = self.next();
        let revoked = |&serial: &u64| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.ca).expect("a revocation list");
        let path = self.directory().join(format!("{number}.crl.pem"));
        fs::write(&path, crl.pem().expect("a revocation list")).expect("the revocation list");
        path
    }

    fn issue(&self, name: &str, params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Leaf {
        let serial = self.next();
        issue(
            self.directory(),
            &format!("{}-{serial}", name.replace('/', "-")),
            serial,
            params,
            issuer,
        )
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }
}

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.distinguished_name = common_name("Chancery test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key).expect("a CA").pem();
    (Issuer::new(params, key), pem)
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = leaf_params(name, ExtendedKeyUsagePurpose::ClientAuth);
    params.subject_alt_names = vec![uri(name)];
    params
}

fn server_params() -> CertificateParams {
    let mut params = leaf_params("server", ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into().expect("an ASCII name")),
        SanType::IpAddress([127, 0, 0, 1].into()),
    ];
    params
}

fn leaf_params(name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn issue(
    directory: &Path,
    file: &str,
    serial: u64,
    mut params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Leaf {
    params.serial_number = Some(serial.into());
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, issuer).expect("a certificate");
    let leaf = Leaf {
        cert: directory.join(format!("{file}.pem")),
        key: directory.join(format!("{file}.key.pem")),
        serial,
    };
    fs::write(&leaf.cert, cert.pem()).expect("the certificate's file");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(&leaf.key)
        .and_then(|mut file| file.write_all(key.serialize_pem().as_bytes()))
        .expect("the key's file");
    leaf
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn uri(name: &str) -> SanType {
    SanType::URI(Pki::spiffe_id(name).try_into().expect("an ASCII name"))
}
