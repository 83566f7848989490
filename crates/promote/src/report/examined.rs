//! The part of reports about what is attached to images in staging.

use serde::Serialize;
use trust::policy::{Finding, Judgement};

use crate::event::Examination;

/// The maximum number of attestations to report for one image.
const TOLD_MAX: usize = 200;

/// The numbers of examined images in staging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExaminedTotals {
    /// Images that were examined.
    pub images: usize,
    /// Images with a signature that is accepted.
    pub signed: usize,
    /// Images without any signature.
    pub unsigned: usize,
    /// Images with attestations.
    pub attested: usize,
    /// Images that must not be promoted.
    pub blocked: usize,
}

/// An image that has attestations or signatures, or a policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExaminedImage {
    image: String,
    passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attestations: Vec<ExaminedAttestation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_signatures: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExaminedAttestation {
    /// The digest that the attestation is attached to.
    about: String,
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    verdict: String,
}

impl ExaminedTotals {
    pub(super) fn add(&mut self, examination: &Examination) {
        let is_signed = !examination.signed_by.is_empty();
        let is_unsigned = !is_signed && examination.refused.is_empty();
        self.images += 1;
        self.signed += usize::from(is_signed);
        self.unsigned += usize::from(is_unsigned);
        self.attested += usize::from(has_findings(&examination.judgement));
        self.blocked += usize::from(!examination.passes());
    }
}

fn has_findings(judgement: &Judgement) -> bool {
    !judgement.findings.is_empty() || judgement.platforms.iter().any(|(_, platform)| has_findings(platform))
}

impl From<&Examination> for ExaminedImage {
    fn from(examination: &Examination) -> Self {
        let Examination { image, judgement, signed_by, refused } = examination;
        let mut attestations = Vec::new();
        collect(judgement, &mut attestations);
        Self {
            image: image.to_string(),
            passes: examination.passes(),
            policy: judgement.mode.map(|mode| mode.to_string()),
            level: judgement.level.map(|level| level.to_string()),
            faults: judgement.violations.iter().map(ToString::to_string).collect(),
            attestations,
            signed_by: signed_by.iter().map(ToString::to_string).collect(),
            refused_signatures: refused.clone(),
        }
    }
}

fn collect(judgement: &Judgement, attestations: &mut Vec<ExaminedAttestation>) {
    let reported = judgement.findings.iter().map(|finding| reported(judgement, finding));
    let room = TOLD_MAX.saturating_sub(attestations.len());
    attestations.extend(reported.take(room));
    judgement.platforms.iter().for_each(|(_, platform)| collect(platform, attestations));
}

fn reported(judgement: &Judgement, finding: &Finding) -> ExaminedAttestation {
    ExaminedAttestation {
        about: judgement.digest.to_string(),
        place: finding.place.clone(),
        predicate_type: finding.predicate_type.clone(),
        signed_by: finding.signatory.as_ref().map(ToString::to_string),
        verdict: finding.verdict.to_string(),
    }
}
