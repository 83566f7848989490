//! A slow region and a region that refuses must not delay the others.

use super::conditions::{LATENCY_MILLISECONDS, USUAL};
use super::promotion::{promotion_with, report};
use super::worlds::{REGIONS, alike, new_images};
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::protocol::{HostReading, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::{NONE, count, ratio, seconds};

/// The slow region and the region that refuses. Host 0 is staging.
const SLOW: usize = 1;
const REFUSING: usize = 2;
/// The maximum delay of the others, relative to a run without trouble.
const DELAY_MAX: f64 = 1.2;
/// How long a plan waits for a host that has served nothing in the run before it gives up on the host, in seconds.
const WAITED: f64 = 8.0;
/// The flag that defers a host after one second without a response, for the run that does not wait for it.
const LATE_AFTER: &str = "--late-after=1";
/// The exit code of `kpromo cip` if some edges have failed and the others are promoted.
const SOME_FAILED: u64 = 30;

/// A run and the summary of kpromo's report.
struct Measured {
    run: Run,
    summary: String,
}

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let images = lab.size(40, 4);
    let calm = one(lab, images, "without trouble", None).await?;
    let troubled = one(lab, images, "with trouble", Some(&[])).await?;
    let deferred = one(lab, images, "with trouble, `--late-after=1`", Some(&[LATE_AFTER])).await?;
    let others = |measured: &Measured| last_write_of_others(&measured.run);
    let usual = others(&calm).unwrap_or(f64::NAN);
    let delay = |measured: &Measured, waited: f64| others(measured).map(|late| (late - waited) / usual);
    let code = troubled.run.exits.keys().next().copied().unwrap_or(-1);
    let missing_elsewhere: usize = healthy(&troubled.run).map(|host| images - host.images).sum();
    let targets = vec![
        Target::within(
            "last write of the other regions, minus 8 s of waiting, ÷ without trouble",
            delay(&troubled, WAITED),
            DELAY_MAX,
            ratio,
        ),
        Target::within(
            "last write of the other regions with `--late-after=1` ÷ without trouble",
            delay(&deferred, 0.0),
            DELAY_MAX,
            ratio,
        ),
        Target::exactly("exit code", u64::try_from(code).unwrap_or(u64::MAX), SOME_FAILED, count),
        Target::exactly("images missing in the other regions", missing_elsewhere as u64, 0, count),
    ];
    let notes =
        [&calm, &troubled, &deferred].map(|measured| format!("{}: {}", measured.run.label, measured.summary));
    Ok(Section {
        title: "A slow region and one that refuses".to_owned(),
        about: format!(
            "{images} new images of 4 platforms to {REGIONS} regions, 20 ms latency, 83 requests/s a \
             host; then again with one region that answers after {} ms and one that answers everything \
             with 503. The result is the time of the last write of each of the other 20. A plan waits \
             for a host until the host answers, until kpromo gives up on it (after {WAITED} s if it has \
             served nothing), or until it has not answered for `--late-after` (30 s by default; 1 s in \
             the last row).",
            10 * LATENCY_MILLISECONDS
        ),
        setting: Setting::now(&lab.tools),
        runs: 1,
        tables: vec![table(&[&calm, &troubled, &deferred])],
        targets,
        notes: notes.into(),
        raw: vec![calm.run, troubled.run, deferred.run],
    })
}

/// Runs a promotion. With `trouble`, it has these flags and the troubled regions.
async fn one(lab: &Lab, images: usize, label: &str, trouble: Option<&[&str]>) -> Result<Measured, Error> {
    let mut spec = alike(REGIONS, &Storage::Discard, USUAL, new_images(images, 64 << 10));
    if trouble.is_some() {
        spec.hosts[SLOW].conditions.latency_milliseconds *= 10;
        spec.hosts[REFUSING].conditions.refuses = true;
    }
    let mut world = lab.world(spec).await?;
    let (directory, job) = promotion_with(lab, &world, trouble.unwrap_or_default())?;
    let run = lab.run(&mut world, label, &job).await?;
    let path = report(directory.path());
    let text = std::fs::read(&path).unwrap_or_default();
    // If there is no report, the page says so.
    let measured: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let number =
        |place: &str| count(measured.pointer(place).and_then(serde_json::Value::as_u64).unwrap_or_default());
    let summary = format!(
        "exit code {}, outcome `{}`; of {} edges {} were promoted, {} failed in the plan and {} in the promotion.",
        measured["exitCode"],
        measured["outcome"].as_str().unwrap_or("no report"),
        number("/plan/total/edges"),
        number("/totals/promoted"),
        number("/plan/total/failed"),
        number("/totals/failed")
    );
    Ok(Measured { run, summary })
}

/// Returns the regions without trouble.
fn healthy(run: &Run) -> impl Iterator<Item = &HostReading> {
    run.hosts.iter().skip(SLOW.max(REFUSING) + 1)
}

fn last_write_of_others(run: &Run) -> Option<f64> {
    healthy(run).filter_map(|host| host.last_write).reduce(f64::max)
}

fn table(measured: &[&Measured]) -> Table {
    let time = |time: Option<f64>| time.map_or(NONE.to_owned(), seconds);
    let row = |measured: &&Measured| {
        let run = &measured.run;
        let host = |number: usize| run.hosts.get(number);
        let first = healthy(run).filter_map(|host| host.last_write).reduce(f64::min);
        vec![
            run.label.clone(),
            seconds(run.wall_seconds),
            time(first),
            time(last_write_of_others(run)),
            time(host(SLOW).and_then(|host| host.last_write)),
            count(host(REFUSING).map_or(0, |host| host.requests)),
            count(run.refused),
        ]
    };
    let head = [
        "",
        "wall",
        "first of the 20 done",
        "last of the 20 done",
        "slow region done",
        "requests to the refusing region",
        "answered with 429",
    ];
    Table::new(&head, measured.iter().map(row).collect())
}
