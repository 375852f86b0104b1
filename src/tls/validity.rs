//! Whether clients will take the server's own certificate: the daemon does not need it, and so would never notice.

use std::time::{Duration, SystemTime};

use crate::identity::CertificateFacts;

/// Why clients will refuse the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Its time is over.
    #[error("the server's certificate expired {} ago, and clients refuse it; put a new one in its place", Span(*.0))]
    Expired(Duration),
    /// Its time has not come.
    #[error("the server's certificate is not valid before {} from now, and clients refuse it; look at the clocks, here and at its authority", Span(*.0))]
    NotYetValid(Duration),
    /// Its extended key usage names other things.
    #[error(
        "the server's certificate is not for servers: its extended key usage lacks serverAuth, and clients refuse it; have one made with it"
    )]
    NotForServers,
}

impl CertificateFault {
    /// What is wrong now.
    pub(super) fn of(facts: &CertificateFacts, now: SystemTime) -> Option<Self> {
        if !facts.is_for_servers {
            return Some(Self::NotForServers);
        }
        if let Ok(early) = facts.not_before.duration_since(now)
            && !early.is_zero()
        {
            return Some(Self::NotYetValid(early));
        }
        let late = now.duration_since(facts.not_after).ok()?;
        (!late.is_zero()).then_some(Self::Expired(late))
    }
}

/// A time as people say it, rounded down.
pub struct Span(
    /// How long.
    pub Duration,
);

impl std::fmt::Display for Span {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7_200 => (seconds / 60, "minute"),
            7_200..172_800 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(formatter, "{count} {unit}{plural}")
    }
}
