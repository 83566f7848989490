//! Promotions between embedded registries over HTTP. The tests count every request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use oci::{Digest, MediaType, RawManifest};
use promote::{Error, Verdict};
use registry::sample::{Format, Recipe};
use registry::{
    Access, Account, Allowance, Authentication, Canned, Config, Effect, ErrorCode, Fault, Kind, Quota, Tokens,
};
use support::{World, google, path, tag};

fn base_layer() -> Bytes {
    Bytes::from(vec![7; 4096])
}

/// Creates ten images of four platforms. Each platform has a configuration, two layers of its own, and the base layer.
async fn small_world(config: Config) -> World {
    let mut world = World::of(config, 5).await;
    for seed in 0..10 {
        let recipe = Recipe { seed, shared_layers: vec![base_layer()], ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.index(4), &["v1"]).await;
    }
    world
}

/// An image costs 18 requests in staging: 5 manifests, 12 blobs of its own, and one lookup of attachments. It costs 31 in each
/// region: 2 for each of its own 12 blobs, 1 for the base layer, 5 manifests (the index is written by its tag), and 1 to look
/// at the tag right before the write. 60 repositories are listed.
const SMALL_WORLD: u64 = 10 * 18 + 5 * 10 * 31 + 60;

#[tokio::test]
async fn ten_new_images_to_five_regions_cost_1790_requests_and_staging_is_read_once() {
    assert_eq!(SMALL_WORLD, 1740 + 5 * 10);
    let world = small_world(google()).await;
    for region in &world.production {
        for seed in 0..10 {
            region.store().put_blob(&path(&format!("prod/image-{seed}")), base_layer()).await.unwrap();
        }
    }
    world.promote().await;
    world.assert_complete().await;
    assert_eq!(world.requests(), SMALL_WORLD, "{:#?}", world.tallies());
    world.assert_all_passed_the_door();
    let unique: u64 = 10 * 4 * 2 * 1024 + configurations(&world).await;
    assert_eq!(
        world.staging.tally().snapshot().blob_bytes_out,
        unique,
        "each blob read once, the base layer never"
    );
}

/// Returns the size of all configurations in staging, in bytes.
async fn configurations(world: &World) -> u64 {
    let mut bytes = 0;
    let store = world.staging.store();
    for repository in store.repositories() {
        for digest in store.manifests(&repository) {
            let manifest = store.manifest(&repository, &digest).await.unwrap().unwrap().parse().unwrap();
            bytes += manifest.blobs.first().map_or(0, |config| config.size);
        }
    }
    bytes
}

/// If production does not have the base layer either, each region receives it once and mounts it for the other nine images.
/// Compared to a base layer that is already there, this costs one more read in staging and one more upload per region.
#[tokio::test]
async fn a_layer_of_several_images_moves_once_to_each_host_and_is_mounted_from_then_on() {
    let world = small_world(google()).await;
    world.promote().await;
    world.assert_complete().await;
    let uploads: u64 = world.production.iter().map(|r| r.tally().snapshot().requests(Kind::UploadPut)).sum();
    assert_eq!(uploads, 5 * (10 * 12 + 1));
    assert_eq!(world.requests(), SMALL_WORLD + 5 + 1, "{:#?}", world.tallies());
}

