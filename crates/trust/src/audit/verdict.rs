//! Verdicts about the signature and the promotion record of a manifest in production, and why it lacks them (specification 05,
//! *`kpromo sigcheck`*).

use oci::{AttachedTag, AttachmentKind, Digest, Found, Known, Reader, Referrer, Repository, Selector};
use schemars::JsonSchema;
use serde::Serialize;
use sigstore::{BUNDLE_MAX, DSSE_TYPE};

use super::auditor::AuditError;
use super::finding::Signer;
use super::text::shown;
use crate::attach::ProductionImage;
use crate::config::Verification;
use crate::evidence::{
    Claim, Evidence, EvidenceKinds, ListedTags, PREDICATE_TYPE, Rejected, fetch, is_about_content,
    unsigned_predicate_type,
};
use crate::predicate::PROMOTION_TYPE;

/// The maximum number of explanations of one verdict. Anyone with push access can attach any number of things.
const DETAILS_MAX: usize = 5;
/// The maximum number of layers of an `.att` tag that are searched for unsigned records.
const LAYERS_MAX: usize = 100;

/// The verdict about the signature of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureVerdict {
    /// It is signed by the expected signer under the name that users pull it by.
    Ok,
    /// It has no signature, or none in a form that all versions of cosign look at.
    Missing,
    /// It has signatures, by others only.
    OtherIdentity,
    /// The expected signer has signed it under another name.
    OtherReference,
    /// It has a signature that does not verify, or that cannot be read.
    Invalid,
}

/// The verdict about the promotion record of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordVerdict {
    /// It has a record by the expected signer.
    Ok,
    /// It has no record, or only records by others.
    Missing,
    /// It has a record without a signature.
    Unsigned,
    /// It has a record that does not verify, or that cannot be read.
    Invalid,
}

impl std::fmt::Display for SignatureVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::OtherIdentity => "other identity",
            Self::OtherReference => "other reference",
            Self::Invalid => "invalid",
        })
    }
}

impl std::fmt::Display for RecordVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Unsigned => "unsigned",
            Self::Invalid => "invalid",
        })
    }
}

/// The reasons why a manifest has no signature or no record that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict about the signature, with reasons. `None` if no attachment explains it.
    pub signature: Option<(SignatureVerdict, Vec<String>)>,
    /// The verdict about the record, with reasons. `None` if no attachment explains it.
    pub record: Option<(RecordVerdict, Vec<String>)>,
}

/// Explains why a manifest has no signature or no record that counts: examines everything that is attached to it.
///
/// `listed_tags` is what a listing shows of its tags, and `referrers` are its referrers, if these are known. Texts are bounded
/// and have no control characters.
///
/// Sends the requests of [`fetch`], and those for the `.att` tag twice.
///
/// # Errors
/// If a registry does not answer, or if the trusted root is not available.
pub async fn explain(
    reader: &Reader,
    verification: &Verification,
    image: &ProductionImage<'_>,
    listed_tags: ListedTags,
    referrers: &[Referrer],
) -> Result<Explanation, AuditError> {
    let share = verification.budget.share();
    let client = verification.client(reader, &share);
    let evidence = match fetch(client, image.canonical, image.digest, listed_tags, EvidenceKinds::All).await {
        Ok(evidence) => evidence,
        Err(crate::evidence::EvidenceError::Registry(error)) if is_damage(&error) => {
            // A list of referrers that cannot be parsed hides all of them.
            let kinds = EvidenceKinds::SignatureTag;
            let mut evidence = fetch(client, image.canonical, image.digest, listed_tags, kinds).await?;
            let (claim, reason) = (Claim::Attestation(Some(PROMOTION_TYPE.to_owned())), error.to_string());
            evidence.rejected.push(Rejected { claim, reason, place: "the list of referrers".to_owned() });
            evidence
        }
        Err(error) => return Err(error.into()),
    };
    let signature = signature(verification, image, &evidence);
    let unsigned = unsigned_records(reader, image.canonical, image.digest, listed_tags.attestations).await?;
    let record = match unsigned.is_empty() {
        true => record(verification, image, &evidence, referrers),
        false => Some((RecordVerdict::Unsigned, unsigned)),
    };
    Ok(Explanation { signature, record })
}

fn is_damage(error: &oci::Error) -> bool {
    matches!(error.kind(), oci::ErrorKind::Manifest(_))
}

