//! Reports and VEX documents in attestations of images, by signers that count.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use manifest::policy::SignerPattern;
use oci::Digest;
use serde_json::Value;
use sigstore::Signatory;

use super::error::ScanError;
use super::part::{Coverage, Part};
use super::report::{Document, InvalidReport, Report, read_value};
use super::reports::{Candidate, Times, add};
use super::scanner::{PartScan, ScanImage, Scanner};
use super::sourced::Sourced;
use crate::config::Verification;
use crate::evidence::{Claim, Evidence, FoundAttestation, Rejected};

/// The predicate types of reports and VEX documents, or their prefixes. Any other attestation is recognised by its content.
const TYPES: [&str; 3] =
    ["https://cosign.sigstore.dev/attestation/vuln/", "https://openvex.dev/ns", "https://cyclonedx.org/bom"];

/// A scanner that reads reports from attestations of images.
#[derive(Debug)]
pub struct AttestedReports {
    signers: Vec<SignerPattern>,
    accepts_key: bool,
    max_age: Duration,
}

impl AttestedReports {
    /// Creates the scanner. `signers` are those whose attestations count. If it is empty, the attestations of the signer of
    /// staging count, and those of the holder of the key that signatures are verified with. `max_age` is the maximum age of
    /// reports.
    pub fn new(signers: &[SignerPattern], verification: &Verification, max_age: Duration) -> Self {
        let accepts_key = signers.is_empty();
        let signers = if accepts_key { vec![verification.staging.clone()] } else { signers.to_vec() };
        Self { signers, accepts_key, max_age }
    }

    fn accepts(&self, signatory: &Signatory) -> bool {
        match signatory.identity() {
            None => self.accepts_key,
            Some((issuer, subject)) => self.signers.iter().any(|signer| signer.matches(issuer, subject)),
        }
    }

    fn read(&self, image: ScanImage<'_>, part: &Part) -> PartScan {
        let mut scan = PartScan::default();
        let mut reports: Vec<(Arc<str>, Report, &FoundAttestation)> = Vec::new();
        for subject in [part.digest].iter().chain(&part.indexes) {
            let Some(evidence) = image.evidence.get(subject) else { continue };
            for found in &evidence.attestations {
                let place: Arc<str> = found.location.to_string().into();
                let Document { report, vex } = match self.document(found, subject) {
                    Ok(document) => document,
                    Err(Some(why)) => {
                        scan.unscanned.push(format!("{place}: {why}"));
                        continue;
                    }
                    Err(None) => continue,
                };
                scan.vex
                    .extend(vex.into_iter().map(|content| Sourced { source: Arc::clone(&place), content }));
                let Some(report) = report else { continue };
                match is_about(&report, subject, part) {
                    Ok(true) => reports.push((place, report, found)),
                    Ok(false) => {}
                    Err(why) => scan.unscanned.push(format!("{place}: {why}")),
                }
            }
            scan.unscanned.extend(unusable(evidence));
        }
        let candidates = reports.iter().map(|(place, report, found)| Candidate {
            place: Arc::clone(place),
            report,
            signed_at: found.signed_at,
        });
        add(&mut scan, candidates.collect(), Times { now: image.now, max_age: Some(self.max_age) });
        if scan.finished.is_empty() && scan.unscanned.is_empty() {
            scan.unscanned.push("no report of a scan is attested about it".to_owned());
        }
        scan
    }

    /// Reads an attestation. The error is `None` if it is neither a report nor a VEX document.
    fn document(&self, found: &FoundAttestation, subject: &Digest) -> Result<Document, Option<String>> {
        let kind = &found.statement.predicate_type;
        let is_named = TYPES.iter().any(|name| kind.starts_with(name));
        let is_object = matches!(found.statement.predicate, Value::Object(_));
        let document = match read_value(&found.statement.predicate) {
            // Provenance and other attestations, in any form.
            Err(InvalidReport::UnknownFormat) if !is_named => return Err(None),
            Err(_) if !is_named && !is_object => return Err(None),
            // Many images have attested bills of materials, which are not reports.
            Err(InvalidReport::WrongKind(_)) if kind.starts_with(TYPES[2]) => return Err(None),
            document => document,
        };
        // This comes before the error of the document, which must not be attributed to a signer that counts.
        if !self.accepts(&found.signatory) {
            let signatory = &found.signatory;
            return Err(Some(format!(
                "it is ignored, because {signatory} is not one of the signers whose reports count"
            )));
        }
        // The verifier has checked the subject. The check is repeated because it is cheap.
        if !found.statement.is_about(&subject.hex()) {
            return Err(Some("it is about another image".to_owned()));
        }
        document.map_err(|error| Some(format!("it cannot be used: {error}")))
    }
}

/// Whether an attested report is about an image manifest. The error is the reason why a report that may be meant for it does
/// not count.
fn is_about(report: &Report, subject: &Digest, part: &Part) -> Result<bool, String> {
    let coverage = report.about.coverage(part);
    if *subject == part.digest {
        return match coverage {
            // The signer states that it is about this manifest.
            Coverage::Covers | Coverage::NamesNothing | Coverage::IndexOnly => Ok(true),
            Coverage::OtherImage => Err("it is a report about a different image".to_owned()),
        };
    }
    match coverage {
        Coverage::Covers => Ok(true),
        // It may be for another platform. If it is for none, every platform is reported as without a report.
        Coverage::OtherImage => Ok(false),
        Coverage::NamesNothing | Coverage::IndexOnly => {
            Err("it is attested about the index and does not prove which of its platforms was scanned"
                .to_owned())
        }
    }
}

/// Returns why attestations that claim to be reports cannot be used: they do not verify, or their signer is unknown.
fn unusable(evidence: &Evidence) -> impl Iterator<Item = String> + '_ {
    let claims = |rejected: &&Rejected| match &rejected.claim {
        Claim::Attestation(Some(kind)) => TYPES.iter().any(|name| kind.starts_with(name)),
        Claim::Attestation(None) => true,
        Claim::Signature => false,
    };
    let all = evidence.rejected.iter().chain(&evidence.others).filter(claims);
    all.map(|Rejected { place, reason, .. }| format!("{place}: {reason}"))
}

impl Scanner for AttestedReports {
    fn needs_evidence(&self) -> bool {
        true
    }

    fn scan<'a>(
        &'a self,
        image: ScanImage<'a>,
        part: &'a Part,
    ) -> BoxFuture<'a, Result<PartScan, ScanError>> {
        Box::pin(ready(Ok(self.read(image, part))))
    }
}
