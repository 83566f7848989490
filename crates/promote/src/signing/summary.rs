//! Verification summaries: what the promoter has found out about an image, for those who will not look themselves (SLSA
//! *Verification Summary Attestation* 1.0; specification 02, *Verification summaries*).

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::Digest;
use serde::Serialize;
use sigstore::Statement;

use super::{AttachError, Place, sha256};
use crate::audit::SUMMARY_TYPE;
use crate::notary::Promoter;
use crate::policy::Judgement;

/// Who verifies.
const VERIFIER: &str = "https://k8s.io/promo-tools/verifier/v1";
const SLSA_VERSION: &str = "1.0";
/// That somebody has reviewed the manifest: without that nothing is promoted.
const REVIEWED: &str = "K8S_PROMOTION_MANIFEST_REVIEWED";
const UNEVALUATED: &str = "SLSA_BUILD_LEVEL_UNEVALUATED";

/// What a summary tells of one image.
#[derive(Clone, Debug)]
pub(crate) struct Summary<'a> {
    /// Where the image is.
    pub(crate) place: Place<'a>,
    /// What became of it under its policy.
    pub(crate) judgement: Option<&'a Judgement>,
    /// The attestations that it was judged by.
    pub(crate) inputs: Vec<Input>,
    /// The file that holds its policy, as it is named in its repository; without a policy, the one that asks for the image.
    pub(crate) policy: String,
    /// When it was verified.
    pub(crate) time: Timestamp,
    /// Who promotes.
    pub(crate) promoter: &'a Promoter,
}

/// An attestation that counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Where it stands.
    pub(crate) place: String,
    /// What it is stored as.
    pub(crate) digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    verifier: Verifier<'a>,
    time_verified: Timestamp,
    resource_uri: String,
    policy: Resource,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    input_attestations: Vec<Resource>,
    verification_result: &'static str,
    verified_levels: Vec<String>,
    slsa_version: &'static str,
}

#[derive(Serialize)]
struct Verifier<'a> {
    id: &'static str,
    version: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Resource {
    uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, String>,
}

impl From<&Input> for Resource {
    fn from(input: &Input) -> Self {
        let algorithm = if matches!(input.digest, Digest::Sha256(_)) { "sha256" } else { "sha512" };
        Self { uri: input.place.clone(), digest: BTreeMap::from([(algorithm, input.digest.hex())]) }
    }
}

impl Summary<'_> {
    /// The statement that is signed.
    ///
    /// # Errors
    /// When the image's digest is of an algorithm that signatures do not know.
    pub(crate) fn statement(&self) -> Result<Statement, AttachError> {
        let Self { place, judgement, inputs, policy, time, promoter } = self;
        let passes = judgement.is_none_or(Judgement::is_satisfied);
        let checkout = promoter.checkout.as_ref();
        let repository = checkout.and_then(|checkout| checkout.uri.as_deref());
        let predicate = Predicate {
            verifier: Verifier {
                id: VERIFIER,
                version: BTreeMap::from([("kpromo", promoter.version.as_str())]),
            },
            time_verified: *time,
            resource_uri: resource_uri(place),
            policy: Resource {
                uri: repository.map_or_else(|| policy.clone(), |uri| format!("{uri}#{policy}")),
                digest: checkout.map(|checkout| ("gitCommit", checkout.commit.clone())).into_iter().collect(),
            },
            input_attestations: inputs.iter().map(Resource::from).collect(),
            verification_result: if passes { "PASSED" } else { "FAILED" },
            verified_levels: levels(*judgement),
            slsa_version: SLSA_VERSION,
        };
        #[expect(clippy::expect_used, reason = "texts, maps of texts and times have JSON")]
        let predicate = serde_json::to_value(&predicate).expect("a predicate has JSON");
        Ok(Statement::about(place.reference, &sha256(place.digest)?, SUMMARY_TYPE, predicate))
    }
}

/// How a summary names an image.
fn resource_uri(place: &Place<'_>) -> String {
    format!("oci://{}@{}", place.reference, place.digest)
}

/// What was found: `FAILED` alone where it is not enough (*verifiedLevels*).
fn levels(judgement: Option<&Judgement>) -> Vec<String> {
    match judgement {
        Some(judgement) if !judgement.is_satisfied() => vec!["FAILED".to_owned()],
        Some(Judgement { level: Some(level), .. }) => {
            vec![format!("SLSA_BUILD_LEVEL_{level}"), REVIEWED.to_owned()]
        }
        _ => vec![UNEVALUATED.to_owned(), REVIEWED.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use manifest::policy::{BuildLevel, Mode};

    use super::*;
    use crate::policy::{Fault, Finding, Grounds, Verdict};

    fn judgement(level: Option<BuildLevel>, faults: Vec<Fault>) -> Judgement {
        let grounds = Grounds::Provenance {
            builder: "https://builder.example".to_owned(),
            source: "github.com/org/repo".to_owned(),
            level: BuildLevel::Two,
        };
        let finding = |place: &str, verdict| Finding {
            id: None,
            place: place.to_owned(),
            predicate_type: None,
            signatory: None,
            verdict,
        };
        Judgement {
            digest: Digest::of(b"app"),
            mode: Some(Mode::Warn),
            level,
            findings: vec![
                finding("s.io/app@sha256:1", Verdict::Accepted(grounds)),
                finding("b", Verdict::Ignored),
            ],
            faults,
            platforms: Vec::new(),
        }
    }

    fn summary(judgement: Option<&Judgement>) -> serde_json::Value {
        let home = "m.io/prod/app".parse().unwrap();
        let place = Place { home: &home, reference: "registry.example/app", digest: Digest::of(b"app") };
        let promoter = Promoter { version: "0.1.0".to_owned(), ..Promoter::default() };
        let time = "2026-11-02T03:04:05Z".parse().unwrap();
        let policy = "manifests/app/promoter-manifest.yaml".to_owned();
        let inputs =
            vec![Input { place: "s.io/app@sha256:1".to_owned(), digest: Digest::of(b"attestation") }];
        let summary = Summary { place, judgement, inputs, policy, time, promoter: &promoter };
        serde_json::from_slice(&summary.statement().unwrap().to_json()).unwrap()
    }

    #[test]
    fn an_image_that_passes_has_its_level_and_what_it_was_found_by() {
        let judgement = judgement(Some(BuildLevel::Two), Vec::new());
        insta::assert_snapshot!(serde_json::to_string_pretty(&summary(Some(&judgement))).unwrap());
    }

    #[test]
    fn without_a_policy_the_level_is_not_evaluated() {
        let predicate = &summary(None)["predicate"];
        assert_eq!(predicate["verificationResult"], "PASSED");
        assert_eq!(predicate["verifiedLevels"], serde_json::json!([UNEVALUATED, REVIEWED]));
    }

    /// Only where the policy warns: what it requires is not promoted without.
    #[test]
    fn an_image_that_does_not_pass_has_failed() {
        let predicate = &summary(Some(&judgement(None, vec![Fault::NoProvenance])))["predicate"];
        assert_eq!(predicate["verificationResult"], "FAILED");
        assert_eq!(predicate["verifiedLevels"], serde_json::json!(["FAILED"]));
    }
}
