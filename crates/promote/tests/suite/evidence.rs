//! The evidence attached to an image: what verifies, where it is located, and how many requests reading it takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::support::hand::{
    BUNDLE, Hand, PROVENANCE, append, attach, attach_annotated, attach_as, broken, forged,
};
use crate::support::{door, path};
use bytes::Bytes;
use http::StatusCode;
use oci::{AttachedTag, AttachmentKind, Client, Digest, Known, NewLayer, RawManifest, Repository};
use registry::sample::Recipe;
use registry::{Config, Effect, ErrorCode, Fault, Kind as Request, Server};
use sigstore::{Trust, TrustSettings};
use trust::evidence::{
    Budget, Claim, Evidence, EvidenceClient, EvidenceError, EvidenceKinds, Failures, ListedTags, Location,
    Rejected, SIGN_TYPE, fetch,
};

/// A trusted root without keys of signers.
const ROOT: &str = r#"{
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [], "certificateAuthorities": [], "ctlogs": [], "timestampAuthorities": []
}"#;

/// An image in a registry, and a trusted key.
struct Scene {
    server: Server,
    repository: Repository,
    image: RawManifest,
    hand: Hand,
}

const SBOM: &str = "https://example.com/sbom";
const ABSENT: ListedTags =
    ListedTags { signatures: Known::Absent, attestations: Known::Absent, referrers: Known::Absent };

impl Scene {
    async fn new(config: Config) -> Self {
        let server = Server::start(config).await.unwrap();
        let sample = Recipe::default().image();
        sample.put(server.store(), &path("staging/app"), &[]).await.unwrap();
        let repository = Repository { host: server.host().clone(), path: path("staging/app") };
        Self { server, repository, image: sample.root().clone(), hand: Hand::new() }
    }

    fn client() -> Client {
        Client::new(door(), Arc::new(oci::Anonymous), HashMap::new())
    }

    /// Returns the evidence that a new client finds.
    async fn look(&self, listed_tags: ListedTags, kinds: EvidenceKinds) -> Result<Evidence, EvidenceError> {
        self.trusting(&Self::client(), &self.hand.trust(), listed_tags, kinds).await
    }

    async fn trusting(
        &self,
        client: &Client,
        trust: &Trust,
        listed_tags: ListedTags,
        kinds: EvidenceKinds,
    ) -> Result<Evidence, EvidenceError> {
        let (reader, budget) = (client.reader(), Budget::default());
        let means =
            EvidenceClient { reader: &reader, trust, share: &budget.share(), failures: Failures::Fail };
        fetch(means, &self.repository, self.image.digest(), listed_tags, kinds).await
    }

    /// Returns all evidence of the image, found without hints from listings.
    async fn all(&self) -> Evidence {
        self.look(ListedTags::default(), EvidenceKinds::All).await.unwrap()
    }

    async fn append(&self, kind: AttachmentKind, layers: &[NewLayer]) {
        append(&self.repository, self.image.digest(), kind, layers).await;
    }

    async fn attach(&self, bundle: Bytes) -> oci::Digest {
        attach(&self.repository, &self.image, bundle).await
    }

    fn requests(&self) -> u64 {
        let tally = self.server.tally().snapshot();
        self.server.tally().reset();
        tally.total()
    }
}

fn is_empty(evidence: &Evidence) -> bool {
    let Evidence { signatures, attestations, rejected, others, absent, unproven } = evidence;
    let is_empty = signatures.is_empty() && attestations.is_empty() && rejected.is_empty();
    is_empty && others.is_empty() && absent.is_empty() && unproven.is_none()
}

/// Returns the reasons why signatures, and why other attachments, are rejected.
fn reasons(evidence: &Evidence) -> (Vec<&str>, Vec<&str>) {
    let reason = |is_signature: bool| {
        let of_kind =
            evidence.rejected.iter().filter(move |one| (one.claim == Claim::Signature) == is_signature);
        of_kind.map(|rejected| rejected.reason.as_str()).collect()
    };
    (reason(true), reason(false))
}

#[tokio::test]
async fn absent_attachments_are_not_found_and_known_absences_are_not_requested() {
    for (referrers_api, without, first, then) in [(true, 3, 1, 1), (false, 5, 2, 0)] {
        let scene = Scene::new(Config { referrers_api, ..Config::default() }).await;
        assert!(is_empty(&scene.all().await));
        assert_eq!(scene.requests(), without, "two tags and the referrers");
        let (client, trust) = (Scene::client(), scene.hand.trust());
        for expected in [first, then] {
            assert!(is_empty(&scene.trusting(&client, &trust, ABSENT, EvidenceKinds::All).await.unwrap()));
            assert_eq!(scene.requests(), expected, "with an API: {referrers_api}");
        }
    }
}

