//! Where an organisation's production is, and what users call its images.

use oci::{Host, Repository, RepositoryPath};

/// What is particular to an organisation: where its production is, and what users call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Production {
    /// The host of the region that holds signatures and attestations.
    pub canonical_host: Host,
    /// The path below which every region holds the same images.
    pub path: RepositoryPath,
    /// What users pull these images from.
    pub reference: Host,
}

impl Production {
    /// What users call a repository of production: `registry.k8s.io/pause` for
    /// `us-central1-docker.pkg.dev/k8s-artifacts-prod/images/pause`. What is not below the production path keeps its name.
    pub fn reference(&self, repository: &Repository) -> String {
        match self.name(repository) {
            Some(name) => format!("{}/{name}", self.reference),
            None => repository.to_string(),
        }
    }

    /// The name of an image of production.
    pub fn name<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        repository.path.as_str().strip_prefix(self.path.as_str())?.strip_prefix('/')
    }
}
