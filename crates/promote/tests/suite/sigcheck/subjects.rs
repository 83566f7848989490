//! Which images of a registry are checked. The tables compare with recorded cases of the Go tool (v4.5.1): the same worlds, the
//! images that it checks, and the images that kpromo checks, with the reason if they differ.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use oci::{AttachedTag, Digest, RawManifest, Tag, referrers_tag};
use promote::sigcheck::{FindError, FoundImage, Naming, Span, Wanted, find};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, Fault, Kind};
use serde_json::json;
use trust::SignatureFormat;

use crate::sigcheck::scene::{ALL, Scene, findings};
use crate::support::{google, path, tag};

fn recipe(seed: u64) -> Recipe {
    Recipe { seed, ..Recipe::default() }
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_hours(24 * days)).unwrap()
}

/// The span of `--from-days` and `--to-days`.
fn days(from: i64, to: i64) -> Option<Span> {
    Some(Span { from: days_ago(from), to: (to > 0).then(|| days_ago(to)) })
}

fn listed(span: Option<Span>) -> Wanted {
    Wanted::Listed { span, limit: None }
}

/// Puts an image into production with an upload time some hours before the given number of days ago. Returns its digest.
async fn put(scene: &Scene, name: &str, sample: &Sample, tags: &[&str], uploaded_days_ago: i64) -> Digest {
    let store = scene.world.production[0].store();
    let repository = path(&format!("prod/{name}"));
    let tags: Vec<Tag> = tags.iter().map(|name| tag(name)).collect();
    sample.put(store, &repository, &tags).await.unwrap();
    let time =
        days_ago(uploaded_days_ago).checked_add(SignedDuration::from_mins(10)).unwrap().as_millisecond();
    for manifest in &sample.manifests {
        assert!(store.set_uploaded(&repository, &manifest.digest(), time));
    }
    sample.digest()
}

/// Creates the world of the recorded cases `listing` and `listing-days`.
async fn recorded() -> Scene {
    let scene = Scene::of(google(), SignatureFormat::Auto).await;
    for (seed, (name, tags, days)) in [
        ("app", &["v1"][..], 1),
        ("app", &["v0"], 9),
        ("tool-amd64", &["v1"], 1),
        ("tool-arm", &["v1"], 1),
        ("tool-arm64", &["v1"], 1),
        ("tool-ppc64le", &["v1"], 1),
        ("tool-s390x", &["v1"], 1),
        ("tool-riscv64", &["v1"], 1),
        ("sub/x", &["b", "a"], 2),
        ("tagless", &[], 1),
    ]
    .into_iter()
    .enumerate()
    {
        put(&scene, name, &recipe(seed as u64).index(2), tags, days).await;
    }
    let other = Digest::of(b"another image").hex();
    for (seed, kind) in [(20, "sig"), (21, "att")] {
        put(&scene, "meta", &recipe(seed).image(), &[&format!("sha256-{other}.{kind}")], 1).await;
    }
    scene
}

/// Returns the images, each by its path below the production path and its first tag.
fn names(images: &[FoundImage]) -> BTreeSet<String> {
    let name = |image: &FoundImage| {
        let path = image.repository.path.as_str().strip_prefix("prod/").unwrap();
        match image.tags.iter().min() {
            Some(tag) => format!("{path}:{tag}"),
            None => format!("{path}@"),
        }
    };
    images.iter().map(name).collect()
}

#[tokio::test]
async fn an_image_whose_time_is_unknown_or_ahead_of_the_clock_is_checked() {
    let scene = Scene::of(google(), SignatureFormat::Auto).await;
    put(&scene, "old", &recipe(0).image(), &["v1"], 9).await;
    put(&scene, "ahead", &recipe(1).image(), &["v1"], -1).await;
    let unknown = recipe(2).image();
    put(&scene, "unknown", &unknown, &["v1"], 9).await;
    let store = scene.world.production[0].store();
    assert!(store.set_uploaded(&path("prod/unknown"), &unknown.digest(), i64::MAX));
    let found = scene.find(&listed(days(5, 0)), &Naming::default()).await;
    assert_eq!(names(&found.images), ["ahead:v1", "unknown:v1"].map(str::to_owned).into());
    assert!(!found.without_times, "the other images have times");
    let found = scene.find(&listed(days(5, 1)), &Naming::default()).await;
    assert_eq!(names(&found.images), ["unknown:v1".to_owned()].into());
}