#[tokio::test]
async fn valid_attachments_are_found_in_each_form_with_everything_needed_to_copy_them() {
    for referrers_api in [true, false] {
        let scene = Scene::new(Config { referrers_api, ..Config::default() }).await;
        let (hand, digest) = (&scene.hand, scene.image.digest());
        let signature = hand.signature(digest).await;
        scene.append(AttachmentKind::Signature, std::slice::from_ref(&signature)).await;
        scene.append(AttachmentKind::Attestation, &[hand.attestation(digest, PROVENANCE).await]).await;
        let attested = scene.attach(hand.bundle(digest, "https://example.com/sbom").await).await;
        let signed = scene.attach(hand.sign_bundle(digest).await).await;
        let message = scene.attach(hand.message(&scene.image).await).await;
        let evidence = scene.all().await;
        assert!(evidence.rejected.is_empty(), "{:?}", evidence.rejected);
        assert_eq!(evidence.attestations.len(), 2);
        assert_eq!(evidence.attestations[0].statement.predicate_type, PROVENANCE);
        assert_eq!(evidence.attestations[1].location.digest(), attested);
        let [first, rest @ ..] = &evidence.signatures[..] else { panic!("no signature") };
        let Location::Layer { tag, layer, .. } = &first.location else { panic!("{first:?}") };
        assert_eq!(*tag, AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag());
        assert_eq!(*layer, signature, "as it was written");
        let mut bundles: Vec<Digest> = rest.iter().map(|found| found.location.digest()).collect();
        let mut expected = [signed, message];
        bundles.sort();
        expected.sort();
        assert_eq!(bundles, expected);
    }
}

/// A layer names no key, so a layer that does not verify counts as another signer's. A bundle that names our key and does not
/// verify is forged.
#[tokio::test]
async fn an_invalid_signature_is_distinguished_from_a_valid_one_beside_it() {
    let scene = Scene::new(Config::default()).await;
    let (hand, digest) = (&scene.hand, scene.image.digest());
    let good = hand.attestation(digest, PROVENANCE).await;
    let bad = forged(hand.attestation(digest, SBOM).await);
    scene.append(AttachmentKind::Attestation, &[bad, good.clone()]).await;
    let genuine = hand.signature(digest).await;
    let signatures = [forged(hand.signature(digest).await), genuine.clone()];
    scene.append(AttachmentKind::Signature, &signatures).await;
    scene.attach(broken(&hand.bundle(digest, SBOM).await)).await;
    scene.attach(broken(&hand.sign_bundle(digest).await)).await;
    let evidence = scene.all().await;
    let [attestation] = &evidence.attestations[..] else { panic!("{:?}", evidence.attestations) };
    let [signature] = &evidence.signatures[..] else { panic!("{:?}", evidence.signatures) };
    let is = |location: &Location, layer: &NewLayer| matches!(location, Location::Layer { layer: found, .. } if found == layer);
    assert!(is(&attestation.location, &good) && is(&signature.location, &genuine));
    assert_eq!((attestation.location.id().layer, signature.location.id().layer), (Some(1), Some(1)));
    let claims = |found: &[Rejected]| {
        let signatures = found.iter().filter(|one| one.claim == Claim::Signature).count();
        let sboms = found.iter().filter(|one| one.claim == Claim::Attestation(Some(SBOM.to_owned()))).count();
        (signatures, sboms, found.len())
    };
    assert_eq!(claims(&evidence.others), (1, 1, 2), "{:?}", evidence.others);
    assert_eq!(claims(&evidence.rejected), (1, 1, 2), "{:?}", evidence.rejected);
    assert!(evidence.rejected.iter().all(|rejected| rejected.reason.starts_with("forged or broken")));
}

