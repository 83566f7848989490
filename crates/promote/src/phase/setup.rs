//! Setup: manifests become edges. No network.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use manifest::Id;
use manifest::Manifests;
use manifest::policy::Policies;
use manifest::{Edges, ImageId};
use oci::{Graph, Repository};

use crate::cache::Cache;
use crate::error::Error;
use crate::event::{Event, Phase};
use crate::inventory::Inventory;
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
    /// How long a destination may answer nothing before the others are promoted without it; it is asked again after them.
    /// `None`: every destination is waited for.
    pub late_after: Option<Duration>,
    /// Whether the run is to write: then destinations are asked with the right to push, since some token services grant nothing
    /// else for a repository that does not exist yet.
    pub writes: bool,
    /// Whether a run that does not write looks at what is attached to promoted images, to tell which lack a signature or a
    /// record. A run that writes always does.
    pub looks: bool,
    /// What earlier runs have seen of production, where that is remembered.
    pub cache: Option<Cache>,
}

/// Edges that do not contradict one another, and how they are to be planned.
#[derive(Debug)]
pub struct Ready {
    pub(super) edges: Arc<Edges>,
    pub(super) policies: Policies,
    pub(super) strict: bool,
    pub(super) keep_going: bool,
    pub(super) writes: bool,
    pub(super) looks: bool,
    pub(super) round: Round,
}

/// What is planned of the edges.
#[derive(Debug)]
pub(super) enum Round {
    /// All of them, but for those that end on hosts that answer nothing for as long as `late_after` says.
    First { late_after: Option<Duration>, cache: Option<Cache> },
    /// Those that end in repositories that the first round has left out.
    Second(Box<Late>),
}

/// What the first round leaves out: edges to hosts that did not answer. It holds what the first round has read, so that nothing
/// is asked twice.
#[derive(Debug)]
pub(super) struct Late {
    /// The destinations.
    pub(super) repositories: BTreeSet<Id<Repository>>,
    pub(super) inventory: Inventory,
    pub(super) images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    pub(super) cache: Option<Arc<Cache>>,
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
/// When two of its promotions contradict each other.
pub async fn setup(run: &Run, job: Job) -> Result<Ready, Error> {
    run.phase(Phase::Setup, async {
        for warning in &job.manifests.warnings {
            run.tell(&Event::Warned(warning.to_string()));
        }
        let edges = Edges::new(&job.manifests).map_err(Error::Overlaps)?;
        if edges.repeated() > 0 {
            tracing::info!(edges = edges.repeated(), "asked for more than once, done once");
        }
        if edges.metadata() > 0 {
            let count = edges.metadata();
            run.tell(&Event::Warned(format!(
                "{count} tags of signatures, attestations or SBOMs are left out: they are not images"
            )));
        }
        let Job { manifests, strict, keep_going, late_after, writes, looks, cache } = job;
        let (edges, policies) = (Arc::new(edges), manifests.policies);
        let round = Round::First { late_after, cache };
        Ok(Ready { edges, policies, strict, keep_going, writes, looks, round })
    })
    .await
}