#[tokio::test]
async fn listed_manifests_are_checked_unless_they_are_attachments() {
    let scene = recorded().await;
    struct Row {
        case: &'static str,
        span: Option<Span>,
        /// The images that the Go tool checks, by their first tag in the order of the registry.
        go: &'static [&'static str],
        ours: &'static [&'static str],
        /// Why the result differs.
        because: &'static str,
    }
    for Row { case, span, go, ours, because } in [
        Row {
            case: "listing",
            span: days(5, 0),
            go: &["app:v1", "meta:….att", "sub/x:b", "tool-riscv64:v1"],
            ours: &[
                "app:v1",
                "sub/x:a",
                "tagless@",
                "tool-amd64:v1",
                "tool-arm64:v1",
                "tool-arm:v1",
                "tool-ppc64le:v1",
                "tool-riscv64:v1",
                "tool-s390x:v1",
            ],
            because: "an attestation is not an image, every repository counts, and untagged images need a record",
        },
        Row { case: "listing-days", span: days(10, 5), go: &["app:v0"], ours: &["app:v0"], because: "" },
        Row { case: "listing-nothing", span: days(0, 0), go: &[], ours: &[], because: "" },
    ] {
        let found = scene.find(&listed(span), &Naming::default()).await;
        assert!(found.unread.is_empty() && !found.without_times, "{case}");
        let ours: BTreeSet<String> = ours.iter().map(ToString::to_string).collect();
        assert_eq!(names(&found.images), ours, "{case}: {because}");
        let go: BTreeSet<String> = go.iter().map(ToString::to_string).collect();
        assert_eq!(ours == go, because.is_empty(), "{case}");
    }
}

/// The recorded case `listing-limit`: the Go tool takes the first image that it lists, regardless of its time.
#[tokio::test]
async fn a_limit_takes_the_latest_images() {
    let scene = recorded().await;
    let latest = put(&scene, "zz", &recipe(30).image(), &["v1"], 0).await;
    let limited = Wanted::Listed { span: days(20, 0), limit: Some(1) };
    scene.world.production[0].store().set_uploaded(
        &path("prod/zz"),
        &latest,
        Timestamp::now().as_millisecond() - 1000,
    );
    let found = scene.find(&limited, &Naming::default()).await;
    assert_eq!(found.images.iter().map(|image| image.digest).collect::<Vec<_>>(), [latest]);
}

/// Promotions leave untagged manifests behind: records, signatures, and manifests that tags named before. None of them is an
/// image.
#[tokio::test]
async fn parts_records_and_manifests_that_tags_named_before_are_not_images() {
    for referrers_api in [true, false] {
        let mut scene = Scene::of(Config { referrers_api, ..google() }, SignatureFormat::Both).await;
        scene.stage("app", &recipe(1).nested_index(), &["v1"]).await;
        scene.stage("app", &recipe(2).image(), &[]).await;
        scene.promote().await;
        let (store, app) = (scene.world.production[0].store(), path("prod/app"));
        // Overwrite the tags of signatures and lists, so that their previous manifests are untagged.
        for (tag, digest) in store.tags(&app) {
            if AttachedTag::parse(&tag).is_some() || tag == referrers_tag(recipe(2).image().digest()) {
                let manifest = store.manifest(&app, &digest).await.unwrap().unwrap();
                let mut json: serde_json::Value = serde_json::from_slice(manifest.bytes()).unwrap();
                json["annotations"] = json!({ "a": "b" });
                let again = RawManifest::new(manifest.media_type().clone(), json.to_string().into());
                store.put_manifest(&app, Some(&tag), &again).await.unwrap();
            }
        }
        let found = scene.find(&ALL, &Naming::default()).await;
        assert_eq!(names(&found.images), ["app:v1".to_owned(), "app@".to_owned()].into());
        let checked = scene.check(&ALL, &Naming::default()).await;
        assert_eq!(findings(&checked), Vec::<String>::new());
        let untagged = checked.iter().find(|image| image.tags.is_empty()).unwrap();
        assert_eq!(untagged.result.as_ref().unwrap().signature, None, "it needs no signature");
    }
}

