//! One gate: nothing is promoted, signed, recorded or summarised that has not passed Provenance and Validate in the same run, and
//! the plan finds all that is owed (specification 02, *One gate*).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use manifest::Manifests;
use manifest::policy::{Mode, Policies};
use oci::{AttachmentKind, Digest, Known, RegistryRoot, Repository};
use promote::{Error, Job, Phase, Prepared, prepare};
use registry::sample::{Recipe, Sample};
use registry::{Canned, Config, Effect, Fault, Kind};
use support::beside::{attestations, beside, runnable};
use support::hand::{Hand, PROVENANCE, append, attach, malformed};
use support::signer::Identity;
use support::{LATE_AFTER, World, google, path, tag, unsatisfied, within_limit};
use trust::{SignatureFormat, SummarySigner};

const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const RECORD: &str = support::signer::RECORD;
const SIGN: &str = trust::evidence::SIGN_TYPE;

/// A world that signs with a key and may have a policy, which keys never satisfy.
struct Scene {
    world: World,
    identity: Identity,
    policies: Policies,
}

impl Scene {
    async fn of(config: Config, regions: usize, format: SignatureFormat) -> Self {
        let mut world = World::of(config, regions).await;
        let identity = Identity::new(format);
        let canonical = world.trust_config.production.canonical_host.clone();
        world.trust_config = identity.trust_config(&world.door, canonical);
        Self { world, identity, policies: Policies::default() }
    }

    /// All of a folder of staging has a policy.
    fn demand(&mut self, folder: &str, mode: Mode) {
        let source: RegistryRoot = format!("{}/{folder}", self.world.staging.host()).parse().unwrap();
        let policy = Some(unsatisfied(mode));
        let file = Arc::from("manifests/app/promoter-manifest.yaml");
        self.policies = Policies::new(&[(&source, policy)]).unwrap().with_files([(&source, file)]);
    }

    fn summarize(&mut self) {
        if let Some(signing) = &mut self.world.trust_config.signing {
            signing.summaries = Some(SummarySigner::Same);
        }
    }

    fn job(&self) -> Job {
        let mut job = self.world.job();
        job.manifests.policies = self.policies.clone();
        job
    }

    async fn prepare(&self, job: Job) -> Result<Prepared, Error> {
        within_limit(prepare(&self.world.run(), &self.world.fresh_client(), job, &self.world.trust_config))
            .await
    }

    /// Promotes without signing, as a run does that is killed before it signs.
    async fn promote_unsigned(&mut self) {
        let signing = self.world.trust_config.signing.take();
        let prepared = self.world.prepare().await.unwrap_or_else(|error| panic!("{error}"));
        self.world.carry_out(prepared).await;
        self.world.trust_config.signing = signing;
    }

    fn home(&self, region: usize) -> Repository {
        self.world.repository(region, "app")
    }

    /// How many signatures in tags and in bundles, records and summaries of ours a manifest has.
    async fn attached(&self, region: usize, digest: Digest) -> (usize, usize, usize, usize) {
        let (reader, home) = (self.world.fresh_client().reader(), self.home(region));
        let statements = self.identity.statements(&reader, &home, digest).await;
        let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
        let layers = self.identity.layers(&reader, &home, digest).await;
        (layers, of(SIGN), of(RECORD), of(SUMMARY))
    }

    /// The results and policies of the summaries of a manifest.
    async fn summaries(&self, digest: Digest) -> Vec<(String, String)> {
        let (reader, home) = (self.world.fresh_client().reader(), self.home(0));
        let statements = self.identity.statements(&reader, &home, digest).await;
        let summaries = statements.into_iter().filter(|it| it.predicate_type == SUMMARY);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        summaries
            .map(|it| (text(&it.predicate["verificationResult"]), text(&it.predicate["policy"]["uri"])))
            .collect()
    }
}

/// What is owed to an image when the run begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owed {
    /// Everything: it is not in production.
    Everything,
    /// Signatures and a record: an earlier run has copied it.
    Signatures,
    /// A record: an earlier run has copied it, and it has no tag.
    Record,
    /// Everything, at a canonical region that answers when the others are done.
    Late,
}