#[tokio::test]
async fn attachments_by_other_signers_or_about_other_images_do_not_count() {
    let scene = Scene::new(Config::default()).await;
    let (hand, stranger, digest) = (&scene.hand, Hand::new(), scene.image.digest());
    let other = Digest::of(b"another image");
    scene.append(AttachmentKind::Signature, &[hand.signature(other).await]).await;
    scene.append(AttachmentKind::Attestation, &[hand.attestation(other, PROVENANCE).await]).await;
    scene.attach(stranger.bundle(digest, PROVENANCE).await).await;
    scene.attach(stranger.sign_bundle(digest).await).await;
    scene.attach(broken(&hand.bundle(digest, PROVENANCE).await)).await;
    scene.attach(hand.sign_bundle(other).await).await;
    let evidence = scene.all().await;
    assert_eq!((evidence.signatures.len(), evidence.attestations.len()), (0, 0));
    let (signatures, attestations) = reasons(&evidence);
    assert_eq!((signatures.len(), attestations.len()), (2, 2), "{:?}", evidence.rejected);
    assert!(signatures.iter().all(|reason| reason.starts_with("about something else")), "{signatures:?}");
    let forged = evidence.rejected.iter().filter(|rejected| rejected.reason.starts_with("forged or broken"));
    assert_eq!(forged.count(), 1);
    let mut others: Vec<&Claim> = evidence.others.iter().map(|other| &other.claim).collect();
    others.sort_by_key(|claim| **claim == Claim::Signature);
    let provenance = Claim::Attestation(Some(PROVENANCE.to_owned()));
    assert_eq!(
        others,
        [&provenance, &Claim::Signature],
        "an attachment by another key counts as another signer's"
    );
}

/// Without a configured key, a signature made with a key is neither forged nor trusted.
#[tokio::test]
async fn a_signature_by_a_key_that_is_not_configured_counts_as_another_signers() {
    let scene = Scene::new(Config::default()).await;
    let (hand, digest) = (&scene.hand, scene.image.digest());
    scene.append(AttachmentKind::Signature, &[hand.signature(digest).await]).await;
    scene.append(AttachmentKind::Attestation, &[hand.attestation(digest, PROVENANCE).await]).await;
    scene.attach(hand.bundle(digest, PROVENANCE).await).await;
    scene.attach(hand.sign_bundle(digest).await).await;
    let settings = TrustSettings { trusted_root: Some(ROOT.as_bytes().to_vec()), ..TrustSettings::default() };
    let by_certificate = Trust::new(door(), settings).unwrap();
    let client = Scene::client();
    let evidence =
        scene.trusting(&client, &by_certificate, ListedTags::default(), EvidenceKinds::All).await.unwrap();
    let Evidence { signatures, attestations, rejected, others, absent, unproven } = evidence;
    assert_eq!((signatures.len(), attestations.len(), absent.len(), unproven.is_none()), (0, 0, 0, true));
    assert!(rejected.is_empty(), "{rejected:?}");
    let signatures = others.iter().filter(|other| other.claim == Claim::Signature).count();
    assert_eq!((others.len(), signatures), (4, 2), "{others:?}");
}

#[tokio::test]
async fn other_manifests_are_ignored_and_invalid_bundles_are_rejected() {
    let scene = Scene::new(Config::default()).await;
    let (repository, image) = (&scene.repository, &scene.image);
    let sbom = "application/spdx+json";
    attach_as(repository, image, sbom, sbom, Bytes::from_static(b"{}")).await;
    scene.requests();
    assert!(is_empty(&scene.all().await));
    assert_eq!(scene.requests(), 3, "referrers of other types are not read");
    attach_as(repository, image, BUNDLE, "text/plain", Bytes::from_static(b"a")).await;
    attach_as(repository, image, BUNDLE, BUNDLE, Bytes::from_static(b"{}")).await;
    let empty = "application/vnd.oci.empty.v1+json";
    attach_as(repository, image, empty, BUNDLE, scene.hand.bundle(image.digest(), PROVENANCE).await).await;
    attach_as(repository, image, empty, "text/plain", Bytes::from_static(b"b")).await;
    let evidence = scene.all().await;
    assert_eq!(evidence.attestations.len(), 1, "its layer has the type of a bundle");
    assert_eq!(evidence.rejected.len(), 2, "{:?}", evidence.rejected);
    assert!(evidence.rejected.iter().all(|rejected| rejected.claim == Claim::Attestation(None)));
}

