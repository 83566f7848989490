//! The verdicts about the images that were checked.

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use oci::{Digest, Reader, Repository, Tag};
use schemars::JsonSchema;
use serde::Serialize;
use trust::attach::ProductionImage;
use trust::audit::{AuditError, Explanation, RecordVerdict, SignatureVerdict, explain};
use trust::{Problem, TrustConfig};

use super::image::FoundImage;
use crate::error::Error;
use crate::event::{Event, Run};
use crate::phase::{Checked, Cleared, LackingPart};

/// The number of images whose findings are determined concurrently.
const AT_ONCE: usize = 16;

/// An image that was checked.
#[derive(Clone, Debug)]
pub struct CheckedImage {
    /// The name that users pull the image by, without a tag.
    pub reference: String,
    /// The canonical repository.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// The tags, as far as they are known.
    pub tags: Vec<Tag>,
    /// The upload time, if the registry reports it.
    pub uploaded: Option<Timestamp>,
    /// The findings, or why the image could not be checked.
    pub result: Result<Findings, Problem>,
}

/// What was found about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// The verdict about its signature. Absent if the image has no tag, and needs no signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureVerdict>,
    /// The verdict about its promotion record.
    pub record: RecordVerdict,
    /// The reasons for these verdicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The parts of an index whose signature is not ok.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<CheckedPart>,
    /// Why the image is not repaired, or not completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_repaired: Option<String>,
}

/// A part of an index whose signature is not ok.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedPart {
    /// Its digest.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    pub digest: Digest,
    /// The platform, as `os/architecture[/variant]`. Absent if the index does not state it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The verdict about its signature.
    pub signature: SignatureVerdict,
    /// The reasons for this verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl CheckedImage {
    /// Returns whether nothing is missing from the image. `false` for an image that could not be checked.
    pub fn is_ok(&self) -> bool {
        self.result.as_ref().is_ok_and(Findings::is_ok)
    }

    /// Returns the image by digest, under the name that users pull it by.
    pub fn name(&self) -> String {
        format!("{}@{}", self.reference, self.digest)
    }
}

impl Findings {
    /// Returns whether nothing is missing.
    pub fn is_ok(&self) -> bool {
        self.signature.is_none_or(|signature| signature == SignatureVerdict::Ok)
            && self.record == RecordVerdict::Ok
            && self.parts.is_empty()
    }
}

/// Returns the verdicts about images, in their order.
///
/// # Errors
/// If trust is not available, or if the run is stopped.
pub(super) async fn verdicts(
    run: &Run,
    reader: &Reader,
    images: &[FoundImage],
    cleared: &Cleared,
    trust_config: &TrustConfig,
) -> Result<Vec<CheckedImage>, Error> {
    let checked = cleared.checked();
    let judge = Judge { reader, trust_config };
    run.emit(&Event::Work { units: "images", more: images.len() });
    let judged: Vec<CheckedImage> = stream::iter(images)
        .take_while(|_| std::future::ready(!run.is_stopping()))
        .map(async |image| {
            let found = checked.get(&(&image.repository, image.digest));
            let result = judge.findings(image, found).await;
            run.emit(&Event::Worked);
            CheckedImage {
                reference: trust_config.production.reference(&image.repository),
                repository: image.repository.to_string(),
                digest: image.digest,
                tags: image.tags.clone(),
                uploaded: image.uploaded,
                result,
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    if run.is_stopping() { Err(Error::Interrupted) } else { Ok(judged) }
}

struct Judge<'a> {
    reader: &'a Reader,
    trust_config: &'a TrustConfig,
}

impl Judge<'_> {
    async fn findings(&self, image: &FoundImage, found: Option<&Checked<'_>>) -> Result<Findings, Problem> {
        let signature = image.signs.then_some(SignatureVerdict::Ok);
        let record = RecordVerdict::Ok;
        let ok = Findings { signature, record, details: Vec::new(), parts: Vec::new(), not_repaired: None };
        match found {
            None => Err(Problem::without_advice("it was listed but no longer exists")),
            Some(Checked::Unread(problem)) => Err(Problem::clone(problem)),
            Some(Checked::Complete) => Ok(ok),
            Some(Checked::Lacking { parts, record, why_not }) => {
                let has_tag =
                    self.trust_config.signing.as_ref().is_none_or(|signing| signing.format.has_tag());
                let mut findings = Findings { not_repaired: why_not.clone(), ..ok };
                for part in parts {
                    let is_image = part.digest == image.digest;
                    let lacks_record = is_image && *record;
                    if !part.layer && !part.bundle && !lacks_record {
                        continue;
                    }
                    let explained =
                        self.explain(&image.repository, part).await.map_err(|error| problem(&error))?;
                    let Explanation { signature, record } = explained;
                    if part.layer || part.bundle {
                        let (verdict, details) = lacking_signature(part, has_tag, signature);
                        if is_image {
                            findings.signature = Some(verdict);
                            findings.details.extend(details);
                        } else {
                            let platform = part.platform.map(str::to_owned);
                            let part =
                                CheckedPart { digest: part.digest, platform, signature: verdict, details };
                            findings.parts.push(part);
                        }
                    }
                    if lacks_record {
                        let (verdict, details) = record.unwrap_or((RecordVerdict::Missing, Vec::new()));
                        findings.record = verdict;
                        findings.details.extend(details);
                    }
                }
                Ok(findings)
            }
        }
    }

    async fn explain(
        &self,
        repository: &Repository,
        part: &LackingPart<'_>,
    ) -> Result<Explanation, AuditError> {
        let reference = self.trust_config.production.reference(repository);
        let image = ProductionImage { canonical: repository, reference: &reference, digest: part.digest };
        let verification = &self.trust_config.verification;
        explain(self.reader, verification, &image, part.listed_tags, part.referrers).await
    }
}

fn problem(error: &AuditError) -> Problem {
    Problem::new(error.to_string(), error.advice())
}

/// Returns the verdict about a signature that is missing in an expected format.
fn lacking_signature(
    part: &LackingPart<'_>,
    has_tag: bool,
    explained: Option<(SignatureVerdict, Vec<String>)>,
) -> (SignatureVerdict, Vec<String>) {
    // If the tag counts and only the bundle is missing, signatures by others are irrelevant.
    if has_tag && !part.layer {
        let why = "it has a signature tag but no signature bundle: cosign 2.6 and later read only \
         bundles if a manifest has any";
        return (SignatureVerdict::Missing, vec![why.to_owned()]);
    }
    explained.unwrap_or((SignatureVerdict::Missing, Vec::new()))
}
