//! Verification summaries: the promoter's judgement of an image, for users that do not verify the image themselves (SLSA
//! *Verification Summary Attestation* 1.0; specification 02, *Verification summaries*).

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::Digest;
use serde::Serialize;
use serde_json::Value;
use sigstore::Statement;

use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use crate::policy::Judgement;
use crate::predicate::SUMMARY_TYPE;
use crate::promoter::Promoter;

/// The identifier of the verifier.
const VERIFIER: &str = "https://k8s.io/promo-tools/verifier/v1";
const SLSA_VERSION: &str = "1.0";
/// States that the manifest was reviewed. Without a review, nothing is promoted.
const REVIEWED: &str = "K8S_PROMOTION_MANIFEST_REVIEWED";
const UNEVALUATED: &str = "SLSA_BUILD_LEVEL_UNEVALUATED";
const FAILED: &str = "FAILED";
/// The prefix of build levels.
const LEVEL: &str = "SLSA_BUILD_LEVEL_";

/// The content of a summary of one image.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// The location of the image.
    pub place: ProductionImage<'a>,
    /// The judgement of the image under its policy.
    pub judgement: Option<&'a Judgement>,
    /// The attestations that were accepted.
    pub inputs: Vec<Input>,
    /// The file with the policy, as a path in its repository. Without a policy, the file that lists the image.
    pub policy: String,
    /// The time of the verification.
    pub time: Timestamp,
    /// The promoter.
    pub promoter: &'a Promoter,
}

/// An attestation that counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The location.
    pub place: String,
    /// The digest of the stored attestation.
    pub digest: Digest,
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
    /// Returns the statement to sign.
    ///
    /// # Errors
    /// If signatures do not support the algorithm of the image's digest.
    pub fn statement(&self) -> Result<Statement, AttachError> {
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
            verification_result: if passes { "PASSED" } else { FAILED },
            verified_levels: levels(*judgement),
            slsa_version: SLSA_VERSION,
        };
        #[expect(clippy::expect_used, reason = "texts, maps of texts and times always serialize")]
        let predicate = serde_json::to_value(&predicate).expect("a predicate serializes to JSON");
        Ok(Statement::about(place.reference, &sha256(place.digest)?, SUMMARY_TYPE, predicate))
    }
}

/// The content of one of our summaries that is already attached to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The time of the verification. Of several summaries, the latest counts.
    time: Option<Timestamp>,
    levels: Vec<String>,
}