/// Annotations are not trusted. Content that cannot be read may be provenance, whatever its annotation says.
#[tokio::test]
async fn an_unreadable_attachment_counts_as_an_attestation_of_any_type() {
    let scene = Scene::new(Config::default()).await;
    for predicate_type in ["https://sigstore.dev/cosign/sign/v1", "https://spdx.dev/Document"] {
        let content = Bytes::from(format!("no bundle: {predicate_type}"));
        attach_annotated(&scene.repository, &scene.image, predicate_type, content).await;
    }
    for unreadable in [false, true] {
        if unreadable {
            scene.server.faults().add(Fault::new(Effect::Corrupt).on(Request::BlobGet));
        }
        let claims: Vec<Claim> =
            scene.all().await.rejected.into_iter().map(|rejected| rejected.claim).collect();
        assert_eq!(claims, [Claim::Attestation(None), Claim::Attestation(None)]);
    }
}

#[tokio::test]
async fn only_requested_content_is_read() {
    let scene = Scene::new(Config::default()).await;
    let (hand, digest) = (&scene.hand, scene.image.digest());
    scene.append(AttachmentKind::Signature, &[hand.signature(digest).await]).await;
    scene.append(AttachmentKind::Attestation, &[hand.attestation(digest, PROVENANCE).await]).await;
    for (predicate_type, bundle) in
        [(PROVENANCE, hand.bundle(digest, PROVENANCE).await), (SIGN_TYPE, hand.sign_bundle(digest).await)]
    {
        attach_annotated(&scene.repository, &scene.image, predicate_type, bundle).await;
    }
    scene.requests();
    for (kinds, signatures, attestations, requests) in [
        (EvidenceKinds::SignatureTag, 1, 0, 2),
        (EvidenceKinds::Signatures, 2, 0, 5),
        (EvidenceKinds::Attestations, 1, 2, 7),
        (EvidenceKinds::All, 2, 2, 9),
    ] {
        let evidence = scene.look(ListedTags::default(), kinds).await.unwrap();
        let found = (evidence.signatures.len(), evidence.attestations.len());
        assert_eq!((found, scene.requests()), ((signatures, attestations), requests), "{kinds:?}");
    }
}

fn plain(content: Vec<u8>) -> NewLayer {
    let media_type = sigstore::DSSE_TYPE.to_owned();
    NewLayer { media_type, content: content.into(), annotations: BTreeMap::new() }
}

#[tokio::test]
async fn excessive_attachments_are_reported_without_being_read() {
    let scene = Scene::new(Config::default()).await;
    let layers: Vec<NewLayer> = (0..103).map(|number| plain(format!("{number}").into_bytes())).collect();
    scene.append(AttachmentKind::Attestation, &layers).await;
    let media_type = sigstore::SIMPLE_SIGNING_TYPE.to_owned();
    let large = NewLayer { media_type, ..plain(vec![b'a'; 1024 * 1024 + 1]) };
    scene.append(AttachmentKind::Signature, &[large]).await;
    scene.server.tally().reset();
    let evidence = scene.all().await;
    assert_eq!(scene.server.tally().snapshot().requests(Request::BlobGet), 100);
    let (signatures, attestations) = reasons(&evidence);
    assert_eq!(attestations.len(), 101);
    assert!(attestations.iter().any(|reason| reason.contains("more than 100 layers")));
    assert!(signatures[0].contains("no more than 1048576 are expected"), "{signatures:?}");
}

/// The limit is 128 MiB.
#[tokio::test]
async fn the_total_size_of_the_layers_of_an_image_is_bounded() {
    let scene = Scene::new(Config::default()).await;
    // Eight of these layers are 128 MiB.
    let layers: Vec<NewLayer> = (0..9).map(|number| plain(vec![b'0' + number; 16 * 1024 * 1024])).collect();
    scene.append(AttachmentKind::Attestation, &layers).await;
    scene.server.tally().reset();
    let evidence = scene.all().await;
    assert_eq!(scene.server.tally().snapshot().requests(Request::BlobGet), 8);
    let (_, attestations) = reasons(&evidence);
    assert_eq!(attestations.len(), 9);
    assert!(attestations[8].starts_with("not read"), "{}", attestations[8]);
}

