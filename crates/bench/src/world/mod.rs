//! `bench world`: registries in a separate process, so that the measured resources do not include theirs.
//!
//! The first line of its input is the [`Spec`]. It exits when its input ends, so it cannot outlive the driver.

mod fill;
mod watch;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use registry::{Allowance, Config, Effect, ErrorCode, Fault, Quota, Server, Window};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use watch::{Strikes, Watched};

use crate::error::Error;
use crate::protocol::{Answer, Command, ConditionsSpec, FaultsSpec, Spec, Started, Storage};

const PART: &str = "world";
const UNAVAILABLE: Effect =
    Effect::Status { status: StatusCode::SERVICE_UNAVAILABLE, code: ErrorCode::Unknown, retry_after: None };

/// Serves until its input ends.
///
/// # Errors
/// If a registry does not start or cannot be filled, or if the input does not parse.
pub(crate) async fn run() -> Result<(), Error> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(spec) = next::<Spec>(&mut lines).await? else { return Ok(()) };
    let mut servers = Vec::new();
    for host in &spec.hosts {
        let server = Server::start(config(&host.storage)).await?;
        servers.push(Arc::new(server));
    }
    let filled = fill::fill(&servers, &spec.content).await?;
    let hosts = servers.iter().map(|server| server.host().to_string()).collect();
    let watched: Arc<[Watched]> = servers.iter().map(Watched::new).collect();
    for (watched, host) in watched.iter().zip(&spec.hosts) {
        set_conditions(watched, host.conditions);
    }
    let watching = tokio::spawn(watch::sample(Arc::clone(&watched)));
    let expected = filled.expected;
    answer(&Answer::Started(Started {
        hosts,
        images: filled.images,
        expected: expected.len(),
        unique_bytes: filled.unique_bytes,
    }))?;
    while let Some(command) = next::<Command>(&mut lines).await? {
        answer(&execute(&watched, &expected, command))?;
    }
    watching.abort();
    Ok(())
}

fn config(storage: &Storage) -> Config {
    let storage = match storage {
        Storage::Memory => registry::Storage::Memory,
        Storage::Discard => registry::Storage::Discard,
        Storage::Directory(directory) => registry::Storage::Directory(directory.clone()),
    };
    Config { storage, google_listing: true, ..Config::default() }
}

fn set_conditions(watched: &Watched, spec: ConditionsSpec) {
    let faults = watched.server.faults();
    faults.set_latency(Duration::from_millis(spec.latency_milliseconds));
    faults.set_quota(quota(&spec));
    faults.clear();
    let mut strikes = Strikes::default();
    if spec.refuses {
        strikes.unavailable.push(faults.add(Fault::new(UNAVAILABLE)));
    }
    if let Some(FaultsSpec { unavailable, reset, seed }) = spec.faults {
        // The first fault sees all requests, so it strikes its full fraction. The second sees only the rest.
        strikes.unavailable.push(faults.add(Fault::new(UNAVAILABLE).share(unavailable, seed)));
        let left = (1.0 - unavailable).max(f64::EPSILON);
        strikes.reset.push(faults.add(Fault::new(Effect::Reset).share(reset / left, seed.wrapping_add(1))));
    }
    watched.set_strikes(strikes);
}

fn quota(spec: &ConditionsSpec) -> Quota {
    if let Some(requests) = spec.per_minute {
        return Quota::PerWindow(Window { requests, length: Duration::from_secs(60), retry_after: None });
    }
    spec.quota.map_or(Quota::Unlimited, |quota| {
        Quota::Shared(Allowance { per_second: quota.per_second, burst: quota.burst, retry_after: None })
    })
}

fn execute(watched: &[Watched], expected: &[fill::Expected], command: Command) -> Answer {
    match command {
        Command::Conditions { host, conditions } => {
            if let Some(watched) = watched.get(host) {
                set_conditions(watched, conditions);
            }
        }
        Command::Reset => watched.iter().for_each(Watched::reset),
        Command::Read => return Answer::Reading(watch::read(watched, expected)),
    }
    Answer::Done { seconds: watched.first().map_or(0.0, Watched::seconds) }
}

async fn next<T: serde::de::DeserializeOwned>(
    lines: &mut Lines<BufReader<Stdin>>,
) -> Result<Option<T>, Error> {
    let line = lines.next_line().await.map_err(Error::io("reading the input"))?;
    let parsed = line.map(|line| serde_json::from_str(&line)).transpose();
    parsed.map_err(|source| Error::Garbled { part: PART, source })
}

fn answer(answer: &Answer) -> Result<(), Error> {
    let mut line = serde_json::to_vec(answer).map_err(|source| Error::Garbled { part: PART, source })?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line).and_then(|()| output.flush()).map_err(Error::io("answering"))
}
