//! The plan for a production where everything is already promoted.

use super::conditions::USUAL;
use super::verdict::failure_notes;
use super::worlds::{REGIONS, alike};
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::machine::Setting;
use crate::manifests;
use crate::protocol::{Content, Storage};
use crate::record::{Run, Section, Table, Target, median};
use crate::show::{count, megabytes_of, percent, seconds, whole};
use crate::tools::word;

const PROJECTS: usize = 110;
const IMAGES: usize = 12;
const DIGESTS: usize = 34;
/// The flag for a cache that persists between runs.
const CACHE: &str = "--inventory-cache";
/// The figures of kpromo's predecessor for the same number of edges, without a quota.
const KNOWN: [(&str, &str); 3] = [("wall", "118 s"), ("requests", "61,680"), ("peak memory", "1,407 MB")];

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let projects = lab.size(PROJECTS, 10);
    let repositories = projects * IMAGES;
    let content = Content::Promoted { projects, images: IMAGES, digests: DIGESTS };
    let mut world = lab.world(alike(REGIONS, &Storage::Memory, USUAL, content)).await?;
    let runs = lab.runs(3);
    let directory = lab.directory()?;
    manifests::write(&directory.path().join("manifests"), &world.started)?;
    let cold = repeated(lab, &mut world, directory.path(), "kpromo", &[], runs).await?;
    let mut shown: Vec<Run> = cold.into_iter().collect();
    let mut notes = Vec::new();
    if lab.tools.cip_has(CACHE) {
        let file = word(&directory.path().join("inventory"));
        let flags = [CACHE, file.as_str()];
        let filling = "kpromo, filling the inventory cache";
        shown.extend(repeated(lab, &mut world, directory.path(), filling, &flags, 1).await?);
        let using = "kpromo, with the inventory cache";
        shown.extend(repeated(lab, &mut world, directory.path(), using, &flags, runs).await?);
    } else {
        notes.push(format!("`kpromo cip` has no `{CACHE}` in this build, so its row is missing."));
    }
    notes.extend(failure_notes(&shown));
    let mut table = Table::of(&shown);
    if !lab.quick {
        table.add_known("promo-tools (Go), known figures, no quota", &KNOWN);
    }
    let edges = repositories * DIGESTS * REGIONS;
    Ok(Section {
        title: "Plan of a whole production".to_owned(),
        about: format!(
            "{projects} thin manifests of {IMAGES} images with {DIGESTS} digests each, to {REGIONS} \
             regions: {} edges, everything already promoted. Google's listings, 20 ms latency; every \
             host allows 83 requests/s with a burst of 100.",
            count(edges as u64)
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![table],
        targets: targets(&shown, repositories),
        notes,
        raw: shown,
    })
}

/// Returns the median run of several plans for the same world. Plans do not change it.
async fn repeated(
    lab: &Lab,
    world: &mut World,
    directory: &std::path::Path,
    label: &str,
    flags: &[&str],
    runs: usize,
) -> Result<Option<Run>, Error> {
    let mut measured = Vec::new();
    for _ in 0..runs {
        let job = lab.cip(directory, &directory.join("manifests"), flags);
        measured.push(lab.run(world, label, &job).await?);
    }
    Ok(median(measured))
}

fn targets(shown: &[Run], repositories: usize) -> Vec<Target> {
    let Some(cold) = shown.first() else { return Vec::new() };
    // One listing for each repository and host, and a few repeated requests: 30,500 for the production of Kubernetes.
    #[expect(clippy::cast_precision_loss, reason = "a target for a count of requests")]
    let (listings, projects) = ((repositories * (REGIONS + 1)) as f64, (repositories / IMAGES) as f64);
    let requests = (listings * 1.0046 / 100.0).round() * 100.0;
    let mut targets = vec![
        Target::at_most("requests", number(cold.requests), requests, whole),
        Target::at_most("wall", cold.wall_seconds, 20.0, seconds),
        Target::at_most("peak memory", number(cold.peak_memory_bytes), 150e6, megabytes_of),
        Target::at_most("refused", cold.refused_share(), 0.01, percent),
        Target::exactly("runs that failed", cold.failures as u64, 0, count),
    ];
    if let [_, _, cached] = shown {
        let requests = (projects * 700.0 / 110.0).round();
        targets.push(Target::at_most("requests with the cache", number(cached.requests), requests, whole));
        targets.push(Target::at_most("wall with the cache", cached.wall_seconds, 3.0, seconds));
    }
    targets
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}
