//! One promotion as several processes, each with a part of the regions.

use std::fs;

use super::conditions::{QUOTA, USUAL};
use super::promotion::report;
use super::verdict::{by_quota, failure_notes};
use super::worlds::{REGIONS, alike};
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::machine::Setting;
use crate::manifests;
use crate::measure::Job;
use crate::protocol::{Content, HostReading, Spec, Storage};
use crate::record::{Run, Section, Table, Target};
use crate::show::{count, percent, ratio, seconds};
use crate::tools::word;

const SHARDS: usize = 4;
const PLATFORMS: usize = 4;
/// The index of the canonical region. Host 0 is staging.
const CANONICAL: usize = 1;
const REFUSED: f64 = 0.01;
/// The private key of the signer, in PKCS #8, with the scalar 0x0101…01. It is public, so it must not be trusted.
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQGhRANCAARv8DuUkkHO\
                   Ha3UNRnmlg4KhbQaaaBcMoEDqivOFZTKFjxPdTpVvwHcU/bAsMfu54tAxv99JaluIoK5ic73HBRK";
/// Runs a command, kills it with SIGKILL after the time in the first argument, in seconds, and runs it again. Fails if the
/// command exits before that.
const KILLED: &str = r#"timeout --signal=KILL "$0" "$@"; [ $? -eq 137 ] || exit 99; exec "$@""#;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let images = lab.size(40, 6);
    let layer_size = 64 << 10;
    let content = Content::New {
        images,
        platforms: PLATFORMS,
        layers: 2,
        layer_size,
        shared_layers: 0,
        shared_size: 0,
    };
    let mut spec = alike(REGIONS, &Storage::Discard, USUAL, content);
    // Signatures and records are read again, so their blobs must be kept.
    spec.hosts[CANONICAL].storage = Storage::Memory;
    let mut bench = Bench { lab, spec };
    let one = bench.run("one process", &Division::None).await?;
    let four = bench.run("4 shards", &Division::Shards).await?;
    let middle = four.wall_seconds / 2.0;
    let killed = bench.run("4 shards, one killed halfway", &Division::KilledAfter(middle)).await?;
    bench.spec.hosts[0].conditions.quota = None;
    let free = bench.run("4 shards, staging without a quota", &Division::Shards).await?;
    let mut targets = targets(&one, &four, &killed, images);
    targets.extend(under_a_quota(&free));
    let runs = vec![one, four, killed, free];
    Ok(Section {
        title: "One promotion in four shards".to_owned(),
        about: format!(
            "{images} new images of {PLATFORMS} platforms with 2 layers of 64 KiB each to {REGIONS} regions, and signatures and \
             records by a key in one of them; 20 ms latency. Each host, including staging, allows {} requests/s with a \
             burst of {}. First, one process promotes everything. Then {SHARDS} processes at once promote the regions of one \
             shard each (`--shard 0/{SHARDS}` and so on). Then the same again, but the process with the canonical region is \
             killed (SIGKILL) halfway and restarted. Every shard reads all images from staging, so the quota of staging is \
             the limit, and signing starts when the shard of the canonical region has copied all images: shards save no time \
             where quotas are the limit. In the last row, staging has no quota. All processes share the processors with the \
             registries.",
            QUOTA.per_second, QUOTA.burst
        ),
        setting: Setting::now(&lab.tools),
        runs: 1,
        tables: vec![Table::of(&runs)],
        targets,
        notes: failure_notes(&runs),
        raw: runs,
    })
}

/// How a promotion is divided.
enum Division {
    None,
    Shards,
    /// The shard of the canonical region is killed after this number of seconds and started again.
    KilledAfter(f64),
}

struct Bench<'a> {
    lab: &'a Lab,
    spec: Spec,
}