impl Stated {
    /// Reads a summary. Missing fields are empty.
    pub fn read(summary: &Statement) -> Self {
        let Value::Object(predicate) = &summary.predicate else { return Self::default() };
        let levels = predicate.get("verifiedLevels").and_then(Value::as_array).into_iter().flatten();
        Self {
            time: predicate.get("timeVerified").and_then(Value::as_str).and_then(|time| time.parse().ok()),
            levels: levels.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// Returns the later of two summaries.
    pub fn latest(self, other: Self) -> Self {
        if other.time > self.time { other } else { self }
    }

    /// Whether the summary still holds. A level that an earlier run has proven also holds if this run cannot prove it:
    /// staging may have lost the evidence, or the policy may have been removed.
    pub fn holds(&self, judgement: Option<&Judgement>) -> bool {
        let now = levels(judgement);
        let is_worse = now[0] == FAILED || now[0] == UNEVALUATED;
        self.levels == now || (is_worse && self.levels.first().is_some_and(|level| is_level(level)))
    }
}

/// Whether a text is a build level that was reached.
fn is_level(text: &str) -> bool {
    text.starts_with(LEVEL) && text != UNEVALUATED
}

/// Returns the URI of an image in a summary.
fn resource_uri(place: &ProductionImage<'_>) -> String {
    format!("oci://{}@{}", place.reference, place.digest)
}

/// Returns the verified levels. If the image does not pass, this is `FAILED` alone (*verifiedLevels*).
fn levels(judgement: Option<&Judgement>) -> Vec<String> {
    match judgement {
        Some(judgement) if !judgement.is_satisfied() => vec![FAILED.to_owned()],
        Some(Judgement { level: Some(level), .. }) => {
            vec![format!("{LEVEL}{level}"), REVIEWED.to_owned()]
        }
        _ => vec![UNEVALUATED.to_owned(), REVIEWED.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use manifest::policy::{BuildLevel, Mode};
    use serde_json::json;

    use super::*;
    use crate::policy::{AcceptReason, Finding, Verdict, Violation};

    fn judgement(level: Option<BuildLevel>, violations: Vec<Violation>) -> Judgement {
        let reason = AcceptReason::Provenance {
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
                finding("s.io/app@sha256:1", Verdict::Accepted(reason)),
                finding("b", Verdict::Ignored),
            ],
            violations,
            platforms: Vec::new(),
        }
    }

    fn summary(judgement: Option<&Judgement>) -> serde_json::Value {
        let canonical = "m.io/prod/app".parse().unwrap();
        let place = ProductionImage {
            canonical: &canonical,
            reference: "registry.example/app",
            digest: Digest::of(b"app"),
        };
        let promoter = Promoter { version: "0.1.0".to_owned(), ..Promoter::default() };
        let time = "2026-11-02T03:04:05Z".parse().unwrap();
        let policy = "manifests/app/promoter-manifest.yaml".to_owned();
        let inputs =
            vec![Input { place: "s.io/app@sha256:1".to_owned(), digest: Digest::of(b"attestation") }];
        let summary = Summary { place, judgement, inputs, policy, time, promoter: &promoter };
        serde_json::from_slice(&summary.statement().unwrap().to_json()).unwrap()
    }

    #[test]
    fn the_summary_of_an_image_that_passes_has_its_level_and_inputs() {
        let judgement = judgement(Some(BuildLevel::Two), Vec::new());
        insta::assert_snapshot!(serde_json::to_string_pretty(&summary(Some(&judgement))).unwrap());
    }

    #[test]
    fn without_a_policy_the_level_is_not_evaluated() {
        let predicate = &summary(None)["predicate"];
        assert_eq!(predicate["verificationResult"], "PASSED");
        assert_eq!(predicate["verifiedLevels"], serde_json::json!([UNEVALUATED, REVIEWED]));
    }

    #[test]
    fn a_proven_level_outlives_its_evidence_and_other_results_follow_the_judgement() {
        let passes = |level| judgement(Some(level), Vec::new());
        let (two, three) = (passes(BuildLevel::Two), passes(BuildLevel::Three));
        let fails = judgement(None, vec![Violation::NoProvenance]);
        let stated = |judgement: Option<&Judgement>| Stated { time: None, levels: levels(judgement) };
        for (then, now, holds) in [
            (Some(&two), Some(&two), true),
            (Some(&two), Some(&three), false),
            (Some(&three), Some(&two), false),
            (Some(&two), Some(&fails), true),
            (Some(&two), None, true),
            (None, None, true),
            (None, Some(&two), false),
            (None, Some(&fails), false),
            (Some(&fails), Some(&fails), true),
            (Some(&fails), Some(&two), false),
            (Some(&fails), None, false),
        ] {
            assert_eq!(stated(then).holds(now), holds, "{:?}, now {:?}", levels(then), levels(now));
        }
        assert!(!Stated::default().holds(None), "an empty summary does not hold");
    }

    #[test]
    fn the_later_of_two_summaries_counts() {
        let at = |time: &str, level: &str| {
            let predicate = json!({ "timeVerified": time, "verifiedLevels": [level] });
            Stated::read(&Statement::about("a", "ab", SUMMARY_TYPE, predicate))
        };
        let (old, new) = (at("2026-01-01T00:00:00Z", "old"), at("2026-01-02T00:00:00Z", "new"));
        assert_eq!(old.clone().latest(new.clone()), new);
        assert_eq!(new.clone().latest(old), new);
        assert_eq!(at("soon", "x").latest(new.clone()), new);
    }

    /// This happens only with mode `warn`: with mode `require`, such an image is not promoted.
    #[test]
    fn an_image_that_does_not_pass_has_failed() {
        let predicate = &summary(Some(&judgement(None, vec![Violation::NoProvenance])))["predicate"];
        assert_eq!(predicate["verificationResult"], "FAILED");
        assert_eq!(predicate["verifiedLevels"], serde_json::json!(["FAILED"]));
    }
}
