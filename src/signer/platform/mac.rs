//! A MAC over a message that has secrets in it, which the worker puts in.

use crate::{
    policy::Permit,
    scheme::Text,
    signer::{Call, Error, Found, Signer},
};

use super::{Admitted, PlatformError};

impl Signer {
    /// The MAC with the permit's key over the text, whose secrets are those of the primary versions of their keys;
    /// that of the permit's own version where it is the same key.
    pub(super) async fn mac_with_secret(
        &self,
        _call: &Call,
        _admitted: &Admitted,
        _found: &Found,
        _permit: Permit,
        _text: &Text,
    ) -> Result<Vec<u8>, Error> {
        Err(PlatformError::NotSupported("the secret is part of the message").into())
    }
}