/// Who is asked for what, in each mode: an image or index that does not pass gets nothing, whatever it is owed.
#[tokio::test]
async fn what_does_not_pass_is_neither_promoted_nor_signed_nor_recorded_nor_summarised() {
    for owed in [Owed::Everything, Owed::Signatures, Owed::Record, Owed::Late] {
        for (mode, verdict) in
            [(None, Some("PASSED")), (Some(Mode::Warn), Some("FAILED")), (Some(Mode::Require), None)]
        {
            for sample in [Recipe::default().image(), Recipe::default().nested_index()] {
                check(owed, mode, verdict, &sample).await;
            }
        }
    }
}

async fn check(owed: Owed, mode: Option<Mode>, verdict: Option<&str>, sample: &Sample) {
    let what = format!("{owed:?}, {mode:?}, {} manifests", sample.manifests.len());
    let mut scene = Scene::of(google(), 2, SignatureFormat::Auto).await;
    scene.summarize();
    let tags: &[&str] = if owed == Owed::Record { &[] } else { &["v1"] };
    scene.world.stage("app", sample, tags).await;
    if matches!(owed, Owed::Signatures | Owed::Record) {
        scene.promote_unsigned().await;
    }
    if owed == Owed::Late {
        // The other region has it, so that the first round has nothing to do.
        sample.put(scene.world.production[1].store(), &path("prod/app"), &[tag("v1")]).await.unwrap();
        scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    }
    if let Some(mode) = mode {
        scene.demand("staging", mode);
    }
    let late_after = if owed == Owed::Late { LATE_AFTER } else { None };
    let prepared = scene.prepare(Job { late_after, ..scene.job() }).await;
    scene.world.production[0].faults().clear();
    let is_refused = verdict.is_none();
    if is_refused && owed == Owed::Everything {
        assert!(matches!(prepared, Err(Error::Blocked(Phase::Provenance, ..))), "{what}");
        assert_eq!(scene.world.writes(), 0, "{what}");
        return;
    }
    let done = scene.world.carry_out(prepared.unwrap_or_else(|error| panic!("{what}: {error}"))).await;
    let signed = usize::from(!is_refused && owed != Owed::Record);
    for (number, manifest) in sample.manifests.iter().enumerate() {
        let digest = manifest.digest();
        if owed == Owed::Late && is_refused {
            assert!(!scene.world.production[0].store().has_manifest(&path("prod/app"), &digest), "{what}");
            continue;
        }
        let is_root = number + 1 == sample.manifests.len();
        let expected = usize::from(is_root && !is_refused);
        let (layers, _, records, summaries) = scene.attached(0, digest).await;
        assert_eq!((layers, records), (signed, expected), "{what}, {digest}");
        assert_eq!(summaries, usize::from(!is_refused), "{what}, {digest}");
        for (result, policy) in scene.summaries(digest).await {
            assert_eq!(Some(result.as_str()), verdict, "parts have the verdict of their index: {what}");
            let holds = policy.ends_with("manifests/app/promoter-manifest.yaml");
            assert_eq!(holds, mode.is_some(), "{policy}");
        }
    }
    let lacking = done.unsigned() + done.unrecorded() + done.promoted().failed();
    assert_eq!(lacking > 0, is_refused, "{what}: what is not done is told");
    // The next run finds nothing to do, or the same.
    scene.world.reset_tallies();
    if !is_refused {
        let prepared = scene.prepare(scene.job()).await.unwrap();
        assert!(prepared.plan().is_empty(), "{what}");
        scene.world.carry_out(prepared).await;
        assert_eq!(scene.world.writes(), 0, "{what}");
    }
}

