//! What all shards do together is what one run does.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use registry::{Effect, Fault, Kind};

use crate::shards::scene::{REGIONS, SHARDS, Scene, path, sample, succeeded};
use crate::support::run;

fn start(scene: &Scene, index: usize) -> Child {
    scene.shard(index).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Four shards, one after another, leave the same content as one run, with the same writes. Each reads each blob of staging at
/// most once, and sends no request to the hosts of the others.
#[tokio::test(flavor = "multi_thread")]
async fn all_shards_together_do_what_one_run_does_and_each_does_its_hosts_alone() {
    let (whole, divided) = (Scene::new().await, Scene::new().await);
    succeeded(run(whole.command(&["--confirm"])));
    let mut owners = [0; REGIONS];
    let mut promotions = BTreeSet::new();
    for index in 0..SHARDS {
        let own = divided.regions_of(index);
        let before: Vec<u64> =
            divided.regions.iter().map(|region| region.tally().snapshot().total()).collect();
        divided.staging.tally().reset();
        succeeded(run(divided.shard(index)));
        for (region, before) in before.iter().enumerate() {
            let is_asked = divided.regions[region].tally().snapshot().total() > *before;
            assert_eq!(is_asked, own.contains(&region), "shard {index}, region {region}");
        }
        let reads = divided.blob_reads();
        assert!(!reads.is_empty() && reads.values().all(|times| *times == 1), "shard {index}: {reads:?}");
        own.into_iter().for_each(|region| owners[region] += 1);
        let report = divided.desk.json(&format!("report-{index}.json"));
        assert_eq!(
            (report["shard"].as_str(), report["exitCode"].as_u64()),
            (Some(&*format!("{index}/4")), Some(0))
        );
        promotions.insert(report["promotion"].as_str().unwrap().to_owned());
    }
    assert_eq!(promotions.len(), 1, "all shards are of one promotion");
    assert_eq!(owners, [1; REGIONS]);
    assert_eq!(divided.contents().await, whole.contents().await);
    divided.assert_signed();
    for region in 0..REGIONS {
        let tags = divided.tag_writes(region);
        assert!(tags.values().all(|times| *times == 1), "{tags:?}");
        assert_eq!(tags, whole.tag_writes(region), "signatures are tags too");
        let writes = |scene: &Scene| scene.regions[region].tally().snapshot().requests(Kind::ManifestPut);
        assert_eq!(writes(&divided), writes(&whole), "images, platforms, signatures and records");
        let signatures = tags.keys().filter(|tag| tag.ends_with(".sig")).count();
        assert_eq!(signatures, if region == 0 { 9 } else { 0 }, "three images of two platforms");
    }
    // A second round has nothing to do.
    divided.regions.iter().for_each(|region| region.tally().reset());
    for index in 0..SHARDS {
        let ran = succeeded(run(divided.shard(index)));
        assert!(ran.stdout.contains("Nothing to do"), "{}", ran.stdout);
    }
    assert!(divided.regions.iter().all(|region| region.tally().snapshot().writes() == 0));
}

/// Four shards at once. `kill -9` ends the one that signs while it copies, and again while it signs; it is started again, as a Job
/// starts a pod again. Nothing is missing afterwards, and nothing is listed twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_killed_is_run_again_while_the_others_go_on() {
    let (whole, divided) = (Scene::new().await, Scene::new().await);
    succeeded(run(whole.command(&["--confirm"])));
    let signing = divided.owner_of(0);
    let canonical = &divided.regions[0];
    let copies = Fault::new(Effect::Hang).on(Kind::UploadPut).skip(5);
    let signatures = Fault::new(Effect::Hang).on(Kind::ManifestPut).path(".sig").skip(4);
    let others: Vec<Child> =
        (0..SHARDS).filter(|index| *index != signing).map(|index| start(&divided, index)).collect();
    for fault in [copies, signatures] {
        let watch = canonical.faults().add(fault);
        let mut child = start(&divided, signing);
        while watch.struck() == 0 {
            assert_eq!(child.try_wait().unwrap(), None, "it is killed in the middle");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        canonical.faults().clear();
    }
    succeeded(run(divided.shard(signing)));
    for mut child in others {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(divided.contents().await, whole.contents().await);
    divided.assert_signed();
    assert_eq!(
        canonical.store().resolve(&path("prod/one"), &"v1".parse().unwrap()),
        Some(sample(1).digest())
    );
    for region in &divided.regions {
        assert!(region.store().missing_parts().await.unwrap().is_empty());
    }
}
