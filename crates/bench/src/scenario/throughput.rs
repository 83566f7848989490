//! Large layers to a few destinations.

use super::promotion::promotion;
use super::verdict::failure_notes;
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::peers::Way;
use crate::protocol::{ConditionsSpec, Content, HostSpec, Spec, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::{megabytes, megabytes_of, ratio, seconds};

const DESTINATIONS: usize = 5;
const PLATFORMS: usize = 2;
const LAYERS: usize = 4;
/// kpromo's default limit of open connections to one host.
const CONNECTIONS_A_HOST: usize = 32;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let megabytes_a_layer = lab.size(500, 50);
    let staging = lab.directory()?;
    let conditions = ConditionsSpec::default();
    let host = |storage| HostSpec { storage, conditions };
    let mut hosts = vec![host(Storage::Directory(staging.path().join("registry")))];
    hosts.extend((0..DESTINATIONS).map(|_| host(Storage::Discard)));
    let layer_size = megabytes_a_layer * 1_000_000;
    let spec = Spec { hosts, content: Content::Large { platforms: PLATFORMS, layers: LAYERS, layer_size } };

    let runs = lab.runs(1);
    let mut measured = Vec::new();
    for _ in 0..runs {
        measured.push(one(lab, &spec, None, &staging).await?);
    }
    let mut shown: Vec<Run> =
        crate::record::median(measured.into_iter().flatten().collect()).into_iter().collect();
    shown.extend(one(lab, &spec, Some(Way::Crane), &staging).await?);
    Ok(Section {
        title: "Gigabytes to five destinations".to_owned(),
        about: format!(
            "One new image of {PLATFORMS} platforms with {LAYERS} layers of {megabytes_a_layer} MB each to {DESTINATIONS} \
             destinations that hash and discard; staging is on disk. No latency, no quota: the processors and loopback are \
             the limit, and the registries share both. crane runs as five copies at once."
        ),
        setting: Setting::now(&lab.tools),
        runs,
        tables: vec![Table::of(&shown), rates(&shown)],
        targets: shown.first().map(targets).unwrap_or_default(),
        notes: failure_notes(&shown),
        raw: shown,
    })
}

/// Copies into a new world with kpromo or in another way. Removes staging's directory afterwards.
async fn one(
    lab: &Lab,
    spec: &Spec,
    way: Option<Way>,
    staging: &tempfile::TempDir,
) -> Result<Option<Run>, Error> {
    let run = {
        let mut world = lab.world(spec.clone()).await?;
        match way {
            None => {
                let (_directory, job) = promotion(lab, &world)?;
                Some(lab.run(&mut world, "kpromo", &job).await?)
            }
            Some(way) => {
                let directory = lab.directory()?;
                match way.job(lab, directory.path(), &world.started)? {
                    Some(job) => {
                        let label = format!("{DESTINATIONS} × {}", way.label());
                        Some(lab.run(&mut world, &label, &job).await?)
                    }
                    None => None,
                }
            }
        }
    };
    let directory = staging.path().join("registry");
    std::fs::remove_dir_all(&directory).map_err(Error::file("removing", directory))?;
    Ok(run)
}

fn rates(runs: &[Run]) -> Table {
    let row = |run: &Run| {
        #[expect(clippy::cast_precision_loss, reason = "shown without decimal places")]
        let rate = run.sent_bytes as f64 / run.wall_seconds;
        vec![
            run.label.clone(),
            megabytes(run.sent_bytes),
            format!("{}/s", megabytes_of(rate)),
            seconds(run.cpu_seconds * 1e9 / run.sent_bytes.max(1) as f64),
        ]
    };
    let head = ["", "sent to destinations", "total rate", "CPU per GB sent"];
    Table::new(&head, runs.iter().map(row).collect())
}

fn targets(run: &Run) -> Vec<Target> {
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
    let (memory, reread) =
        (run.peak_memory_bytes as f64, run.staging_bytes as f64 / run.unique_bytes.max(1) as f64);
    #[expect(clippy::cast_precision_loss, reason = "a limit in megabytes")]
    let limit = 150e6 + 4e6 * most_connections(run) as f64;
    vec![
        Target::at_most("bytes read from staging ÷ unique bytes", reread, 1.0, ratio),
        Target::at_most("peak memory (150 MB and 4 MB per connection)", memory, limit, megabytes_of),
        Target::exactly("images missing", run.missing as u64, 0, crate::show::count),
    ]
}

/// Returns the maximum number of connections: one for each request that transfers a blob, up to the limit of each host.
fn most_connections(run: &Run) -> usize {
    run.hosts.iter().map(|_| (PLATFORMS * LAYERS).min(CONNECTIONS_A_HOST)).sum()
}
