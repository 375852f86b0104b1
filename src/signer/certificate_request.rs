//! A PKCS#10 certificate request (RFC 2986), written by `rcgen` and signed in the token.

use std::{net::IpAddr, sync::Mutex};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, PublicKeyData, SanType, SignatureAlgorithm,
    SigningKey,
};

use super::Error;
use crate::{
    algorithm::{Algorithm, Curve, Hash},
    key::PublicKey,
};

/// What a certificate request shall say.
#[derive(Clone, Debug, Default)]
pub struct Certify {
    /// The subject: types such as `CN` with their values, most significant first.
    pub subject: Vec<(String, String)>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
    /// IP addresses, as text.
    pub ip_addresses: Vec<String>,
    /// E-mail addresses.
    pub email_addresses: Vec<String>,
}

/// The bytes that are to be signed.
pub(super) fn to_be_signed(
    certify: &Certify,
    public: &PublicKey,
    algorithm: Algorithm,
) -> Result<Vec<u8>, Error> {
    let scribe = Scribe::new(public, algorithm, Vec::new())?;
    parameters(certify)?
        .serialize_request(&scribe)
        .map_err(refused)?;
    Ok(scribe
        .seen
        .into_inner()
        .expect("nothing panics while holding it"))
}

/// The request with its signature, DER.
pub(super) fn signed(
    certify: &Certify,
    public: &PublicKey,
    algorithm: Algorithm,
    signature: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let scribe = Scribe::new(public, algorithm, signature)?;
    let request = parameters(certify)?
        .serialize_request(&scribe)
        .map_err(refused)?;
    Ok(request.der().to_vec())
}

/// Stands for the key before `rcgen`: keeps what it is given to sign, and gives the signature it was given.
struct Scribe<'a> {
    public: &'a [u8],
    algorithm: &'static SignatureAlgorithm,
    signature: Vec<u8>,
    seen: Mutex<Vec<u8>>,
}

impl<'a> Scribe<'a> {
    fn new(public: &'a PublicKey, algorithm: Algorithm, signature: Vec<u8>) -> Result<Self, Error> {
        let algorithm = match algorithm {
            Algorithm::RsaPkcs1(Hash::Sha256) => &rcgen::PKCS_RSA_SHA256,
            Algorithm::RsaPkcs1(Hash::Sha384) => &rcgen::PKCS_RSA_SHA384,
            Algorithm::RsaPkcs1(Hash::Sha512) => &rcgen::PKCS_RSA_SHA512,
            Algorithm::Ecdsa(Curve::P256) => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::Ecdsa(Curve::P384) => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::Ecdsa(Curve::P521) => &rcgen::PKCS_ECDSA_P521_SHA512,
            Algorithm::EdDsa => &rcgen::PKCS_ED25519,
            other => {
                return Err(Error::CertificateRequest(format!(
                    "certificate requests are signed with RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA; {other} was asked for"
                )));
            }
        };
        Ok(Self {
            public: public.subject_public_key(),
            algorithm,
            signature,
            seen: Mutex::default(),
        })
    }
}

impl PublicKeyData for Scribe<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Scribe<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        *self.seen.lock().expect("nothing panics while holding it") = message.to_vec();
        Ok(self.signature.clone())
    }
}

fn parameters(certify: &Certify) -> Result<CertificateParams, Error> {
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    for (kind, value) in &certify.subject {
        let kind = match kind.as_str() {
            "CN" => DnType::CommonName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            "C" => DnType::CountryName,
            "ST" => DnType::StateOrProvinceName,
            "L" => DnType::LocalityName,
            "serialNumber" => DnType::CustomDnType(vec![2, 5, 4, 5]),
            other => {
                return Err(Error::CertificateRequest(format!(
                    "subject part {other:?} is not known; expected CN, O, OU, C, ST, L or serialNumber"
                )));
            }
        };
        if name.get(&kind).is_some() {
            return Err(Error::CertificateRequest(
                "a subject part is given twice".to_owned(),
            ));
        }
        name.push(kind, value.as_str());
    }
    parameters.distinguished_name = name;
    let text = |value: &String| value.as_str().try_into().map_err(refused);
    for value in &certify.dns_names {
        parameters
            .subject_alt_names
            .push(SanType::DnsName(text(value)?));
    }
    for value in &certify.uris {
        parameters
            .subject_alt_names
            .push(SanType::URI(text(value)?));
    }
    for value in &certify.email_addresses {
        parameters
            .subject_alt_names
            .push(SanType::Rfc822Name(text(value)?));
    }
    for value in &certify.ip_addresses {
        let address: IpAddr = value
            .parse()
            .map_err(|_| Error::CertificateRequest(format!("{value:?} is not an IP address")))?;
        parameters
            .subject_alt_names
            .push(SanType::IpAddress(address));
    }
    Ok(parameters)
}

fn refused(error: rcgen::Error) -> Error {
    Error::CertificateRequest(format!("the certificate request can't be made: {error}"))
}
