//! A failed call, in the words of the daemon, or in ours when the daemon could not be asked.

use std::{collections::BTreeMap, error::Error, fmt, io};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The gRPC status code.
    pub code: Code,
    /// Machine-readable: `google.rpc.ErrorInfo.reason`, or one of this client's own
    /// (`UNREACHABLE`, `CERTIFICATE_REFUSED`, `SERVER_NOT_TRUSTED`, `DEADLINE_EXCEEDED`, `CORRUPTED`);
    /// empty if the daemon gave none.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
    /// `google.rpc.ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
}

impl Failure {
    /// What came back is not what was sent: a checksum is wrong or was not checked.
    pub(super) fn corrupted(message: impl Into<String>) -> Self {
        Self::own(Code::DataLoss, "CORRUPTED", message)
    }

    fn own(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            metadata: BTreeMap::new(),
        }
    }

    /// The name of the code as the gRPC specification writes it, such as `PERMISSION_DENIED`.
    pub const fn code_name(&self) -> &'static str {
        match self.code {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(failure) = status.source().and_then(of_the_connection) {
            return failure;
        }
        // What tonic answers, of itself, at the deadline that the request named: on either side.
        if status.code() == Code::Cancelled && status.message() == TIMEOUT {
            return late();
        }
        // What hyper says of calls that were waiting on a connection when it was lost; we cancel none.
        if status.code() == Code::Cancelled && status.message() == CANCELLED {
            return Self::own(
                Code::Unavailable,
                "UNREACHABLE",
                "the daemon closed the connection before it answered; if that goes on, its log says why",
            );
        }
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map_or_else(Default::default, |info| {
            (info.reason, info.metadata.into_iter().collect())
        });
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            metadata,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = if self.message.is_empty() {
            "the daemon gave no message"
        } else {
            &self.message
        };
        write!(formatter, "{message} ({})", self.code_name())
    }
}

impl Error for Failure {}

/// A status that this side made, because no answer came: the innermost cause that we can name.
fn of_the_connection(error: &(dyn Error + 'static)) -> Option<Failure> {
    if error.is::<tonic::TimeoutExpired>() {
        return Some(late());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `io::Error::source` skips the error that it wraps.
        if let Some(failure) = error.get_ref().and_then(|inner| of_the_connection(inner)) {
            return Some(failure);
        }
        // HTTP/2 keeps only the text of what TLS said.
        let text = error.to_string();
        return Some(match text.strip_prefix(ALERT) {
            Some(alert) => of_alert(alert),
            None => unreachable(error),
        });
    }
    if error.to_string() == HANDSHAKE_TIMEOUT {
        return Some(Failure::own(
            Code::Unavailable,
            "UNREACHABLE",
            "can't reach the daemon: something takes the connection, but says nothing of TLS within the time-out",
        ));
    }
    let named = error.source().and_then(of_the_connection);
    if named.is_none() && error.is::<tonic::ConnectError>() {
        return Some(unreachable(error));
    }
    named
}

fn late() -> Failure {
    Failure::own(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "no answer within the time-out",
    )
}

/// Nobody there, or someone who hung up.
fn unreachable(error: &dyn Error) -> Failure {
    Failure::own(
        Code::Unavailable,
        "UNREACHABLE",
        format!("can't reach the daemon: {}", super::config::chain(error)),
    )
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::AlertReceived(alert) => of_alert(&format!("{alert:?}")),
        rustls::Error::InvalidCertificate(why) => Failure::own(
            Code::Unavailable,
            "SERVER_NOT_TRUSTED",
            format!("the daemon's certificate can't be trusted: {why}"),
        ),
        other => Failure::own(
            Code::Unavailable,
            "UNREACHABLE",
            format!("can't speak TLS with the daemon: {other}"),
        ),
    }
}

/// With TLS 1.3 a client takes part in a handshake to its end before it hears that its certificate was
/// refused: the first call fails then, not the connecting.
fn of_alert(alert: &str) -> Failure {
    if ABOUT_CERTIFICATES.contains(&alert) {
        let message = format!("the daemon refused our certificate (TLS alert {alert})");
        return Failure::own(Code::Unauthenticated, "CERTIFICATE_REFUSED", message);
    }
    let message = format!("can't speak TLS with the daemon: it sent the alert {alert}");
    Failure::own(Code::Unavailable, "UNREACHABLE", message)
}

const TIMEOUT: &str = "Timeout expired";
/// What tonic says, of a type that it shows nobody.
const HANDSHAKE_TIMEOUT: &str = "TLS handshake timeout.";
const CANCELLED: &str = "operation was canceled";
const ALERT: &str = "received fatal alert: ";
/// RFC 8446 section 6.2, by their names in `rustls`.
const ABOUT_CERTIFICATES: [&str; 9] = [
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateUnknown",
    "DecryptError",
    "UnknownCA",
    "UnsupportedCertificate",
];

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn the_daemons_reason_is_kept() {
        let metadata = [("key".to_owned(), "payouts".to_owned())];
        let details = ErrorDetails::with_error_info(
            "DENIED",
            "chancery",
            metadata
                .clone()
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        );
        let status = Status::with_error_details(Code::PermissionDenied, "no rule", details);
        let failure = Failure::from(status);
        assert_eq!(failure.reason, "DENIED");
        assert_eq!(failure.metadata, metadata.into());
        assert_eq!(failure.to_string(), "no rule (PERMISSION_DENIED)");
    }

    #[test]
    fn a_deadline_is_one_whoever_noticed_it() {
        let failure = Failure::from(Status::cancelled("Timeout expired"));
        assert_eq!(failure.code, Code::DeadlineExceeded);
        assert_eq!(
            Failure::from(Status::cancelled("other")).code,
            Code::Cancelled
        );
    }

    #[test]
    fn an_alert_is_read_through_what_wraps_it() {
        let of = |text: &str| {
            let mut status = Status::unknown("transport error");
            status.set_source(std::sync::Arc::new(io::Error::other(text.to_owned())));
            let failure = Failure::from(status);
            (failure.code, failure.reason)
        };
        let refused = (Code::Unauthenticated, "CERTIFICATE_REFUSED".to_owned());
        let unreachable = (Code::Unavailable, "UNREACHABLE".to_owned());
        assert_eq!(of("received fatal alert: CertificateExpired"), refused);
        assert_eq!(of("received fatal alert: ProtocolVersion"), unreachable);
        assert_eq!(of("connection reset by peer"), unreachable);
    }
}
