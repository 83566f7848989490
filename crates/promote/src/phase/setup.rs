//! Setup: expands manifests to edges. Does not access the network.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use manifest::Id;
use manifest::Manifests;
use manifest::policy::Policies;
use manifest::{Edges, ImageId};
use oci::{Graph, Repository};
use trust::Production;
use trust::gate::{Assessment, Passed};

use crate::cache::Cache;
use crate::error::Error;
use crate::event::{Event, Phase, Run};
use crate::inventory::Inventory;
use crate::phase::completion::{CheckedImages, Completion, Scope};
use crate::shard::ShardHosts;
use crate::subject::keep_canonical;

/// The input of a run.
#[derive(Debug)]
pub struct Job {
    /// The manifests, limited to the requested part.
    pub manifests: Manifests,
    /// Whether an image that staging has lost is a conflict.
    pub strict: bool,
    /// Whether the run continues after an image has failed.
    pub keep_going: bool,
    /// How long a destination may not answer before the others are promoted without it. It is read again after them. With `None`,
    /// the run waits for every destination.
    pub late_after: Option<Duration>,
    /// Whether the run writes. If so, destinations are read with tokens that also allow pushing, because some token services
    /// grant nothing else for a repository that does not exist yet.
    pub writes: bool,
    /// Whether a run that does not write reads what is attached to promoted images, to report which lack a signature or a record.
    /// A run that writes always does.
    pub checks_attached: bool,
    /// The inventory cache, if there is one.
    pub cache: Option<Cache>,
    /// The images in production whose missing signatures and attestations the run adds.
    pub completion: Completion,
    /// The destination hosts to which the run promotes, if other shards promote to the others. The manifests are checked as a
    /// whole nevertheless.
    pub shard: Option<ShardHosts>,
}

/// Edges without contradictions, and the settings for planning them.
#[derive(Debug)]
pub struct Ready {
    pub(super) edges: Arc<Edges>,
    pub(super) policies: Policies,
    pub(super) strict: bool,
    pub(super) keep_going: bool,
    pub(super) writes: bool,
    pub(super) checks_attached: bool,
    pub(super) scope: Scope,
    pub(super) round: Round,
}

/// The part of the edges to plan.
#[derive(Debug)]
pub(super) enum Round {
    /// All edges, except those to hosts that answer nothing for `late_after`.
    First { late_after: Option<Duration>, cache: Option<Cache> },
    /// The edges to destinations that the first round has left out.
    Second(Box<Late>),
}

/// The destinations that the first round leaves out because their hosts did not answer. It keeps what the first round has read,
/// so that nothing is requested twice.
#[derive(Debug)]
pub(super) struct Late {
    /// The destinations.
    pub(super) repositories: BTreeSet<Id<Repository>>,
    pub(super) inventory: Inventory,
    pub(super) images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    pub(super) cache: Option<Arc<Cache>>,
}

impl Ready {
    /// Returns the edges.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Drops the edges that are only repaired and do not lead to a canonical repository, where signatures and attestations are.
    pub(crate) fn repair_canonical(&mut self, production: &Production) {
        if self.edges.all().iter().any(|edge| !self.edges.promotes(edge)) {
            keep_canonical(Arc::make_mut(&mut self.edges), production);
        }
    }

    /// Returns the proofs for images that are signed although no manifest names their staging repository.
    pub(crate) fn without_staging(&self) -> HashMap<ImageId, Passed> {
        let Some(CheckedImages { signs_unnamed: true, .. }) = self.scope.checked() else {
            return HashMap::new();
        };
        let unnamed = self.edges.all().iter().filter(|edge| edge.source == edge.destination);
        let passed = unnamed.filter_map(|edge| {
            let assessment = Assessment::without_staging(*self.edges.digest(edge));
            Some(((edge.source, edge.digest), assessment.pass().ok()?))
        });
        passed.collect()
    }
}

/// Expands the manifests of a job, and keeps the edges of its shard.
///
/// # Errors
/// If two promotions contradict each other.
pub async fn setup(run: &Run, job: Job) -> Result<Ready, Error> {
    run.phase(Phase::Setup, async {
        for warning in &job.manifests.warnings {
            run.emit(&Event::Warned(warning.to_string()));
        }
        let (scope, repaired) = match job.completion {
            Completion::Named => (Scope::Named, Vec::new()),
            Completion::Promoted => (Scope::Promoted, Vec::new()),
            Completion::Also(manifests) => (Scope::Named, manifests),
            Completion::Checked(mut images) => {
                let manifests = std::mem::take(&mut images.manifests);
                (Scope::Checked(Arc::new(images)), manifests)
            }
        };
        let mut edges = Edges::with_repaired(&job.manifests, &repaired).map_err(Error::Overlaps)?;
        if edges.repeated() > 0 {
            tracing::info!(edges = edges.repeated(), "edges listed more than once are promoted once");
        }
        if edges.metadata() > 0 {
            let tags = oci::counted(edges.metadata(), "tag");
            run.emit(&Event::Warned(format!(
                "left out, because they are not images: {tags} of signatures, attestations or SBOMs"
            )));
        }
        // This comes after the check for overlaps, which concern all hosts.
        if let Some(shard) = &job.shard {
            edges.keep_hosts(|host| shard.hosts().contains(host));
        }
        let Job { manifests, strict, keep_going, late_after, writes, checks_attached, cache, .. } = job;
        let (edges, policies) = (Arc::new(edges), manifests.policies);
        let round = Round::First { late_after, cache };
        Ok(Ready { edges, policies, strict, keep_going, writes, checks_attached, scope, round })
    })
    .await
}
