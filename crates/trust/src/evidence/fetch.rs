//! Fetches attachments from a registry.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use oci::{AttachedTag, AttachmentKind, Digest, Found, Known, Referrer, Referrers, Repository, Selector};
use oci_types::text::shown;

use super::bundle::{is_bundle, read_bundle};
use super::found::{
    Absent, Claim, Evidence, EvidenceError, EvidenceKinds, ListedTags, PREDICATE_TYPE, Rejected, SIGN_TYPE,
    Unusable,
};
use super::subject::{EvidenceClient, Subject, is_gone};
use super::tag::read_layers;

/// The maximum length of an untrusted text in a reason or a location, in characters.
const SHOWN_MAX: usize = 512;
/// The maximum number of an image's bundles that are read.
const BUNDLES_MAX: usize = 100;
/// The maximum number of bundles that are read concurrently.
const AT_ONCE: usize = 4;

/// Reads and verifies the attachments of an image.
///
/// Sends one request for each tag that is not known to be absent, one for the list of referrers, one for each layer, and two
/// for each bundle. The trusted root is loaded when the first attachment must be verified. These formats do not support
/// SHA-512 digests, so nothing is requested for them.
///
/// # Errors
/// If the registry does not answer, or if the trusted root is not available. An unusable attachment is not an error: it is
/// listed in `rejected`, `others` or `absent`.
pub async fn fetch(
    client: EvidenceClient<'_>,
    repository: &Repository,
    digest: Digest,
    listed_tags: ListedTags,
    kinds: EvidenceKinds,
) -> Result<Evidence, EvidenceError> {
    let mut evidence = Evidence::default();
    let Digest::Sha256(_) = digest else { return Ok(evidence) };
    let subject = Subject { client, repository, digest, sha256: digest.hex() };
    let tags = match kinds {
        EvidenceKinds::Signatures | EvidenceKinds::SignatureTag => {
            &[(AttachmentKind::Signature, listed_tags.signatures)][..]
        }
        EvidenceKinds::Attestations => &[(AttachmentKind::Attestation, listed_tags.attestations)],
        EvidenceKinds::All => &[
            (AttachmentKind::Signature, listed_tags.signatures),
            (AttachmentKind::Attestation, listed_tags.attestations),
        ],
    };
    for (kind, known) in tags {
        if *known != Known::Absent {
            subject.read_tag(*kind, *known, &mut evidence).await?;
        }
    }
    if kinds != EvidenceKinds::SignatureTag {
        subject.read_referrers(listed_tags.referrers, kinds, &mut evidence).await?;
    }
    // Reasons and locations contain untrusted text.
    for Rejected { reason, place, .. } in evidence.rejected.iter_mut().chain(&mut evidence.others) {
        (*reason, *place) = (shown(reason, SHOWN_MAX), shown(place, SHOWN_MAX));
    }
    Ok(evidence)
}

impl Subject<'_> {
    async fn read_tag(
        &self,
        kind: AttachmentKind,
        known: Known,
        evidence: &mut Evidence,
    ) -> Result<(), EvidenceError> {
        let Some(tag) = AttachedTag::new(self.digest, kind).map(|tag| tag.tag()) else { return Ok(()) };
        let place = || format!("{}:{tag}", self.repository);
        let claim = || match kind {
            AttachmentKind::Signature => Claim::Signature,
            _ => Claim::Attestation(None),
        };
        match self.client.reader.attachment(self.repository, Selector::Tag(&tag)).await {
            Ok(Found::Absent(_)) => {
                // Registries may list a tag that they no longer have, or do not have yet.
                if known == Known::Present {
                    evidence.note(Unusable::Absent(Absent { claim: claim(), place: place() }, None));
                }
                Ok(())
            }
            Ok(Found::Present(attachment)) => read_layers(self, kind, &tag, attachment, evidence).await,
            Err(error) => {
                // For a tag that was not listed, a 404 that does not prove absence leaves open whether the tag exists.
                let unusable = match is_gone(&error) && known != Known::Present {
                    true => self.failed(claim(), place(), error)?,
                    false => self.unreadable(claim(), place(), error)?,
                };
                evidence.note(unusable);
                Ok(())
            }
        }
    }

    async fn read_referrers(
        &self,
        fallback: Known,
        kinds: EvidenceKinds,
        evidence: &mut Evidence,
    ) -> Result<(), EvidenceError> {
        let (repository, digest) = (self.repository, self.digest);
        let listed = match self.client.reader.referrers_of(repository, digest, None, fallback).await {
            Ok(Referrers { listed, refused }) => {
                evidence.unproven = evidence.unproven.take().or(refused);
                listed
            }
            // The fallback tag is listed but absent.
            Err(error) if is_gone(&error) && fallback == Known::Present => {
                let place = self.referrers_place();
                let absent = Absent { claim: Claim::Attestation(None), place };
                evidence.note(Unusable::Absent(absent, Some(error)));
                return Ok(());
            }
            Err(error) => {
                evidence.note(self.failed(Claim::Attestation(None), self.referrers_place(), error)?);
                return Ok(());
            }
        };
        // cosign finds only signatures with the right annotation, so others are skipped. The annotation of an attestation is
        // not trusted.
        let may_be_wanted = |referrer: &Referrer| {
            let claimed = referrer.annotations.get(PREDICATE_TYPE);
            kinds != EvidenceKinds::Signatures || claimed.is_none_or(|claimed| claimed == SIGN_TYPE)
        };
        let bundles = listed.into_iter().filter(|referrer| is_bundle(referrer) && may_be_wanted(referrer));
        let bundles: Vec<Referrer> = bundles.collect();
        if bundles.len() > BUNDLES_MAX {
            evidence.rejected.push(Rejected {
                claim: Claim::Attestation(None),
                reason: format!("more than {BUNDLES_MAX} bundles are attached, and the others are not read"),
                place: self.referrers_place(),
            });
        }
        let found: Vec<Evidence> = stream::iter(bundles.into_iter().take(BUNDLES_MAX))
            .map(async |listed| read_bundle(self, &listed).await)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        found.into_iter().for_each(|found| evidence.extend(found));
        Ok(())
    }

    fn referrers_place(&self) -> String {
        format!("the referrers of {}@{}", self.repository, self.digest)
    }
}