/// An index passes, and a tagless child of it has a policy of its own that it does not satisfy.
#[tokio::test]
async fn a_tagless_child_that_its_policy_refuses_is_not_recorded() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    // The child is asked for from elsewhere, where a policy holds.
    let child = index.manifests[0].clone();
    Recipe::default().index(2).put(scene.world.staging.store(), &path("strict/app"), &[]).await.unwrap();
    scene.demand("strict", Mode::Require);
    let mut job = scene.job();
    let mut manifest = job.manifests.manifests[0].clone();
    manifest.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
    let image = &mut manifest.images[0];
    image.digests[0].digest = child.digest();
    image.digests[0].tags.clear();
    job.manifests.manifests = vec![manifest];
    let prepared = scene.prepare(job).await.unwrap();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unsigned(), done.unrecorded()), (0, 1));
    assert_eq!(scene.attached(0, child.digest()).await.2, 0, "no record");
    assert_eq!(scene.attached(0, index.digest()).await.2, 1);
}

/// The manifests of a world, asked for from two folders of staging.
fn from_both(scene: &Scene, folders: [&str; 2]) -> Manifests {
    let mut manifests = scene.job().manifests;
    let of = |folder: &str| {
        let mut manifest = manifests.manifests[0].clone();
        manifest.source = format!("{}/{folder}", scene.world.staging.host()).parse().unwrap();
        manifest
    };
    manifests.manifests = folders.map(of).into();
    manifests
}

/// Where two manifests ask for the same from two staging registries, one that has lost it does not make it lost.
#[tokio::test]
async fn an_image_that_one_of_two_stagings_has_lost_is_promoted_from_the_other() {
    for holder in ["a", "b"] {
        for config in [google(), Config::default()] {
            let scene = Scene::of(config, 2, SignatureFormat::Auto).await;
            let mut scene = scene;
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            scene.world.request("app", image.digest(), &["v1"]);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await.unwrap();
            let planned = prepared.plan().summary().total;
            assert_eq!((planned.copy, planned.lost), (2, 0), "{holder}");
            scene.world.carry_out(prepared).await;
            scene.world.assert_complete().await;
            assert_eq!(scene.attached(0, image.digest()).await.2, 1);
        }
    }
}

/// And the policies of both hold, whichever serves it.
#[tokio::test]
async fn the_policies_of_both_stagings_of_an_image_hold() {
    for strict in ["a", "b"] {
        for holder in ["a", "b"] {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            scene.world.request("app", image.digest(), &["v1"]);
            scene.demand(strict, Mode::Require);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(matches!(prepared, Err(Error::Blocked(..))), "{strict} demands, {holder} serves");
        }
    }
}

/// What is attached counts in both stagings, also in the one that has lost the manifest, whichever comes first.
#[tokio::test]
async fn what_is_attached_in_a_staging_that_has_lost_the_image_counts_too() {
    for holder in ["a", "b"] {
        for attacher in ["a", "b"] {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            scene.world.trust_config.verification.trust = Hand::new().trust();
            let image = Recipe::default().image();
            image.put(scene.world.staging.store(), &path(&format!("{holder}/app")), &[]).await.unwrap();
            let there = format!("{}/{attacher}/app", scene.world.staging.host()).parse().unwrap();
            append(&there, image.digest(), AttachmentKind::Attestation, &[malformed()]).await;
            scene.world.request("app", image.digest(), &["v1"]);
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(matches!(prepared, Err(Error::Blocked(..))), "{holder} has it, {attacher} has attached");
        }
    }
}

/// What an index lists beside its platforms gets what they get, unless it is BuildKit's attestation manifest.
#[tokio::test]
async fn attestation_manifests_are_neither_signed_nor_summarised_and_what_is_listed_like_them_is() {
    for (other, is_exempt) in [(attestations(1), true), (runnable(1), false)] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        scene.summarize();
        let platforms = Recipe::default().index(1);
        let about = platforms.manifests[0].digest();
        let index = beside(platforms, &other, Some(about));
        scene.world.stage("app", &index, &["v1"]).await;
        scene.world.promote().await;
        for digest in [about, other.digest(), index.digest()] {
            let expected = usize::from(!(is_exempt && digest == other.digest()));
            let (layers, _, _, summaries) = scene.attached(0, digest).await;
            assert_eq!((layers, summaries), (expected, expected), "{digest}, exempt: {is_exempt}");
        }
        scene.world.reset_tallies();
        scene.world.promote().await;
        assert_eq!(scene.world.writes(), 0, "exempt: {is_exempt}");
    }
}

