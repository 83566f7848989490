//! Signatures for promoted images with a real Sigstore, compared with cosign and the same Sigstore.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::conditions::{QUOTA, USUAL};
use super::promotion::{promotion, report};
use super::verdict::{by_quota, failure_notes};
use super::worlds::alike;
use crate::cosign::{Cosign, Way};
use crate::error::Error;
use crate::lab::{Lab, World};
use crate::machine::Setting;
use crate::manifests;
use crate::measure::Job;
use crate::protocol::{ConditionsSpec, Content, HostReading, Storage};
use crate::record::{Run, Section, Table, Target, median};
use crate::show::{NONE, count, megabytes, ratio, seconds, whole};
use crate::sigstore::{Logged, SIGNER, Sigstore};
use crate::tools::word;

const RUNS: usize = 3;
const PLATFORMS: usize = 4;
/// The index of production. Host 0 is staging.
const PRODUCTION: usize = 1;
/// The target for the rate of signatures, relative to `cosign sign` with one process for each image.
const FASTER: f64 = 10.0;
/// One certificate serves all signatures of ten minutes. A few may be requested at once at the beginning.
const CERTIFICATES_MAX: f64 = 3.0;
/// How many images cosign verifies afterwards.
const VERIFIED: usize = 5;

/// A run and what it has written.
#[derive(Clone, Debug)]
struct Signed {
    run: Run,
    /// The number of processes in this run alone.
    processes: usize,
    /// The number of new tags with signatures in production, and the number of other new manifests there, which are records.
    signatures: u64,
    records: u64,
    /// The growth of the Sigstore's logs.
    logged: Logged,
    /// The processor time of all parts of the Sigstore during the run.
    sigstore_cpu_seconds: f64,
    /// The number of signatures and records that kpromo reports as missing. 0 for programs without a report.
    lacking: u64,
}

impl Signed {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn signatures_a_second(&self) -> f64 {
        self.signatures as f64 / self.run.wall_seconds
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn statements_a_second(&self) -> f64 {
        (self.signatures + self.records) as f64 / self.run.wall_seconds
    }

    fn production(&self) -> Option<&HostReading> {
        self.run.hosts.get(PRODUCTION)
    }
}

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let directory = lab.tools.sigstore.as_deref().ok_or(Error::NoSigstore)?;
    let sigstore = Sigstore::open(directory)?;
    let images = lab.size(100, 10);
    let usual = ConditionsSpec { quota: None, ..USUAL };
    let bench = Bench { lab, sigstore: &sigstore, images, conditions: usual };
    let (shown, mut targets) = bench.kpromo_and_cosign("").await?;
    let calm = Bench { conditions: ConditionsSpec::default(), ..bench };
    let (calm, _) = calm.kpromo_and_cosign(", no latency").await?;
    let bound = bench.under_a_quota().await?;
    targets.extend(bound.iter().flat_map(under_a_quota));
    let raw: Vec<Run> = shown.iter().chain(&calm).chain(&bound).map(|signed| signed.run.clone()).collect();
    Ok(Section {
        title: "Signatures".to_owned(),
        about: about(images),
        setting: Setting::now(&lab.tools),
        runs: lab.runs(RUNS),
        tables: vec![
            rates(&shown),
            costs(&shown),
            rates(&calm),
            costs(&calm),
            Table::of(&bound.iter().map(|signed| signed.run.clone()).collect::<Vec<Run>>()),
        ],
        targets,
        notes: failure_notes(&raw),
        raw,
    })
}

fn about(images: usize) -> String {
    format!(
        "{images} images of {PLATFORMS} platforms, {} manifests, that production already has without \
         signatures: kpromo copies nothing, signs every manifest under its `.sig` tag, and records \
         every image. Then the same command runs again with nothing left to do. The registries have 20 ms \
         latency and no quota; then no latency either; in the last table production has 20 ms latency and \
         allows {} requests/s with a burst of {}. A real Sigstore runs on the same machine: Fulcio, a timestamp authority, a \
         certificate log and Rekor v1 on Trillian and MariaDB, which integrates entries every 50 ms. It \
         shares the processors with kpromo and uses more processor time. cosign signs in the same form with \
         the same identity and without timestamps. It signs fewer images, once each; with `--recursive` it \
         signs an image and its parts. Signatures are counted in production, certificates and entries in \
         the logs.",
        count((images * (PLATFORMS + 1)) as u64),
        QUOTA.per_second,
        QUOTA.burst
    )
}

