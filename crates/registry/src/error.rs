//! Error responses (OCI distribution specification, *Error Codes*).

use http::header::{ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::body::{Response, full};
use crate::store::StoreError;

/// The error codes of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The blob is not in the repository.
    BlobUnknown,
    /// The upload cannot accept what was sent.
    BlobUploadInvalid,
    /// The upload does not exist, or no longer exists.
    BlobUploadUnknown,
    /// The digest is malformed, or it does not match the content.
    DigestInvalid,
    /// A manifest names parts that are not in the repository.
    ManifestBlobUnknown,
    /// The manifest does not parse as its media type.
    ManifestInvalid,
    /// The manifest is not in the repository.
    ManifestUnknown,
    /// The repository name or the tag is malformed.
    NameInvalid,
    /// The repository does not exist.
    NameUnknown,
    /// The content is larger than allowed, or its length differs from the announced one.
    SizeInvalid,
    /// The credentials are missing or unknown.
    Unauthorized,
    /// The credentials do not permit the request.
    Denied,
    /// The registry does not support the operation.
    Unsupported,
    /// The client has sent too many requests.
    TooManyRequests,
    /// A pagination parameter is not a number or not a name.
    PaginationInvalid,
    /// The registry is temporarily unavailable.
    Unavailable,
    /// The registry failed.
    Unknown,
}

impl ErrorCode {
    /// Returns the code as it is written in an error body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::PaginationInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Returns the default status for the code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid
            | Self::PaginationInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::BlobUnknown | Self::BlobUploadUnknown | Self::ManifestUnknown | Self::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error response to a request.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    /// Boxed to keep [`Refusal`] small in results.
    headers: Box<HeaderMap>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, status: code.status(), message: message.into(), headers: Box::default() }
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(crate) fn without_header(mut self, name: HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(ErrorCode::Unsupported, format!("this URL accepts {allowed}"))
            .with_header(ALLOW, HeaderValue::from_static(allowed))
    }

    pub(crate) fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Answer<'a> {
            errors: [Item<'a>; 1],
        }
        #[derive(Serialize)]
        struct Item<'a> {
            code: &'a str,
            message: &'a str,
        }
        let item = Item { code: self.code.as_str(), message: &self.message };
        let text = serde_json::json!(Answer { errors: [item] }).to_string();
        let mut response = Response::new(full(text));
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        // The cause is only in the log, because it contains paths on the disk of the registry.
        tracing::error!(%error, "the store failed");
        Self::new(ErrorCode::Unknown, "the registry's storage failed; see its log")
    }
}
