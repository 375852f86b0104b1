//! Reading the audit log, which is itself in the log, as everything is: before anything of it is answered.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout_at};

use crate::{
    audit::{ReadError, Reader},
    pkcs11::TokenError,
    signer::{Call, Error, Signer},
};

/// What was read, and what the log says of that.
#[derive(Debug)]
pub struct LogRead<T> {
    /// What was read.
    pub value: T,
    /// The number of the first record that was looked at.
    pub first: u64,
    /// How many are shown.
    pub shown: u64,
}

/// How many read the log at once: the disk and the cores are for those who sign.
#[derive(Debug)]
pub(super) struct Readers(Semaphore);

impl Default for Readers {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Signer {
    /// Lets somebody who may read the log do so, on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; then [`Error::NoLog`] and [`Error::Log`].
    pub async fn read_log<T: Send + 'static>(
        &self,
        call: &Call,
        read: impl FnOnce(&Reader) -> Result<LogRead<T>, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        let account = self.roll.open(call);
        let done = async {
            let verdict = self
                .policy
                .load()
                .authorize_audit(&call.identity, self.clock.now());
            let granted = account.authorized(verdict)?;
            let audit = Arc::clone(self.audit().ok_or(Error::NoLog)?);
            let turn = timeout_at(call.deadline, self.readers.0.acquire());
            let _turn = turn.await.map_err(|_| TokenError::Deadline)?;
            let read = spawn_blocking(move || audit.reader().and_then(|reader| read(&reader)));
            let read = read.await.map_err(|_| TokenError::Lost)?;
            let LogRead {
                value,
                first,
                shown,
            } = read.inspect_err(|error| {
                if error.is_damage() {
                    tracing::error!(%error, "the audit log can't be read as it was written");
                }
            })?;
            account.log_read(&granted, first, shown);
            Ok(value)
        };
        let done = done.await;
        account.close(done).await
    }
}

const AT_ONCE: usize = 2;
