//! The content of records and summaries. A signature proves the signer but not the content, so any field may be missing.

use serde::Deserialize;
use sigstore::{Signatory, Statement};

use super::finding::{Attestation, Promotion, Record, Refused, RefusedKind, Summary};
use super::text::shown;
use crate::predicate::{PROMOTION_TYPE, SUMMARY_TYPE};

/// The maximum number of a summary's levels in a finding.
const LEVELS_MAX: usize = 16;
/// The maximum number of a record's tags, and of its destinations, in a finding.
const LIST_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromotionPredicate {
    src_ref: Option<String>,
    dst_ref: Option<String>,
    timestamp: Option<String>,
    builder_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    destinations: Vec<String>,
    manifest: Option<ManifestFile>,
    job: Option<JobName>,
}

#[derive(Default, Deserialize)]
struct ManifestFile {
    name: Option<String>,
    uri: Option<String>,
    digest: Option<Commit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    git_commit: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobName {
    name: Option<String>,
    build_id: Option<String>,
    url: Option<String>,
    actor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SummaryPredicate {
    verifier: Option<VerifierId>,
    time_verified: Option<String>,
    verification_result: String,
    #[serde(default)]
    verified_levels: Vec<String>,
}

#[derive(Deserialize)]
struct VerifierId {
    id: Option<String>,
}

/// The kinds of statements.
pub(super) enum Predicate {
    Record(Record),
    Summary(Summary),
    Attestation(Attestation),
    Refused(Refused),
}

/// Reads a signed statement. `accepted` is set if it is by the expected signer.
pub(super) fn read_predicate(
    signatory: &Signatory,
    statement: &Statement,
    accepted: bool,
    place: &str,
) -> Predicate {
    let (signer, place) = (signatory.into(), shown(place));
    let predicate = statement.predicate.clone();
    let malformed = |error: serde_json::Error, kind: &str, place: String| {
        let reason = shown(&format!("its predicate does not match its type: {error}"));
        let (kind, predicate_type) = (RefusedKind::Attestation, Some(kind.to_owned()));
        Predicate::Refused(Refused { kind, predicate_type, reason, place })
    };
    match statement.predicate_type.as_str() {
        kind @ PROMOTION_TYPE => match serde_json::from_value(predicate) {
            Ok(predicate) => {
                Predicate::Record(Record { accepted, signer, promotion: promotion(predicate), place })
            }
            Err(error) => malformed(error, kind, place),
        },
        kind @ SUMMARY_TYPE => match serde_json::from_value::<SummaryPredicate>(predicate) {
            Ok(summary) => Predicate::Summary(Summary {
                accepted,
                signer,
                result: shown(&summary.verification_result),
                levels: summary.verified_levels.iter().take(LEVELS_MAX).map(|level| shown(level)).collect(),
                verifier: summary.verifier.and_then(|verifier| verifier.id).as_deref().map(shown),
                timestamp: summary.time_verified.as_deref().map(shown),
                place,
            }),
            Err(error) => malformed(error, kind, place),
        },
        kind => Predicate::Attestation(Attestation { predicate_type: shown(kind), signer, place }),
    }
}

fn promotion(predicate: PromotionPredicate) -> Promotion {
    let text = |text: Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(shown);
    let texts = |texts: Vec<String>| texts.iter().take(LIST_MAX).map(|text| shown(text)).collect();
    let manifest = predicate.manifest.unwrap_or_default();
    let job = predicate.job.unwrap_or_default();
    let name = match (text(job.name), text(job.build_id)) {
        (Some(name), Some(build)) => Some(format!("{name} {build}")),
        (name, build) => name.or(build),
    };
    Promotion {
        source: text(predicate.src_ref),
        destination: text(predicate.dst_ref),
        tags: texts(predicate.tags),
        destinations: texts(predicate.destinations),
        timestamp: text(predicate.timestamp),
        builder: text(predicate.builder_id),
        manifest: text(manifest.name),
        repository: text(manifest.uri),
        commit: text(manifest.digest.and_then(|digest| digest.git_commit)),
        job: name,
        job_url: text(job.url),
        actor: text(job.actor),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(kind: &str, predicate: Value) -> Predicate {
        let signatory = Signatory::Key { fingerprint: "ab".to_owned() };
        read_predicate(&signatory, &Statement::about("a", "ab", kind, predicate), true, "here")
    }

    #[test]
    fn a_record_is_read_with_all_its_fields() {
        let predicate = json!({
            "srcRef": "gcr.io/s/a@sha256:ab", "dstRef": "registry.k8s.io/a", "digest": "sha256:ab",
            "timestamp": "2026-01-01T00:00:00Z", "builderId": "https://k8s.io/promo-tools@1", "tags": ["v1"],
            "manifest": { "name": "images/a/images.yaml", "uri": "git+https://h/r", "digest": { "gitCommit": "c0" } },
            "destinations": ["m.io/a", "n.io/a"],
            "job": { "name": "promo", "buildId": "7", "url": "https://ci/7", "actor": "me" }, "more": {},
        });
        let Predicate::Record(record) = read(PROMOTION_TYPE, predicate) else {
            panic!("it is not read as a record")
        };
        let some = |text: &str| Some(text.to_owned());
        let expected = Promotion {
            source: some("gcr.io/s/a@sha256:ab"),
            destination: some("registry.k8s.io/a"),
            tags: vec!["v1".to_owned()],
            destinations: vec!["m.io/a".to_owned(), "n.io/a".to_owned()],
            timestamp: some("2026-01-01T00:00:00Z"),
            builder: some("https://k8s.io/promo-tools@1"),
            manifest: some("images/a/images.yaml"),
            repository: some("git+https://h/r"),
            commit: some("c0"),
            job: some("promo 7"),
            job_url: some("https://ci/7"),
            actor: some("me"),
        };
        assert_eq!(record.promotion, expected);
        let Predicate::Record(empty) = read(PROMOTION_TYPE, json!({})) else {
            panic!("it is not read as a record")
        };
        assert_eq!(empty.promotion, Promotion::default());
    }

    #[test]
    fn untrusted_text_is_bounded_and_has_no_control_characters() {
        let predicate = json!({ "srcRef": format!("\u{1b}[2J{}", "x".repeat(100_000)) });
        let Predicate::Record(record) = read(PROMOTION_TYPE, predicate) else {
            panic!("it is not read as a record")
        };
        let source = record.promotion.source.unwrap();
        assert!(!source.contains('\u{1b}') && source.len() < 1_000, "{source}");
        let levels = json!({ "verificationResult": "PASSED", "verifiedLevels": vec!["L"; 1_000] });
        let Predicate::Summary(summary) = read(SUMMARY_TYPE, levels) else {
            panic!("it is not read as a summary")
        };
        assert_eq!(summary.levels.len(), LEVELS_MAX);
    }

    #[test]
    fn predicates_that_do_not_match_their_type_are_refused() {
        for (kind, predicate) in
            [(PROMOTION_TYPE, json!([])), (PROMOTION_TYPE, json!({ "srcRef": 1 })), (SUMMARY_TYPE, json!({}))]
        {
            assert!(
                matches!(read(kind, predicate), Predicate::Refused(refused) if refused.predicate_type.as_deref() == Some(kind))
            );
        }
        let other = read("https://spdx.dev/Document", json!(null));
        assert!(
            matches!(other, Predicate::Attestation(other) if other.predicate_type == "https://spdx.dev/Document")
        );
    }
}
