//! The identity of the promoter in promotion records.

use manifest::Checkout;
use serde::Serialize;

/// The promoter, as promotion records describe it. Records omit empty fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promoter {
    /// The version of kpromo.
    pub version: String,
    /// The commit that kpromo was built from.
    pub commit: Option<String>,
    /// The job of the run.
    pub job: CiJob,
    /// The repository of the manifests.
    pub checkout: Option<Checkout>,
}

impl Promoter {
    /// Returns the path of a manifest file in its repository, or the given path if the file is in no repository.
    pub fn manifest_name(&self, file: &str) -> String {
        let inside = |checkout: &Checkout| {
            let file = std::fs::canonicalize(file).ok()?;
            let root = std::fs::canonicalize(&checkout.root).ok()?;
            Some(file.strip_prefix(root).ok()?.to_string_lossy().into_owned())
        };
        self.checkout.as_ref().and_then(inside).unwrap_or_else(|| file.to_owned())
    }
}

/// The continuous integration job of a run. Records omit empty fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CiJob {
    /// The CI system, if it is known: `github-actions`, `gitlab` or `prow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<&'static str>,
    /// The name of the job or workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What started the job: `postsubmit`, `push`, `schedule`…
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The number of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The ID of the `ProwJob` resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prow_job_id: Option<String>,
    /// The page of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The account that started the run, as the CI system names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}