/// A staging that does not tell what is attached is left out where another one serves the image, for its parts as for itself.
#[tokio::test]
async fn a_staging_that_does_not_list_what_is_attached_is_left_out_where_another_serves_the_image() {
    for silent in ["a", "b"] {
        for number in 0..2 {
            let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
            let index = Recipe::default().index(1);
            for folder in ["a", "b"] {
                index.put(scene.world.staging.store(), &path(&format!("{folder}/app")), &[]).await.unwrap();
            }
            scene.world.request("app", index.digest(), &["v1"]);
            scene.demand("a", Mode::Warn);
            let list = format!("/{silent}/app/referrers/{}", index.manifests[number].digest());
            let refusal = Effect::Canned(Canned::new(StatusCode::FORBIDDEN));
            let watch = scene.world.staging.faults().add(Fault::new(refusal).path(list));
            let job = Job { manifests: from_both(&scene, ["a", "b"]), ..scene.job() };
            let prepared = scene.prepare(job).await;
            assert!(watch.struck() > 0);
            // The one that serves the image has to answer.
            let is_promoted = prepared.is_ok_and(|prepared| prepared.plan().summary().total.copy == 1);
            assert_eq!(is_promoted, silent == "b", "{silent} says nothing about manifest {number}");
        }
    }
}

/// A part is asked for by itself, from where a policy refuses it: it gets nothing through its index either, and the plan says so.
#[tokio::test]
async fn a_part_that_its_own_policy_refuses_is_not_signed_through_its_index() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    scene.summarize();
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    index.put(scene.world.staging.store(), &path("strict/app"), &[]).await.unwrap();
    scene.promote_unsigned().await;
    scene.demand("strict", Mode::Require);
    let mut job = scene.job();
    let mut part = job.manifests.manifests[0].clone();
    part.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
    part.images[0].digests[0].digest = index.manifests[0].digest();
    part.images[0].digests[0].tags.clear();
    job.manifests.manifests.push(part);
    let prepared = scene.prepare(job).await.unwrap();
    let planned = prepared.plan().summary().total;
    assert_eq!((planned.refused, planned.sign, planned.record, prepared.refused()), (2, 0, 0, 2));
    scene.world.reset_tallies();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unrecorded(), scene.world.writes()), (2, 0));
}

/// A part that an index of another source has in common with a refused one: whichever way it is asked for, the worst verdict about
/// it holds, for signatures and for summaries.
#[tokio::test]
async fn a_part_of_what_a_policy_refuses_gets_nothing_and_no_better_summary_through_another_image() {
    for (mode, expected) in [(Mode::Require, None), (Mode::Warn, Some("FAILED"))] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        scene.summarize();
        let index = Recipe::default().index(2);
        scene.world.stage("app", &index, &["v1"]).await;
        let staging = scene.world.staging.store();
        for folder in ["strict", "free"] {
            index.put(staging, &path(&format!("{folder}/app")), &[]).await.unwrap();
        }
        scene.promote_unsigned().await;
        scene.demand("strict", mode);
        let part = index.manifests[0].digest();
        let mut job = scene.job();
        let mut whole = job.manifests.manifests[0].clone();
        whole.source = format!("{}/strict", scene.world.staging.host()).parse().unwrap();
        let mut alone = whole.clone();
        alone.source = format!("{}/free", scene.world.staging.host()).parse().unwrap();
        alone.images[0].digests[0].digest = part;
        alone.images[0].digests[0].tags = vec![(tag("part"), alone.images[0].digests[0].position)];
        job.manifests.manifests = vec![alone, whole];
        let prepared = scene.prepare(job).await.unwrap();
        scene.world.carry_out(prepared).await;
        let count = usize::from(expected.is_some());
        for digest in [part, index.digest()] {
            assert_eq!(scene.attached(0, digest).await, (count, count, count, count), "{mode:?}");
            let results: Vec<String> =
                scene.summaries(digest).await.into_iter().map(|(result, _)| result).collect();
            assert_eq!(results, expected.into_iter().collect::<Vec<_>>(), "{mode:?}");
        }
    }
}