/// The parameters that all rows share.
struct Bench<'a> {
    lab: &'a Lab,
    sigstore: &'a Sigstore,
    images: usize,
    conditions: ConditionsSpec,
}

impl Bench<'_> {
    /// Measures kpromo, kpromo again with nothing left to do, and cosign in all ways. Returns the runs and the targets.
    async fn kpromo_and_cosign(&self, suffix: &str) -> Result<(Vec<Signed>, Vec<Target>), Error> {
        let (mut first, mut again, mut refused) = (Vec::new(), Vec::new(), None);
        for _ in 0..self.lab.runs(RUNS) {
            let mut world = self.world().await?;
            first.push(self.kpromo(&mut world, &format!("kpromo{suffix}")).await?);
            again.push(self.kpromo(&mut world, &format!("kpromo, second run{suffix}")).await?);
            if refused.is_none() {
                refused = self.refused(&world).await?;
            }
        }
        let mut targets = targets(&first, &again, self.images);
        targets
            .extend(refused.map(|refused| Target::exactly("images that cosign refuses", refused, 0, count)));
        let mut shown: Vec<Signed> = middle(first).into_iter().chain(middle(again)).collect();
        for way in Way::ALL {
            if let Some(signed) = self.cosign(way, &format!("{}{suffix}", way.label())).await? {
                if matches!(way, Way::InTurn | Way::Each) {
                    targets.push(faster(&shown[0], &signed, &way.label()));
                }
                shown.push(signed);
            }
        }
        Ok((shown, targets))
    }

    /// Measures kpromo in a world whose production gets a quota after the promotion.
    async fn under_a_quota(&self) -> Result<Option<Signed>, Error> {
        let mut all = Vec::new();
        for _ in 0..self.lab.runs(RUNS) {
            let mut world = self.world().await?;
            world.conditions(PRODUCTION, USUAL).await?;
            let label = format!("kpromo, {} requests/s", QUOTA.per_second);
            all.push(self.kpromo(&mut world, &label).await?);
        }
        Ok(middle(all))
    }

    /// Returns a world where everything is promoted and nothing is signed.
    async fn world(&self) -> Result<World, Error> {
        let content = Content::New {
            images: self.images,
            platforms: PLATFORMS,
            layers: 1,
            layer_size: 1024,
            shared_layers: 0,
            shared_size: 0,
        };
        let world = self.lab.world(alike(1, &Storage::Memory, self.conditions, content)).await?;
        let (_directory, job) = promotion(self.lab, &world)?;
        let promoted = self.lab.measure(&job).await?;
        if promoted.failures() > 0 { Err(Error::NotPromoted(promoted.errors.concat())) } else { Ok(world) }
    }

    /// Runs `kpromo cip --confirm`, which has only signatures and records to write.
    async fn kpromo(&self, world: &mut World, label: &str) -> Result<Signed, Error> {
        let directory = self.lab.directory()?;
        let manifests = directory.path().join("manifests");
        manifests::write(&manifests, &world.started)?;
        let config = directory.path().join("config.yaml");
        let host = &world.started.hosts[PRODUCTION];
        let text =
            format!("production: {{ canonicalHost: '{host}', path: images, reference: registry.example }}\n");
        fs::write(&config, text).map_err(Error::file("writing", &config))?;
        let (config, report) = (word(&config), word(&report(directory.path())));
        let token = self.sigstore.token(directory.path()).await?;
        let trust = ["trusted_root.json", "signing_config.rekor1.json"].map(|file| self.sigstore.file(file));
        let [root, services] = &trust;
        let mut flags = vec!["--confirm", "--signer-account", SIGNER, "--identity-token", &token];
        flags.extend(["--trusted-root", root, "--signing-config", services]);
        flags.extend(["--registry-config", &config, "--report", &report]);
        let job = self.lab.signing_cip(directory.path(), &manifests, &flags);
        let mut signed = self.signed(world, label, &job).await?;
        signed.lacking = lacking(Path::new(&report))?;
        Ok(signed)
    }

    /// Runs cosign on fewer images in a new world. Returns `None` if cosign is not available.
    async fn cosign(&self, way: Way, label: &str) -> Result<Option<Signed>, Error> {
        let Some(cosign) = self.cosign_tool() else { return Ok(None) };
        let mut world = self.world().await?;
        let (directory, images) = (self.lab.directory()?, production(&world));
        let images = match way {
            Way::Each => &images[..self.lab.size(40, 8)],
            Way::InTurn | Way::Recursive => &images[..self.lab.size(20, 4)],
            Way::Together => &images[..self.lab.size(10, 2)],
        };
        let token = self.sigstore.token(directory.path()).await?;
        let job = cosign.sign(way, directory.path(), &token, images)?;
        self.signed(&mut world, label, &job).await.map(Some)
    }

    /// Returns how many of a few images cosign does not verify, or `None` if cosign is not available.
    async fn refused(&self, world: &World) -> Result<Option<u64>, Error> {
        let Some(cosign) = self.cosign_tool() else { return Ok(None) };
        let directory = self.lab.directory()?;
        let images = production(world);
        let job = cosign.verify(directory.path(), &images[..VERIFIED.min(images.len())])?;
        Ok(Some(self.lab.measure(&job).await?.failures() as u64))
    }

    fn cosign_tool(&self) -> Option<Cosign<'_>> {
        let program = self.lab.tools.cosign.as_ref()?;
        Some(Cosign { lab: self.lab, program, sigstore: self.sigstore })
    }

    /// Runs a job and counts what it adds.
    async fn signed(&self, world: &mut World, label: &str, job: &Job) -> Result<Signed, Error> {
        let (before, logged) = (world.read().await?, self.sigstore.logged().await?);
        let cpu_seconds = self.sigstore.cpu_seconds()?;
        let run = self.lab.run(world, label, job).await?;
        let sigstore_cpu_seconds = self.sigstore.cpu_seconds()? - cpu_seconds;
        let logged = self.sigstore.logged().await?.since(logged);
        let more = |field: fn(&HostReading) -> usize| {
            let of = |hosts: &[HostReading]| hosts.get(PRODUCTION).map_or(0, field);
            of(&run.hosts).saturating_sub(of(&before.hosts)) as u64
        };
        let (signatures, manifests) = (more(|host| host.signatures), more(|host| host.manifests));
        // A signature tag has one manifest. Every other new manifest refers to an image.
        let records = manifests.saturating_sub(signatures);
        Ok(Signed {
            processes: run.commands,
            run,
            signatures,
            records,
            logged,
            sigstore_cpu_seconds,
            lacking: 0,
        })
    }
}

