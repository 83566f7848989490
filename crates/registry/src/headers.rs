//! The names of the headers that the distribution API adds to those of HTTP.

use http::header::HeaderName;

/// The version of the API, in every answer.
pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The digest of the manifest or blob that an answer is about.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The name of the upload that an answer is about.
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The subject of the manifest that was pushed.
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that was set with the manifest that was pushed.
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