/// A part is also asked for without a tag, by a line before that of its index: it is signed as a part all the same.
#[tokio::test]
async fn a_part_that_is_asked_for_without_a_tag_is_signed_whichever_line_comes_first() {
    for format in [SignatureFormat::Auto, SignatureFormat::Tag, SignatureFormat::Both] {
        for summarizes in [false, true] {
            let mut scene = Scene::of(google(), 1, format).await;
            if summarizes {
                scene.summarize();
            }
            let index = Recipe::default().index(2);
            index.put(scene.world.staging.store(), &path("staging/app"), &[]).await.unwrap();
            scene.world.request("app", index.manifests[0].digest(), &[]);
            scene.world.request("app", index.digest(), &["v1"]);
            scene.world.promote().await;
            let (layers, _, records, _) = scene.attached(0, index.manifests[0].digest()).await;
            assert_eq!((layers, records), (1, 1), "{format:?}, summaries: {summarizes}");
            scene.world.reset_tallies();
            scene.world.promote().await;
            assert_eq!(scene.world.writes(), 0, "{format:?}, summaries: {summarizes}");
        }
    }
}

/// What is said of an image follows its verdict: a failure is told, and taken back when the policy is gone.
#[tokio::test]
async fn a_summary_that_is_not_true_any_more_is_followed_by_one_that_is() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    scene.summarize();
    let index = Recipe::default().index(1);
    scene.world.stage("app", &index, &["v1"]).await;
    let mut expected = Vec::new();
    for (mode, result) in [(None, "PASSED"), (Some(Mode::Warn), "FAILED"), (None, "PASSED")] {
        // Which of two summaries is the later one is told by the second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        scene.policies = Policies::default();
        if let Some(mode) = mode {
            scene.demand("staging", mode);
        }
        let prepared = scene.prepare(scene.job()).await.unwrap();
        scene.world.carry_out(prepared).await;
        expected.push(result.to_owned());
        expected.sort();
        for manifest in &index.manifests {
            let mut results: Vec<String> =
                scene.summaries(manifest.digest()).await.into_iter().map(|(result, _)| result).collect();
            results.sort();
            assert_eq!(results, expected, "{mode:?}");
        }
        scene.world.reset_tallies();
        let prepared = scene.prepare(scene.job()).await.unwrap();
        assert!(prepared.plan().missing().is_empty(), "{mode:?}");
        scene.world.carry_out(prepared).await;
        assert_eq!(scene.world.writes(), 0, "{mode:?}");
    }
}

/// Whatever of ours is deleted in production, of an image or of a part, the next run finds it missing and writes it again.
#[tokio::test]
async fn each_thing_that_is_deleted_in_production_is_written_again() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Both).await;
    scene.summarize();
    let index = Recipe::default().index(1);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    let (reader, home) = (scene.world.fresh_client().reader(), scene.home(0));
    let store = scene.world.production[0].store();
    for manifest in &index.manifests {
        let digest = manifest.digest();
        let before = scene.attached(0, digest).await;
        for referrer in reader.referrers(&home, digest, None, Known::Unknown).await.unwrap() {
            store.delete_manifest(&path("prod/app"), referrer.digest).await.unwrap();
            assert_ne!(scene.attached(0, digest).await, before);
            let prepared = scene.prepare(scene.job()).await.unwrap();
            assert_eq!(prepared.plan().missing().len(), 1, "{:?}", referrer.annotations);
            scene.world.carry_out(prepared).await;
            assert_eq!(scene.attached(0, digest).await, before, "{:?}", referrer.annotations);
        }
    }
}

