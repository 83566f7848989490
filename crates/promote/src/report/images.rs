//! Parts of the report: the images that were promoted, failed, or lack something, and the phases that did nothing.

use oci::DigestReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Problem;

/// A phase that did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkippedPhase {
    /// The phase.
    pub phase: String,
    /// The reason.
    pub why: String,
}

/// An image that was copied or tagged, in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotedImage {
    /// The project whose manifest lists it. Absent if the run was abandoned before its plan was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The image in staging, by digest.
    pub source: String,
    /// The destination repository.
    pub destination: String,
    /// The tags that it received there.
    pub tags: Vec<String>,
    /// Blobs that were uploaded.
    pub blobs_sent: u64,
    /// Blobs that were already there or were mounted.
    pub blobs_there: u64,
    /// Bytes of uploaded blobs.
    pub bytes_sent: u64,
}

/// An image that could not be promoted to one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedImage {
    /// The project whose manifest lists it. Absent if the run was abandoned before its plan was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The image in staging, by digest.
    pub source: String,
    /// The destination repository.
    pub destination: String,
    /// The tags that it did not receive there.
    pub tags: Vec<String>,
    /// The reason.
    pub error: String,
    /// How to resolve the error. Absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The error without the image, equal for all failures with the same cause. Absent if it concerns one image only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// An image, or a part of one, that lacks its signature or its promotion record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsignedImage {
    /// The image by digest, in the repository that holds its signatures.
    pub image: String,
    /// The reason.
    pub error: String,
    /// How to resolve the error. Absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The error without the image, equal for all failures with the same cause. Absent if it concerns one image only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl UnsignedImage {
    pub(super) fn new(image: &DigestReference, problem: &Problem) -> Self {
        let Problem { error, advice, cause } = problem.clone();
        Self { image: image.to_string(), error, advice, cause }
    }
}
