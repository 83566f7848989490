//! Promote: copies and tags images. Failures are data: the other images continue.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use manifest::Id;
use manifest::{Edge, ImageId};
use oci::{
    Client, Copied, Copier, Digest, DigestReference, Graph, Host, Lane, Reader, Repository, SpoolSettings,
    Step, Target, Writer,
};
use tokio::sync::Notify;
use trust::gate::Passed;

use crate::decide::Verdict;
use crate::error::Error;
use crate::event::{Event, Phase, Promotion, Run};
use crate::phase::plan::Plan;
use crate::phase::schedule::{Attempt, Begin, Schedule};
use crate::phase::validate::{Cleared, Gate};
use crate::subject::Subject;

/// Proof that `--confirm` was given, and write access to registries. The phases that write take it, so a dry run cannot call
/// them. It can only be created in this module.
///
/// ```compile_fail,E0451
/// fn write_in_a_dry_run(writer: oci::Writer) -> promote::Confirmed {
///     promote::Confirmed { writer }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Confirmed {
    writer: Writer,
}

impl Confirmed {
    /// Returns write access through `client` if `confirm` is `true`.
    pub fn when(confirm: bool, client: &Client) -> Option<Self> {
        confirm.then(|| Self { writer: client.writer() })
    }

    /// Returns the writer.
    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Returns a reader, which cannot write.
    pub(crate) fn reader(&self) -> &Reader {
        self.writer.reader()
    }
}

/// The result of the Promote phase.
#[derive(Debug)]
pub struct Promoted {
    pub(super) plan: Plan,
    pub(super) gate: Gate,
    brought: HashSet<(Id<Repository>, Id<Digest>)>,
    failed: usize,
    not_begun: usize,
}

impl Promoted {
    /// Returns the plan that was carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns whether an image is in its canonical repository, from this or an earlier run, with all tags that it can have
    /// there. A tag that can no longer be written, because staging has lost the image, does not count.
    pub(super) fn holds(&self, subject: &Subject) -> bool {
        let mut requested = self.plan.possible(subject).peekable();
        requested.peek().is_some() && requested.all(|(edge, verdict)| self.is_there(edge, verdict))
    }

    /// Returns the edges of an image that are present in its canonical repository.
    pub(super) fn held(&self, subject: &Subject) -> impl Iterator<Item = &Edge> {
        let requested = self.plan.decisions_at(subject.canonical);
        let digest = subject.digest;
        requested
            .filter(move |(edge, verdict)| edge.digest == digest && self.is_there(edge, verdict))
            .map(|(edge, _)| edge)
    }

    pub(super) fn is_there(&self, edge: &Edge, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Done | Verdict::DoneWithoutSource => true,
            Verdict::Copy | Verdict::Tag => self.brought.contains(&(edge.destination, edge.digest)),
            _ => false,
        }
    }

    /// Returns the number of images that could not be promoted to a repository.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Returns the number of images that were not started because the run was stopped.
    pub fn not_begun(&self) -> usize {
        self.not_begun
    }

    /// Adds to the number of images that were not started.
    pub(super) fn leave(&mut self, images: usize) {
        self.not_begun += images;
    }

    /// Records that the second round was given up, and reports the reason. That round writes nothing.
    pub(super) fn given_up(mut self, run: &Run, error: Error, images: usize) -> Self {
        let before = self.failed;
        let others = format!(
            "nothing was promoted to hosts that answered late: {}",
            error.to_string().replace("; nothing was promoted", "")
        );
        let blocked: HashMap<DigestReference, String> = match &error {
            Error::Blocked(_, blocked, _) => {
                blocked.iter().map(|blocked| (blocked.image.clone(), blocked.reason.clone())).collect()
            }
            _ => HashMap::new(),
        };
        run.emit(&Event::Warned(others.clone()));
        let Some(plan) = error.into_plan() else { return self };
        self.failed += plan.failed_targets();
        let due: Vec<&Edge> = plan.due().collect();
        for edges in due.chunk_by(|a, b| (a.destination, a.digest) == (b.destination, b.digest)) {
            let promotion = plan.promotion(edges);
            let why = plan.refusal(edges[0]).or_else(|| blocked.get(&promotion.source).cloned());
            run.emit(&Event::Withheld(promotion, why.unwrap_or_else(|| others.clone())));
            self.failed += 1;
        }
        if self.failed == before {
            // All images of the round are already promoted, but could not be signed or recorded.
            self.failed += images.max(1);
        }
        Self { plan: self.plan.with_second_round(plan), ..self }
    }

    /// Merges the results of both rounds.
    pub(super) fn with_second_round(self, second: Self) -> Self {
        Self {
            plan: self.plan.with_second_round(second.plan),
            gate: second.gate,
            brought: self.brought.into_iter().chain(second.brought).collect(),
            failed: self.failed + second.failed,
            not_begun: self.not_begun + second.not_begun,
        }
    }
}

