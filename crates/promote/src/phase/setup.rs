//! Setup: manifests become edges. No network.

use crate::cache::Cache;
use crate::edge::Edges;
use crate::error::Error;
use crate::event::{Event, Phase};
use crate::manifest::Manifests;
use crate::run::Run;

/// What a run is asked to do.
#[derive(Debug)]
pub struct Job {
    /// The manifests, limited to what is to be looked at.
    pub manifests: Manifests,
    /// Whether an image that staging has lost fails the plan.
    pub strict: bool,
    /// Whether an image that fails leaves the others alone.
    pub keep_going: bool,
    /// Whether images may be promoted while a registry is still waited for that does not answer.
    pub overlap: bool,
    /// What earlier runs have seen of production, where that is remembered.
    pub cache: Option<Cache>,
}

/// Edges that do not contradict one another.
#[derive(Debug)]
pub struct Ready {
    pub(super) edges: Edges,
    pub(super) strict: bool,
    pub(super) keep_going: bool,
    pub(super) overlap: bool,
    pub(super) cache: Option<Cache>,
}

impl Ready {
    /// The edges.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }
}

/// Expands the manifests of a job.
///
/// # Errors
/// When two of its wishes contradict each other, or a provenance policy holds for one.
pub async fn setup(run: &Run, job: Job) -> Result<Ready, Error> {
    run.phase(Phase::Setup, async {
        for warning in &job.manifests.warnings {
            run.tell(&Event::Warned(warning.to_string()));
        }
        let edges = Edges::new(&job.manifests).map_err(Error::Overlaps)?;
        // A policy that nobody would be held to must stop the run.
        let policies = &job.manifests.policies;
        if !policies.is_empty() {
            let mut sources = edges.all().iter().map(|edge| edges.source(edge));
            if let Some(source) = sources.find(|source| policies.of(source).is_some()) {
                return Err(Error::Unverifiable(source.clone()));
            }
        }
        if edges.repeated() > 0 {
            tracing::info!(edges = edges.repeated(), "wished more than once, done once");
        }
        if edges.metadata() > 0 {
            let count = edges.metadata();
            run.tell(&Event::Warned(format!(
                "{count} tags of signatures, attestations or SBOMs are left out: they are not images"
            )));
        }
        let Job { strict, keep_going, overlap, cache, .. } = job;
        Ok(Ready { edges, strict, keep_going, overlap, cache })
    })
    .await
}
