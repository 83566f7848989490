//! The tools of scenarios: worlds, measured commands, temporary directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::Error;
use crate::measure::{Job, Measured};
use crate::process::Process;
use crate::protocol::{Answer, Command, ConditionsSpec, HostSpec, Reading, Spec, Started};
use crate::record::Run;
use crate::terminal::say;
use crate::tools::{Tools, word};

/// The maximum duration of one job.
const JOB_MAX: Duration = Duration::from_secs(1200);

/// The tools of scenarios.
pub(crate) struct Lab {
    pub(crate) tools: Tools,
    /// Whether to use small sizes, to try the benchmark itself.
    pub(crate) quick: bool,
    /// The number of measurements of each row, if the command line sets it.
    runs: Option<usize>,
    /// The path of this program.
    program: PathBuf,
    /// The `PATH` of the commands.
    path: String,
    scratch: TempDir,
}

impl Lab {
    /// Creates a temporary directory to work in.
    pub(crate) fn new(tools: Tools, quick: bool, runs: Option<usize>, path: String) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::io("finding this program"))?;
        let scratch = tempfile::Builder::new().prefix("kpromo-bench-").tempdir();
        let scratch = scratch.map_err(Error::file("making a directory in", std::env::temp_dir()))?;
        Ok(Self { tools, quick, runs, program, path, scratch })
    }

    /// Returns the number of measurements of a row.
    pub(crate) fn runs(&self, usual: usize) -> usize {
        self.runs.unwrap_or(if self.quick { 1 } else { usual }).max(1)
    }

    /// Returns the size to measure: the full one, or the small one.
    pub(crate) fn size(&self, full: usize, small: usize) -> usize {
        if self.quick { small } else { full }
    }

    /// Creates a directory. It is removed when it is dropped.
    pub(crate) fn directory(&self) -> Result<TempDir, Error> {
        TempDir::new_in(self.scratch.path())
            .map_err(Error::file("making a directory in", self.scratch.path()))
    }

    /// Starts and fills registries.
    pub(crate) async fn world(&self, spec: Spec) -> Result<World, Error> {
        let mut process = Process::start(&self.program, "world")?;
        process.send(&spec).await?;
        match process.receive().await? {
            Answer::Started(started) => Ok(World { process, started, hosts: spec.hosts }),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns a `kpromo cip` job for manifests, without signatures.
    pub(crate) fn cip(&self, directory: &Path, manifests: &Path, flags: &[&str]) -> Job {
        self.signing_cip(directory, manifests, &[&["--sign=false"], flags].concat())
    }

    /// Returns a `kpromo cip` job for manifests, with the flags for signatures in `flags`.
    pub(crate) fn signing_cip(&self, directory: &Path, manifests: &Path, flags: &[&str]) -> Job {
        let mut words: Vec<String> = vec![
            word(&self.tools.kpromo),
            "cip".to_owned(),
            "--thin-manifest-dir".to_owned(),
            word(manifests),
        ];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.job(directory, vec![words], 1)
    }

    /// Returns a job whose commands find no configuration outside `directory`.
    pub(crate) fn job(&self, directory: &Path, commands: Vec<Vec<String>>, parallel: usize) -> Job {
        let environment = BTreeMap::from([
            ("PATH".to_owned(), self.path.clone()),
            ("HOME".to_owned(), word(directory)),
            ("XDG_RUNTIME_DIR".to_owned(), word(directory)),
        ]);
        Job { commands, parallel, environment, directory: directory.to_owned() }
    }

    /// Runs a job and returns what it used. Kills it if it takes too long.
    pub(crate) async fn measure(&self, job: &Job) -> Result<Measured, Error> {
        let mut process = Process::start(&self.program, "measure")?;
        process.send(job).await?;
        match tokio::time::timeout(JOB_MAX, process.receive()).await {
            Ok(measured) => measured,
            Err(_) => {
                let what = job.commands.first().map(|words| words.join(" ")).unwrap_or_default();
                Err(Error::TooLong { what, seconds: JOB_MAX.as_secs() })
            }
        }
    }

    /// Runs a job against a world after a reset of its counts and quotas.
    pub(crate) async fn run(&self, world: &mut World, label: &str, job: &Job) -> Result<Run, Error> {
        say(&format!("    {label}"));
        world.begin().await?;
        let measured = self.measure(job).await?;
        let reading = world.read().await?;
        let run = Run::of(label, &measured, &reading, &world.started, &world.hosts);
        say(&format!("        {}", run.line()));
        Ok(run)
    }
}

/// Running registries. They stop when this is dropped.
pub(crate) struct World {
    process: Process,
    pub(crate) started: Started,
    /// How they were started.
    pub(crate) hosts: Vec<HostSpec>,
}

impl World {
    /// Resets counts and quotas.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        for host in 0..self.hosts.len() {
            self.conditions(host, self.hosts[host].conditions).await?;
        }
        self.done(&Command::Reset).await?;
        Ok(())
    }

    /// Changes the conditions of a host. Returns the time of the change, in seconds after the last reset of the counts.
    pub(crate) async fn conditions(&mut self, host: usize, conditions: ConditionsSpec) -> Result<f64, Error> {
        let changed = self.done(&Command::Conditions { host, conditions }).await?;
        if let Some(host) = self.hosts.get_mut(host) {
            host.conditions = conditions;
        }
        Ok(changed)
    }

    /// Returns the counts.
    pub(crate) async fn read(&mut self) -> Result<Reading, Error> {
        match self.ask(&Command::Read).await? {
            Answer::Reading(reading) => Ok(reading),
            other => Err(unexpected(&other)),
        }
    }

    async fn done(&mut self, command: &Command) -> Result<f64, Error> {
        match self.ask(command).await? {
            Answer::Done { seconds } => Ok(seconds),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, command: &Command) -> Result<Answer, Error> {
        self.process.send(command).await?;
        self.process.receive().await
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Unexpected { part: "world", answer: format!("{answer:?}") }
}