fn signature(
    verification: &Verification,
    image: &ProductionImage<'_>,
    evidence: &Evidence,
) -> Option<(SignatureVerdict, Vec<String>)> {
    let mut found: Vec<(SignatureVerdict, String)> = Vec::new();
    for signature in &evidence.signatures {
        let signer = Signer::from(&signature.signatory);
        let place = &signature.location;
        let name = signature.reference.as_deref().unwrap_or_default();
        if !verification.accepts(&signature.signatory) {
            found.push((SignatureVerdict::OtherIdentity, format!("{place}: it is signed by {signer}")));
        } else if name != image.reference {
            let name = if name.is_empty() { "no name" } else { name };
            let text = format!("{place}: {signer} has signed it as {name}");
            found.push((SignatureVerdict::OtherReference, text));
        }
    }
    let is_signature = |rejected: &&Rejected| rejected.claim == Claim::Signature;
    for Rejected { reason, place, .. } in evidence.rejected.iter().filter(is_signature) {
        found.push((SignatureVerdict::Invalid, format!("{place}: {reason}")));
    }
    for Rejected { reason, place, .. } in evidence.others.iter().filter(is_signature) {
        found.push((SignatureVerdict::OtherIdentity, format!("{place}: {reason}")));
    }
    for absent in evidence.absent.iter().filter(|absent| absent.claim == Claim::Signature) {
        found.push((SignatureVerdict::Invalid, format!("{absent}: the registry does not have it")));
    }
    worst(found)
}

fn record(
    verification: &Verification,
    image: &ProductionImage<'_>,
    evidence: &Evidence,
    referrers: &[Referrer],
) -> Option<(RecordVerdict, Vec<String>)> {
    let claims: Vec<String> = referrers
        .iter()
        .filter(|referrer| {
            referrer.annotations.get(PREDICATE_TYPE).is_some_and(|kind| kind == PROMOTION_TYPE)
        })
        .map(|referrer| format!("{}@{}", image.canonical, referrer.digest))
        .collect();
    let is_record = |claim: &Claim, place: &String| match claim {
        Claim::Signature => false,
        Claim::Attestation(Some(kind)) => kind == PROMOTION_TYPE,
        Claim::Attestation(None) => claims.contains(place),
    };
    let mut found = Vec::new();
    let records =
        evidence.attestations.iter().filter(|found| found.statement.predicate_type == PROMOTION_TYPE);
    for record in records {
        let (signer, place) = (Signer::from(&record.signatory), &record.location);
        if verification.accepts(&record.signatory) {
            let named: Vec<&str> =
                record.statement.subject.iter().map(|subject| subject.name.as_str()).collect();
            let text = format!("{place}: {signer} has recorded it as {}", named.join(", "));
            if !named.contains(&image.reference) {
                found.push((RecordVerdict::Invalid, text));
            }
        } else {
            found.push((RecordVerdict::Missing, format!("{place}: it is recorded by {signer}")));
        }
    }
    for Rejected { reason, place, .. } in
        evidence.rejected.iter().filter(|rejected| is_record(&rejected.claim, &rejected.place))
    {
        found.push((RecordVerdict::Invalid, format!("{place}: {reason}")));
    }
    for absent in evidence.absent.iter().filter(|absent| is_record(&absent.claim, &absent.place)) {
        found.push((
            RecordVerdict::Missing,
            format!("{absent}: it is listed, and the registry does not have it"),
        ));
    }
    worst(found)
}

/// Returns the worst verdict with its reasons, made safe for a terminal.
fn worst<V: Copy + Ord>(found: Vec<(V, String)>) -> Option<(V, Vec<String>)> {
    let worst = found.iter().map(|(verdict, _)| *verdict).max()?;
    let reasons = found.into_iter().filter(|(verdict, _)| *verdict == worst);
    Some((worst, reasons.take(DETAILS_MAX).map(|(_, text)| shown(&text)).collect()))
}

/// Returns where the `.att` tag of a manifest has promotion records without any signature. Versions of the Go tool of 2026 have
/// written such records.
async fn unsigned_records(
    reader: &Reader,
    repository: &Repository,
    digest: Digest,
    known: Known,
) -> Result<Vec<String>, AuditError> {
    let mut found = Vec::new();
    let Some(tag) = AttachedTag::new(digest, AttachmentKind::Attestation) else { return Ok(found) };
    if known == Known::Absent {
        return Ok(found);
    }
    let tag = tag.tag();
    let attachment = match reader.attachment(repository, Selector::Tag(&tag)).await {
        Ok(Found::Present(attachment)) => attachment,
        Ok(Found::Absent(_)) => return Ok(found),
        // The caller reports damaged content.
        Err(error) if is_about_content(&error) => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    for (index, layer) in attachment.layers.iter().take(LAYERS_MAX).enumerate() {
        let content = match reader.small_blob(repository, layer.digest, layer.size, BUNDLE_MAX).await {
            Ok(content) => content,
            Err(error) if is_about_content(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        let is_envelope = layer.media_type == DSSE_TYPE;
        if unsigned_predicate_type(&content, is_envelope).as_deref() == Some(PROMOTION_TYPE)
            && found.len() < DETAILS_MAX
        {
            found.push(format!("{repository}:{tag}, layer {}: it is not signed", index + 1));
        }
    }
    Ok(found)
}
