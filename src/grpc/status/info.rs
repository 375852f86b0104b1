//! A gRPC status with its `google.rpc.ErrorInfo`, and those that are made in many places.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain`.
pub const DOMAIN: &str = "chancery";

/// `INVALID_ARGUMENT`.
pub(in crate::grpc) fn invalid(reason: &str, text: impl Into<String>) -> Status {
    status(Code::InvalidArgument, reason, text.into(), [])
}

/// `PERMISSION_DENIED`.
pub(in crate::grpc) fn denied(reason: &str, text: &str) -> Status {
    status(Code::PermissionDenied, reason, text.to_owned(), [])
}

/// `INTERNAL`.
pub(in crate::grpc) fn internal(text: &str) -> Status {
    status(Code::Internal, "INTERNAL", text.to_owned(), [])
}

/// `DEADLINE_EXCEEDED`.
pub(in crate::grpc) fn deadline() -> Status {
    status(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the deadline came before the answer; whether the token was asked is not known".to_owned(),
        [],
    )
}

/// A status with its `ErrorInfo`.
pub(in crate::grpc) fn status(
    code: Code,
    reason: &str,
    text: String,
    metadata: impl IntoIterator<Item = (&'static str, String)>,
) -> Status {
    Status::with_error_details(code, text, details(reason, metadata))
}

/// A status that says when to try again.
pub(super) fn retry(code: Code, reason: &str, text: String, after: Duration) -> Status {
    let mut details = details(reason, []);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, text, details)
}

/// The `ErrorInfo` of a status.
pub(super) fn details(
    reason: &str,
    metadata: impl IntoIterator<Item = (&'static str, String)>,
) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