/// Returns the references of all images in production.
fn production(world: &World) -> Vec<String> {
    let host = &world.started.hosts[PRODUCTION];
    let images = world.started.images.iter();
    images.map(|image| format!("{host}/{}@{}", image.production(), image.digest)).collect()
}

/// Returns the number of missing signatures and records in a report.
fn lacking(report: &Path) -> Result<u64, Error> {
    let text = fs::read(report).map_err(Error::file("reading", report))?;
    let report: Value =
        serde_json::from_slice(&text).map_err(|source| Error::Invalid { path: report.to_owned(), source })?;
    let number = |name: &str| report["totals"][name].as_u64().unwrap_or_default();
    Ok(number("unsigned") + number("unrecorded"))
}

/// Returns the run with the median time. It includes the failures of all runs.
fn middle(mut all: Vec<Signed>) -> Option<Signed> {
    let run = median(all.iter().map(|signed| signed.run.clone()).collect())?;
    all.sort_by(|one, other| one.run.wall_seconds.total_cmp(&other.run.wall_seconds));
    let middle = all.len() / 2;
    Some(Signed { run, ..all.swap_remove(middle) })
}

/// Returns the targets. Every run must reach them, not only the median one.
fn targets(first: &[Signed], again: &[Signed], images: usize) -> Vec<Target> {
    let most = |runs: &[Signed], field: fn(&Signed) -> u64| runs.iter().map(field).max().unwrap_or(u64::MAX);
    let least = |field: fn(&Signed) -> u64| first.iter().map(field).min().unwrap_or_default();
    let (manifests, images) = ((images * (PLATFORMS + 1)) as u64, images as u64);
    #[expect(clippy::cast_precision_loss, reason = "a count of certificates")]
    let certificates = most(first, |signed| signed.logged.certificates) as f64;
    let writes = |signed: &Signed| signed.production().map_or(0, |host| host.writes);
    vec![
        Target::exactly("manifests signed", least(|signed| signed.signatures), manifests, count),
        Target::exactly("images recorded", least(|signed| signed.records), images, count),
        Target::exactly("neither signed nor recorded", most(first, |signed| signed.lacking), 0, count),
        Target::at_most("certificates", certificates, CERTIFICATES_MAX, whole),
        Target::exactly("writes of a second run", most(again, writes), 0, count),
        Target::exactly("log entries of a second run", most(again, |signed| signed.logged.entries), 0, count),
    ]
}

