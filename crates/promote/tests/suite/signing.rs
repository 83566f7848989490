//! Sign and Attest between embedded registries over HTTP. The tests count every request. They sign with keys, so no other
//! service is needed. The tests of kpromo cover signatures by real services, and their verification by cosign.

use crate::support::hand::{Hand, append, attach};
use crate::support::{World, google, path, tag, trust_config};
use http::StatusCode;
use oci::{
    Algorithm, AttachedBlob, AttachedTag, AttachmentKind, Digest, Known, MediaType, RawManifest, Reader,
    Repository, Selector,
};
use promote::phase::Attested;
use promote::{Cache, Job, Recheck, prepare};
use registry::sample::Recipe;
use registry::{Config, Effect, ErrorCode, Fault, Kind};
use serde_json::json;
use sigstore::{
    CosignLayer, SignerSource, SigningKey, Statement, Trust, TrustSettings, VerificationKey, Verifier,
};
use trust::{Promoter, SignatureFormat, Signing, SummarySigner, TrustConfig};

const RECORD: &str = "https://k8s.io/promo-tools/promotion/v1";
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A world that signs with its own key.
struct Signer {
    world: World,
    pem: String,
}

impl Signer {
    async fn of(config: Config, regions: usize) -> Self {
        let mut this = Self { world: World::of(config, regions).await, pem: String::new() };
        this.sign_with(SigningKey::generate().unwrap(), SignatureFormat::Tag);
        this
    }

    fn sign_with(&mut self, key: SigningKey, format: SignatureFormat) {
        self.pem = key.verification_key().to_pem();
        let canonical = self.world.trust_config.production.canonical_host.clone();
        self.world.trust_config = signing(&self.world, key, format, canonical);
    }

    fn verifier(&self) -> Verifier {
        Verifier::with_key(VerificationKey::from_pem(self.pem.as_bytes()).unwrap(), None).unwrap()
    }

    async fn promote(&self) -> Attested {
        self.world.reset_tallies();
        self.world.promote().await
    }

    /// Returns the layers of a manifest's `.sig` tag.
    async fn signature_layers(&self, canonical: &Repository, digest: Digest) -> Vec<AttachedBlob> {
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag();
        let attachment = self.reader().attachment(canonical, Selector::Tag(&tag)).await.unwrap();
        attachment.present().unwrap().layers
    }

    /// Promotes like with `--sign=false`.
    async fn promote_unsigned(&mut self) {
        let signing = self.world.trust_config.signing.take();
        self.promote().await;
        self.world.trust_config.signing = signing;
    }

    fn reader(&self) -> Reader {
        self.world.fresh_client().reader()
    }

