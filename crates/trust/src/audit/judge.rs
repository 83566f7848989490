//! The findings about one image, and whether they make it signed.

use jiff::Timestamp;
use oci::{Digest, Repository};
use sigstore::{Signatory, Statement};

use super::finding::{Audited, Refused, RefusedKind, Signature, SignatureStatus};
use super::image::{is_same, repository_of};
use super::statement::{Predicate, read_predicate};
use super::text::shown;
use crate::config::Verification;
use crate::evidence::Claim;
use crate::production::Production;

/// The maximum number of objections of one kind in a report. Anyone with push access can attach any number of signatures.
const OBJECTIONS_MAX: usize = 5;

/// Decides which signatures count for an image.
pub(super) struct Judge<'a> {
    verification: &'a Verification,
    /// The valid names of the image: its own repository, and the name that users pull it by.
    names: Vec<Repository>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        verification: &'a Verification,
        production: &Production,
        repository: &Repository,
    ) -> Self {
        let mut names = vec![repository.clone()];
        names.extend(production.reference(repository).parse().ok().filter(|name| name != repository));
        Self { verification, names }
    }

    /// Evaluates a signature. A signature without a name is for the digest, and therefore for this image.
    fn standing(&self, signatory: &Signatory, reference: Option<&str>) -> SignatureStatus {
        let is_ours = |reference: &str| {
            repository_of(reference).is_some_and(|of| self.names.iter().any(|name| is_same(&of, name)))
        };
        if !self.verification.accepts(signatory) {
            SignatureStatus::OtherSigner
        } else if reference.is_none_or(is_ours) {
            SignatureStatus::Counts
        } else {
            SignatureStatus::OtherReference
        }
    }

    /// Creates empty findings for an image.
    pub(super) fn image(&self, digest: Digest, platform: Option<&str>) -> ImageFindings<'_> {
        ImageFindings { judge: self, audited: empty(digest, platform) }
    }

    fn wanted(&self) -> String {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        names.join(" or ")
    }
}

/// Returns the findings about a platform that could not be examined.
pub(super) fn unexamined(digest: Digest, platform: Option<&str>, why: &str) -> Audited {
    Audited { unexamined: Some(shown(why)), ..empty(digest, platform) }
}

fn empty(digest: Digest, platform: Option<&str>) -> Audited {
    Audited {
        digest,
        platform: platform.map(shown),
        signed: false,
        objections: Vec::new(),
        unexamined: None,
        signatures: Vec::new(),
        records: Vec::new(),
        summaries: Vec::new(),
        attestations: Vec::new(),
        refused: Vec::new(),
        platforms: Vec::new(),
    }
}

/// The findings about an image, while its attachments are read.
pub(super) struct ImageFindings<'a> {
    judge: &'a Judge<'a>,
    audited: Audited,
}

impl ImageFindings<'_> {
    pub(super) fn signature(
        &mut self,
        signatory: &Signatory,
        reference: Option<&str>,
        signed_at: Option<Timestamp>,
        place: &str,
    ) {
        let standing = self.judge.standing(signatory, reference);
        let (signer, reference, place) = (signatory.into(), reference.map(shown), shown(place));
        self.audited.signatures.push(Signature { standing, signer, reference, signed_at, place });
    }

    pub(super) fn statement(&mut self, signatory: &Signatory, statement: &Statement, place: &str) {
        let accepted = self.judge.verification.accepts(signatory);
        match read_predicate(signatory, statement, accepted, place) {
            Predicate::Record(record) => self.audited.records.push(record),
            Predicate::Summary(summary) => self.audited.summaries.push(summary),
            Predicate::Attestation(attestation) => self.audited.attestations.push(attestation),
            Predicate::Refused(refused) => self.audited.refused.push(refused),
        }
    }

    pub(super) fn refused(&mut self, claim: &Claim, reason: &str, place: &str) {
        let (kind, predicate_type) = match claim {
            Claim::Signature => (RefusedKind::Signature, None),
            Claim::Attestation(predicate_type) => (RefusedKind::Attestation, predicate_type.as_deref()),
        };
        let (predicate_type, reason, place) = (predicate_type.map(shown), shown(reason), shown(place));
        self.audited.refused.push(Refused { kind, predicate_type, reason, place });
    }

    /// Whether a signature of the image counts.
    pub(super) fn is_signed(&self) -> bool {
        self.audited.signatures.iter().any(|found| found.standing == SignatureStatus::Counts)
    }

    /// Completes the findings.
    pub(super) fn finish(self, platforms: Vec<Audited>) -> Audited {
        let is_signed = self.is_signed();
        let Self { judge, mut audited } = self;
        audited.platforms = platforms;
        audited.signed = is_signed;
        if !audited.signed {
            audited.objections = objections(judge, &audited);
        }
        audited
    }
}

