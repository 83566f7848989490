//! The base of a comparison.

use super::error::DiffError;

/// The commit that a run is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A commit in git's revision syntax.
    Revision(String),
    /// The parent of the oldest commit since a date, in git's date syntax. If that commit has no parent, the commit itself.
    Since(String),
}

/// Returns the base of a Prow job's changes from its `JOB_TYPE` and `PULL_BASE_SHA`: `HEAD^` for a `postsubmit`,
/// `PULL_BASE_SHA` for a `presubmit` or `batch`.
///
/// # Errors
/// If the type of the job has no changes, or if `PULL_BASE_SHA` is missing.
pub fn prow_base(job_type: Option<&str>, pull_base_sha: Option<&str>) -> Result<Base, DiffError> {
    match job_type {
        Some("postsubmit") => Ok(Base::Revision("HEAD^".to_owned())),
        Some("presubmit" | "batch") => match pull_base_sha {
            Some(sha) if !sha.is_empty() => Ok(Base::Revision(sha.to_owned())),
            _ => Err(DiffError::NoBase),
        },
        Some(other) => Err(DiffError::JobType(format!("`{}`", other.escape_debug()))),
        None => Err(DiffError::JobType("not set".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_depends_on_the_job_type() {
        let revision = |text: &str| Base::Revision(text.to_owned());
        assert_eq!(prow_base(Some("postsubmit"), Some("abc")).unwrap(), revision("HEAD^"));
        assert_eq!(prow_base(Some("presubmit"), Some("abc")).unwrap(), revision("abc"));
        assert_eq!(prow_base(Some("batch"), Some("abc")).unwrap(), revision("abc"));
    }

    #[test]
    fn a_job_without_a_base_is_refused() {
        for sha in [None, Some("")] {
            assert!(matches!(prow_base(Some("presubmit"), sha), Err(DiffError::NoBase)), "{sha:?}");
        }
        for job in [None, Some(""), Some("periodic"), Some("POSTSUBMIT")] {
            assert!(matches!(prow_base(job, Some("abc")), Err(DiffError::JobType(_))), "{job:?}");
        }
    }
}
