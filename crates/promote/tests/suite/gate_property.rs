//! In random worlds, with random policies and runs interrupted at random requests: nothing that a simple model refuses is ever
//! signed, recorded or summarised as PASSED, and a rerun completes exactly what the model passes.

use crate::support::hand::{Hand, PROVENANCE, append, malformed};
use crate::support::signer::{Identity, RECORD};
use crate::support::{World, google, path, tag, unsatisfied, within_limit};
use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, Digest, RegistryRoot, Repository};
use promote::{Error, Job, carry_out, prepare};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use registry::sample::{Recipe, Sample};
use trust::{SignatureFormat, SummarySigner};

const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// The number of worlds to test.
const WORLDS: u64 = 24;

/// An image of a world, with everything that its verdict depends on.
struct Image {
    name: String,
    sample: Sample,
    tags: Vec<&'static str>,
    /// The mode of its policy, which the image never satisfies.
    mode: Option<Mode>,
    /// Whether something malformed is attached to it in staging.
    is_bad: bool,
    /// Whether an earlier run has copied it.
    is_copied: bool,
}

impl Image {
    fn random(number: u64, random: &mut StdRng) -> Self {
        let recipe = Recipe { seed: number + 100 * random.random_range(0..1_000), ..Recipe::default() };
        let sample = match random.random_range(0..3) {
            0 => recipe.image(),
            1 => recipe.index(2),
            _ => recipe.nested_index(),
        };
        let tags = [&[][..], &["v1"], &["v1", "v1.0"]][random.random_range(0..3)].to_vec();
        let mode = [None, Some(Mode::Warn), Some(Mode::Require)][random.random_range(0..3)];
        let (is_bad, is_copied) = (random.random_bool(0.3), random.random_bool(0.6));
        Self { name: format!("app-{number}"), sample, tags, mode, is_bad, is_copied }
    }

    /// The simple model: if there is a policy, its mode decides; otherwise a malformed attachment blocks the image.
    fn passes(&self) -> bool {
        match self.mode {
            None => !self.is_bad,
            Some(Mode::Warn) => true,
            Some(Mode::Require) => false,
        }
    }
}

struct Scene {
    world: World,
    identity: Identity,
    policies: Policies,
    images: Vec<Image>,
}

impl Scene {
    async fn of(images: Vec<Image>) -> Self {
        let mut world = World::of(google(), 2).await;
        let (identity, hand) = (Identity::new(SignatureFormat::Auto), Hand::new());
        let canonical = world.trust_config.production.canonical_host.clone();
        world.trust_config = identity.trust_config(&world.door, canonical);
        world.trust_config.verification.trust = hand.trust();
        if let Some(signing) = &mut world.trust_config.signing {
            signing.summaries = Some(SummarySigner::Same);
        }
        let mut declared = Vec::new();
        for image in &images {
            world.stage(&image.name, &image.sample, &image.tags).await;
            let staging: Repository =
                format!("{}/staging/{}", world.staging.host(), image.name).parse().unwrap();
            let good = hand.attestation(image.sample.digest(), PROVENANCE).await;
            let attached = if image.is_bad { vec![good, malformed()] } else { vec![good] };
            append(&staging, image.sample.digest(), AttachmentKind::Attestation, &attached).await;
            let root: RegistryRoot = staging.to_string().parse().unwrap();
            declared.push((root, image.mode.map(unsatisfied)));
            for region in world.production.iter().filter(|_| image.is_copied) {
                let tags: Vec<_> = image.tags.iter().map(|text| tag(text)).collect();
                let there = path(&format!("prod/{}", image.name));
                image.sample.put(region.store(), &there, &tags).await.unwrap();
            }
        }
        let declared: Vec<_> = declared.iter().map(|(root, policy)| (root, policy.clone())).collect();
        let policies = Policies::new(&declared).unwrap();
        Self { world, identity, policies, images }
    }

    fn job(&self) -> Job {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        job
    }