/// A layer is read from staging once, however many images share it and however many regions need it.
#[tokio::test]
async fn what_many_images_share_is_read_once_for_all_regions() {
    let mut world = World::of(google(), 22).await;
    for seed in 0..16 {
        let shared_layers = vec![base_layer(), Bytes::from(vec![8; 4096])];
        let recipe = Recipe { seed, shared_layers, ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.index(4), &["v1"]).await;
    }
    world.servers().for_each(|server| server.faults().set_latency(Duration::from_millis(20)));
    world.promote().await;
    let read = world.staging.tally().snapshot().requests(Kind::BlobGet);
    assert_eq!(read, 16 * 4 * 3 + 2, "a configuration and two layers each, and what they share");
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_a_second_run_neither() {
    let world = small_world(google()).await;
    let cleared = world.prepare().await.unwrap();
    assert_eq!(cleared.plan().summary().total.copy, 50);
    assert_eq!(world.writes(), 0, "a dry run");
    world.promote().await;
    world.reset_tallies();
    let again = world.prepare().await.unwrap();
    assert!(again.plan().is_empty());
    assert_eq!(again.plan().summary().total.done, 50);
    assert_eq!(
        (world.writes(), world.requests()),
        (0, 60),
        "one listing for each repository, and nothing else"
    );
}

/// The account that the tests use.
#[derive(Debug)]
struct Promoter;

impl oci::CredentialSource for Promoter {
    fn credential<'a>(
        &'a self,
        _: &'a oci::Host,
        _: Option<&'a oci::RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<oci::FoundCredential>, String>> {
        let password = transport::Secret::new("secret");
        let credential = oci::Credential::Basic { user: "promoter".to_owned(), password };
        Box::pin(async { Ok(Some(credential.from("the test"))) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

fn accounts() -> Vec<Account> {
    vec![Account { name: "promoter".to_owned(), password: "secret".to_owned(), access: Access::Full }]
}

fn tokens(lifetime: Duration) -> Config {
    let tokens = Tokens { accounts: accounts(), anonymous_pull: false, lifetime, service: "test".to_owned() };
    Config {
        authentication: Authentication::Token(tokens),
        page_size: 2.try_into().unwrap(),
        ..Config::default()
    }
}

/// Plain registries have pages of two tags, tokens for each repository, and no digests in listings. No image counts as lost
/// there.
#[tokio::test]
async fn plain_registries_with_tokens_and_pages_get_everything_and_nothing_is_called_lost() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config; 2], Arc::new(Promoter)).await;
    for seed in 0..3 {
        let sample = Recipe { seed, ..Recipe::default() }.index(2);
        // The tags in staging fill several pages.
        let tags: Vec<_> = (0..7).map(|number| tag(&format!("old-{number}"))).collect();
        sample.put(world.staging.store(), &path(&format!("staging/app-{seed}")), &tags).await.unwrap();
        world.request(&format!("app-{seed}"), sample.digest(), &["v1", "v1.0", "latest"]);
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().plan().summary().total.lost, 0);
    assert_eq!(attested.promoted().failed(), 0);
    world.assert_complete().await;
    world.reset_tallies();
    let again = world.prepare().await.unwrap();
    assert!(again.plan().is_empty());
    assert_eq!(world.writes(), 0);
    for region in &world.production {
        assert_eq!(region.tally().snapshot().requests(Kind::Ping), 0, "a host is probed once");
    }
}

/// A token is requested once for each repository and kind of access, however many concurrent requests need it.
#[tokio::test]
async fn tokens_are_got_once_for_each_scope() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(4), &["v1"]).await;
    world.promote().await;
    let [staging, production] = &world.tallies()[..] else { panic!("two registries") };
    assert_eq!(staging.requests(Kind::Token), 1, "to pull");
    assert_eq!(production.requests(Kind::Token), 1, "to push, which includes to pull");
    for registry in [staging, production] {
        assert_eq!(
            registry.requests(Kind::Ping),
            1,
            "a host for which there are credentials is asked how it wants them"
        );
        assert_eq!(registry.requests(Kind::TagList), 1, "nothing is asked without a token");
    }
    world.assert_all_passed_the_door();
}

/// Tokens that the registry rejects are renewed in the middle of a run.
#[tokio::test]
async fn a_token_that_is_refused_is_renewed() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    let cleared = world.prepare().await.unwrap();
    world.servers().for_each(registry::Server::revoke_tokens);
    let attested = world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), 0);
    world.assert_complete().await;
}

#[tokio::test]
async fn basic_authentication_suffices() {
    let config = Config { authentication: Authentication::Basic(accounts()), ..google() };
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    world.promote().await;
    world.assert_complete().await;
}

/// Every kind of image arrives under its digest, and therefore byte for byte, with all its parts.
#[tokio::test]
async fn every_kind_of_image_arrives_byte_for_byte() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        let docker = Recipe { seed: 2, format: Format::Docker, ..Recipe::default() };
        let oci = Recipe { seed: 3, ..Recipe::default() };
        world.stage("docker-list", &docker.index(3), &["v1"]).await;
        world.stage("docker-image", &docker.image(), &["v1"]).await;
        world.stage("oci-image", &oci.image(), &["v1"]).await;
        world.stage("nested", &oci.nested_index(), &["v1"]).await;
        world.stage("chart", &oci.artifact("application/vnd.cncf.helm.config.v1+json"), &["0.1.0"]).await;
        world.stage("foreign", &oci.image_with_foreign_layer(), &["v1"]).await;
        world.stage("tagless", &Recipe { seed: 4, ..Recipe::default() }.index(2), &[]).await;
        let attested = world.promote().await;
        assert_eq!(attested.promoted().failed(), 0, "{:?}", world.ledger.failures());
        world.assert_complete().await;
        assert!(world.production[0].store().tags(&path("prod/tagless")).is_empty());
        world.reset_tallies();
        assert!(world.prepare().await.unwrap().plan().is_empty(), "a second run has nothing to do");
    }
}

