//! `--repair`: which promoted images a run completes, with which requests.

use crate::support::signer::{Identity, RECORD};
use crate::support::{World, google, path, tag, within_limit};
use http::StatusCode;
use manifest::Manifests;
use oci::{AttachedTag, AttachmentKind, Digest};
use promote::phase::Attested;
use promote::{Completion, Job, carry_out, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, ErrorCode, Fault, Kind};
use trust::{SignatureFormat, SummarySigner};

const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";

fn sample(seed: u64) -> Sample {
    Recipe { seed, ..Recipe::default() }.index(2)
}

/// A world with an image `old`, which an earlier run has promoted and not signed, and the manifests of a later commit.
struct Scene {
    world: World,
    identity: Identity,
}

impl Scene {
    async fn new() -> Self {
        let mut world = World::of(Config { request_log: 10_000, ..google() }, 2).await;
        let identity = Identity::new(SignatureFormat::Tag);
        world.stage("old", &sample(1), &["v1"]).await;
        world.promote().await;
        let canonical = world.trust_config.production.canonical_host.clone();
        world.trust_config = identity.trust_config(&world.door, canonical);
        world.stage("new", &sample(2), &["v1"]).await;
        world.reset_tallies();
        Self { world, identity }
    }

    /// Returns the manifests, limited to the image `new` as in a run over a diff, and the complete manifests.
    fn diff(&self) -> (Manifests, Manifests) {
        let whole = self.world.manifests();
        let mut limited = whole.clone();
        limited.manifests.iter_mut().for_each(|manifest| {
            manifest.images.retain(|image| image.name == path("new"));
        });
        (limited, whole)
    }

    async fn run(&self, manifests: Manifests, completion: Completion) -> Attested {
        let world = &self.world;
        let job = Job { manifests, completion, ..world.job() };
        let (run, client) = (world.run(), world.fresh_client());
        let prepared = within_limit(prepare(&run, &client, job, &world.trust_config)).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("{error}"));
        let confirmed = promote::Confirmed::when(true, &client).unwrap();
        let done =
            within_limit(carry_out(&run, &confirmed, prepared, &world.copying, &world.trust_config)).await;
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns whether an image is signed, and how many of these statements it has.
    async fn has(&self, name: &str, digest: Digest, kind: &str) -> (bool, usize) {
        let (reader, canonical) = (self.world.fresh_client().reader(), self.world.repository(0, name));
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag();
        let is_signed = self.world.production[0].store().resolve(&canonical.path, &tag).is_some();
        let statements = self.identity.statements(&reader, &canonical, digest).await;
        (is_signed, statements.iter().filter(|statement| statement.predicate_type == kind).count())
    }

    /// Returns the requests to a region about a repository, without those for lists of tags.
    fn requests(&self, region: usize, name: &str) -> Vec<String> {
        let log = self.world.production[region].tally().log();
        let about = log.iter().filter(|logged| logged.target.starts_with(&format!("/v2/prod/{name}/")));
        let about = about.filter(|logged| !logged.target.contains("/tags/list"));
        about.map(|logged| format!("{} {}", logged.method, logged.target)).collect()
    }
}

#[tokio::test]
async fn a_whole_run_completes_what_the_manifests_name() {
    let scene = Scene::new().await;
    let done = scene.run(scene.world.manifests(), Completion::Named).await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
    for (seed, name) in [(1, "old"), (2, "new")] {
        assert_eq!(scene.has(name, sample(seed).digest(), RECORD).await, (true, 1), "{name}");
    }
}

/// `--repair=false` in a whole run.
#[tokio::test]
async fn without_repair_images_that_are_not_promoted_are_not_checked() {
    let scene = Scene::new().await;
    let done = scene.run(scene.world.manifests(), Completion::Promoted).await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 0));
    assert_eq!(scene.requests(0, "old"), Vec::<String>::new());
    assert_eq!(scene.has("new", sample(2).digest(), RECORD).await, (true, 1));
    assert_eq!(scene.has("old", sample(1).digest(), RECORD).await, (false, 0));
    // A tag that is written to one region completes the image in the canonical one.
    let store = scene.world.production[1].store();
    store.delete_tag(&path("prod/old"), &tag("v1")).await.unwrap();
    scene.run(scene.world.manifests(), Completion::Promoted).await;
    assert_eq!(scene.has("old", sample(1).digest(), RECORD).await, (true, 1));
}

