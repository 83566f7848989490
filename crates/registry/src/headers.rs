//! Names of the headers that the distribution API adds to those of HTTP.

use http::header::HeaderName;

/// The API version. Every response has it, except those that a fault or a quota sends instead of the registry.
pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The digest of the manifest or blob in the response.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The ID of the upload that the response is about.
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The subject of the pushed manifest.
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that the push of a manifest has set.
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
