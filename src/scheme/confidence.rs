//! How sure it is that a scheme is what its platform does.

use crate::scheme::document::{Item, SchemeError};

/// How sure it is that a scheme is what the platform does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// The platform's documentation says so.
    Documented,
    /// People who integrated the platform say so.
    Integrators,
    /// It is our reading of documentation that leaves questions open.
    OurReading,
}

impl Confidence {
    pub(super) fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        match item.text()? {
            "documented" => Ok(Self::Documented),
            "integrators" => Ok(Self::Integrators),
            "our-reading" => Ok(Self::OurReading),
            other => {
                let message =
                    format!("expected documented, integrators or our-reading, found {other:?}");
                Err(item.refuse("WRONG_VALUE", message))
            }
        }
    }
}