#[tokio::test]
async fn a_tag_that_would_move_stops_the_run_before_anything_is_written_and_all_are_listed() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        let other = Recipe { seed: 99, ..Recipe::default() }.image();
        for seed in 0..2 {
            let name = format!("app-{seed}");
            world.stage(&name, &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
            other
                .put(world.production[1].store(), &path(&format!("prod/{name}")), &[tag("v1")])
                .await
                .unwrap();
        }
        let Err(Error::Conflicts(conflicts, _)) = world.prepare().await else {
            panic!("a conflict is expected")
        };
        assert_eq!(conflicts.len(), 2);
        let text = conflicts[0].to_string();
        assert!(text.contains("prod/app-0:v1") && text.contains(&other.digest().to_string()), "{text}");
        assert!(text.contains("manifest.yaml:"), "it says where the wish stands: {text}");
        assert_eq!(world.writes(), 0);
    }
}

#[tokio::test]
async fn what_staging_has_lost_is_skipped_and_counted_and_with_strict_it_stops_the_run() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 2).await;
        world.stage("here", &Recipe::default().image(), &["v1"]).await;
        world.request("gone", Digest::of(b"gone"), &["v1"]);
        let attested = world.promote().await;
        let plan = attested.promoted().plan();
        assert_eq!((plan.summary().total.lost, plan.summary().total.copy), (2, 2));
        assert!(world.production[0].store().resolve(&path("prod/here"), &tag("v1")).is_some());
        let production = world.production[0].tally().snapshot();
        assert_eq!(
            production.requests(Kind::ManifestGet),
            1,
            "what staging lacks is not looked for in production; only the tag that is written is"
        );

        let job = promote::Job { strict: true, ..world.job() };
        let refused = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await;
        assert!(matches!(refused, Err(Error::Conflicts(lost, _)) if lost.len() == 2));
    }
}

#[tokio::test]
async fn an_image_that_is_there_gets_its_tag_by_one_request_and_no_blob_moves() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 1).await;
        let sample = Recipe::default().index(2);
        world.stage("app", &sample, &["v2"]).await;
        sample.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
        let attested = world.promote().await;
        assert!(attested.promoted().plan().decisions().all(|(_, verdict)| *verdict == Verdict::Tag));
        assert_eq!(world.writes(), 1);
        let staging = world.staging.tally().snapshot();
        assert_eq!((staging.requests(Kind::ManifestGet), staging.requests(Kind::BlobGet)), (1, 0));
        world.assert_complete().await;
    }
}

/// The tag is in no listing, and `HEAD` answers that it does not exist. `GET`, which is sent right before the write, finds it.
#[tokio::test]
async fn a_tag_that_only_get_shows_is_not_overwritten() {
    let mut world = World::of(Config::default(), 1).await;
    world.stage("app", &Recipe::default().image(), &["v1"]).await;
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    other.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    let status = StatusCode::NOT_FOUND;
    let unknown = Effect::Status { status, code: ErrorCode::NameUnknown, retry_after: None };
    let faults = world.production[0].faults();
    faults.add(Fault::new(unknown).on(Kind::TagList).path("prod/app"));
    faults.add(Fault::new(Effect::Canned(Canned::new(status))).on(Kind::ManifestHead).path("manifests/v1"));
    assert_eq!(world.promote().await.promoted().failed(), 1);
    let found = world.production[0].store().resolve(&path("prod/app"), &tag("v1"));
    assert_eq!(found, Some(other.digest()));
}

/// Another client writes the tag while the write waits after a rate limit response.
#[tokio::test]
async fn a_tag_that_comes_while_its_write_waits_is_not_overwritten() {
    let mut world = World::of(Config::default(), 1).await;
    world.stage("app", &Recipe::default().image(), &["v1"]).await;
    let refusal = Effect::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: ErrorCode::TooManyRequests,
        retry_after: Some(Duration::from_secs(1)),
    };
    let refused = Fault::new(refusal).on(Kind::ManifestPut).path("manifests/v1").times(1);
    let watch = world.production[0].faults().add(refused);
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    let other_client = async {
        while watch.struck() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    };
    let (attested, ()) = tokio::join!(world.promote(), other_client);
    assert_eq!(attested.promoted().failed(), 1);
    let found = world.production[0].store().resolve(&path("prod/app"), &tag("v1"));
    assert_eq!(found, Some(other.digest()));
}

