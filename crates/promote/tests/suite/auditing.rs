//! Audits of promoted images on an embedded registry: which parts of an index have to be signed, and how many requests it takes
//! to determine this. The output of `kpromo verify` is covered by the tests of the binary.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::beside::{attestations, beside, inner_index, runnable};
use crate::support::hand::{Hand, PROVENANCE, append, attach};
use crate::support::{door, path};
use http::StatusCode;
use oci::{AttachmentKind, Client, Digest, RawManifest, Repository};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, ErrorCode, Fault, Kind, Server};
use trust::audit::{Audited, RefusedKind, audit};
use trust::evidence::Budget;
use trust::{Production, Verification};

/// A promoted image, and a key whose signatures are accepted.
struct Scene {
    server: Server,
    hand: Hand,
    repository: Repository,
    sample: Sample,
}

impl Scene {
    async fn of(sample: Sample) -> Self {
        let server = Server::start(Config::default()).await.unwrap();
        sample.put(server.store(), &path("prod/app"), &[]).await.unwrap();
        let repository = Repository { host: server.host().clone(), path: path("prod/app") };
        Self { server, hand: Hand::new(), repository, sample }
    }

    async fn sign(&self, digest: Digest) {
        let layer = self.hand.signature(digest).await;
        append(&self.repository, digest, AttachmentKind::Signature, &[layer]).await;
    }

    async fn audit(&self) -> Audited {
        let verification = Verification {
            trust: self.hand.trust(),
            staging: "sigstore::https://i::staging@example.com".parse().unwrap(),
            budget: Budget::default(),
            scans: None,
        };
        let production = Production {
            canonical_host: self.server.host().clone(),
            path: path("prod"),
            reference: "registry.example".parse().unwrap(),
        };
        let reader = Client::new(door(), Arc::new(oci::Anonymous), HashMap::new()).reader();
        let image = format!("{}@{}", self.repository, self.sample.digest()).parse().unwrap();
        self.server.tally().reset();
        audit(&reader, &verification, &production, &image).await.unwrap()
    }

    fn manifests_read(&self) -> u64 {
        self.server.tally().snapshot().requests(Kind::ManifestGet)
    }
}

/// Returns an index of two platforms, and the digest of the first.
fn platforms() -> (Sample, Digest) {
    let index = Recipe::default().index(2);
    let first = index.manifests[0].digest();
    (index, first)
}

/// An attacker who can push controls the platform and the annotations. An index counts as signed only if every runnable image in
/// it is signed.
#[tokio::test]
async fn unknown_platforms_of_an_index_must_be_signed_unless_they_hold_only_attestations() {
    let (index, first) = platforms();
    for (other, attests, has_to_be) in [
        (attestations(1), Some(first), false),
        (attestations(1), None, true),
        (attestations(1), Some(Digest::of(b"elsewhere")), true),
        (runnable(1), None, true),
        (runnable(1), Some(first), true),
        (inner_index(1), Some(first), true),
    ] {
        let scene = Scene::of(beside(index.clone(), &other, attests)).await;
        let others: Vec<Digest> = other.manifests.iter().map(RawManifest::digest).collect();
        for manifest in &scene.sample.manifests {
            if !others.contains(&manifest.digest()) {
                scene.sign(manifest.digest()).await;
            }
        }
        let audited = scene.audit().await;
        assert!(audited.signed);
        assert_eq!(audited.is_wholly_signed(), !has_to_be, "{attests:?}: {audited:?}");
        assert_eq!(audited.platforms.len(), 2 + usize::from(has_to_be));
        for digest in others {
            scene.sign(digest).await;
        }
        assert!(scene.audit().await.is_wholly_signed());
    }
}

#[tokio::test]
async fn determining_exempt_entries_costs_one_request_for_each_entry_that_claims_it() {
    let (index, first) = platforms();
    let plain = Scene::of(index.clone()).await;
    plain.audit().await;
    let without = plain.manifests_read();
    // A manifest that is not exempt is read, and costs requests for its two tags. A manifest that says it is exempt is read first.
    for (other, attests, more) in
        [(attestations(1), Some(first), 1), (runnable(1), None, 3), (runnable(1), Some(first), 1 + 3)]
    {
        let scene = Scene::of(beside(index.clone(), &other, attests)).await;
        scene.audit().await;
        assert_eq!(scene.manifests_read(), without + more, "{attests:?}");
    }
}

#[tokio::test]
async fn attachments_by_others_and_absent_ones_are_reported_and_do_not_fail_the_audit() {
    let scene = Scene::of(Recipe::default().image()).await;
    let (stranger, digest) = (Hand::new(), scene.sample.digest());
    scene.sign(digest).await;
    attach(&scene.repository, scene.sample.root(), stranger.bundle(digest, PROVENANCE).await).await;
    let gone =
        attach(&scene.repository, scene.sample.root(), scene.hand.bundle(digest, PROVENANCE).await).await;
    let effect =
        Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::ManifestUnknown, retry_after: None };
    scene.server.faults().add(Fault::new(effect).path(format!("/manifests/{gone}")));
    let audited = scene.audit().await;
    assert!(audited.is_wholly_signed());
    let [by_stranger, absent] = &audited.refused[..] else { panic!("{:?}", audited.refused) };
    assert!(by_stranger.reason.contains("someone else"), "{}", by_stranger.reason);
    assert_eq!(
        (by_stranger.kind, by_stranger.predicate_type.as_deref()),
        (RefusedKind::Attestation, Some(PROVENANCE))
    );
    assert!(absent.place.contains(&gone.to_string()), "{}", absent.place);
    assert_eq!(absent.reason, "the registry lists it but does not have it");
}
