//! Refusals and their bodies (OCI distribution specification, *Error Codes*).

use http::header::{ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::body::{Response, full};
use crate::store::StoreError;

/// The codes by which a registry says why it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The repository lacks the blob.
    BlobUnknown,
    /// The upload cannot take what was sent.
    BlobUploadInvalid,
    /// There is no such upload, or no longer.
    BlobUploadUnknown,
    /// The digest is malformed, or not that of the content.
    DigestInvalid,
    /// A manifest names parts that the repository lacks.
    ManifestBlobUnknown,
    /// The manifest cannot be read as what it says it is.
    ManifestInvalid,
    /// The repository lacks the manifest.
    ManifestUnknown,
    /// The repository name or the tag is malformed.
    NameInvalid,
    /// There is no such repository.
    NameUnknown,
    /// The content is larger than allowed, or not as long as announced.
    SizeInvalid,
    /// No credentials, or none that are known.
    Unauthorized,
    /// The credentials do not reach that far.
    Denied,
    /// The registry does not do that.
    Unsupported,
    /// Too much was asked in too little time.
    TooManyRequests,
    /// A page was asked for by something that is no number or no name.
    PaginationInvalid,
    /// The registry is not able to serve now.
    Unavailable,
    /// The registry failed.
    Unknown,
}

impl ErrorCode {
    /// The code as it stands in an error body.
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

    /// The status that goes with the code where nothing more particular is known.
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

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    /// Boxed to keep the common, good result small.
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
        Self::new(ErrorCode::Unsupported, format!("this address takes {allowed}"))
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
        // The operator reads the cause in the log; a client has no use for paths of the registry's disk.
        tracing::error!(%error, "the store failed");
        Self::new(ErrorCode::Unknown, "the registry's storage failed; its log says how")
    }
}
