//! A MAC over a message that has secrets in it: the worker puts them in, the daemon never sees them.

use bytes::Bytes;

use super::{Admitted, PlatformError};
use crate::{
    partner::RoleKey,
    pkcs11::MessagePart,
    policy::Permit,
    scheme::{Piece, Text},
    signer::{Call, Error, Found, Signer},
};

impl Signer {
    /// The MAC with the permit's key over the text. Where a secret of the text is that same key, it is the same
    /// version of it; of another key it is the primary one.
    pub(super) async fn mac_with_secret(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        found: &Found,
        permit: Permit,
        text: &Text,
    ) -> Result<Vec<u8>, Error> {
        let mut parts = Vec::new();
        for piece in text.pieces() {
            parts.push(match piece {
                Piece::Bytes(bytes) => MessagePart::Bytes(Bytes::copy_from_slice(bytes)),
                Piece::Secret(role) => {
                    let Some(RoleKey::Token(key)) = admitted.assignment().key(role) else {
                        return Err(PlatformError::NoTokenKey(role.to_owned()).into());
                    };
                    MessagePart::Secret(if key.name == permit.key().key {
                        permit.key().clone()
                    } else {
                        self.find(&key.name)?.primary()?.version.clone()
                    })
                }
            });
        }
        Ok(found
            .token
            .mac_of_parts(permit, parts, call.deadline)
            .await?)
    }
}
