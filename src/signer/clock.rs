//! What time it is: given, so that tests need not wait for it.

use std::{fmt, sync::Arc};

use crate::scheme::UnixMilliseconds;

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMilliseconds + Send + Sync>);

impl Clock {
    /// One that asks this.
    pub fn new(now: impl Fn() -> UnixMilliseconds + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> UnixMilliseconds {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
