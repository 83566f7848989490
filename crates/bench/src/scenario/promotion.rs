//! Promotions by kpromo, for several scenarios.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::account::Account;
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::manifests;
use crate::measure::Job;
use crate::protocol::Spec;
use crate::record::{Run, median};
use crate::tools::word;

/// Returns a `kpromo cip --confirm` job for a world, with its working directory.
pub(super) fn promotion(lab: &Lab, world: &World) -> Result<(TempDir, Job), Error> {
    promotion_with(lab, world, &[])
}

/// As [`promotion`], with more flags.
pub(super) fn promotion_with(lab: &Lab, world: &World, flags: &[&str]) -> Result<(TempDir, Job), Error> {
    let directory = lab.directory()?;
    let manifests = directory.path().join("manifests");
    manifests::write(&manifests, &world.started)?;
    let report = word(&report(directory.path()));
    let flags = [&["--confirm", "--report", &report], flags].concat();
    let job = lab.cip(directory.path(), &manifests, &flags);
    Ok((directory, job))
}

/// Returns the path of kpromo's report in the directory of a job.
pub(super) fn report(directory: &Path) -> PathBuf {
    directory.join("report.json")
}

/// Runs a promotion by kpromo in a new world, and adds kpromo's own counts.
pub(super) async fn promoted(lab: &Lab, label: &str, spec: &Spec, flags: &[&str]) -> Result<Run, Error> {
    let mut world = lab.world(spec.clone()).await?;
    let (directory, job) = promotion_with(lab, &world, flags)?;
    let run = lab.run(&mut world, label, &job).await?;
    Ok(Run { account: Account::read(&report(directory.path())), ..run })
}

/// Returns the median of several promotions by kpromo, each in a new world.
pub(super) async fn promotions(
    lab: &Lab,
    label: &str,
    spec: &Spec,
    runs: usize,
) -> Result<Option<Run>, Error> {
    let mut measured = Vec::new();
    for _ in 0..runs {
        measured.push(promoted(lab, label, spec, &[]).await?);
    }
    Ok(median(measured))
}
