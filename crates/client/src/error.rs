//! What can go wrong between a device and the server.

use std::collections::HashMap;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call gave no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// The server refused, or could not be reached.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The address is not one, or nothing answers there.
    #[error("no connection: {0}")]
    Connection(#[from] tonic::transport::Error),
    /// The server wants more work for a new alias than a device should do.
    #[error("the server asks for a proof of work of {bits} bits, which is too much")]
    TooMuchWork {
        /// How many zero bits it asks for.
        bits: i32,
    },
    /// An answer that breaks the contract.
    #[error("the server's answer has no `{field}`")]
    Incomplete {
        /// What is missing or unusable.
        field: &'static str,
    },
}

/// A gRPC status with its `google.rpc` details taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code:?} {reason}: {message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub code: Code,
    /// The reason that the contract names, such as `SLOT_TAKEN`; empty if the server never saw the call.
    pub reason: String,
    /// For a person who develops; people who use the device read a text of its own for the reason.
    pub message: String,
    /// Facts that come with the reason, such as `earliest_time` with `TOO_SOON`.
    pub metadata: HashMap<String, String>,
    /// Which fields of the request are wrong.
    pub violations: Vec<Violation>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path in the request, such as `filter.languages[1]`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Error {
    /// The refusal, if the server gave one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Connection(_) | Self::TooMuchWork { .. } | Self::Incomplete { .. } => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(status.into())
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let (reason, metadata) =
            status.get_details_error_info().map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let violations = status
            .get_details_bad_request()
            .map(|bad| bad.field_violations)
            .unwrap_or_default()
            .into_iter()
            .map(|violation| Violation { field: violation.field, description: violation.description })
            .collect();
        Self { code: status.code(), reason, message: status.message().to_owned(), metadata, violations }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Violation};
    use std::collections::HashMap;
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    #[test]
    fn details_come_out_as_they_went_in() {
        let mut details = ErrorDetails::with_error_info(
            "REVERSED_SPAN",
            "respite",
            HashMap::from([("earliest_time".to_owned(), "2026-11-23T09:00:00Z".to_owned())]),
        );
        details.add_bad_request_violation("window", "ends before it starts");
        let status = Status::with_error_details(Code::InvalidArgument, "the window is reversed", details);
        assert_eq!(
            Refusal::from(status),
            Refusal {
                code: Code::InvalidArgument,
                reason: "REVERSED_SPAN".to_owned(),
                message: "the window is reversed".to_owned(),
                metadata: HashMap::from([("earliest_time".to_owned(), "2026-11-23T09:00:00Z".to_owned())]),
                violations: vec![Violation {
                    field: "window".to_owned(),
                    description: "ends before it starts".to_owned()
                }],
            }
        );
    }

    #[test]
    fn a_status_without_details_is_a_refusal_without_reason() {
        let refusal = Refusal::from(Status::unavailable("gone"));
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, ""));
    }
}