/// Returns the reasons why an image is not signed.
fn objections(judge: &Judge<'_>, audited: &Audited) -> Vec<String> {
    let signed = audited.signatures.iter().take(OBJECTIONS_MAX).map(|found| match found.standing {
        SignatureStatus::OtherReference => format!(
            "it is signed as {}, not as {}",
            found.reference.as_deref().unwrap_or_default(),
            judge.wanted()
        ),
        SignatureStatus::OtherSigner | SignatureStatus::Counts => {
            format!("it is signed by {}, not by {}", found.signer, judge.verification.staging)
        }
    });
    let signatures = audited.refused.iter().filter(|refused| refused.kind == RefusedKind::Signature);
    let refused = signatures.take(OBJECTIONS_MAX).map(|refused| {
        let Refused { reason, place, .. } = refused;
        format!("a signature does not verify ({place}): {reason}")
    });
    let mut all: Vec<String> = signed.chain(refused).collect();
    if all.is_empty() {
        all.push("it has no signature".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use manifest::policy::{Pattern, SignerPattern};
    use sigstore::{Trust, TrustSettings};

    use super::*;
    use crate::evidence::Budget;

    fn verification() -> Verification {
        let door = transport::Door::open(transport::Settings::default()).unwrap();
        let exact = |text| Pattern::exact(text).unwrap();
        Verification {
            trust: Trust::new(door, TrustSettings::default()).unwrap(),
            staging: SignerPattern { issuer: exact("https://i.example"), subject: exact("a@b.c") },
            budget: Budget::default(),
            scans: None,
        }
    }

    fn production() -> Production {
        Production {
            canonical_host: "one.example".parse().unwrap(),
            path: "prod/images".parse().unwrap(),
            reference: "registry.example".parse().unwrap(),
        }
    }

    fn by(subject: &str) -> Signatory {
        Signatory::Certificate { issuer: "https://i.example".to_owned(), subject: subject.to_owned() }
    }

    /// Judges an image with these signatures, each by a signatory and with a reference.
    fn judged(signatures: &[(&Signatory, Option<&str>)]) -> Audited {
        let (verification, production) = (verification(), production());
        let repository = "two.example/prod/images/app".parse().unwrap();
        let judge = Judge::new(&verification, &production, &repository);
        let mut draft = judge.image(Digest::of(b"x"), None);
        for (signatory, reference) in signatures {
            draft.signature(signatory, *reference, None, "here");
        }
        draft.finish(Vec::new())
    }

    #[test]
    fn a_signature_counts_if_it_names_the_repository_or_the_reference_or_no_image() {
        for reference in [
            None,
            Some("registry.example/app"),
            Some("registry.example/app:v1"),
            Some("two.example/prod/images/app"),
        ] {
            let audited = judged(&[(&by("a@b.c"), reference)]);
            assert!(audited.signed && audited.objections.is_empty(), "{reference:?}: {audited:?}");
        }
    }

    #[test]
    fn a_signature_for_another_image_does_not_count() {
        for reference in
            ["registry.example/app2", "registry.example/other/app", "one.example/prod/images/app", "app", ""]
        {
            let audited = judged(&[(&by("a@b.c"), Some(reference))]);
            assert!(!audited.signed, "{reference}");
            assert_eq!(audited.signatures[0].standing, SignatureStatus::OtherReference, "{reference}");
            assert!(audited.objections[0].contains("registry.example/app"), "{:?}", audited.objections);
        }
    }

    #[test]
    fn one_accepted_signature_suffices_and_other_signers_are_named() {
        let (ours, other) = (by("a@b.c"), by("mallory@b.c"));
        assert!(judged(&[(&other, None), (&ours, None)]).signed);
        let audited = judged(&[(&other, None)]);
        assert_eq!(audited.objections.len(), 1);
        let reported = &audited.objections[0];
        assert!(
            reported.contains("mallory@b.c (https://i.example)") && reported.contains("a@b.c"),
            "{reported}"
        );
        let key = Signatory::Key { fingerprint: "ab".to_owned() };
        assert!(judged(&[(&key, None)]).signed, "only signatures by the trusted key verify");
    }

    #[test]
    fn the_objections_to_an_unsigned_image_are_bounded() {
        assert_eq!(judged(&[]).objections, ["it has no signature"]);
        let (verification, production) = (verification(), production());
        let repository = "two.example/prod/images/app".parse().unwrap();
        let judge = Judge::new(&verification, &production, &repository);
        let mut draft = judge.image(Digest::of(b"x"), None);
        (0..100).for_each(|_| draft.refused(&Claim::Signature, "forged", "there"));
        draft.refused(&Claim::Attestation(None), "broken", "there");
        let audited = draft.finish(Vec::new());
        assert_eq!((audited.objections.len(), audited.refused.len()), (OBJECTIONS_MAX, 101));
        assert!(audited.objections[0].contains("forged"));
    }

    #[test]
    fn an_index_is_wholly_signed_if_all_its_platforms_are() {
        let (verification, production) = (verification(), production());
        let repository = "two.example/prod/images/app".parse().unwrap();
        let judge = Judge::new(&verification, &production, &repository);
        let ours = by("a@b.c");
        let platform = |signed: bool, deeper| {
            let mut draft = judge.image(Digest::of(b"x"), Some("linux/arm64"));
            if signed {
                draft.signature(&ours, None, None, "here");
            }
            draft.finish(deeper)
        };
        let whole = platform(true, vec![platform(true, Vec::new()), platform(true, Vec::new())]);
        assert!(whole.is_wholly_signed());
        assert_eq!(whole.platforms_signed(), (2, 2));
        let nested = platform(true, vec![platform(true, vec![platform(false, Vec::new())])]);
        assert!(nested.signed && !nested.is_wholly_signed());
        assert_eq!(nested.platforms_signed(), (1, 2));
    }
}
