//! `kpromo snapshot`, and the snapshots of `kpromo cip`: the images of a registry, or what manifests promote to it.

mod diff;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(debug_assertions)]
pub(crate) use diff::DiffJson;
pub(crate) use diff::diff;
use indicatif::MultiProgress;
use manifest::Edges;
use oci::{Reader, RegistryRoot, Tag};
use promote::Run;
use promote::snapshot::{Snapshot, SnapshotError, children_of_indexes, declared, read_registry};
use tokio_util::sync::CancellationToken;
use transport::Door;

use crate::args::{Limit, SnapshotArgs, SnapshotSource};
use crate::cip;
use crate::config::Config;
use crate::connect::{Connection, connect};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::faults::print_faults;
use crate::render::{Lines, Progress, counted};
use crate::terminal::{ErrorLine, Interrupts, print_error, remember_stop};
use crate::watchdog;

/// Prints a snapshot. Nothing is printed unless it is complete.
pub(crate) async fn print(args: SnapshotArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    if args.ignores_manifests {
        tracing::warn!(
            "--snapshot reads the registry and ignores the manifests; --manifest-based-snapshot-of reads them"
        );
    }
    let connection = match connected(args.config.as_deref(), environment) {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    let reader = connection.client.reader();
    let progress = Progress::new(screen);
    let work = Box::pin(take_and_print(&args, &reader, environment, &progress));
    bounded(&connection.door, &progress, args.timeout, work).await
}

async fn take_and_print(
    args: &SnapshotArgs,
    reader: &Reader,
    environment: &Environment,
    progress: &Arc<Progress>,
) -> Exit {
    let (snapshot, exit) = match take(args, reader, environment, progress).await {
        Ok(taken) => taken,
        Err(exit) => return exit,
    };
    let format = args.format;
    match write(move |to| snapshot.write(format, to)).await {
        Exit::Success => exit,
        failed => failed,
    }
}

/// Takes a snapshot. The exit code is that of a run that prints it.
async fn take(
    args: &SnapshotArgs,
    reader: &Reader,
    environment: &Environment,
    progress: &Arc<Progress>,
) -> Result<(Snapshot, Exit), Exit> {
    let SnapshotArgs { registry, tag, minimal, .. } = args;
    let SnapshotSource::Manifests { manifests, limit, strict } = &args.source else {
        let snapshot = of_registry(reader, registry, tag.as_ref(), *minimal, progress).await?;
        return Ok((snapshot, Exit::Success));
    };
    let manifests = cip::load(manifests, limit, environment, "no snapshot was printed")?;
    let rejected = &manifests.rejected;
    if rejected.count() > 0 {
        print_faults(rejected);
    }
    if *strict && rejected.count() > 0 {
        print_error(&format!("{}; no snapshot was printed", cip::invalid_entries(rejected)));
        return Err(Exit::Invalid);
    }
    manifests.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Err(overlaps) = Edges::new(&manifests) {
        let overlaps: String = overlaps.iter().map(|overlap| format!("\n  {overlap}")).collect();
        print_error(&format!("the manifests give different digests the same tag{overlaps}"));
        return Err(Exit::Conflict);
    }
    let mut snapshot = match declared(&manifests, registry) {
        Some(snapshot) => snapshot,
        // A change that adds nothing for the registry leaves out its manifests.
        None if *limit != Limit::None => Snapshot::default(),
        None => {
            let error = format!("no manifest promotes to {registry} or to a registry below it");
            let advice = "name a registry as the manifests do, with its host; its path may be shorter by whole components";
            ErrorLine { advice: Some(advice), ..ErrorLine::new(&error) }.print();
            return Err(Exit::Usage);
        }
    };
    if let Some(tag) = tag {
        snapshot.keep_tagged(tag);
    }
    if *minimal && snapshot.has_untagged() {
        let children = children_of_indexes(&run(progress), reader, registry).await;
        progress.clear();
        snapshot.leave_out_children(&children.map_err(|error| unavailable(&error))?);
    }
    let exit = if rejected.count() > 0 { Exit::Partial } else { Exit::Success };
    Ok((snapshot, exit))
}

/// Reads a registry.
async fn of_registry(
    reader: &Reader,
    registry: &RegistryRoot,
    tag: Option<&Tag>,
    minimal: bool,
    progress: &Arc<Progress>,
) -> Result<Snapshot, Exit> {
    let snapshot = read_registry(&run(progress), reader, registry, tag, minimal).await;
    progress.clear();
    let snapshot = snapshot.map_err(|error| unavailable(&error))?;
    let (images, digests) = (snapshot.images().count(), snapshot.digests());
    tracing::info!("{registry}: {}, {}", counted(images, "image"), counted(digests, "digest"));
    Ok(snapshot)
}

/// Returns a run whose events are logged and shown.
fn run(progress: &Arc<Progress>) -> Run {
    Run::new(vec![Arc::new(Lines::default()), Arc::<Progress>::clone(progress)], CancellationToken::new())
}

fn unavailable(error: &SnapshotError) -> Exit {
    let problem = error.problem();
    ErrorLine { advice: problem.advice.as_deref(), ..ErrorLine::new(&problem.error) }.print();
    Exit::Unavailable
}

/// Reads the configuration and connects to registries.
fn connected(config: Option<&Path>, environment: &Environment) -> Result<Connection, Exit> {
    let connection = Config::of(config, environment).and_then(|config| connect(&config, environment));
    connection.map_err(|problem| Failure::from(problem).print())
}

/// Runs the work until it completes, is interrupted or times out.
async fn bounded(
    door: &Door,
    progress: &Progress,
    timeout: Option<Duration>,
    work: impl Future<Output = Exit>,
) -> Exit {
    let mut interrupts = Interrupts::new();
    let why = tokio::select! {
        exit = work => return exit,
        why = interrupts.next_or_timeout(timeout) => why,
        never = watchdog::watch(door) => match never {},
        never = progress.show(door) => match never {},
    };
    remember_stop(why);
    progress.clear();
    print_error(&format!("{why}; the snapshot is not complete"));
    Exit::Interrupted
}

/// Writes a result to standard output on a thread of its own, because a reader may stop reading. A reader that closes the pipe
/// ends the output quietly.
async fn write(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Exit {
    let written = tokio::task::spawn_blocking(move || {
        let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        write(&mut stdout).and_then(|()| stdout.flush())
    });
    match written.await.map_err(io::Error::other).flatten() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("standard output cannot be written: {error}"));
            Exit::Failure
        }
        Ok(()) | Err(_) => Exit::Success,
    }
}
