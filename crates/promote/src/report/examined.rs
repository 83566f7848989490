//! The part of reports about what is attached to images in staging.

use manifest::policy::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::policy::{Finding, Judgement};

use crate::event::Examination;

/// The maximum number of attestations to report for one image.
const REPORTED_MAX: usize = 200;

/// The counts of staging images that were examined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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

/// A staging image that has a policy, or to which something is attached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExaminedImage {
    /// The image in staging, by digest.
    pub image: String,
    /// Whether the image may be promoted.
    pub passes: bool,
    /// The mode of its policy. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [Mode::Warn.to_string(), Mode::Require.to_string()]))]
    pub policy: Option<String>,
    /// The SLSA build level that it reaches. Absent if it reaches none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Why it does not satisfy its policy, or what is wrong with its attestations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Its attestations, up to 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<ExaminedAttestation>,
    /// The signers of the signatures that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// If the signatures block the image: why each of them does not verify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_signatures: Vec<String>,
}

/// An attestation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExaminedAttestation {
    /// The digest that the attestation is attached to.
    pub about: String,
    /// Where it is attached.
    pub place: String,
    /// Its predicate type. Absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// Its signer. Absent if no signature verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Whether it counts, with the reason.
    pub verdict: String,
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

/// The counts of one entry of a report.
impl From<&ExaminedImage> for ExaminedTotals {
    fn from(image: &ExaminedImage) -> Self {
        let is_signed = !image.signed_by.is_empty();
        Self {
            images: 1,
            signed: usize::from(is_signed),
            unsigned: usize::from(!is_signed && image.refused_signatures.is_empty()),
            attested: usize::from(!image.attestations.is_empty()),
            blocked: usize::from(!image.passes),
        }
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
    let left = REPORTED_MAX.saturating_sub(attestations.len());
    attestations.extend(reported.take(left));
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