/// Outside of the production path each destination is a name of its own, and has its own signature and record.
#[tokio::test]
async fn every_destination_outside_of_production_is_signed_and_recorded_where_it_is() {
    let mut scene = Scene::of(google(), 2, SignatureFormat::Auto).await;
    scene.world.trust_config.production.path = path("elsewhere");
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    for region in 0..2 {
        for manifest in &index.manifests {
            assert_eq!(scene.attached(region, manifest.digest()).await.0, 1, "signed in region {region}");
        }
        let reader = scene.world.fresh_client().reader();
        let statements = scene.identity.statements(&reader, &scene.home(region), index.digest()).await;
        let record = statements.iter().find(|it| it.predicate_type == RECORD).unwrap();
        assert_eq!(record.subject[0].name, scene.home(region).to_string());
    }
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
}

/// The canonical region answers when the others are done: what is at home there is signed and recorded then, once.
#[tokio::test]
async fn what_is_at_home_in_a_late_region_is_signed_in_the_second_round() {
    let mut scene = Scene::of(google(), 3, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.production[0].faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let prepared = scene.prepare(Job { late_after: LATE_AFTER, ..scene.job() }).await.unwrap();
    scene.world.production[0].faults().clear();
    let lists = || scene.world.staging.tally().snapshot().requests(Kind::Referrers);
    let looked = lists();
    let done = scene.world.carry_out(prepared).await;
    assert_eq!((done.unsigned(), done.unrecorded(), done.promoted().failed()), (0, 0, 0));
    assert_eq!(lists(), looked, "an image is looked at once a run");
    scene.world.assert_complete().await;
    for manifest in &index.manifests {
        assert_eq!(scene.attached(0, manifest.digest()).await.0, 1);
        assert_eq!(scene.attached(1, manifest.digest()).await, (0, 0, 0, 0));
    }
    assert_eq!(scene.attached(0, index.digest()).await, (1, 1, 1, 0));
    let again = scene.prepare(scene.job()).await.unwrap();
    assert!(again.plan().is_empty());
}

/// cosign 2.6 and 3 look at bundles alone where a manifest has any: such manifests get ours as a bundle too, and no others.
#[tokio::test]
async fn a_manifest_with_another_bundle_gets_our_signature_as_a_bundle_too() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(3);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.promote_unsigned().await;
    // Somebody has attached a bundle to one part, in production.
    let stranger = Hand::new();
    let part = &index.manifests[1];
    attach(&scene.home(0), part, stranger.bundle(part.digest(), PROVENANCE).await).await;
    scene.world.promote().await;
    let bundles = async |manifest: &oci::RawManifest| {
        let (reader, home) = (scene.world.fresh_client().reader(), scene.home(0));
        let all = reader.referrers(&home, manifest.digest(), None, Known::Unknown).await.unwrap();
        let mut ours = 0;
        for listed in &all {
            let kind = listed.annotations.get("dev.sigstore.bundle.predicateType");
            ours += usize::from(kind.is_some_and(|kind| kind == SIGN));
        }
        ours
    };
    let [first, second, third, root] = &index.manifests[..] else { panic!("an index of three") };
    assert_eq!(bundles(root).await, 1, "it has a record");
    assert_eq!(bundles(second).await, 1, "it has a stranger's bundle");
    assert_eq!((bundles(first).await, bundles(third).await), (0, 0));
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
    // One that comes later is found, too.
    attach(&scene.home(0), first, stranger.bundle(first.digest(), PROVENANCE).await).await;
    scene.world.promote().await;
    assert_eq!(bundles(first).await, 1);
}

/// Parts that are asked for by themselves too, by a tag or by digest alone: they get records, and so our signature as a bundle.
#[tokio::test]
async fn a_part_that_is_an_image_of_its_own_gets_the_signature_that_its_record_asks_for() {
    for tags in [&["part"][..], &[]] {
        let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
        let index = Recipe::default().index(2);
        scene.world.stage("app", &index, &["v1"]).await;
        scene.world.request("app", index.manifests[0].digest(), tags);
        scene.world.promote().await;
        let [part, other, root] = &index.manifests[..] else { panic!("an index of two") };
        for (manifest, bundles) in [(part, 1), (other, 0), (root, 1)] {
            let expected = (1, bundles, bundles, 0);
            assert_eq!(scene.attached(0, manifest.digest()).await, expected, "{tags:?}");
        }
        scene.world.reset_tallies();
        scene.world.promote().await;
        assert_eq!(scene.world.writes(), 0, "{tags:?}");
    }
}

