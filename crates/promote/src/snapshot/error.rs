//! The reasons why a registry cannot be read into a snapshot.

use std::fmt;

use oci::{RegistryRoot, counted};
use trust::Problem;

/// A registry that cannot be read completely.
#[derive(Debug)]
pub enum SnapshotError {
    /// A request failed.
    Registry(oci::Error),
    /// The repositories of the registry cannot be found.
    NotListable {
        /// The registry.
        root: RegistryRoot,
        /// The answer for the registry's path as a repository. `None` if there is no path, or no such repository.
        repository: Option<oci::Error>,
        /// The answer for the catalog. `None` if there is no catalog.
        catalog: Option<oci::Error>,
    },
    /// The registry has no repository at its path or below.
    Unknown {
        /// The registry.
        root: RegistryRoot,
        /// The number of repositories in the catalog of the host.
        listed: usize,
        /// The answer for the registry's path as a repository, if the registry refuses it.
        repository: Option<oci::Error>,
    },
    /// The catalog does not have the repository that the registry's path names, and the registry does not prove that there is
    /// none. It may be hidden from the credentials.
    Unproven {
        /// The registry.
        root: RegistryRoot,
        /// The answer for the registry's path as a repository.
        repository: oci::Error,
    },
    /// The registry lists more than a snapshot may have.
    Unreasonable {
        /// The registry.
        root: RegistryRoot,
        /// The limit that is exceeded.
        limit: String,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::NotListable { root, repository, catalog } => {
                write!(f, "the repositories of {root} cannot be found: the registry offers neither ")?;
                f.write_str("Google's child lists nor a catalog")?;
                match (repository, &root.prefix) {
                    (Some(error), _) => write!(f, "\n  {error}")?,
                    (None, Some(_)) => write!(f, "\n  {root} itself: there is no such repository")?,
                    (None, None) => {}
                }
                match catalog {
                    Some(error) => write!(f, "\n  {error}"),
                    None => write!(f, "\n  the catalog of {}: there is none", root.host),
                }
            }
            Self::Unknown { root, listed, repository } => {
                write!(f, "no repository is found at {root} or below: the catalog of {} lists ", root.host)?;
                write!(f, "{}, none of them there", counted(*listed, "repository"))?;
                repository.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
            Self::Unproven { root, repository } => write!(
                f,
                "whether {root} itself is a repository is not known: the catalog of {} does not list \
                 it, and the registry does not say that it does not exist\n  {repository}",
                root.host
            ),
            Self::Unreasonable { root, limit } => write!(f, "{root} is too large for a snapshot: {limit}"),
        }
    }
}

impl SnapshotError {
    /// Returns the error message and advice for the user.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Registry(error) => error.advice(),
            Self::NotListable { root, repository, catalog } => {
                let own = format!(
                    "name a repository, which is then listed alone: {}/REPOSITORY; or check the name and the credentials",
                    root.host
                );
                // Advice about credentials or the network takes precedence over advice about a missing feature.
                let causes = [catalog, repository].into_iter().flatten();
                let advice = causes.filter(|error| is_about_access(error)).find_map(oci::Error::advice);
                Some(advice.map_or(own.clone(), |advice| format!("{advice}; or {own}")))
            }
            Self::Unproven { root, repository } => {
                let own = format!(
                    "if it is no repository, take a snapshot of {}, or of each repository below",
                    root.host
                );
                Some(repository.advice().map_or(own.clone(), |advice| format!("{advice}; {own}")))
            }
            Self::Unknown { .. } => {
                Some("check the path, and whether the credentials show all repositories".to_owned())
            }
            Self::Unreasonable { .. } => Some("name a path or a repository of the registry".to_owned()),
        };
        Problem::new(self.to_string(), advice)
    }
}

/// Returns whether the registry refuses the request to these credentials.
fn is_about_access(error: &oci::Error) -> bool {
    error.status().is_some_and(|status| matches!(status.as_u16(), 401 | 403))
}

impl std::error::Error for SnapshotError {}

impl From<oci::Error> for SnapshotError {
    fn from(error: oci::Error) -> Self {
        Self::Registry(error)
    }
}
