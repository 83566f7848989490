//! Warnings about images that do not satisfy the policy of their manifest. A promotion would refuse them (specification 02).

use futures_util::{StreamExt, stream};
use manifest::Manifests;
use manifest::edit::Addition;
use oci::Reader;
use transport::Door;
use trust::Verification;
use trust::evidence::{Budget, ListedTags};
use trust::gate::{Source, Staged, examine};

use crate::args::PrArgs;
use crate::config::{Config, InvalidConfig};
use crate::defaults::of_run;
use crate::environment::Environment;
use crate::identities::{signer_pattern, trust};

/// The number of images that are examined concurrently.
const AT_ONCE: usize = 4;

/// The context for examining images.
pub(super) struct Policy<'a> {
    pub(super) args: &'a PrArgs,
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    pub(super) door: &'a Door,
    pub(super) reader: &'a Reader,
}

impl Policy<'_> {
    /// Warns about each image that the policy of its manifest would refuse. Sends no request without a policy.
    pub(super) async fn warn(&self, manifests: &Manifests, added: &[Addition]) {
        let repository = |addition: &Addition| self.args.staging.repository(&addition.image).ok();
        let ruled = added.iter().filter_map(|addition| {
            let repository = repository(addition)?;
            let policy = manifests.policies.of(&repository)?;
            Some((repository, policy, addition.digest))
        });
        let mut ruled: Vec<_> = ruled.collect();
        ruled.dedup_by(|a, b| a.0 == b.0 && a.2 == b.2);
        if ruled.is_empty() {
            return;
        }
        let verification = match self.verification(manifests) {
            Ok(verification) => verification,
            Err(error) => {
                return tracing::warn!("whether the images satisfy their policy was not checked: {error}");
            }
        };
        let examinations = stream::iter(ruled).map(async |(repository, policy, digest)| {
            let share = verification.budget.share();
            let staged = Staged {
                client: verification.client(self.reader, &share),
                source: Source { repository: &repository, listed: Box::new(|_| ListedTags::default()) },
                others: Vec::new(),
                graph: None,
                warn: &|text| tracing::warn!("{text}"),
            };
            match examine(&staged, digest, &[Some(policy)], &verification).await {
                Err(error) => {
                    tracing::warn!(
                        "whether {repository}@{digest} satisfies its policy was not checked: {error}"
                    );
                }
                Ok(assessment) => {
                    if let Some(why) = assessment.refusal() {
                        tracing::warn!(
                            "{repository}@{digest} would not be promoted, by its manifest's policy: {why}"
                        );
                    }
                }
            }
        });
        examinations.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    fn verification(&self, manifests: &Manifests) -> Result<Verification, InvalidConfig> {
        let choice = self.config.trust();
        let (defaults, _) = of_run(self.config, manifests);
        Ok(Verification {
            trust: trust(&choice, self.environment, self.door)?,
            staging: signer_pattern(&choice, defaults)?,
            budget: Budget::default(),
            scans: None,
        })
    }
}