/// An old index may list a part that is in the span. The index is then read too.
#[tokio::test]
async fn a_part_of_an_old_index_is_not_an_image() {
    let scene = Scene::of(google(), SignatureFormat::Auto).await;
    let index = recipe(1).index(2);
    put(&scene, "app", &index, &["v1"], 30).await;
    let part = index.manifests[0].digest();
    let store = scene.world.production[0].store();
    store.set_uploaded(&path("prod/app"), &part, days_ago(0).as_millisecond() - 1000);
    let alone = put(&scene, "app", &recipe(2).image(), &[], 1).await;
    let recent = Wanted::Listed { span: days(5, 0), limit: None };
    let found = scene.find(&recent, &Naming::default()).await;
    assert_eq!(found.images.iter().map(|image| image.digest).collect::<Vec<_>>(), [alone]);
    // With manifests, only the untagged images that they name are checked, and nothing has to be read.
    scene.world.reset_tallies();
    let found = scene.find(&recent, &scene.manifests()).await;
    assert!(found.images.is_empty());
    assert_eq!(scene.world.tallies()[1].requests(Kind::ManifestGet), 0);
}

/// All names map to the canonical repository, and an image that is named twice is checked once.
#[tokio::test]
async fn images_are_found_by_public_or_regional_name_with_tag_or_digest() {
    for (config, knows_tags) in [(google(), true), (Config::default(), false)] {
        let scene = Scene::of(config, SignatureFormat::Auto).await;
        let digest = put(&scene, "group/app", &recipe(1).index(2), &["v1", "v2"], 3).await;
        let untagged = put(&scene, "group/app", &recipe(2).image(), &[], 3).await;
        let host = scene.world.production[0].host().clone();
        let wanted = Wanted::Named(
            [
                "registry.example/group/app:v1".to_owned(),
                format!("{host}/prod/group/app:v2"),
                format!("region.example/prod/group/app@{digest}"),
                format!("registry.example/group/app@{untagged}"),
            ]
            .map(|name| name.parse().unwrap())
            .into(),
        );
        let found = scene.find(&wanted, &Naming::default()).await;
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        let [first, second] = &found.images[..] else { panic!("{:?}", found.images) };
        assert_eq!((first.digest, first.signs, second.digest), (digest, true, untagged));
        assert_eq!(second.signs, !knows_tags, "without a list of manifests it may have a tag");
        assert_eq!(first.repository, scene.repository("group/app"));
        assert_eq!(first.tags, [tag("v1"), tag("v2")]);
    }
}

/// The recorded case `absent-image`: the Go tool ends at the first image that it cannot read.
#[tokio::test]
async fn an_absent_image_does_not_end_the_run() {
    let scene = Scene::of(google(), SignatureFormat::Auto).await;
    let digest = put(&scene, "app", &recipe(1).image(), &["v1"], 1).await;
    let names = ["registry.example/absent:v1", "registry.example/app:v1"].map(|name| name.parse().unwrap());
    let found = scene.find(&Wanted::Named(names.into()), &Naming::default()).await;
    assert_eq!(found.images.iter().map(|image| image.digest).collect::<Vec<_>>(), [digest]);
    let [(name, problem)] = &found.unread[..] else { panic!("{:?}", found.unread) };
    assert_eq!(name, "registry.example/absent:v1");
    assert!(problem.error.contains("/prod/absent") && problem.advice.is_some(), "{problem:?}");
}

