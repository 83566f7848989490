//! Promotion of files to object stores, compared with rclone and the Go tool, and hashing, compared with sha256sum.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::verdict::failure_notes;
use crate::error::Error;
use crate::lab::Lab;
use crate::machine::Setting;
use crate::measure::{Job, Measured};
use crate::object_store::{BUCKET, ObjectStore, aws_environment, rclone_environment};
use crate::record::{Run, Section, Table, Target};
use crate::show::{NONE, count, megabytes, megabytes_of, ratio, seconds};
use crate::terminal::say;
use crate::tools::{Peer, word};

/// The size of a small file, in bytes.
const SMALL: usize = 10 << 10;
/// The two destinations. They are directories of one store, because kpromo uses one endpoint.
const PLACES: [&str; 2] = ["one", "two"];
/// The directory of the store that files are copied from, where a row does not copy them from the file system.
const SOURCE: &str = "source";
/// The labels of the rows that copy files.
const FROM_DIRECTORY: &str = "kpromo run files";
const RCLONE: &str = "2 × rclone copy";
const FROM_BUCKET: &str = "kpromo run files, from the store";
const GO_TOOL: &str = "Go kpromo run files, from the store";
/// The number of large files.
const LARGE_FILES: usize = 4;
/// What the page says about the rows with the Go tool.
const ABOUT_GO_TOOL: &str = " The Go tool promotes only from object stores, so the last two rows copy the same files from \
     a third directory of the VersityGW, which rclone has filled first. Their requests include the reads from it. The Go tool \
     copies one object at a time, each through a temporary file.";
/// The maximum memory of kpromo, in bytes.
const MEMORY_MAX: f64 = 150e6;

pub(super) async fn measure(lab: &Lab) -> Result<Section, Error> {
    let (small, mebibytes) = (lab.size(10_000, 300), lab.size(1_024, 24));
    let source = lab.directory()?;
    write_files(source.path(), small, mebibytes)?;
    let total = small + LARGE_FILES;
    let mut copies = vec![kpromo(lab, source.path(), total).await?];
    if let Some(program) = &lab.tools.rclone {
        copies.push(rclone(lab, program, source.path(), total).await?);
        if let Some(go_tool) = &lab.tools.promo_tools {
            for (label, promoter) in [(FROM_BUCKET, &lab.tools.kpromo), (GO_TOOL, &go_tool.path)] {
                copies.push(from_bucket(lab, label, promoter, program, source.path(), total).await?);
            }
        }
    }
    let hashed = lab.directory()?;
    let bytes = write_hashed(hashed.path(), lab.size(2_048, 64))?;
    let hashes = hashing(lab, hashed.path(), bytes).await?;
    let targets = targets(&copies, &hashes);
    Ok(Section {
        title: "Files to object stores".to_owned(),
        about: format!(
            "{} files of 10 KiB and {LARGE_FILES} of {mebibytes} MiB from a directory to two directories in a VersityGW on the \
             same disk; rclone runs once for each, both at once, with its defaults.{} Then SHA-256 of the files of a directory \
             of {}, compared with `sha256sum` in one process and in one process for each core.",
            count(small as u64),
            if lab.tools.promo_tools.is_some() { ABOUT_GO_TOOL } else { "" },
            megabytes(bytes)
        ),
        setting: Setting::now(&lab.tools),
        runs: 1,
        tables: vec![copy_table(&copies), hash_table(&hashes, bytes)],
        targets,
        notes: [failure_notes(&copies), failure_notes(&hashes)].concat(),
        raw: [copies, hashes].concat(),
    })
}

/// Promotes all files of a directory with kpromo.
async fn kpromo(lab: &Lab, source: &Path, total: usize) -> Result<Run, Error> {
    let directory = lab.directory()?;
    let (words, failures) =
        promotion(lab, &lab.tools.kpromo, directory.path(), source, &format!("file://{}", source.display()))
            .await?;
    let store = start(lab)?;
    let mut job = lab.job(directory.path(), vec![words], 1);
    job.environment.extend(aws_environment(&store.url()));
    let run = run(lab, FROM_DIRECTORY, &store, &job, total).await?;
    Ok(Run { failures: run.failures + failures, ..run })
}

