//! A look at a store that changes nothing: whether it can be opened, and what its schema is.

use super::{Config, Location, OpenError, database};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Where it is, for people.
    pub location: String,
    /// The last migration that was made there; none if there is no store yet.
    pub schema: Option<i64>,
    /// The last that this program makes.
    pub known: i64,
}

impl Inspection {
    /// Opens it for reading, makes nothing and migrates nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as a daemon would meet it.
    pub async fn of(config: &Config) -> Result<Self, OpenError> {
        let (place, timeout) = (&config.location, config.operation_timeout);
        let looking = database::schema(place, timeout);
        let schema = match place {
            Location::Sqlite(_) => looking.await?,
            // A server that takes the connection may say nothing for ever.
            Location::Postgres(_) => {
                let late = |_| OpenError::Unreachable(format!("{place}: no answer in {timeout:?}"));
                tokio::time::timeout(timeout, looking)
                    .await
                    .map_err(late)??
            }
        };
        let known = database::last_migration(place);
        match schema {
            Some(found) if found > known => Err(OpenError::NewerSchema { found, known }),
            _ => Ok(Self {
                location: place.to_string(),
                schema,
                known,
            }),
        }
    }
}
