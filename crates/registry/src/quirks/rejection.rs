//! Refusals that quirks answer with.

use http::StatusCode;

use crate::body::Response;
use crate::error::{ErrorCode, Refusal};

/// A refusal that a quirk answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code in its body.
    pub code: ErrorCode,
}

impl Rejection {
    /// A refusal with a status and a code that need not fit together.
    pub const fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self { status, code }
    }

    pub(super) fn refusal(self) -> Refusal {
        Refusal::new(self.code, "the registry has a quirk that refuses this").with_status(self.status)
    }

    pub(super) fn response(self) -> Response {
        self.refusal().into_response()
    }
}
