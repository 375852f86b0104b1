//! Public keys as platforms hand them out: PEM, a certificate, bare base64, or a JWK.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rsa::pkcs8::Document;
use serde_json::{Map, Value};

use crate::{
    algorithm::Curve,
    key::{InvalidPublicKey, PublicKey},
};

/// A text that is not a public key in any form that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyText {
    /// None of the forms.
    #[error(
        "it is no public key; expected PEM (PUBLIC KEY or CERTIFICATE), base64 of SubjectPublicKeyInfo, or a JWK"
    )]
    Form,
    /// A private key.
    #[error(
        "it is a private key, which must not be here; take it out, and ask the platform for its public key"
    )]
    Private,
    /// A JWK with a member that is missing or wrong.
    #[error("it is a JWK whose {0} is missing or not what RFC 7518 says")]
    Jwk(&'static str),
    /// A key that is not served.
    #[error(transparent)]
    Key(#[from] InvalidPublicKey),
}

/// The key in the text: PEM of a public key or a certificate, base64 of SubjectPublicKeyInfo, or a JWK.
///
/// # Errors
///
/// [`InvalidKeyText`].
pub fn public_key_of(text: &[u8]) -> Result<PublicKey, InvalidKeyText> {
    if text.len() > MAX_TEXT {
        return Err(InvalidKeyText::Form);
    }
    let text = str::from_utf8(text).map_err(|_| InvalidKeyText::Form)?;
    let text = text.trim();
    if text.starts_with('{') {
        let value: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| InvalidKeyText::Form)?;
        return jwk(&value);
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(InvalidKeyText::Private);
    }
    if text.starts_with("-----BEGIN ") {
        let (label, document) = Document::from_pem(text).map_err(|_| InvalidKeyText::Form)?;
        return match label {
            "PUBLIC KEY" => Ok(PublicKey::from_spki(document.as_bytes())?),
            "CERTIFICATE" => {
                Ok(PublicKey::from_certificate(document.as_bytes())
                    .ok_or(InvalidKeyText::Form)??)
            }
            _ => Err(InvalidKeyText::Form),
        };
    }
    let bare: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(bare).map_err(|_| InvalidKeyText::Form)?;
    Ok(PublicKey::from_spki(&der)?)
}

fn jwk(members: &Map<String, Value>) -> Result<PublicKey, InvalidKeyText> {
    if members.contains_key("d") || members.contains_key("k") {
        return Err(InvalidKeyText::Private);
    }
    let text = |name: &'static str| {
        let value = members.get(name).and_then(Value::as_str);
        value.ok_or(InvalidKeyText::Jwk(name))
    };
    let bytes = |name: &'static str| {
        let bytes = URL_SAFE_NO_PAD.decode(text(name)?);
        bytes.map_err(|_| InvalidKeyText::Jwk(name))
    };
    Ok(match text("kty")? {
        "RSA" => PublicKey::from_rsa(&bytes("n")?, &bytes("e")?)?,
        "EC" => {
            let name = text("crv")?;
            let curve = [Curve::P256, Curve::P384, Curve::P521]
                .into_iter()
                .find(|curve| curve.name() == name)
                .ok_or(InvalidKeyText::Jwk("crv"))?;
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != curve.width() {
                return Err(InvalidKeyText::Jwk("x"));
            }
            PublicKey::from_ec_point(curve, &[&[4][..], &x, &y].concat())?
        }
        "OKP" if text("crv")? == "Ed25519" => PublicKey::from_ed25519(&bytes("x")?)?,
        "OKP" => return Err(InvalidKeyText::Jwk("crv")),
        _ => return Err(InvalidKeyText::Jwk("kty")),
    })
}

/// Longer than any certificate that is in use.
const MAX_TEXT: usize = 64 * 1024;