/// Promotes all files within a store, with kpromo or the Go tool. rclone writes the source first, each object in one request,
/// because the Go tool needs the MD5 of each source object, which multipart uploads do not have.
async fn from_bucket(
    lab: &Lab,
    label: &str,
    promoter: &Path,
    rclone: &Peer,
    source: &Path,
    total: usize,
) -> Result<Run, Error> {
    let directory = lab.directory()?;
    let base = format!("s3://{BUCKET}/{SOURCE}");
    let (words, mut failures) = promotion(lab, promoter, directory.path(), source, &base).await?;
    let store = start(lab)?;
    let to = format!("store:{BUCKET}/{SOURCE}");
    let fill = [&word(&rclone.path), "copy", "--s3-upload-cutoff", "4Gi", &word(source), &to];
    let mut job = lab.job(directory.path(), vec![fill.map(str::to_owned).to_vec()], 1);
    job.environment.extend(rclone_environment(&store.url()));
    failures += lab.measure(&job).await?.failures();
    let mut job = lab.job(directory.path(), vec![words], 1);
    job.environment.extend(aws_environment(&store.url()));
    // The Go tool writes each object to a temporary file.
    job.environment.insert("TMPDIR".to_owned(), word(directory.path()));
    let run = run(lab, label, &store, &job, total).await?;
    Ok(Run { failures: run.failures + failures, ..run })
}

/// Writes the manifests of a promotion of all files below `source`, from `base`. Returns the command that runs it, and the
/// number of commands that failed before it.
async fn promotion(
    lab: &Lab,
    promoter: &Path,
    directory: &Path,
    source: &Path,
    base: &str,
) -> Result<(Vec<String>, usize), Error> {
    let (files, stores) = (directory.join("files.yaml"), directory.join("filestores.yaml"));
    let describe =
        [&word(&lab.tools.kpromo), "manifest", "files", "--src", &word(source), "--output", &word(&files)];
    let described = lab.measure(&lab.job(directory, vec![describe.map(str::to_owned).to_vec()], 1)).await?;
    let mut text = format!("filestores:\n- base: {base}\n  src: true\n");
    PLACES.iter().for_each(|place| text.push_str(&format!("- base: s3://{BUCKET}/{place}\n")));
    fs::write(&stores, text).map_err(Error::file("writing", &stores))?;
    let words = [
        &word(promoter),
        "run",
        "files",
        "--confirm",
        "--filestores",
        &word(&stores),
        "--files",
        &word(&files),
    ];
    Ok((words.map(str::to_owned).to_vec(), described.failures()))
}

/// Copies all files with rclone.
async fn rclone(lab: &Lab, program: &Peer, source: &Path, total: usize) -> Result<Run, Error> {
    let directory = lab.directory()?;
    let copy = |place: &&str| {
        let to = format!("store:{BUCKET}/{place}");
        [&word(&program.path), "copy", &word(source), &to].map(str::to_owned).to_vec()
    };
    let store = start(lab)?;
    let mut job = lab.job(directory.path(), PLACES.iter().map(copy).collect(), PLACES.len());
    job.environment.extend(rclone_environment(&store.url()));
    run(lab, RCLONE, &store, &job, total).await
}

fn start(lab: &Lab) -> Result<ObjectStore, Error> {
    let Some(program) = &lab.tools.versitygw else { return Err(Error::NoStore) };
    ObjectStore::start(program, lab.directory()?)
}

/// Runs a job against a store, and counts its requests.
async fn run(lab: &Lab, label: &str, store: &ObjectStore, job: &Job, total: usize) -> Result<Run, Error> {
    let before = store.requests()?;
    let measured = measured(lab, label, job).await?;
    let missing = PLACES.iter().map(|place| total.saturating_sub(store.objects(place))).sum();
    Ok(Run { requests: store.requests()? - before, missing, ..recorded(label, &measured) })
}

async fn measured(lab: &Lab, label: &str, job: &Job) -> Result<Measured, Error> {
    say(&format!("    {label}"));
    let measured = lab.measure(job).await?;
    say(&format!("        {}", recorded(label, &measured).line()));
    Ok(measured)
}

fn recorded(label: &str, measured: &Measured) -> Run {
    Run {
        label: label.to_owned(),
        wall_seconds: measured.wall_seconds,
        cpu_seconds: measured.cpu_seconds,
        peak_memory_bytes: measured.peak_memory_bytes,
        is_shared: measured.commands() > 1,
        commands: measured.commands(),
        failures: measured.failures(),
        exits: measured.exits.clone(),
        errors: measured.errors.clone(),
        ..Run::default()
    }
}

/// Hashes a directory in several ways.
async fn hashing(lab: &Lab, source: &Path, bytes: u64) -> Result<Vec<Run>, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (kpromo, source) = (word(&lab.tools.kpromo), word(source));
    let shell = |script: String| vec!["sh".to_owned(), "-c".to_owned(), script];
    let find = format!("find '{source}' -type f -print0");
    let ways = [
        (
            "kpromo manifest files".to_owned(),
            [&kpromo, "manifest", "files", "--src", &source].map(str::to_owned).to_vec(),
        ),
        ("sha256sum".to_owned(), shell(format!("{find} | xargs -0 sha256sum"))),
        (
            format!("xargs -P {cores} sha256sum"),
            shell(format!("{find} | xargs -0 -n 1 -P {cores} sha256sum")),
        ),
    ];
    let mut runs = Vec::new();
    for (label, words) in ways {
        let directory = lab.directory()?;
        let job = lab.job(directory.path(), vec![words], 1);
        runs.push(Run { unique_bytes: bytes, ..recorded(&label, &measured(lab, &label, &job).await?) });
    }
    Ok(runs)
}

