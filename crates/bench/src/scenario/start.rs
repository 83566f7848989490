//! A small job on nearby hosts without a quota: the search for limits must start fast (spec 03.11).

use super::conditions::FREE;
use super::promotion::promoted;
use super::rounds::Rounds;
use super::verdict::failure_notes;
use super::worlds::{alike, small_images};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::peers::Way;
use crate::protocol::{ConditionsSpec, Spec, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::{count, ratio};
use crate::tools::word;

const IMAGES: usize = 10;
const REGIONS: usize = 5;
const NEAR_MILLISECONDS: u64 = 5;
/// The maximum duration, relative to that with known limits.
const LONGER_MAX: f64 = 1.3;
/// How many copies crane makes at once.
const CRANE_PARALLEL: usize = 10;
/// The settings of a user who knows that no host has a quota. The search starts where it would end.
const KNOWN: &str = "\
otherHosts:
  startConcurrency: 32
  startRequestsPerSecond: 100000
  startBurst: 100000
";
/// The rows.
const UNKNOWN_LIMITS: usize = 0;
const KNOWN_LIMITS: usize = 1;
const CRANE: usize = 2;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let runs = lab.runs(7);
    let conditions = ConditionsSpec { latency_milliseconds: NEAR_MILLISECONDS, ..FREE };
    let spec = alike(REGIONS, &Storage::Memory, conditions, small_images(IMAGES));
    let directory = lab.directory()?;
    let settings = directory.path().join("registries.yaml");
    std::fs::write(&settings, KNOWN).map_err(Error::file("writing", &settings))?;
    let flags = ["--registry-config", &word(&settings)];
    let mut rounds = Rounds::new(3);
    for _ in 0..runs {
        rounds.add(UNKNOWN_LIMITS, promoted(lab, "kpromo", &spec, &[]).await?);
        rounds.add(KNOWN_LIMITS, promoted(lab, "kpromo, limits known", &spec, &flags).await?);
        if let Some(run) = crane(lab, &spec).await? {
            rounds.add(CRANE, run);
        }
    }
    let longer = rounds.ratio(UNKNOWN_LIMITS, KNOWN_LIMITS);
    let shown = rounds.medians();
    let sum = |field: fn(&Run) -> usize| shown.iter().map(field).sum::<usize>() as u64;
    let targets = vec![
        Target::within("wall ÷ with limits known", longer, LONGER_MAX, ratio),
        Target::exactly("runs that failed", sum(|run| run.failures), 0, count),
        Target::exactly("images missing", sum(|run| run.missing), 0, count),
    ];
    Ok(Section {
        title: "The first second".to_owned(),
        about: format!(
            "{IMAGES} new images of 4 platforms with 2 layers each, to {REGIONS} regions; {NEAR_MILLISECONDS} ms latency, no \
             quota. Once with the defaults, and once with the initial concurrency, rate and burst set to where the search would \
             end. crane makes {CRANE_PARALLEL} copies at once. Rows are measured in turn; the first target is the median of the \
             ratios within a round."
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&shown)],
        targets,
        notes: failure_notes(&shown),
        raw: shown,
    })
}

/// Runs the same promotion with crane, if it is available.
async fn crane(lab: &Lab, spec: &Spec) -> Result<Option<Run>, Error> {
    if lab.tools.crane.is_none() {
        return Ok(None);
    }
    let mut world = lab.world(spec.clone()).await?;
    let directory = lab.directory()?;
    let Some(mut job) = Way::Crane.job(lab, directory.path(), &world.started)? else { return Ok(None) };
    job.parallel = CRANE_PARALLEL;
    let label = format!("{}, {CRANE_PARALLEL} at once", Way::Crane.label());
    Ok(Some(lab.run(&mut world, &label, &job).await?))
}