#[tokio::test]
async fn each_attempt_at_a_tag_is_preceded_by_a_look() {
    for (status, code) in [
        (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized),
        (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TooManyRequests),
    ] {
        let mut world = World::of(Config::default(), 1).await;
        world.stage("app", &Recipe::default().image(), &["v1"]).await;
        let refusal = Effect::Status { status, code, retry_after: None };
        world.production[0].faults().add(Fault::new(refusal).on(Kind::ManifestPut).times(1));
        world.promote().await;
        world.assert_complete().await;
        let production = world.production[0].tally().snapshot();
        assert_eq!((production.requests(Kind::ManifestGet), production.requests(Kind::ManifestPut)), (2, 2));
    }
}

/// If a registry does not answer one lookup, only the edge that needs it fails, and no other edge of the repository.
#[tokio::test]
async fn an_unanswered_question_fails_one_edge_and_not_its_repository() {
    let mut world = World::of(Config::default(), 1).await;
    let sample = Recipe::default().image();
    sample.put(world.production[0].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
    world.stage("app", &sample, &["v1"]).await;
    world.stage("app", &Recipe { seed: 2, ..Recipe::default() }.image(), &["v2"]).await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[0]
        .faults()
        .add(Fault::new(denied).on(Kind::ManifestHead).on(Kind::ManifestGet).path("manifests/v1"));
    assert_eq!(world.promote().await.promoted().failed(), 1);
    assert!(world.production[0].store().resolve(&path("prod/app"), &tag("v2")).is_some());
}

/// Production has the image and staging has lost it, which only causes a warning.
#[tokio::test]
async fn a_tagless_image_that_only_production_has_is_done_with_a_warning() {
    let mut world = World::of(Config::default(), 1).await;
    let sample = Recipe::default().image();
    sample.put(world.production[0].store(), &path("prod/app"), &[]).await.unwrap();
    world.request("app", sample.digest(), &[]);
    let cleared = world.prepare().await.unwrap();
    assert!(cleared.plan().decisions().all(|(_, verdict)| *verdict == Verdict::DoneWithoutSource));
}

#[tokio::test]
async fn kinds_that_cannot_be_copied_are_refused_in_the_plan() {
    for config in [google(), Config::default()] {
        let mut world = World::of(config, 1).await;
        let old = RawManifest::new(MediaType::OciArtifact, Bytes::from_static(br#"{"schemaVersion":1}"#));
        world.staging.store().put_manifest(&path("staging/old"), None, &old).await.unwrap();
        world.request("old", old.digest(), &["v1"]);
        let Err(Error::Conflicts(conflicts, _)) = world.prepare().await else {
            panic!("a conflict is expected")
        };
        assert!(conflicts[0].to_string().contains("oci.artifact.manifest"), "{}", conflicts[0]);
        assert_eq!(world.writes(), 0);
    }
}

/// One region refuses all writes. The other regions are unaffected, and the report names the failing one.
#[tokio::test]
async fn a_region_that_fails_stops_no_other() {
    let mut world = World::of(google(), 3).await;
    for seed in 0..4 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.index(2), &["v1"]).await;
    }
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[1].faults().add(Fault::new(denied).on(Kind::ManifestPut));
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 4);
    let failures = world.ledger.failures();
    assert!(failures.iter().all(|(promotion, _)| promotion.destination.host == *world.production[1].host()));
    assert!(failures[0].1.error.contains("403"), "{}", failures[0].1);
    assert_eq!(world.ledger.totals().promoted, 8);
    world.assert_whole().await;

    world.production[1].faults().clear();
    assert_eq!(world.promote().await.promoted().failed(), 0, "the next run completes");
    world.assert_complete().await;
}

/// If a region cannot be read, only its edges fail. If no region can be read, the run is given up.
#[tokio::test]
async fn a_region_that_cannot_be_read_fails_its_own_edges_alone() {
    let mut world = World::of(google(), 2).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[1].faults().add(Fault::new(denied.clone()));
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 1);
    assert!(world.production[0].store().resolve(&path("prod/app"), &tag("v1")).is_some());

    world.staging.faults().add(Fault::new(denied));
    world.request("other", Digest::of(b"other"), &["v1"]);
    let again = world.prepare().await.unwrap();
    assert_eq!(again.plan().summary().total.done, 1, "what is done needs no staging");
    world.production[0].faults().add(Fault::new(Effect::Reset));
    assert!(matches!(world.prepare().await, Err(Error::Unavailable(..))));
}