impl Bench<'_> {
    /// Promotes in a new world.
    async fn run(&self, label: &str, division: &Division) -> Result<Run, Error> {
        let mut world = self.lab.world(self.spec.clone()).await?;
        let directory = self.lab.directory()?;
        let job = self.job(directory.path(), &world, division)?;
        self.lab.run(&mut world, label, &job).await
    }

    fn job(&self, directory: &std::path::Path, world: &World, division: &Division) -> Result<Job, Error> {
        let manifests = directory.join("manifests");
        manifests::write(&manifests, &world.started)?;
        let file = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(Error::file("writing", &path)).map(|()| word(&path))
        };
        let host = &world.started.hosts[CANONICAL];
        let production =
            format!("production: {{ canonicalHost: '{host}', path: images, reference: registry.example }}\n");
        let config = file("config.yaml", production)?;
        let key =
            file("key.pem", format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n"))?;
        let flags = ["--confirm", "--config", &config, "--signing-key", &key];
        let command = |more: &[&str]| {
            self.lab.signing_cip(directory, &manifests, &[&flags, more].concat()).commands.concat()
        };
        let commands = match division {
            Division::None => vec![command(&["--report", &word(&report(directory))])],
            Division::Shards | Division::KilledAfter(_) => {
                let shard = |index: usize| {
                    let report = word(&directory.join(format!("report-{index}.json")));
                    command(&["--shard", &format!("{index}/{SHARDS}"), "--report", &report])
                };
                (0..SHARDS).map(shard).collect()
            }
        };
        let killed = |(index, command): (usize, Vec<String>)| match division {
            // The canonical region has the most work, so it is in the first shard.
            Division::KilledAfter(seconds) if index == 0 => {
                let script = ["/bin/sh", "-c", KILLED].map(str::to_owned);
                script.into_iter().chain([format!("{seconds:.2}")]).chain(command).collect()
            }
            _ => command,
        };
        let commands: Vec<Vec<String>> = commands.into_iter().enumerate().map(killed).collect();
        let parallel = commands.len();
        Ok(self.lab.job(directory, commands, parallel))
    }
}

/// Returns the targets of four shards when only the regions have a quota.
fn under_a_quota(free: &Run) -> Vec<Target> {
    let mut targets = by_quota(free);
    for target in &mut targets {
        target.what.push_str(", staging without a quota");
    }
    targets
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
fn targets(one: &Run, four: &Run, killed: &Run, images: usize) -> Vec<Target> {
    let regions = |run: &Run| run.hosts.get(1..).unwrap_or_default().to_vec();
    // Returns in how many regions a count differs from that of one process.
    let differ = |run: &Run, field: fn(&HostReading) -> u64, skipped: usize| {
        let pairs = regions(run).into_iter().zip(regions(one)).skip(skipped);
        pairs.filter(|(ours, theirs)| field(ours) != field(theirs)).count() as u64
    };
    let signatures = |run: &Run| regions(run).iter().map(|host| host.signatures as u64).sum::<u64>();
    let reread = |run: &Run| run.staging_bytes as f64 / run.unique_bytes.max(1) as f64;
    let expected = (images * (PLATFORMS + 1)) as u64;
    let manifests = |host: &HostReading| host.manifests as u64;
    vec![
        Target::at_most("refused, 4 shards", four.refused_share(), REFUSED, percent),
        Target::at_most("refused, one killed", killed.refused_share(), REFUSED, percent),
        Target::at_most("bytes read from staging ÷ unique, 4 shards", reread(four), SHARDS as f64, ratio),
        Target::at_most(
            "bytes read from staging ÷ unique, one killed",
            reread(killed),
            (SHARDS + 1) as f64,
            ratio,
        ),
        Target::exactly("images missing", (four.missing + killed.missing) as u64, 0, count),
        Target::exactly("signatures, 4 shards", signatures(four), expected, count),
        Target::exactly("signatures, one killed", signatures(killed), expected, count),
        // If a manifest such as a signature is written twice with different content, both copies stay in the registry.
        Target::exactly(
            "regions with a different number of manifests, 4 shards",
            differ(four, manifests, 0),
            0,
            count,
        ),
        Target::exactly(
            "regions with a different number of manifests, one killed",
            differ(killed, manifests, 0),
            0,
            count,
        ),
        // Images share the empty blob of their signatures. Whether it is mounted or uploaded depends on the order.
        Target::exactly(
            "regions without signatures with a different number of writes, 4 shards",
            differ(four, |host| host.writes, 1),
            0,
            count,
        ),
        Target::exactly("processes that failed", (four.failures + killed.failures) as u64, 0, count),
        Target {
            what: "time of the kill".to_owned(),
            target: "halfway".to_owned(),
            measured: format!("after {}", seconds(four.wall_seconds / 2.0)),
            // A command that ends before it is killed counts as failed.
            reached: killed.failures == 0,
        },
    ]
}
