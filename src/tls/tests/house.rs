//! A certificate authority of the tests, the files of a server that it signed, and clients of every kind.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose as Extended, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use tempfile::TempDir;

use super::*;

/// A certificate authority.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
    der: CertificateDer<'static>,
}

/// The files of a server, and the authority that signed them all.
pub(super) struct House {
    pub(super) directory: TempDir,
    pub(super) authority: Authority,
}

/// A client's certificate and key.
pub(super) struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(GOOD)];
        params.extended_key_usages = vec![Extended::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Client {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    pub(super) fn revoke(&self, serials: &[u64], next_update: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl House {
    pub(super) fn new() -> Self {
        let house = Self {
            directory: TempDir::new().unwrap(),
            authority: Authority::new("authority"),
        };
        house.write("ca.pem", &house.authority.pem);
        house.write_server();
        house
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As an administrator's tools do: a new file takes the old one's place.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let new = self.path("new");
        fs::write(&new, content).unwrap();
        set_mode(&new, 0o600);
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(super) fn write_server(&self) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![Extended::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority.issuer).unwrap();
        self.write("server.pem", certificate.pem());
        self.write("server.key", key.serialize_pem());
    }

    pub(super) fn config(&self, more: &str) -> Config {
        let in_here = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "certificate = {:?}\nprivate_key = {:?}\nclient_ca = {:?}\n{more}",
            in_here("server.pem"),
            in_here("server.key"),
            in_here("ca.pem"),
        );
        toml::from_str(&text).unwrap()
    }

    pub(super) fn with_crl(&self, crl: &str) -> Config {
        self.write("crl.pem", crl);
        Config {
            crl: vec![self.path("crl.pem")],
            ..self.config("")
        }
    }

    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        Endpoint::load(self.config("")).unwrap()
    }

    pub(super) fn good_client(&self) -> ClientConfig {
        self.client(Some(self.authority.client(|_| {})))
    }

    pub(super) fn client(&self, client: Option<Client>) -> ClientConfig {
        self.client_of_versions(client, &[&TLS13])
    }

    pub(super) fn client_of_versions(
        &self,
        client: Option<Client>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(Client { chain, key }) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

pub(super) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(super) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
