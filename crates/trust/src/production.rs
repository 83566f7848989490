//! The production registries of an organisation, and the names by which users refer to its images.

use oci::{Host, Repository, RepositoryPath};

/// The settings of an organisation: where its production registries are, and the names that users pull by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Production {
    /// The host of the canonical region, which holds signatures and attestations.
    pub canonical_host: Host,
    /// The path below which every region holds the same images.
    pub path: RepositoryPath,
    /// The host that users pull images from.
    pub reference: Host,
}

impl Production {
    /// Returns the name by which users refer to a production repository: `registry.k8s.io/pause` for
    /// `us-central1-docker.pkg.dev/k8s-artifacts-prod/images/pause`. A repository outside of the production path keeps its
    /// name.
    pub fn reference(&self, repository: &Repository) -> String {
        match self.name(repository) {
            Some(name) => format!("{}/{name}", self.reference),
            None => repository.to_string(),
        }
    }

    /// Returns the name of a production image below the production path.
    pub fn name<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        repository.path.as_str().strip_prefix(self.path.as_str())?.strip_prefix('/')
    }
}