    /// Runs to completion with a new client. Returns `false` if the run is refused.
    async fn run(&self) -> bool {
        let (world, client) = (&self.world, self.world.fresh_client());
        let trust_config =
            self.identity.trust_config(&world.door, world.trust_config.production.canonical_host.clone());
        let trust_config = trust::TrustConfig {
            verification: trust::Verification {
                trust: world.trust_config.verification.trust.clone(),
                ..trust_config.verification
            },
            signing: trust_config
                .signing
                .map(|signing| trust::Signing { summaries: Some(SummarySigner::Same), ..signing }),
            ..trust_config
        };
        let prepared = match prepare(&world.run(), &client, self.job(), &trust_config).await {
            Ok(prepared) => prepared,
            Err(Error::Blocked(..)) => return false,
            Err(error) => panic!("{error}"),
        };
        let confirmed = promote::Confirmed::when(true, &client).unwrap();
        let done =
            carry_out(&world.run(), &confirmed, prepared, &world.copying, &trust_config).await.unwrap();
        assert_eq!(done.promoted().failed(), 0);
        true
    }

    /// Starts the same run, and interrupts it once the registries have received this many requests.
    async fn run_until(&self, requests: u64) {
        let before = self.world.requests();
        let reached = async {
            while self.world.requests() - before < requests {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = self.run() => {}
            () = reached => {}
        }
    }

    /// Returns the numbers of our signatures, records and PASSED summaries on a manifest.
    async fn attached(&self, image: &Image, digest: Digest) -> [usize; 3] {
        let (reader, canonical) = (self.world.fresh_client().reader(), self.world.repository(0, &image.name));
        let statements = self.identity.statements(&reader, &canonical, digest).await;
        let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
        let passed = statements
            .iter()
            .filter(|it| it.predicate_type == SUMMARY && it.predicate["verificationResult"] == "PASSED");
        [self.identity.layers(&reader, &canonical, digest).await, of(RECORD), passed.count()]
    }

    /// Panics if anything is attached that the model refuses.
    async fn assert_nothing_refused(&self) {
        for image in &self.images {
            for manifest in &image.sample.manifests {
                let [signed, recorded, passed] = self.attached(image, manifest.digest()).await;
                let what = format!("{}, {:?}, bad: {}", image.name, image.mode, image.is_bad);
                assert!(image.passes() || signed + recorded == 0, "{what}: {signed} {recorded}");
                assert!(image.passes() && image.mode.is_none() || passed == 0, "{what}: PASSED");
            }
        }
    }

    /// Panics unless everything that the model passes is complete.
    async fn assert_complete(&self) {
        for image in self.images.iter().filter(|image| image.passes()) {
            for manifest in &image.sample.manifests {
                let is_image = manifest.digest() == image.sample.digest();
                let [signed, recorded, passed] = self.attached(image, manifest.digest()).await;
                let what = format!("{}, {:?}, copied: {}", image.name, image.mode, image.is_copied);
                assert_eq!(signed > 0, !image.tags.is_empty(), "{what}: signed");
                assert_eq!(recorded > 0, is_image, "{what}: recorded");
                assert_eq!(passed > 0, image.mode.is_none(), "{what}: summarised");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_written_for_images_that_a_simple_model_refuses_and_a_rerun_completes_the_rest() {
    for seed in 0..WORLDS {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(1..5);
        let mut images: Vec<Image> = (0..count).map(|number| Image::random(number, &mut random)).collect();
        let is_refused = |image: &Image| !image.is_copied && !image.passes();
        if images.iter().any(is_refused) {
            let scene = Scene::of(images).await;
            scene.world.reset_tallies();
            let is_admitted = within_limit(scene.run()).await;
            assert!(!is_admitted, "world {seed}: one new image is refused, and therefore the run");
            assert_eq!(scene.world.writes(), 0, "world {seed}");
            images = scene.images;
            images.retain(|image| !is_refused(image));
        }
        let scene = Scene::of(images).await;
        for _ in 0..random.random_range(0..3) {
            within_limit(scene.run_until(random.random_range(1..150))).await;
            scene.world.assert_whole().await;
            scene.assert_nothing_refused().await;
        }
        assert!(within_limit(scene.run()).await, "world {seed}");
        scene.assert_nothing_refused().await;
        scene.assert_complete().await;
        let writes = scene.world.writes();
        assert!(within_limit(scene.run()).await, "world {seed}");
        assert_eq!(scene.world.writes(), writes, "world {seed}: a second run writes nothing");
    }
}