/// Returns the targets for signatures under a quota.
fn under_a_quota(signed: &Signed) -> Vec<Target> {
    let mut targets = by_quota(&signed.run);
    targets.push(Target::exactly("neither signed nor recorded", signed.lacking, 0, count));
    for target in &mut targets {
        target.what.push_str(" under a quota");
    }
    targets
}

/// Returns the target that compares kpromo with one of cosign's ways.
fn faster(kpromo: &Signed, cosign: &Signed, label: &str) -> Target {
    let times = kpromo.signatures_a_second() / cosign.signatures_a_second();
    Target {
        what: format!("signatures/s ÷ {label}"),
        target: format!("≥ {}", ratio(FASTER)),
        measured: ratio(times),
        reached: times >= FASTER,
    }
}

/// Returns a table of rates.
fn rates(shown: &[Signed]) -> Table {
    let fastest = shown.first().map_or(0.0, Signed::signatures_a_second);
    let row = |signed: &Signed| {
        let only = |text: String| if signed.signatures > 0 { text } else { NONE.to_owned() };
        let with_records = |text: String| if signed.records > 0 { text } else { NONE.to_owned() };
        vec![
            signed.run.label.clone(),
            signed.processes.to_string(),
            seconds(signed.run.wall_seconds),
            count(signed.signatures),
            count(signed.records),
            only(format!("{:.1}", signed.signatures_a_second())),
            with_records(format!("{:.1}", signed.statements_a_second())),
            only(ratio(fastest / signed.signatures_a_second())),
        ]
    };
    let head =
        ["", "processes", "wall", "signatures", "records", "signatures/s", "with records/s", "kpromo ÷ this"];
    Table::new(&head, shown.iter().map(row).collect())
}

/// Returns a table of costs.
fn costs(shown: &[Signed]) -> Table {
    let row = |signed: &Signed| {
        let number = |field: fn(&HostReading) -> u64| signed.production().map_or(0, field);
        #[expect(clippy::cast_precision_loss, reason = "shown in milliseconds")]
        let each = signed.run.cpu_seconds * 1e3 / signed.signatures.max(1) as f64;
        let failures = format!("{} of {}", signed.run.failures, signed.run.commands);
        vec![
            signed.run.label.clone(),
            count(signed.logged.certificates),
            count(signed.logged.entries),
            count(number(|host| host.requests)),
            count(number(|host| host.writes)),
            seconds(signed.run.cpu_seconds),
            if signed.signatures > 0 { format!("{each:.1} ms") } else { NONE.to_owned() },
            seconds(signed.sigstore_cpu_seconds),
            megabytes(signed.run.peak_memory_bytes),
            if signed.run.failures > 0 { failures } else { NONE.to_owned() },
        ]
    };
    let head = [
        "",
        "certificates",
        "log entries",
        "requests to production",
        "writes among them",
        "CPU",
        "CPU per signature",
        "Sigstore's CPU",
        "peak memory",
        "commands failed",
    ];
    Table::new(&head, shown.iter().map(row).collect())
}