/// Without `keep_going`, nothing starts after the first failure.
#[tokio::test]
async fn without_keep_going_nothing_is_begun_after_a_failure() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..60 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
    }
    let denied = Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
    world.production[0].faults().add(Fault::new(denied).on(Kind::Mount).on(Kind::UploadOpen));
    let job = promote::Job { keep_going: false, ..world.job() };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    let attested = world.carry_out(cleared).await;
    assert!(attested.promoted().not_begun() > 0);
    assert!(attested.promoted().failed() < 60, "{} of 60 failed", attested.promoted().failed());
}

/// 429 with `Retry-After`, 5xx, resets, lost answers and cut bodies only cost time.
#[tokio::test]
async fn faults_and_quotas_lose_nothing() {
    let mut world = World::of(google(), 2).await;
    for seed in 0..3 {
        let recipe = Recipe { seed, layer_size: 200_000, ..Recipe::default() };
        world.stage(&format!("app-{seed}"), &recipe.index(2), &["v1", "v1.0"]).await;
    }
    let busy = Effect::Status {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: ErrorCode::Unsupported,
        retry_after: None,
    };
    world.staging.faults().add(Fault::new(Effect::Cut { after: 100_000 }).on(Kind::BlobGet).times(3));
    world.staging.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestGet).times(2));
    for region in &world.production {
        let faults = region.faults();
        faults.set_quota(Quota::Shared(Allowance { per_second: 200.0, burst: 20, retry_after: None }));
        faults.add(Fault::new(busy.clone()).on(Kind::Mount).times(2));
        faults.add(Fault::new(Effect::Reset).on(Kind::UploadPut).skip(1).times(2));
        faults.add(Fault::new(Effect::LostAnswer).on(Kind::UploadPut).skip(6).times(2));
        faults.add(Fault::new(Effect::LostAnswer).on(Kind::ManifestPut).times(2));
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 0, "{:?}", world.ledger.failures());
    world.assert_complete().await;
}

/// The registries do not announce their quota. It is determined separately for each host, and almost no request is refused.
#[tokio::test]
async fn a_quota_that_nobody_tells_is_kept_to() {
    let world = small_world(google()).await;
    for server in world.servers() {
        server.faults().set_latency(Duration::from_millis(20));
        let allowance = Allowance { per_second: 83.0, burst: 100, retry_after: None };
        server.faults().set_quota(Quota::Shared(allowance));
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().failed(), 0, "{:?}", world.ledger.failures());
    world.assert_complete().await;
    for (host, tally) in world.tallies().iter().enumerate() {
        let (refused, all) = (tally.total_refused(), tally.total());
        assert!(refused <= 15, "{refused} of {all} requests were refused by host {host}");
    }
}

/// Wrong content in staging fails immediately, is never tagged, and does not affect the other images.
#[tokio::test]
async fn wrong_content_is_neither_retried_nor_tagged() {
    // A small layer is held in memory, a large one is streamed.
    for layer_size in [1024, 6 * 1024 * 1024] {
        let mut world = World::of(google(), 2).await;
        let bad = Recipe { seed: 1, layer_size, layers: 1, ..Recipe::default() }.image();
        world.stage("bad", &bad, &["v1"]).await;
        world.stage("good", &Recipe { seed: 2, ..Recipe::default() }.image(), &["v1"]).await;
        let layer = bad.blobs.iter().find(|blob| blob.len() == layer_size).unwrap();
        let fault = Fault::new(Effect::Corrupt).on(Kind::BlobGet).path(Digest::of(layer).to_string());
        let watch = world.staging.faults().add(fault);
        let attested = world.promote().await;
        assert_eq!(attested.promoted().failed(), 2, "in both regions");
        assert_eq!(watch.struck(), 1, "asked for once");
        assert!(world.ledger.failures().iter().all(|(_, problem)| problem.error.contains("wrong content")));
        for region in &world.production {
            assert!(region.store().tags(&path("prod/bad")).is_empty());
            assert!(region.store().manifests(&path("prod/bad")).is_empty());
            assert!(!region.store().has_blob(&path("prod/bad"), &Digest::of(layer)));
            assert!(region.store().resolve(&path("prod/good"), &tag("v1")).is_some());
        }
    }
}