/// A registry that does not answer is an error. Broken content is not an error of the registry.
#[tokio::test]
async fn a_registry_that_does_not_answer_is_an_error_and_broken_content_is_not() {
    let scene = Scene::new(Config::default()).await;
    let (hand, digest) = (&scene.hand, scene.image.digest());
    scene.append(AttachmentKind::Signature, &[hand.signature(digest).await]).await;
    scene.attach(hand.bundle(digest, PROVENANCE).await).await;
    let status = |status, code| Effect::Status { status, code, retry_after: None };
    let denied = status(StatusCode::FORBIDDEN, ErrorCode::Denied);
    for fault in [
        Fault::new(denied.clone()).path("/referrers/"),
        Fault::new(denied.clone()).path(".sig"),
        Fault::new(denied.clone()).path(".att"),
        Fault::new(denied).on(Request::BlobGet),
        Fault::new(Effect::Reset).on(Request::BlobGet),
    ] {
        scene.server.faults().add(fault);
        let unknown = scene.look(ListedTags::default(), EvidenceKinds::All).await.unwrap_err();
        assert!(matches!(&unknown, EvidenceError::Registry(_)), "{unknown}");
        assert!(unknown.to_string().contains(&scene.repository.to_string()), "{unknown}");
        scene.server.faults().clear();
    }
    scene.server.faults().add(Fault::new(Effect::Corrupt).on(Request::BlobGet));
    assert_eq!(scene.all().await.rejected.len(), 2);
}

/// Registries lag and clean up. Listed content whose request is answered with 404 counts as absent, not as forged, whether or not
/// the answer proves that it does not exist.
#[tokio::test]
async fn listed_content_that_answers_404_is_absent() {
    let scene = Scene::new(Config::default()).await;
    let (hand, digest) = (&scene.hand, scene.image.digest());
    scene.append(AttachmentKind::Signature, &[hand.signature(digest).await]).await;
    scene.append(AttachmentKind::Attestation, &[hand.attestation(digest, PROVENANCE).await]).await;
    let referrer = scene.attach(hand.bundle(digest, PROVENANCE).await).await;
    let listed =
        ListedTags { signatures: Known::Present, attestations: Known::Present, ..ListedTags::default() };
    let gone = |code| Effect::Status { status: StatusCode::NOT_FOUND, code, retry_after: None };
    for (unknown, denied) in
        [(ErrorCode::ManifestUnknown, ErrorCode::BlobUnknown), (ErrorCode::Denied, ErrorCode::Denied)]
    {
        for (fault, places) in [
            (Fault::new(gone(unknown)).path(".sig"), vec![".sig"]),
            (Fault::new(gone(unknown)).path(".att"), vec![".att"]),
            (Fault::new(gone(unknown)).path(format!("/manifests/{referrer}")), vec!["app@sha256:"]),
            (
                Fault::new(gone(denied)).on(Request::BlobGet),
                vec![".sig, layer 1", ".att, layer 1", "app@sha256:"],
            ),
        ] {
            scene.server.faults().add(fault);
            let evidence = scene.look(listed, EvidenceKinds::All).await.unwrap();
            scene.server.faults().clear();
            let absent: Vec<String> = evidence.absent.iter().map(ToString::to_string).collect();
            assert!(evidence.rejected.is_empty() && absent.len() == places.len(), "{evidence:?}");
            for (absent, place) in absent.iter().zip(&places) {
                assert!(absent.contains(place), "{absent} {place}");
            }
            assert_eq!(evidence.signatures.len() + evidence.attestations.len() + places.len(), 3);
        }
    }
}

/// A 404 without a matching error code does not prove that the tag is absent.
#[tokio::test]
async fn an_inconclusive_404_for_an_unlisted_tag_is_an_error() {
    let scene = Scene::new(Config::default()).await;
    let effect = Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::Denied, retry_after: None };
    scene.server.faults().add(Fault::new(effect).path(".att"));
    let unknown = scene.look(ListedTags::default(), EvidenceKinds::All).await.unwrap_err();
    assert!(matches!(&unknown, EvidenceError::Registry(_)), "{unknown}");
}

/// The trusted root is fetched only once something attached is found.
#[tokio::test]
async fn without_a_trusted_root_only_images_without_attachments_can_be_judged() {
    let scene = Scene::new(Config::default()).await;
    let settings = TrustSettings {
        mirror: Some(format!("http://{}/tuf", scene.server.host()).parse().unwrap()),
        initial_root: Some(b"{}".to_vec()),
        ..TrustSettings::default()
    };
    let nobody = Trust::new(door(), settings).unwrap();
    let client = Scene::client();
    assert!(is_empty(
        &scene.trusting(&client, &nobody, ListedTags::default(), EvidenceKinds::All).await.unwrap()
    ));
    scene.attach(scene.hand.bundle(scene.image.digest(), PROVENANCE).await).await;
    let unknown =
        scene.trusting(&client, &nobody, ListedTags::default(), EvidenceKinds::All).await.unwrap_err();
    assert!(matches!(unknown, EvidenceError::Trust(_)), "{unknown}");
}
