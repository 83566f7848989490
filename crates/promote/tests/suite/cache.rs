//! The inventory cache: which requests a plan does not repeat, and which it sends nevertheless.

use std::path::PathBuf;

use crate::support::{LATE_AFTER, World, google, path, tag};
use http::StatusCode;
use promote::{Cache, Job, Prepared, Recheck, prepare};
use registry::sample::Recipe;
use registry::{Config, Effect, ErrorCode, Fault, Kind};

/// The number of images, each in its own repository.
const IMAGES: u64 = 4;
/// The number of regions.
const REGIONS: u64 = 3;

/// A world in which everything is promoted, and a directory for the cache.
struct Scene {
    world: World,
    directory: tempfile::TempDir,
}

impl Scene {
    async fn new(config: Config) -> Self {
        let mut world = World::of(config, REGIONS as usize).await;
        for seed in 0..IMAGES {
            let tags: &[&str] = if seed == 0 { &[] } else { &["v1", "latest"] };
            world.stage(&format!("image-{seed}"), &Recipe { seed, ..Recipe::default() }.index(2), tags).await;
        }
        world.promote().await;
        world.reset_tallies();
        Self { world, directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// Plans, and returns the number of requests.
    async fn plan(&self, recheck: Recheck) -> (Prepared, u64) {
        self.world.reset_tallies();
        let cache = Some(Cache::open(&self.file(), recheck).unwrap().0);
        let job = Job { cache, ..self.world.job() };
        let cleared = prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config)
            .await
            .unwrap();
        (cleared, self.world.requests())
    }

    /// Returns the warnings so far.
    fn warnings(&self) -> String {
        self.world.report()["warnings"].to_string()
    }

    /// Returns the plan of a run without a cache.
    async fn truth(&self) -> Prepared {
        self.world.prepare().await.unwrap()
    }
}

/// Trust the cache and recheck nothing.
const NONE: Recheck = Recheck::Sample(0.0);

#[tokio::test]
async fn known_content_is_not_requested_again() {
    let scene = Scene::new(google()).await;
    let (first, cost) = scene.plan(NONE).await;
    assert_eq!(cost, IMAGES * (REGIONS + 1), "the first plan lists everything");
    let (second, cost) = scene.plan(NONE).await;
    assert_eq!(cost, 0);
    assert_eq!(second.plan().summary(), first.plan().summary());
    assert_eq!(second.plan().summary(), scene.truth().await.plan().summary());
}

#[tokio::test]
async fn registries_that_list_only_tags_are_remembered_too() {
    let scene = Scene::new(Config::default()).await;
    let (first, _) = scene.plan(NONE).await;
    let (second, cost) = scene.plan(NONE).await;
    assert_eq!((cost, second.plan().summary()), (0, first.plan().summary()));
}

/// A new edge costs the listings of its own repository, its manifests and the lookup of its attachments, and nothing else.
#[tokio::test]
async fn only_uncached_repositories_are_read() {
    let mut scene = Scene::new(google()).await;
    scene.plan(NONE).await;
    let new = Recipe { seed: 99, ..Recipe::default() }.index(2);
    scene.world.stage("image-1", &new, &["v2"]).await;
    let (cleared, cost) = scene.plan(NONE).await;
    let manifests = 3;
    assert_eq!(cost, REGIONS + 1 + manifests + 1);
    assert_eq!(cleared.plan().summary().total.copy, REGIONS as usize);
}

#[tokio::test]
async fn a_part_or_all_of_the_cache_is_rechecked_without_requests_to_staging() {
    let scene = Scene::new(google()).await;
    scene.plan(NONE).await;
    let (_, cost) = scene.plan(Recheck::Sample(1.0)).await;
    // The image without a tag is also looked up in staging, with one request.
    assert_eq!(cost, IMAGES * REGIONS + 1);
    let (_, cost) = scene.plan(Recheck::All).await;
    assert_eq!(cost, IMAGES * REGIONS + 1);
    let (_, cost) = scene.plan(NONE).await;
    assert_eq!(cost, 0, "the facts are still cached");
}

/// If one tag is gone, everything cached about its host is dropped and requested in the same run. Other hosts are not affected.
#[tokio::test]
async fn facts_that_contradict_the_registry_are_discarded_for_the_whole_host() {
    let scene = Scene::new(google()).await;
    scene.plan(NONE).await;
    let region = &scene.world.production[0];
    region.store().delete_tag(&path("prod/image-2"), &tag("latest")).await.unwrap();
    assert_eq!(scene.plan(NONE).await.1, 0, "nothing is rechecked");

    let (cleared, _) = scene.plan(Recheck::All).await;
    assert_eq!(cleared.plan().summary().total.tag, 1, "the missing tag is written again");
    assert_eq!(cleared.plan().summary(), scene.truth().await.plan().summary());
    let warnings = scene.warnings();
    assert!(warnings.contains("/prod/image-2:latest") && warnings.contains("discarded"), "{warnings}");

    let (_, cost) = scene.plan(NONE).await;
    assert!(cost > 0, "the repository is not settled while the tag is missing");
    let others: u64 =
        scene.world.production[1..].iter().map(|region| region.tally().snapshot().total()).sum();
    assert_eq!(others, 0, "cached facts about other hosts are kept");
}

/// A listing that contradicts the cache corrects it without a recheck, so that the plan of every later run is right too.
#[tokio::test]
async fn facts_found_for_a_new_edge_stay_in_the_cache() {
    let mut scene = Scene::new(google()).await;
    scene.plan(NONE).await;
    let region = &scene.world.production[0];
    region.store().delete_tag(&path("prod/image-2"), &tag("latest")).await.unwrap();
    // An edge that is already done: the repository is listed, and nothing is written there.
    let other = Recipe { seed: 77, ..Recipe::default() }.index(2);
    for server in &scene.world.production {
        other.put(server.store(), &path("prod/image-2"), &[tag("v2")]).await.unwrap();
    }
    scene.world.stage("image-2", &other, &["v2"]).await;
    for _ in 0..2 {
        assert_eq!(
            scene.plan(NONE).await.0.plan().summary().total.tag,
            1,
            "the missing tag is written again"
        );
    }
}

/// A region that is only late does not contradict the cache.
#[tokio::test]
async fn a_late_region_is_remembered() {
    let scene = Scene::new(google()).await;
    scene.plan(NONE).await;
    let region = &scene.world.production[0];
    region.faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let cache = Some(Cache::open(&scene.file(), Recheck::All).unwrap().0);
    let job = Job { cache, late_after: LATE_AFTER, ..scene.world.job() };
    let cleared = prepare(&scene.world.run(), &scene.world.fresh_client(), job, &scene.world.trust_config)
        .await
        .unwrap();
    assert!(cleared.plan().summary().total.late > 0);
    assert!(!scene.warnings().contains("discarded"), "{}", scene.warnings());
    region.faults().clear();
    assert_eq!(scene.plan(NONE).await.1, 0, "all facts are still cached");
}

#[tokio::test]
async fn nothing_is_cached_from_a_listing_that_failed() {
    let scene = Scene::new(google()).await;
    let region = &scene.world.production[0];
    let broken = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    region.faults().add(Fault::new(broken).on(Kind::TagList));
    scene.plan(NONE).await;
    region.faults().clear();
    let (cleared, cost) = scene.plan(NONE).await;
    assert_eq!(cost, IMAGES + IMAGES, "the listings of the region, and of staging for it");
    assert_eq!(cleared.plan().summary(), scene.truth().await.plan().summary());
}
