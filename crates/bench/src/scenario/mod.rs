//! What is measured.

mod faults;
mod minute;
mod plan;
mod promote;
mod quota_change;
mod rounds;
mod sign;
mod small_world;
mod start;
mod throughput;
mod trouble;

use std::path::Path;

use clap::ValueEnum;
use tempfile::TempDir;

use crate::account::Account;
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::manifests;
use crate::measure::Job;
use crate::protocol::{ConditionsSpec, Content, HostSpec, QuotaSpec, Spec, Storage};
use crate::record::{Run, Section, Target, median};
use crate::show::{percent, seconds};

/// How many regions Kubernetes' production has.
const REGIONS: usize = 22;
/// What the measurements of a plan and a promotion are held to: about 5,000 requests a minute.
const QUOTA: QuotaSpec = QuotaSpec { per_second: 83.0, burst: 100 };
const LATENCY_MILLISECONDS: u64 = 20;
/// The conditions of most scenarios.
const USUAL: ConditionsSpec =
    ConditionsSpec { latency_milliseconds: LATENCY_MILLISECONDS, quota: Some(QUOTA), ..FREE };
/// Neither latency nor limits nor faults.
const FREE: ConditionsSpec =
    ConditionsSpec { latency_milliseconds: 0, quota: None, per_minute: None, refuses: false, faults: None };

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Plan Kubernetes' whole production, where all is promoted already.
    Plan,
    /// Promote new images to 22 regions under a quota, beside other tools.
    Promote,
    /// List repositories while the quota falls and rises again.
    QuotaChange,
    /// List repositories of a host whose quota is counted by the minute.
    Minute,
    /// Promote where one region is slow and one refuses.
    Trouble,
    /// Copy gigabytes to five destinations, beside crane.
    Throughput,
    /// Promote a few small images without any limit, and count requests.
    SmallWorld,
    /// Promote a few small images to near hosts, beside the same with known limits and crane.
    Start,
    /// Promote a few small images where some of all requests fail by chance.
    Faults,
    /// Sign what is promoted on a Sigstore, beside cosign.
    Sign,
}

impl Scenario {
    /// Its name, as it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Promote => "promote",
            Self::QuotaChange => "quota-change",
            Self::Minute => "minute",
            Self::Trouble => "trouble",
            Self::Throughput => "throughput",
            Self::SmallWorld => "small-world",
            Self::Start => "start",
            Self::Faults => "faults",
            Self::Sign => "sign",
        }
    }

    /// Whether what it needs is there.
    pub(crate) fn is_possible(self, lab: &Lab) -> bool {
        self != Self::Sign || lab.tools.sigstore.is_some()
    }

    /// Measures it.
    pub(crate) async fn measure(self, lab: &Lab) -> Result<Section, Error> {
        match self {
            Self::Plan => plan::measure(lab).await,
            Self::Promote => promote::measure(lab).await,
            Self::QuotaChange => quota_change::measure(lab).await,
            Self::Minute => minute::measure(lab).await,
            Self::Trouble => trouble::measure(lab).await,
            Self::Throughput => throughput::measure(lab).await,
            Self::SmallWorld => small_world::measure(lab).await,
            Self::Start => start::measure(lab).await,
            Self::Faults => faults::measure(lab).await,
            Self::Sign => sign::measure(lab).await,
        }
    }
}

/// Staging and so many regions, all alike.
fn alike(regions: usize, storage: &Storage, conditions: ConditionsSpec, content: Content) -> Spec {
    let host = |storage: &Storage| HostSpec { storage: storage.clone(), conditions };
    // Staging is read from, so it keeps what it holds.
    let mut hosts = vec![host(&Storage::Memory)];
    hosts.extend((0..regions).map(|_| host(storage)));
    Spec { hosts, content }
}

/// New images of four platforms, with layers of their own and layers in common.
fn new_images(images: usize, layer_size: usize) -> Content {
    Content::New {
        images,
        platforms: 4,
        layers: 2,
        layer_size,
        shared_layers: 2,
        shared_size: 2 * layer_size,
    }
}

/// New small images of four platforms with two layers each, none in common.
fn small_images(images: usize) -> Content {
    Content::New { images, platforms: 4, layers: 2, layer_size: 1024, shared_layers: 0, shared_size: 0 }
}

/// `kpromo cip --confirm` on a world, with the folder that it works in.
fn promotion(lab: &Lab, world: &World) -> Result<(TempDir, Job), Error> {
    promotion_with(lab, world, &[])
}

/// The same with more flags.
fn promotion_with(lab: &Lab, world: &World, flags: &[&str]) -> Result<(TempDir, Job), Error> {
    let folder = lab.folder()?;
    let manifests = folder.path().join("manifests");
    manifests::write(&manifests, &world.started)?;
    let report = crate::tools::word(&report(folder.path()));
    let flags = [&["--confirm", "--report", &report], flags].concat();
    let job = lab.cip(folder.path(), &manifests, &flags);
    Ok((folder, job))
}

fn report(folder: &Path) -> std::path::PathBuf {
    folder.join("report.json")
}

/// A promotion by kpromo into a new world, with what kpromo itself counted.
async fn promoted(lab: &Lab, label: &str, spec: &Spec, flags: &[&str]) -> Result<Run, Error> {
    let mut world = lab.world(spec.clone()).await?;
    let (folder, job) = promotion_with(lab, &world, flags)?;
    let run = lab.run(&mut world, label, &job).await?;
    Ok(Run { account: Account::read(&report(folder.path())), ..run })
}

/// The median of several promotions by kpromo, each into a new world.
async fn promotions(lab: &Lab, label: &str, spec: &Spec, runs: usize) -> Result<Option<Run>, Error> {
    let mut measured = Vec::new();
    for _ in 0..runs {
        measured.push(promoted(lab, label, spec, &[]).await?);
    }
    Ok(median(measured))
}

/// What a run under a quota is held to.
fn by_quota(run: &Run) -> Vec<Target> {
    let least = run.least_seconds.unwrap_or_default();
    let mut wall = Target::at_most("wall", run.wall_seconds, 1.2 * least, seconds);
    wall.target.push_str(" (1.2 × least by quota)");
    vec![wall, Target::at_most("refused", run.refused_share(), 0.01, percent)]
}

/// What went wrong, for the page.
fn complaints(runs: &[Run]) -> Vec<String> {
    let failed = runs.iter().filter(|run| run.failures > 0);
    let told = failed.map(|run| {
        let words = run.complaints.first().map_or("", String::as_str).replace('`', "'");
        format!("{} ended with {}; the first one that failed said `{words}`.", run.label, exits(run))
    });
    told.collect()
}

fn exits(run: &Run) -> String {
    let code = |(code, times): (&i32, &usize)| {
        let name = if *code < 0 { "a signal".to_owned() } else { format!("exit code {code}") };
        if run.commands > 1 { format!("{name} ({times} of {})", run.commands) } else { name }
    };
    run.exits.iter().map(code).collect::<Vec<_>>().join(", ")
}