    /// Returns the image names in our signatures of a digest. Panics if one does not verify.
    async fn signed_as(&self, canonical: &Repository, digest: Digest) -> Vec<String> {
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag();
        let Some(attachment) =
            self.reader().attachment(canonical, Selector::Tag(&tag)).await.unwrap().present()
        else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for layer in &attachment.layers {
            let payload =
                self.reader().small_blob(canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
            let layer = CosignLayer { payload: &payload, annotations: &layer.annotations };
            let verified = self.verifier().cosign_signature(&layer).unwrap().content;
            assert_eq!(verified.digest(), digest.to_string());
            names.push(verified.reference().to_owned());
        }
        names
    }

    /// Returns the statements of a type in bundles about a digest. Panics if one does not verify.
    async fn statements(
        &self,
        canonical: &Repository,
        digest: Digest,
        predicate_type: &str,
    ) -> Vec<Statement> {
        let reader = self.reader();
        let mut statements = Vec::new();
        for listed in reader.referrers(canonical, digest, Some(BUNDLE), Known::Unknown).await.unwrap() {
            assert_eq!(listed.annotations["dev.sigstore.bundle.content"], "dsse-envelope");
            let attachment = reader.referrer(canonical, digest, &listed).await.unwrap().present().unwrap();
            let layer = &attachment.layers[0];
            let bundle = reader.small_blob(canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
            let statement = self.verifier().statement(&bundle, &hex(digest)).unwrap().content;
            assert_eq!(listed.annotations["dev.sigstore.bundle.predicateType"], statement.predicate_type);
            statements.push(statement);
        }
        statements.retain(|statement| statement.predicate_type == predicate_type);
        statements
    }

    /// Returns the number of writes to each region.
    fn writes(&self) -> Vec<u64> {
        self.world.production.iter().map(|region| region.tally().snapshot().writes()).collect()
    }
}

fn signing(world: &World, key: SigningKey, format: SignatureFormat, canonical: oci::Host) -> TrustConfig {
    let trust = Trust::new(world.door.clone(), TrustSettings::default()).unwrap();
    let signer = SignerSource::key(world.door.clone(), key, trust);
    let promoter = Promoter { version: "0.0.0-test".to_owned(), ..Promoter::default() };
    TrustConfig {
        signing: Some(Signing { signer, format, at_once: 8, summaries: None, promoter }),
        ..trust_config(&world.door, TrustSettings::default(), canonical)
    }
}

fn hex(digest: Digest) -> String {
    digest.to_string().split_once(':').unwrap().1.to_owned()
}

/// Returns the digests of an index and of its parts.
async fn parts(world: &World, canonical: &Repository, digest: Digest) -> Vec<Digest> {
    let outline = world.fresh_client().reader().outline(&canonical.at(digest)).await.unwrap();
    outline.manifests.into_iter().map(|part| part.digest).collect()
}

/// Signatures of the image and all its parts, and the record of the image, are only in the canonical region, under the name
/// that users know.
#[tokio::test]
async fn an_image_and_its_parts_are_signed_and_the_image_is_recorded() {
    let mut this = Signer::of(google(), 3).await;
    let index = Recipe::default().index(3);
    this.world.stage("group/app", &index, &["v1", "v1.0"]).await;
    let done = this.promote().await;
    assert_eq!((done.unsigned(), done.unrecorded(), done.not_begun()), (0, 0, 0));
    this.world.assert_complete().await;
    let canonical = this.world.repository(0, "group/app");
    let all = parts(&this.world, &canonical, index.digest()).await;
    assert_eq!(all.len(), 4);
    for digest in all {
        assert_eq!(
            this.signed_as(&canonical, digest).await,
            ["registry.example/group/app"],
            "once, {digest}"
        );
    }
    let records = this.statements(&canonical, index.digest(), RECORD).await;
    assert_eq!(records.len(), 1, "one for both tags");
    let predicate = &records[0].predicate;
    assert_eq!(predicate["tags"], serde_json::json!(["v1", "v1.0"]));
    assert_eq!(predicate["dstRef"], "registry.example/group/app");
    let source = format!("{}/staging/group/app@{}", this.world.staging.host(), index.digest());
    assert_eq!(predicate["srcRef"], source);
    let mut regions: Vec<String> =
        (0..3).map(|region| this.world.repository(region, "group/app").to_string()).collect();
    regions.sort_unstable();
    assert_eq!(predicate["destinations"], serde_json::json!(regions), "all that have the image");
    for region in 1..3 {
        let there = this.world.repository(region, "group/app");
        assert!(this.signed_as(&there, index.digest()).await.is_empty());
        assert!(this.statements(&there, index.digest(), RECORD).await.is_empty());
    }
    let totals = this.world.report.totals();
    assert_eq!((totals.signed, totals.recorded), (4, 1));
}

/// A run over a complete world writes nothing.
#[tokio::test]
async fn a_second_run_writes_nothing() {
    for format in [SignatureFormat::Tag, SignatureFormat::Bundle, SignatureFormat::Both] {
        let mut this = Signer::of(google(), 2).await;
        this.sign_with(SigningKey::generate().unwrap(), format);
        this.world.stage("app", &Recipe::default().index(2), &["v1"]).await;
        // An untagged image in the same repository, so that the repository is not settled by tags alone.
        this.world.stage("app", &Recipe { seed: 1, ..Recipe::default() }.image(), &[]).await;
        this.promote().await;
        assert!(this.writes()[0] > 0);
        let done = this.promote().await;
        assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
        assert_eq!(this.writes(), [0, 0], "{format:?}");
    }
}

/// An image that another tool or a killed run has copied without signing it is completed.
#[tokio::test]
async fn promoted_images_are_signed_and_recorded_too() {
    let mut this = Signer::of(google(), 2).await;
    let index = Recipe::default().index(2);
    this.world.stage("app", &index, &["v1"]).await;
    this.promote_unsigned().await;
    let canonical = this.world.repository(0, "app");
    assert!(this.signed_as(&canonical, index.digest()).await.is_empty(), "the first run does not sign");
    this.promote().await;
    for digest in parts(&this.world, &canonical, index.digest()).await {
        assert_eq!(this.signed_as(&canonical, digest).await.len(), 1);
    }
    assert_eq!(this.statements(&canonical, index.digest(), RECORD).await.len(), 1);
    assert_eq!(this.writes()[1], 0, "nothing is attached in the other region");
}

/// An image that is only promoted by digest is recorded, but not signed.
#[tokio::test]
async fn an_image_without_a_tag_is_only_recorded() {
    let mut this = Signer::of(google(), 1).await;
    let image = Recipe::default().image();
    this.world.stage("app", &image, &[]).await;
    this.promote().await;
    let canonical = this.world.repository(0, "app");
    assert!(this.signed_as(&canonical, image.digest()).await.is_empty());
    let records = this.statements(&canonical, image.digest(), RECORD).await;
    assert_eq!(records.len(), 1);
    assert!(records[0].predicate.get("tags").is_none());
}

/// A signature by another key, or by our key under another name, does not make an image signed. Our signature is added and the
/// other stays.
#[tokio::test]
async fn a_signature_by_another_signer_is_not_ours() {
    let mut this = Signer::of(google(), 1).await;
    let image = Recipe::default().image();
    this.world.stage("app", &image, &["v1"]).await;
    this.promote().await;
    let canonical = this.world.repository(0, "app");
    let before = this.pem.clone();
    this.sign_with(SigningKey::generate().unwrap(), SignatureFormat::Tag);
    let done = this.promote().await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
    let tag = AttachedTag::new(image.digest(), AttachmentKind::Signature).unwrap().tag();
    let layers =
        this.reader().attachment(&canonical, Selector::Tag(&tag)).await.unwrap().present().unwrap().layers;
    assert_eq!(layers.len(), 2, "theirs and ours");
    for (pem, layer) in [before, this.pem.clone()].iter().zip(&layers) {
        let key = VerificationKey::from_pem(pem.as_bytes()).unwrap();
        let payload = this.reader().small_blob(&canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
        let layer = CosignLayer { payload: &payload, annotations: &layer.annotations };
        Verifier::with_key(key, None).unwrap().cosign_signature(&layer).unwrap();
    }
}

/// With the format `Bundle`, the image and its parts are signed by bundles in the format of cosign, and no `.sig` tag is
/// written.
#[tokio::test]
async fn bundles_have_the_format_of_cosign() {
    let mut this = Signer::of(Config { google_listing: true, ..Config::default() }, 1).await;
    this.sign_with(SigningKey::generate().unwrap(), SignatureFormat::Bundle);
    let index = Recipe::default().index(2);
    this.world.stage("app", &index, &["v1"]).await;
    this.promote().await;
    let canonical = this.world.repository(0, "app");
    for digest in parts(&this.world, &canonical, index.digest()).await {
        let signatures = this.statements(&canonical, digest, SIGN).await;
        assert_eq!(signatures.len(), 1);
        assert_eq!(signatures[0].subject[0].name, "registry.example/app");
        assert!(this.signed_as(&canonical, digest).await.is_empty(), "there is no tag");
    }
}

/// On a registry without the referrers API, the fallback tag lists the records.
#[tokio::test]
async fn without_a_referrers_api_the_fallback_tag_is_kept() {
    let config = Config { google_listing: true, referrers_api: false, ..Config::default() };
    let mut this = Signer::of(config, 1).await;
    let index = Recipe::default().index(2);
    this.world.stage("app", &index, &["v1"]).await;
    this.promote().await;
    let canonical = this.world.repository(0, "app");
    assert_eq!(this.statements(&canonical, index.digest(), RECORD).await.len(), 1);
    this.promote().await;
    assert_eq!(this.writes(), [0]);
}

/// If a registry refuses signatures, its images are promoted, what is missing is reported, and a later run adds it.
#[tokio::test]
async fn unsigned_images_are_reported_and_completed_later() {
    let mut this = Signer::of(google(), 1).await;
    let image = Recipe::default().image();
    this.world.stage("app", &image, &["v1"]).await;
    let refused =
        Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    let fault = Fault::new(refused).on(Kind::ManifestPut).path("sha256-");
    this.world.production[0].faults().add(fault);
    let done = this.promote().await;
    assert_eq!((done.promoted().failed(), done.unsigned(), done.unrecorded()), (0, 1, 1));
    this.world.assert_complete().await;
    let unsigned = this.world.report.unsigned();
    assert!(unsigned[0].image.ends_with(&image.digest().to_string()), "{unsigned:?}");
    assert!(unsigned[0].error.contains("403"), "{unsigned:?}");
    this.world.production[0].faults().clear();
    let done = this.promote().await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
    assert_eq!(this.signed_as(&this.world.repository(0, "app"), image.digest()).await.len(), 1);
}

/// Accepted signatures of staging are carried to the canonical repository before ours, in both formats and byte for byte.
/// Signatures that are not accepted are not carried. This holds for every format of our signature, and if an earlier run has
/// promoted the image unsigned.
#[tokio::test]
async fn signatures_of_staging_are_carried() {
    for (format, ours, promoted_before) in [
        (SignatureFormat::Tag, 1, false),
        (SignatureFormat::Bundle, 0, false),
        (SignatureFormat::Both, 1, true),
    ] {
        let mut this = Signer::of(google(), 1).await;
        this.sign_with(SigningKey::generate().unwrap(), format);
        let (staging, stranger) = (Hand::new(), Hand::new());
        this.world.trust_config.verification.trust = staging.trust();
        let index = Recipe::default().index(2);
        this.world.stage("app", &index, &["v1"]).await;
        let source: Repository = format!("{}/staging/app", this.world.staging.host()).parse().unwrap();
        let part = index.manifests[0].digest();
        let mut signed = Vec::new();
        for digest in [index.digest(), part] {
            let layers = [stranger.signature(digest).await, staging.signature(digest).await];
            append(&source, digest, AttachmentKind::Signature, &layers).await;
            signed.push((digest, layers[1].clone()));
        }
        let bundle = attach(&source, index.root(), staging.sign_bundle(index.digest()).await).await;
        if promoted_before {
            this.promote_unsigned().await;
        }
        this.promote().await;
        let canonical = this.world.repository(0, "app");
        for (digest, by_staging) in signed {
            let layers = this.signature_layers(&canonical, digest).await;
            assert_eq!(layers.len(), 1 + ours, "staging's, then ours, and none by other signers: {format:?}");
            assert_eq!(layers[0].digest, Digest::of(&by_staging.content));
            assert_eq!(layers[0].annotations, by_staging.annotations);
            for layer in &layers[1..] {
                let payload =
                    this.reader().small_blob(&canonical, layer.digest, layer.size, 1 << 20).await.unwrap();
                let layer = CosignLayer { payload: &payload, annotations: &layer.annotations };
                this.verifier().cosign_signature(&layer).unwrap();
            }
        }
        let there =
            this.reader().referrers(&canonical, index.digest(), Some(BUNDLE), Known::Unknown).await.unwrap();
        assert!(there.iter().any(|referrer| referrer.digest == bundle), "{format:?}: {there:?}");
        this.promote().await;
        assert_eq!(this.writes(), [0], "{format:?}");
    }
}

/// An attacker who can push to staging cannot hide our signature behind others.
#[tokio::test]
async fn the_number_of_carried_signatures_is_limited_so_that_readers_find_ours() {
    for promoted_before in [false, true] {
        let mut this = Signer::of(google(), 1).await;
        let staging = Hand::new();
        this.world.trust_config.verification.trust = staging.trust();
        let image = Recipe::default().image();
        this.world.stage("app", &image, &["v1"]).await;
        let source: Repository = format!("{}/staging/app", this.world.staging.host()).parse().unwrap();
        let mut layers = Vec::new();
        for _ in 0..25 {
            layers.push(staging.signature(image.digest()).await);
        }
        append(&source, image.digest(), AttachmentKind::Signature, &layers).await;
        if promoted_before {
            this.promote_unsigned().await;
        }
        this.promote().await;
        let canonical = this.world.repository(0, "app");
        let there = this.signature_layers(&canonical, image.digest()).await;
        let carried =
            there.iter().zip(&layers).filter(|(there, staged)| there.annotations == staged.annotations);
        assert_eq!((there.len(), carried.count()), (21, 20), "ours is the last");
    }
}

/// A part without a digest that signatures can name does not affect the others, and is not owed in later runs.
#[tokio::test]
async fn sha512_parts_are_left_out_and_reported() {
    let mut this = Signer::of(google(), 1).await;
    let image = Recipe::default().image();
    let mut long = Algorithm::Sha512.hasher();
    long.update(image.root().bytes());
    let child = |digest: Digest| {
        let (kind, size) = (image.root().media_type().as_str(), image.root().bytes().len());
        json!({ "mediaType": kind, "digest": digest.to_string(), "size": size })
    };
    let children = [child(image.digest()), child(long.finish())];
    let kind = MediaType::OciIndex.as_str();
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": children });
    let index = RawManifest::new(MediaType::OciIndex, index.to_string().into());
    let (store, name) = (this.world.production[0].store(), path("prod/app"));
    image.put(store, &name, &[]).await.unwrap();
    store.put_manifest(&name, Some(&tag("v1")), &index).await.unwrap();
    this.world.request("app", index.digest(), &["v1"]);
    let done = this.promote().await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
    let canonical = this.world.repository(0, "app");
    for digest in [index.digest(), image.digest()] {
        assert_eq!(this.signed_as(&canonical, digest).await.len(), 1);
    }
    assert_eq!(this.statements(&canonical, index.digest(), RECORD).await.len(), 1);
    let warnings = this.world.report()["warnings"].to_string();
    for expected in ["neither signed nor attested", &canonical.to_string()] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    this.promote().await;
    assert_eq!(this.writes(), [0]);
}

/// A part that several indexes share is signed once. The image and its parts get summaries.
#[tokio::test]
async fn parts_that_images_share_are_signed_once_and_each_part_has_its_summary() {
    let mut this = Signer::of(google(), 1).await;
    if let Some(signing) = &mut this.world.trust_config.signing {
        signing.summaries = Some(SummarySigner::Same);
    }
    let nested = Recipe::default().nested_index();
    this.world.stage("app", &nested, &["all"]).await;
    for manifest in &nested.manifests[..nested.manifests.len() - 1] {
        this.world.request("app", manifest.digest(), &[&format!("part-{}", &hex(manifest.digest())[..8])]);
    }
    this.promote().await;
    let canonical = this.world.repository(0, "app");
    for digest in parts(&this.world, &canonical, nested.digest()).await {
        assert_eq!(this.signed_as(&canonical, digest).await.len(), 1, "{digest}");
        let summaries = this.statements(&canonical, digest, SUMMARY).await;
        assert_eq!(summaries.len(), 1, "{digest}");
        assert_eq!(summaries[0].predicate["verificationResult"], "PASSED");
    }
    this.promote().await;
    assert_eq!(this.writes(), [0]);
}

/// With an inventory cache, a complete image costs no requests. If the signer changes, no image counts as complete.
#[tokio::test]
async fn images_cached_as_complete_are_not_checked_with_the_same_settings() {
    let mut this = Signer::of(google(), 1).await;
    this.world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cache");
    let run = async |this: &Signer, recheck| {
        this.world.reset_tallies();
        let cache = Some(Cache::open(&file, recheck).unwrap().0);
        let job = Job { cache, ..this.world.job() };
        let world = &this.world;
        let cleared = prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
        let done = world.carry_out(cleared).await;
        assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
        (world.requests(), world.writes())
    };
    assert!(run(&this, Recheck::Sample(0.0)).await.1 > 0);
    // The cache stores what a plan has seen, and the first plan has seen that nothing was there.
    run(&this, Recheck::Sample(0.0)).await;
    assert_eq!(run(&this, Recheck::Sample(0.0)).await, (0, 0));
    let (looked, written) = run(&this, Recheck::All).await;
    assert!(looked > 0 && written == 0, "{looked} {written}");
    this.sign_with(SigningKey::generate().unwrap(), SignatureFormat::Tag);
    assert!(run(&this, Recheck::Sample(0.0)).await.1 > 0, "the signer has changed");
}

/// Besides the copy, signing and recording a new image costs these requests in the canonical repository: 6 for each signed
/// manifest (payload and configuration, two each, the manifest, and a look at the tag right before the write), 3 for the
/// record, and 2 for the first record in a repository.
#[tokio::test]
async fn signing_costs_six_requests_a_manifest_and_recording_three_an_image() {
    let cost = async |sign: bool, images: u64| {
        let mut this = Signer::of(google(), 1).await;
        for seed in 0..images {
            this.world
                .stage("app", &Recipe { seed, ..Recipe::default() }.index(2), &[&format!("v{seed}")])
                .await;
        }
        if !sign {
            this.world.trust_config.signing = None;
        }
        this.promote().await;
        this.world.production[0].tally().snapshot().total()
    };
    for images in [1, 4] {
        let (plain, signed) = (cost(false, images).await, cost(true, images).await);
        assert_eq!(signed - plain, images * (3 * 6 + 3) + 2);
    }
}