fn copy_table(runs: &[Run]) -> Table {
    let head =
        ["", "wall", "× first row", "requests", "CPU", "peak memory", "objects missing", "commands failed"];
    let first = runs.first().map_or(1.0, |run| run.wall_seconds);
    let some = |number: usize| if number > 0 { count(number as u64) } else { NONE.to_owned() };
    let row = |run: &Run| {
        vec![
            run.label.clone(),
            seconds(run.wall_seconds),
            ratio(run.wall_seconds / first),
            count(run.requests),
            seconds(run.cpu_seconds),
            megabytes(run.peak_memory_bytes),
            some(run.missing),
            some(run.failures),
        ]
    };
    Table::new(&head, runs.iter().map(row).collect())
}

fn hash_table(runs: &[Run], bytes: u64) -> Table {
    let row = |run: &Run| {
        #[expect(clippy::cast_precision_loss, reason = "shown without decimal places")]
        let rate = bytes as f64 / run.wall_seconds.max(1e-9);
        vec![
            run.label.clone(),
            seconds(run.wall_seconds),
            format!("{}/s", megabytes_of(rate)),
            seconds(run.cpu_seconds),
            megabytes(run.peak_memory_bytes),
        ]
    };
    Table::new(&["", "wall", "rate", "CPU", "peak memory"], runs.iter().map(row).collect())
}

fn targets(copies: &[Run], hashes: &[Run]) -> Vec<Target> {
    let mut targets = Vec::new();
    if let Some(kpromo) = copies.first() {
        #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
        let memory = kpromo.peak_memory_bytes as f64;
        targets.push(Target::at_most("peak memory", memory, MEMORY_MAX, megabytes_of));
        targets.push(Target::exactly("objects missing", kpromo.missing as u64, 0, count));
        if let Some(other) = labelled(copies, RCLONE) {
            #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
            let requests = kpromo.requests as f64 / other.requests.max(1) as f64;
            targets.push(Target::at_most(
                "wall ÷ rclone",
                kpromo.wall_seconds / other.wall_seconds,
                1.0,
                ratio,
            ));
            targets.push(Target::at_most("requests ÷ rclone", requests, 1.0, ratio));
        }
        if let (Some(ours), Some(other)) = (labelled(copies, FROM_BUCKET), labelled(copies, GO_TOOL)) {
            let compared = ours.wall_seconds / other.wall_seconds;
            targets.push(Target::at_most("wall ÷ Go tool, from the store", compared, 1.0, ratio));
        }
    }
    if let (Some(kpromo), Some(parallel)) = (hashes.first(), hashes.get(2)) {
        let compared = kpromo.wall_seconds / parallel.wall_seconds;
        targets.push(Target::at_most("hashing ÷ parallel sha256sum", compared, 1.1, ratio));
    }
    targets
}

fn labelled<'a>(runs: &'a [Run], label: &str) -> Option<&'a Run> {
    runs.iter().find(|run| run.label == label)
}

/// Writes small and large files.
fn write_files(directory: &Path, small: usize, mebibytes: usize) -> Result<(), Error> {
    for index in 0..small {
        let path = directory.join(format!("small/{:02}/{index:05}", index / 100));
        write(&path, index as u64, SMALL)?;
    }
    for index in 0..LARGE_FILES {
        write(&directory.join(format!("large/{index}")), (1 << 32) + index as u64, mebibytes << 20)?;
    }
    Ok(())
}

/// Writes sixteen files for hashing, and returns their size in bytes.
fn write_hashed(directory: &Path, mebibytes: usize) -> Result<u64, Error> {
    let each = (mebibytes << 20) / 16;
    for index in 0..16 {
        write(&directory.join(format!("{index:02}")), (2 << 32) + index, each)?;
    }
    Ok(16 * each as u64)
}

/// Writes a file whose content differs for each seed.
fn write(path: &Path, seed: u64, size: usize) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(Error::file("making", directory))?;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut piece = Vec::with_capacity(1 << 20);
    while piece.len() < size.min(1 << 20) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.extend_from_slice(&state.to_le_bytes());
    }
    let mut file = File::create(path).map_err(Error::file("writing", path))?;
    let mut left = size;
    while left > 0 {
        let bytes = left.min(piece.len());
        file.write_all(&piece[..bytes]).map_err(Error::file("writing", path))?;
        left -= bytes;
    }
    Ok(())
}
