//! Error responses of quirks.

use http::StatusCode;

use crate::body::Response;
use crate::error::{ErrorCode, Refusal};

/// An error response of a quirk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status.
    pub status: StatusCode,
    /// The error code in the body.
    pub code: ErrorCode,
}

impl Rejection {
    /// Returns a rejection. The status and the code need not match.
    pub const fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self { status, code }
    }

    pub(super) fn refusal(self) -> Refusal {
        Refusal::new(self.code, "a quirk of the registry refuses this request").with_status(self.status)
    }

    pub(super) fn response(self) -> Response {
        self.refusal().into_response()
    }
}
