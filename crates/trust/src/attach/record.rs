//! The promotion record: the promoter, the image, its source and the reason for the promotion (specification 02, *Attest*).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sigstore::Statement;

use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use crate::predicate::PROMOTION_TYPE;
use crate::promoter::{CiJob, Promoter};

/// The prefix of `builderId`. The version follows.
const BUILDER: &str = "https://k8s.io/promo-tools";

/// The content of a promotion record.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The location of the image.
    pub place: ProductionImage<'a>,
    /// The repository in staging.
    pub source: String,
    /// The tags of the image.
    pub tags: Vec<String>,
    /// The repositories in which the run has seen the image in place.
    pub destinations: Vec<String>,
    /// The manifest file that lists the image, as a path in its repository.
    pub manifest: String,
    /// The time of the promotion run.
    pub time: Timestamp,
    /// The promoter.
    pub promoter: &'a Promoter,
}

/// The predicate, with the field names of its JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    src_ref: String,
    dst_ref: &'a str,
    digest: String,
    timestamp: Timestamp,
    builder_id: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    source: Resource<'a>,
    destination: Resource<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    destinations: &'a [String],
    manifest: ManifestFile<'a>,
    promoter: Program<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    job: &'a CiJob,
}

/// A resource with a name and digests (in-toto *ResourceDescriptor*).
#[derive(Serialize)]
struct Resource<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct ManifestFile<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Program<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_commit: Option<&'a str>,
}

fn is_empty(job: &CiJob) -> bool {
    *job == CiJob::default()
}

impl Record<'_> {
    /// Returns the statement to sign.
    ///
    /// # Errors
    /// If signatures do not support the algorithm of the image's digest.
    pub fn statement(&self) -> Result<Statement, AttachError> {
        let Self { place, source, tags, destinations, manifest, time, promoter } = self;
        let sha256 = sha256(place.digest)?;
        let digest = || BTreeMap::from([("sha256", sha256.as_str())]);
        let checkout = promoter.checkout.as_ref();
        let predicate = Predicate {
            src_ref: format!("{source}@{}", place.digest),
            dst_ref: place.reference,
            digest: place.digest.to_string(),
            timestamp: *time,
            builder_id: format!("{BUILDER}@{}", promoter.version),
            tags,
            source: Resource { name: source, digest: digest() },
            destination: Resource { name: place.reference, digest: digest() },
            destinations,
            manifest: ManifestFile {
                name: manifest,
                uri: checkout.and_then(|checkout| checkout.uri.as_deref()),
                digest: checkout
                    .map(|checkout| ("gitCommit", checkout.commit.as_str()))
                    .into_iter()
                    .collect(),
            },
            promoter: Program { version: &promoter.version, git_commit: promoter.commit.as_deref() },
            job: &promoter.job,
        };
        #[expect(clippy::expect_used, reason = "texts, maps of texts and times always serialize")]
        let predicate = serde_json::to_value(&predicate).expect("a predicate serializes to JSON");
        Ok(Statement::about(place.reference, &sha256, PROMOTION_TYPE, predicate))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use manifest::Checkout;
    use oci::Digest;

    use super::*;

    fn record(promoter: &Promoter, tags: &[&str]) -> String {
        let canonical = "m.io/prod/app".parse().unwrap();
        let place = ProductionImage {
            canonical: &canonical,
            reference: "registry.example/app",
            digest: Digest::of(b"app"),
        };
        let record = Record {
            place,
            source: "s.io/staging/app".to_owned(),
            tags: tags.iter().map(ToString::to_string).collect(),
            destinations: tags.iter().map(|_| "m.io/prod/app".to_owned()).take(1).collect(),
            manifest: "images/app/images.yaml".to_owned(),
            time: "2026-11-02T03:04:05Z".parse().unwrap(),
            promoter,
        };
        let json: serde_json::Value = serde_json::from_slice(&record.statement().unwrap().to_json()).unwrap();
        serde_json::to_string_pretty(&json).unwrap()
    }

    #[test]
    fn a_record_contains_all_known_fields() {
        let promoter = Promoter {
            version: "0.1.0".to_owned(),
            commit: Some("c0ffee".to_owned()),
            job: CiJob {
                system: Some("prow"),
                name: Some("post-promo".to_owned()),
                kind: Some("postsubmit".to_owned()),
                build_id: Some("7".to_owned()),
                prow_job_id: Some("u-u-i-d".to_owned()),
                url: Some("https://ci.example/7".to_owned()),
                actor: Some("a-user".to_owned()),
            },
            checkout: Some(Checkout {
                root: PathBuf::from("/k8s.io"),
                uri: Some("git+https://github.com/kubernetes/k8s.io".to_owned()),
                commit: "decade".to_owned(),
            }),
        };
        insta::assert_snapshot!(record(&promoter, &["v1", "v1.0"]));
    }

    #[test]
    fn unknown_fields_are_omitted() {
        let promoter = Promoter { version: "0.1.0".to_owned(), ..Promoter::default() };
        insta::assert_snapshot!(record(&promoter, &[]));
    }
}