/// Two promoters with two keys on one world: each adds what is its own, and nothing of the other is lost.
#[tokio::test]
async fn two_promoters_with_two_keys_sign_beside_one_another() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let index = Recipe::default().index(2);
    scene.world.stage("app", &index, &["v1"]).await;
    scene.world.promote().await;
    let first = std::mem::replace(&mut scene.identity, Identity::new(SignatureFormat::Auto));
    let canonical = scene.world.trust_config.production.canonical_host.clone();
    scene.world.trust_config = scene.identity.trust_config(&scene.world.door, canonical);
    scene.world.promote().await;
    for identity in [&first, &scene.identity] {
        let (reader, home) = (scene.world.fresh_client().reader(), scene.home(0));
        for manifest in &index.manifests {
            assert_eq!(identity.layers(&reader, &home, manifest.digest()).await, 1);
        }
        let statements = identity.statements(&reader, &home, index.digest()).await;
        let of = |kind: &str| statements.iter().filter(|it| it.predicate_type == kind).count();
        assert_eq!((of(SIGN), of(RECORD)), (1, 1));
    }
    scene.world.reset_tallies();
    scene.world.promote().await;
    assert_eq!(scene.world.writes(), 0);
}

/// A dry run tells what `--confirm` would write, as far as it knows, and how much it does not know.
#[tokio::test]
async fn a_dry_run_says_what_is_owed_and_what_it_has_not_looked_at() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let [signed, unsigned, new] = [1, 2, 3].map(|seed| Recipe { seed, ..Recipe::default() }.image());
    scene.world.stage("app", &signed, &["v1"]).await;
    scene.world.promote().await;
    scene.world.stage("app", &unsigned, &["v2"]).await;
    scene.promote_unsigned().await;
    scene.world.stage("app", &new, &["v3"]).await;
    let dry = |looks| Job { writes: false, looks, ..scene.job() };
    let summary = scene.prepare(dry(false)).await.unwrap().plan().summary();
    assert_eq!((summary.total.copy, summary.total.sign, summary.total.record), (1, 2, 1));
    assert_eq!(summary.not_looked_at, 1, "the image with a signature, which may be somebody's");
    let prepared = scene.prepare(dry(true)).await.unwrap();
    let summary = prepared.plan().summary();
    assert_eq!((summary.total.sign, summary.total.record, summary.not_looked_at), (2, 2, 0));
    let prepared = scene.prepare(scene.job()).await.unwrap();
    assert_eq!(prepared.plan().summary(), summary, "--confirm plans the same");
    scene.world.reset_tallies();
    let totals = scene.world.ledger.totals();
    scene.world.carry_out(prepared).await;
    let done = scene.world.ledger.totals();
    assert_eq!((done.signed - totals.signed, done.recorded - totals.recorded), (2, 2), "and does it");
    let summary = scene.prepare(dry(true)).await.unwrap().plan().summary();
    assert_eq!((summary.total.sign, summary.total.record), (0, 0));
}

/// A run that is cut off after copying: the evidence in staging has turned bad when the next run signs.
#[tokio::test]
async fn what_turned_bad_after_it_was_copied_is_not_signed() {
    let mut scene = Scene::of(google(), 1, SignatureFormat::Auto).await;
    let hand = Hand::new();
    scene.world.trust_config.verification.trust = hand.trust();
    let image = Recipe::default().image();
    scene.world.stage("app", &image, &["v1"]).await;
    scene.promote_unsigned().await;
    let staging: Repository = format!("{}/staging/app", scene.world.staging.host()).parse().unwrap();
    let bad = malformed();
    append(&staging, image.digest(), AttachmentKind::Attestation, &[bad]).await;
    let done = scene.world.promote().await;
    assert_eq!((done.promoted().failed(), done.unsigned()), (0, 1));
    assert_eq!(scene.attached(0, image.digest()).await, (0, 0, 0, 0));
    let told = scene.world.ledger.unsigned();
    assert!(told[0].error.contains("it has not passed"), "{told:?}");
}
