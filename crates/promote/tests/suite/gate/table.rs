//! Which attachments images and indexes get, in each policy mode and for each thing that an earlier run or a late region leaves
//! owed.

use manifest::policy::Mode;
use promote::{Error, Job, Phase};
use registry::sample::{Recipe, Sample};
use registry::{Effect, Fault, Kind};
use trust::SignatureFormat;

use crate::gate::scene::Scene;
use crate::support::{LATE_AFTER, google, path, tag};

/// What is owed to an image when the run starts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owed {
    /// Everything: the image is not in production.
    Everything,
    /// Signatures and a record: an earlier run has copied the image.
    Signatures,
    /// A record: an earlier run has copied the image, which has no tag.
    Record,
    /// Everything, in a canonical region that answers only after the others are done.
    Late,
}

/// All combinations of what is owed and of policy modes: an image or index that does not pass gets nothing.
#[tokio::test]
async fn images_that_do_not_pass_are_not_promoted_signed_recorded_or_summarised() {
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
        // The other region already has the image, so the first round has nothing to do.
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
    assert_eq!(lacking > 0, is_refused, "{what}: what is lacking is reported");
    // If everything was written, the next run finds nothing to do.
    scene.world.reset_tallies();
    if !is_refused {
        let prepared = scene.prepare(scene.job()).await.unwrap();
        assert!(prepared.plan().is_empty(), "{what}");
        scene.world.carry_out(prepared).await;
        assert_eq!(scene.world.writes(), 0, "{what}");
    }
}
