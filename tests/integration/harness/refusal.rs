//! What every error of a call says, read strictly.

use std::collections::BTreeMap;

use chancery::client::{Code, Status};
use tonic_types::StatusExt;

/// What every error says: its status, and the `google.rpc.ErrorInfo` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// `ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
}

impl Refusal {
    /// Reads a status.
    ///
    /// # Panics
    /// If it lacks what every status must have.
    #[track_caller]
    pub fn of(status: &Status) -> Self {
        assert_ne!(status.code(), Code::Ok, "{status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
        let info = status.get_details_error_info();
        let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
        assert_eq!(info.domain, "chancery", "{status:?}");
        assert!(!info.reason.is_empty(), "{status:?}");
        Self {
            code: status.code(),
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
        }
    }

    /// Reads the status of a call that must have failed.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn expect<T: std::fmt::Debug>(result: Result<T, Status>) -> Self {
        match result {
            Ok(answer) => panic!("expected a refusal, got {answer:?}"),
            Err(status) => Self::of(&status),
        }
    }
}