/// A run over a diff.
#[tokio::test]
async fn a_run_over_a_diff_completes_added_images_and_with_repair_all_images_of_the_manifests() {
    let mut scene = Scene::new().await;
    if let Some(signing) = &mut scene.world.trust_config.signing {
        signing.summaries = Some(SummarySigner::Same);
    }
    // The manifests name it, and only staging has it.
    scene.world.stage("absent", &sample(3), &["v1"]).await;
    // The manifests name it by a tag that names another image in production. This run ignores it.
    scene.world.stage("moved", &sample(4), &["v1"]).await;
    let store = scene.world.production[0].store();
    sample(5).put(store, &path("prod/moved"), &[tag("v1")]).await.unwrap();

    let (limited, _) = scene.diff();
    scene.run(limited, Completion::Named).await;
    assert_eq!(scene.has("new", sample(2).digest(), RECORD).await, (true, 1));
    assert_eq!(scene.has("old", sample(1).digest(), RECORD).await, (false, 0));

    // The same run again, as after a crash: images in the diff are completed although nothing is copied.
    let sig = AttachedTag::new(sample(2).digest(), AttachmentKind::Signature).unwrap().tag();
    store.delete_tag(&path("prod/new"), &sig).await.unwrap();
    scene.world.reset_tallies();
    let (limited, whole) = scene.diff();
    let done = scene.run(limited, Completion::Also(whole.manifests)).await;
    assert_eq!((done.promoted().failed(), done.unsigned(), done.unrecorded()), (0, 0, 0));
    for (seed, name) in [(1, "old"), (2, "new")] {
        assert_eq!(scene.has(name, sample(seed).digest(), RECORD).await, (true, 1), "{name}");
        assert_eq!(scene.has(name, sample(seed).digest(), SUMMARY).await, (true, 1), "{name}");
    }
    assert!(!store.has_manifest(&path("prod/absent"), &sample(3).digest()), "nothing of it is promoted");
    assert_eq!(store.resolve(&path("prod/moved"), &tag("v1")), Some(sample(5).digest()));
    // Repairs concern only the canonical region.
    let log = scene.world.production[1].tally().log();
    let about: Vec<_> = log.iter().filter(|logged| !logged.target.starts_with("/v2/prod/new/")).collect();
    assert!(about.is_empty(), "{about:#?}");
    // The counts of the plan cover only promoted images.
    let summary = done.promoted().plan().summary().total;
    assert_eq!((summary.edges, summary.done, summary.lost, summary.conflicts), (2, 2, 0, 0));

    let (limited, whole) = scene.diff();
    scene.world.reset_tallies();
    scene.run(limited, Completion::Also(whole.manifests)).await;
    assert_eq!(scene.world.writes(), 0, "a second run finds nothing");
}

/// A repository that cannot be read for repairs is reported, and does not stop the promotion.
#[tokio::test]
async fn a_repository_that_cannot_be_read_for_repairs_does_not_stop_the_promotion() {
    let scene = Scene::new().await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    scene.world.production[0].faults().add(Fault::new(denied).on(Kind::TagList).path("prod/old/"));
    let (limited, whole) = scene.diff();
    let done = scene.run(limited, Completion::Also(whole.manifests)).await;
    assert_eq!((done.promoted().failed(), done.unsigned(), done.unrecorded()), (0, 1, 1));
    assert_eq!(scene.has("new", sample(2).digest(), RECORD).await, (true, 1));
    let unsigned = scene.world.report.unsigned();
    let [image] = &unsigned[..] else { panic!("{unsigned:?}") };
    assert!(image.image.contains("/prod/old@") && image.error.contains("403"), "{image:?}");
}