/// Large layers stream to all regions from one read. A region that accepts nothing does not block the others forever.
#[tokio::test]
async fn large_layers_are_read_once_for_all_regions() {
    let mut world = World::of(google(), 4).await;
    let size = 9 * 1024 * 1024;
    let sample = Recipe { layer_size: size, layers: 2, ..Recipe::default() }.image();
    world.stage("large", &sample, &["v1"]).await;
    world.promote().await;
    world.assert_complete().await;
    assert_eq!(world.staging.tally().snapshot().blob_bytes_out, sample.blob_bytes());
}

/// A run may end after any number of requests: no region has anything whose parts are missing, and the next run completes it.
#[tokio::test]
async fn a_run_that_dies_at_any_request_leaves_nothing_incomplete_and_the_next_one_completes() {
    // A complete run writes 37 times to each region.
    for survived in (0..37).step_by(3) {
        let mut world = World::of(google(), 2).await;
        for seed in 0..2 {
            let recipe = Recipe { seed, layers: 1, shared_layers: vec![base_layer()], ..Recipe::default() };
            world.stage(&format!("app-{seed}"), &recipe.index(3), &["v1", "latest"]).await;
        }
        for region in &world.production {
            let write = [Kind::Mount, Kind::UploadPut, Kind::ManifestPut];
            let fault = write.into_iter().fold(Fault::new(Effect::Hang), Fault::on).skip(survived);
            region.faults().add(fault);
        }
        let dying = tokio::time::timeout(Duration::from_millis(400), world.promote()).await;
        assert!(dying.is_err(), "after {survived} writes nothing is answered any more");
        world.assert_whole().await;
        world.servers().for_each(|server| server.faults().clear());
        world.client = world.fresh_client();
        assert_eq!(world.promote().await.promoted().failed(), 0);
        world.assert_complete().await;
    }
}

/// A stop ends planning at once, and lets Promote finish what is in progress.
#[tokio::test]
async fn a_run_that_is_told_to_stop_begins_nothing_new() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..80 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.image(), &["v1"]).await;
    }
    let cleared = world.prepare().await.unwrap();
    world.production[0].faults().set_latency(Duration::from_millis(20));
    let stop = world.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        stop.cancel();
    });
    let attested = world.carry_out(cleared).await;
    assert!(attested.promoted().not_begun() > 0);
    assert_eq!(attested.promoted().failed(), 0, "what was begun is finished");
    let promoted = world.ledger.totals().promoted;
    assert!(promoted > 0 && promoted < 80, "{promoted} of 80");
    world.assert_whole().await;
    assert!(matches!(world.prepare().await, Err(Error::Interrupted)));
}

/// What staging serves on the same host as production is mounted, so no bytes are transferred.
#[tokio::test]
async fn staging_on_the_host_of_production_is_mounted_from() {
    let mut world = World::of(google(), 1).await;
    let sample = Recipe::default().index(2);
    sample.put(world.production[0].store(), &path("staging/app"), &[]).await.unwrap();
    world.request("app", sample.digest(), &["v1"]);
    let host = world.production[0].host().clone();
    let mut manifests = world.manifests();
    manifests.manifests[0].source.host = host;
    let job = promote::Job {
        manifests,
        strict: false,
        keep_going: true,
        late_after: None,
        writes: true,
        looks: false,
        cache: None,
    };
    let cleared = promote::prepare(&world.run(), &world.client, job, &world.trust_config).await.unwrap();
    world.carry_out(cleared).await;
    world.assert_complete().await;
    let tally = world.production[0].tally().snapshot();
    assert_eq!((tally.requests(Kind::UploadPut), tally.blob_bytes_out), (0, 0));
}

/// A registry may forbid mounting from another repository but allow uploading. The layer is uploaded then.
#[tokio::test]
async fn a_mount_that_is_refused_is_an_upload() {
    let mut world = World::of(google(), 1).await;
    for seed in 0..2 {
        let recipe = Recipe { seed, shared_layers: vec![base_layer()], ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.image(), &["v1"]).await;
    }
    let base = Digest::of(&base_layer());
    let mut refusals = Vec::new();
    for (to, from) in [(0, 1), (1, 0)] {
        let denied =
            Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
        let asked = format!("prod/image-{to}/blobs/uploads/?mount={base}&from=prod/image-{from}");
        refusals.push(world.production[0].faults().add(Fault::new(denied).path(asked)));
    }
    assert_eq!(world.promote().await.promoted().failed(), 0, "{:?}", world.ledger.failures());
    assert_eq!(refusals.iter().map(registry::Watch::struck).sum::<u64>(), 1, "it was tried");
    world.assert_complete().await;
}
