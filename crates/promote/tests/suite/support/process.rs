//! Runs that end like processes, and checks of many such runs.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use oci::{Client, Host, HostOptions};
use promote::phase::Attested;
use promote::{Confirmed, Run, carry_out, prepare};
use registry::sample::{Recipe, layer};
use registry::{Config, Sequence};
use tokio::runtime::{Builder, Handle};

use super::signer::Identity;
use super::{World, within_limit};

/// The maximum number of failures to show. More would add no information.
const FAILURES_SHOWN: usize = 20;

/// The size of a world.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The configuration of every registry.
    pub(crate) config: Config,
    /// The number of images. Each has two platforms, and all share one layer.
    pub(crate) images: u64,
    pub(crate) regions: usize,
}

impl Shape {
    /// Returns the shape of a world with two images and two regions.
    pub(crate) fn small(config: Config) -> Self {
        Self { config, images: 2, regions: 2 }
    }

    pub(crate) async fn world(&self) -> World {
        let mut world = World::of(self.config.clone(), self.regions).await;
        for seed in 0..self.images {
            let shared_layers = vec![layer(7, 512)];
            let recipe = Recipe { seed, layers: 1, shared_layers, ..Recipe::default() };
            world.stage(&format!("app-{seed}"), &recipe.index(2), &["v1", "v1.0"]).await;
        }
        world
    }
}

impl World {
    /// Panics unless every region is complete, and `identity` has signed and recorded everything exactly once.
    pub(crate) async fn assert_complete_and_signed_once(&self, identity: &Identity) {
        self.assert_complete_and_signed(identity, 1..=1).await;
    }

    /// Panics unless every region is complete, and `identity` has signed and recorded everything as many times as `often`
    /// allows.
    pub(crate) async fn assert_complete_and_signed(&self, identity: &Identity, often: RangeInclusive<usize>) {
        self.assert_complete().await;
        let reader = self.client.reader();
        for (name, digest, _) in &self.images {
            identity.assert_signed_once(&reader, &self.repository(0, name), *digest, often.clone()).await;
        }
    }
}

/// Runs to completion like a new process, with its own runtime, door and client. Panics if anything fails.
pub(crate) fn complete_run(world: &World, identity: &Identity) {
    assert_no_failure(world, &run_until(world, identity, std::future::pending()).unwrap());
}

/// Runs to completion like a new process that is configured for registries with conditional writes. Panics if anything fails.
pub(crate) fn complete_run_on_condition(world: &World, identity: &Identity) {
    let options = HostOptions { conditional_writes: true, ..HostOptions::default() };
    let hosts = world.servers().map(|server| (server.host().clone(), options.clone())).collect();
    assert_no_failure(world, &run_with(world, identity, hosts, std::future::pending()).unwrap());
}

fn assert_no_failure(world: &World, done: &Attested) {
    let promoted = done.promoted();
    let failures =
        (promoted.failed(), promoted.not_begun(), done.unsigned(), done.unrecorded(), done.not_begun());
    let report = world.report();
    let reported = ["failed", "unsigned", "unrecorded", "warnings"].map(|name| report[name].to_string());
    assert_eq!(
        failures,
        (0, 0, 0, 0, 0),
        "failed, not begun, unsigned, unrecorded, not signed: {reported:?}"
    );
}

/// Runs like a new process until `cut` completes. Then drops everything that the run has started and returns `None`. Panics if
/// the run hangs.
pub(crate) fn run_until(
    world: &World,
    identity: &Identity,
    cut: impl Future<Output = ()>,
) -> Option<Attested> {
    run_with(world, identity, HashMap::new(), cut)
}

fn run_with(
    world: &World,
    identity: &Identity,
    hosts: HashMap<Host, HostOptions>,
    cut: impl Future<Output = ()>,
) -> Option<Attested> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let door = super::door();
        let client = Client::new(door.clone(), Arc::new(oci::Anonymous), hosts);
        let trust_config = identity.trust_config(&door, world.production[0].host().clone());
        let run = Run::new(vec![Arc::<promote::ReportBuilder>::clone(&world.report)], world.stop.clone());
        let promotion = Box::pin(async {
            let cleared = prepare(&run, &client, world.job(), &trust_config).await?;
            let confirmed = Confirmed::when(true, &client).unwrap();
            carry_out(&run, &confirmed, cleared, &world.copying, &trust_config).await
        });
        tokio::select! {
            biased;
            () = cut => None,
            done = within_limit(promotion) => Some(done),
        }
    });
    // This drops the tasks of the run, whatever they are doing.
    runtime.shutdown_background();
    Some(ended?.unwrap_or_else(|error| panic!("{error}")))
}

/// Returns a sequence that counts all further requests to the registries of a world.
pub(crate) fn count_requests(world: &World) -> Sequence {
    let sequence = Sequence::default();
    world.servers().for_each(|server| server.faults().count_with(&sequence));
    sequence
}

/// Returns the number of requests of an undisturbed run.
pub(crate) fn requests_of_a_run(shape: &Shape, identity: &Identity) -> u64 {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = servers.block_on(shape.world());
    let sequence = count_requests(&world);
    complete_run(&world, identity);
    let requests = sequence.count();
    servers.block_on(world.assert_complete_and_signed_once(identity));
    requests
}

/// Checks all cases, several at a time, and panics with all failures. Each check receives the runtime of the servers.
pub(crate) fn check_each<T: Debug + Sync>(cases: &[T], check: impl Fn(&Handle, &T) + Sync) {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(servers.handle(), case))) {
                let message = panic.downcast::<String>().map_or_else(|_| "a panic".to_owned(), |text| *text);
                failures.lock().unwrap().push(format!("{case:?}: {message}"));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = 2 * std::thread::available_parallelism().map_or(1, NonZero::get);
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    let failures = failures.into_inner().unwrap();
    let shown = &failures[..failures.len().min(FAILURES_SHOWN)];
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), shown.join("\n"));
}