#[tokio::test]
async fn attachments_cannot_be_named_as_images() {
    let scene = Scene::of(google(), SignatureFormat::Auto).await;
    let hex = Digest::of(b"x").hex();
    for kind in [".sig", ".att", ".sbom", ""] {
        let name = format!("registry.example/app:sha256-{hex}{kind}");
        let (run, reader) = (scene.world.run(), scene.world.fresh_client().reader());
        let wanted = Wanted::Named(vec![name.parse().unwrap()]);
        let production = &scene.world.trust_config.production;
        let error = find(&run, &reader, production, &wanted, None).await.unwrap_err();
        assert!(matches!(error, FindError::Metadata(_)), "{error}");
        assert_eq!(scene.world.requests(), 0);
    }
}

#[tokio::test]
async fn a_repository_that_cannot_be_listed_does_not_hide_the_others() {
    let scene = recorded().await;
    scene.world.production[0]
        .faults()
        .add(Fault::new(Effect::Reset).on(Kind::TagList).path("prod/tool-arm/"));
    let found = scene.find(&ALL, &Naming::default()).await;
    let [(name, _)] = &found.unread[..] else { panic!("{:?}", found.unread) };
    assert!(name.ends_with("/prod/tool-arm"), "{name}");
    assert_eq!(found.images.len(), 9);
}

/// Without upload times, all images are found, and `without_times` says that the span was not applied.
#[tokio::test]
async fn on_a_registry_that_lists_only_tags_there_are_no_upload_times() {
    let scene = Scene::of(Config::default(), SignatureFormat::Auto).await;
    put(&scene, "app", &recipe(1).image(), &["v1"], 100).await;
    put(&scene, "sub/x", &recipe(2).image(), &["a", "b"], 1).await;
    let found = scene.find(&Wanted::Listed { span: days(5, 0), limit: None }, &Naming::default()).await;
    assert!(found.without_times);
    assert_eq!(names(&found.images), ["app:v1".to_owned(), "sub/x:a".to_owned()].into());
}

/// A listing without a `.sig` tag saves the request for it. The same holds for `.att` tags and lists of referrers.
#[tokio::test]
async fn content_that_is_not_in_a_listing_is_not_requested() {
    let config = Config { request_log: 10_000, referrers_api: false, ..google() };
    let mut scene = Scene::of(config, SignatureFormat::Tag).await;
    let index = recipe(1).index(2);
    scene.stage("app", &index, &["v1"]).await;
    scene.promote_unsigned().await;
    scene.world.reset_tallies();
    let checked = scene.check(&ALL, &Naming::default()).await;
    assert_eq!(checked.iter().filter(|image| !image.is_ok()).count(), 1);
    let requests = |scene: &Scene| -> Vec<String> {
        let log = scene.world.production[0].tally().log();
        log.iter().map(|logged| format!("{} {}", logged.method, logged.target)).collect()
    };
    let asked = requests(&scene);
    let attached: Vec<&String> =
        asked.iter().filter(|request| request.contains("/manifests/sha256-")).collect();
    assert!(attached.is_empty(), "{attached:#?}");
    // The listings: the production path, and the repository, once to find the images and once to check them. The index: once
    // because its parts are among the untagged manifests, and once to check it. And two requests to detect the referrers API.
    let of = |asked: &[String], part: &str| asked.iter().filter(|request| request.contains(part)).count();
    let numbers = ["tags/list", "/manifests/sha256:", "/referrers/"].map(|part| of(&asked, part));
    assert_eq!((numbers, asked.len()), ([3, 2, 2], 7), "{asked:#?}");

    // Once they are signed, each manifest costs requests for its tag and its payload, and the image also for its list of
    // referrers, its record and the bundle in it.
    scene.promote().await;
    scene.world.reset_tallies();
    assert_eq!(findings(&scene.check(&ALL, &scene.manifests()).await), Vec::<String>::new());
    let asked = requests(&scene);
    let numbers = ["tags/list", ".sig", "/blobs/", "/referrers/", "/manifests/sha256-", "/manifests/sha256:"];
    assert_eq!(numbers.map(|part| of(&asked, part)), [3, 3, 4, 2, 4, 2], "{asked:#?}");
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:#?}");
}
