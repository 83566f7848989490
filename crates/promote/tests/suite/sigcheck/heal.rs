//! `--confirm` repairs a world whose signatures and records were deleted, truncated and replaced at random.

use oci::{AttachedTag, AttachmentKind, Selector};
use promote::sigcheck::Naming;
use rand::SeedableRng;
use rand::rngs::StdRng;
use registry::Config;
use registry::sample::{Recipe, Sample};
use trust::SignatureFormat;

use crate::sigcheck::damage::damage;
use crate::sigcheck::scene::{ALL, Scene, findings};
use crate::support::google;
use crate::support::hand::{Hand, append};

const FORMATS: [SignatureFormat; 4] =
    [SignatureFormat::Auto, SignatureFormat::Tag, SignatureFormat::Bundle, SignatureFormat::Both];

fn recipe(seed: u64) -> Recipe {
    Recipe { seed, ..Recipe::default() }
}

/// The images of the worlds, with their tags.
fn images() -> [(&'static str, Sample, &'static [&'static str]); 5] {
    [
        ("group/index", recipe(1).index(2), &["v1", "v1.0"]),
        ("group/index", recipe(2).index(2), &["v2"]),
        ("image", recipe(3).image(), &["v1"]),
        ("nested", recipe(4).nested_index(), &["v1"]),
        ("untagged", recipe(5).image(), &[]),
    ]
}

async fn promoted(config: Config, format: SignatureFormat) -> Scene {
    let mut scene = Scene::of(config, format).await;
    for (name, sample, tags) in images() {
        scene.stage(name, &sample, tags).await;
    }
    scene.promote().await;
    scene
}

async fn heals(config: Config, format: SignatureFormat, seed: u64) {
    let scene = promoted(config, format).await;
    let manifests = scene.manifests();
    let before = scene.check(&ALL, &manifests).await;
    assert_eq!(findings(&before), Vec::<String>::new(), "{format:?}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = &scene.world.production[0];
    let mut done = Vec::new();
    for path in server.store().repositories() {
        done.extend(damage(server.store(), &path, 0.4, &mut random).await);
    }
    let what = || format!("{format:?}, seed {seed}: {done:#?}");
    let after = scene.repair(&ALL, &manifests).await;
    let report = &scene.world.report;
    let failed = || format!("{}\n{:?}\n{:?}", what(), report.unsigned(), report.unrecorded());
    assert_eq!(findings(&after), Vec::<String>::new(), "{}", failed());
    assert_eq!(after.len(), before.len(), "{}", what());
    // A second run finds nothing and writes nothing.
    scene.world.reset_tallies();
    let again = scene.repair(&ALL, &manifests).await;
    assert_eq!((findings(&again), scene.world.writes()), (Vec::new(), 0), "{}", what());
    // A promotion writes nothing either.
    let done = scene.world.promote().await;
    assert_eq!((done.unsigned(), done.unrecorded(), scene.world.writes()), (0, 0, 0), "{}", what());
}

#[tokio::test]
async fn deleted_truncated_and_replaced_attachments_are_repaired_and_a_second_run_finds_nothing() {
    for seed in 0..8 {
        heals(google(), FORMATS[seed as usize % FORMATS.len()], seed).await;
    }
}

#[tokio::test]
async fn damage_is_repaired_on_registries_that_list_only_tags_and_have_no_referrers_api() {
    for seed in 100..108 {
        let config = Config { referrers_api: false, google_listing: seed % 2 == 0, ..Config::default() };
        heals(config, FORMATS[seed as usize / 2 % FORMATS.len()], seed).await;
    }
}

/// Valid signatures by any signer are kept byte for byte.
#[tokio::test]
async fn valid_signatures_by_any_signer_are_kept() {
    let scene = promoted(google(), SignatureFormat::Auto).await;
    let (_, sample, _) = &images()[2];
    let (repository, stranger) = (scene.repository("image"), Hand::new());
    let theirs = stranger.signature(sample.digest()).await;
    append(&repository, sample.digest(), AttachmentKind::Signature, std::slice::from_ref(&theirs)).await;
    let tag = AttachedTag::new(sample.digest(), AttachmentKind::Signature).unwrap().tag();
    let reader = scene.world.fresh_client().reader();
    let there =
        async || reader.attachment(&repository, Selector::Tag(&tag)).await.unwrap().present().unwrap();
    let before = there().await;
    scene.world.reset_tallies();
    let naming = Naming::default();
    assert_eq!(findings(&scene.repair(&ALL, &naming).await), Vec::<String>::new());
    assert_eq!(scene.world.writes(), 0);
    assert_eq!(there().await.manifest, before.manifest);
    // If only our signature is lost, theirs is kept and ours is added again.
    let store = scene.world.production[0].store();
    store.delete_tag(&repository.path, &tag).await.unwrap();
    append(&repository, sample.digest(), AttachmentKind::Signature, std::slice::from_ref(&theirs)).await;
    assert_eq!(findings(&scene.repair(&ALL, &naming).await), Vec::<String>::new());
    let layers = there().await.layers;
    assert_eq!((layers.len(), &layers[0].annotations), (2, &theirs.annotations), "theirs, then ours");
}