/// An image and all its edges.
struct CopyJob<'a> {
    /// Ensures that only images that have passed are copied.
    _passed: &'a Passed,
    graph: &'a Graph,
    source: &'a Repository,
    /// The edges of the image, ordered by destination. The edges with the same destination form a target.
    edges: Vec<&'a Edge>,
}

/// The settings for copying images.
#[derive(Clone, Debug, Default)]
pub struct Copying {
    /// The buffer for blobs that slow destinations have not received yet, and its budget.
    pub spool: SpoolSettings,
}

/// Copies and tags images according to the plan, the largest first.
pub async fn promote(run: &Run, confirmed: &Confirmed, cleared: Cleared, copying: &Copying) -> Promoted {
    let Cleared { plan, gate } = cleared;
    if !plan.keeps_going() && plan.failures().next().is_some() {
        run.stop();
    }
    let mut brought = HashSet::new();
    let (failed, not_begun) = run
        .phase(Phase::Promote, async {
            let copier = Copier::new(confirmed.writer().clone(), copying.spool.clone());
            Promoting::new(run, &plan, &gate, copier).carry_out(&mut brought).await
        })
        .await;
    Promoted { not_begun, failed: failed + plan.failed_targets(), brought, gate, plan }
}

/// The state of the Promote phase.
struct Promoting<'a> {
    run: &'a Run,
    plan: &'a Plan,
    copier: Copier,
    jobs: Vec<CopyJob<'a>>,
    state: Mutex<State>,
    /// Notified when a target has ended.
    changed: Notify,
}

struct State {
    schedule: Schedule,
    /// The number of unfinished targets of each image.
    left: Vec<usize>,
    /// The promoted images, by destination and digest.
    brought: HashSet<(Id<Repository>, Id<Digest>)>,
    /// The first errors of targets that are to be tried again.
    first_failures: BTreeMap<(usize, usize), oci::Error>,
    failed: usize,
}

impl<'a> Promoting<'a> {
    fn new(run: &'a Run, plan: &'a Plan, gate: &'a Gate, copier: Copier) -> Self {
        let jobs = jobs(plan, gate);
        let mut numbers = HashMap::new();
        let images: Vec<Vec<usize>> = jobs
            .iter()
            .map(|job| {
                let hosts = job.targets().map(|edges| &plan.edges().destination(edges[0]).host);
                hosts
                    .map(|host| {
                        let next = numbers.len();
                        *numbers.entry(host).or_insert(next)
                    })
                    .collect()
            })
            .collect();
        let left = images.iter().map(Vec::len).collect();
        let schedule = Schedule::new(images);
        let state = Mutex::new(State {
            schedule,
            left,
            brought: HashSet::new(),
            first_failures: BTreeMap::new(),
            failed: 0,
        });
        Self { run, plan, copier, jobs, state, changed: Notify::new() }
    }

    /// Promotes all images. Returns the number of targets that failed and the number of images that were not started.
    async fn carry_out(&self, brought: &mut HashSet<(Id<Repository>, Id<Digest>)>) -> (usize, usize) {
        self.run.emit(&Event::Work { units: "images", more: self.jobs.len() });
        self.announce();
        let mut under_way = FuturesUnordered::new();
        loop {
            while !self.run.is_stopping()
                && let Some(begin) = self.begin()
            {
                under_way.push(self.run_job(begin));
            }
            if under_way.is_empty() {
                break;
            }
            tokio::select! {
                _ = under_way.next() => {}
                () = self.changed.notified() => {}
                () = self.run.stopped(), if !self.run.is_stopping() => {}
            }
        }
        drop(under_way);
        // Targets whose second attempt was not started because the run is stopping have failed.
        let failures = std::mem::take(&mut self.state().first_failures);
        for ((image, target), error) in failures {
            self.failed(image, target, error);
        }
        let mut state = self.state();
        brought.extend(state.brought.drain());
        (state.failed, state.schedule.not_begun())
    }

    /// Reports what each host is about to receive.
    fn announce(&self) {
        let mut hosts: BTreeMap<&Host, (usize, u64)> = BTreeMap::new();
        for job in &self.jobs {
            for edges in job.targets() {
                let target = self.target(job, edges);
                let wanted = oci::wanted_bytes(job.graph, &target);
                let (images, bytes) = hosts.entry(&self.plan.edges().destination(edges[0]).host).or_default();
                *images += 1;
                *bytes = bytes.saturating_add(wanted);
            }
        }
        for (host, (images, bytes)) in hosts {
            self.run.emit(&Event::ToPromote { host: host.clone(), images, bytes });
        }
    }

