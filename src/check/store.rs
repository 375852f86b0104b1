//! How the store is: where, and whether a daemon could open it. Looked at, never changed.

use serde::Serialize;

use super::Report;
use crate::store::{self, Inspection};

/// The store.
#[derive(Debug, Serialize)]
pub struct StoreReport {
    /// Where it is.
    pub location: String,
    /// The last migration of its schema; none if there is no store yet.
    pub schema: Option<i64>,
    /// The migration that this program brings it to.
    pub known: i64,
}

impl Report {
    /// A store that is not there yet is made by the daemon.
    pub(super) async fn look_at_store(&mut self, config: &store::Config) {
        match Inspection::of(config).await {
            Ok(Inspection {
                location,
                schema,
                known,
            }) => {
                self.store = Some(StoreReport {
                    location,
                    schema,
                    known,
                });
            }
            Err(error) => self.error("store", error.to_string()),
        }
    }
}