    fn begin(&self) -> Option<Begin> {
        self.state().schedule.next()
    }

    /// Promotes an image to some of its targets.
    async fn run_job(&self, Begin { image, targets: numbers, attempt }: Begin) {
        let job = &self.jobs[image];
        let targets: Vec<Target> = job
            .targets()
            .enumerate()
            .filter(|(number, _)| numbers.contains(number))
            .map(|(_, edges)| self.target(job, edges))
            .collect();
        let alone = attempt != Attempt::Fresh || self.state().schedule.is_one_of_many(image);
        let lane = if alone { Lane::Behind } else { Lane::Common };
        let observer = |step: Step<'_>| match step {
            Step::Blob { repository, blob, sent } => {
                self.run.emit(&Event::Blob { destination: repository.clone(), size: blob.size, sent });
            }
            Step::Tagged { repository, tag } => self.run.emit(&Event::Tagged(repository.tagged(tag.clone()))),
        };
        let finished = |place: usize, result: Result<Copied, oci::Error>| {
            self.finished(image, numbers[place], result, attempt);
        };
        for target in &numbers {
            self.run.emit(&Event::Begun(self.promotion(image, *target)));
        }
        let CopyJob { graph, source, .. } = job;
        self.copier.copy(graph, source, &targets, lane, &observer, &finished).await;
    }

    /// Records the result for a target. Schedules a second attempt if the error may be temporary.
    fn finished(&self, image: usize, target: usize, result: Result<Copied, oci::Error>, attempt: Attempt) {
        self.state().first_failures.remove(&(image, target));
        match result {
            Ok(copied) => {
                self.run.emit(&Event::Promoted(self.promotion(image, target), copied));
                let edge = self.edges(image, target)[0];
                self.state().brought.insert((edge.destination, edge.digest));
                self.ended(image, target);
            }
            // After a request that timed out on all three attempts, another one would take just as long.
            Err(error)
                if attempt != Attempt::Again
                    && error.is_temporary()
                    && !error.is_silence()
                    && !self.run.is_stopping() =>
            {
                let mut state = self.state();
                state.schedule.try_again(image, target);
                state.first_failures.insert((image, target), error);
            }
            Err(error) => {
                self.failed(image, target, error);
                self.ended(image, target);
            }
        }
        self.changed.notify_one();
    }

    fn failed(&self, image: usize, target: usize, error: oci::Error) {
        self.run.emit(&Event::Failed(self.promotion(image, target), Arc::new(error)));
        self.state().failed += 1;
        if !self.plan.keeps_going() {
            self.run.stop();
        }
    }

    fn ended(&self, image: usize, target: usize) {
        let mut state = self.state();
        state.schedule.ended(image, target);
        state.left[image] -= 1;
        let is_done = state.left[image] == 0;
        drop(state);
        if is_done {
            self.run.emit(&Event::Worked);
        }
    }

    fn target(&self, job: &CopyJob<'_>, edges: &[&Edge]) -> Target {
        let repository = self.plan.edges().destination(edges[0]).clone();
        Target { repository, tags: self.plan.tags(edges), present: self.plan.present(edges[0], job.graph) }
    }

    fn promotion(&self, image: usize, target: usize) -> Promotion {
        self.plan.promotion(self.edges(image, target))
    }

    fn edges(&self, image: usize, target: usize) -> &[&'a Edge] {
        #[expect(clippy::expect_used, reason = "target numbers are indexes into `targets()`")]
        self.jobs[image].targets().nth(target).expect("a target of the image")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> CopyJob<'a> {
    /// Returns the edges of each repository that the image is promoted to.
    fn targets(&self) -> impl Iterator<Item = &[&'a Edge]> {
        self.edges.chunk_by(|a, b| a.destination == b.destination)
    }
}

/// Returns the edges to carry out, grouped by image, the largest image first, so that the longest copy does not start last.
fn jobs<'a>(plan: &'a Plan, gate: &'a Gate) -> Vec<CopyJob<'a>> {
    let mut images: BTreeMap<ImageId, Vec<&Edge>> = BTreeMap::new();
    for (edge, verdict) in plan.decisions() {
        if matches!(verdict, Verdict::Copy | Verdict::Tag) {
            images.entry((edge.source, edge.digest)).or_default().push(edge);
        }
    }
    let mut jobs: Vec<CopyJob<'_>> = images
        .into_iter()
        .filter_map(|(image, edges)| {
            let passed = gate.passed(&image).ok()?;
            let graph = plan.image(edges[0])?;
            // Edges are ordered by destination.
            Some(CopyJob { _passed: passed, graph, source: plan.edges().source(edges[0]), edges })
        })
        .collect();
    jobs.sort_by_cached_key(|job| std::cmp::Reverse(job.graph.size()));
    jobs
}
