//! A vulnerability in a package of an image, as a scanner has found it.

use super::purl::Purl;
use super::severity::Severity;

/// A vulnerability in a package of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The identifier by which the scanner reports the vulnerability: `CVE-…`, `GHSA-…`, `DSA-…`.
    pub id: String,
    /// Other identifiers of the same vulnerability.
    pub aliases: Vec<String>,
    /// The severity.
    pub severity: Severity,
    /// The name of the package.
    pub package: String,
    /// The version of the package in the image. Empty if the scanner does not state it.
    pub installed: String,
    /// The package URL, if the scanner states it.
    pub purl: Option<Purl>,
    /// Whether there is a version of the package without the vulnerability.
    pub fix: Fix,
}

/// Whether there is a version of a package without a vulnerability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// These versions are fixed.
    Available(String),
    /// No fixed version is known.
    None,
    /// The report does not state it. The vulnerability counts as one with a fix.
    Unstated,
}

impl Finding {
    /// Whether an identifier is one of the vulnerability's, ignoring case. An empty identifier never is.
    pub fn has_id(&self, id: &str) -> bool {
        !id.trim().is_empty()
            && std::iter::once(&self.id).chain(&self.aliases).any(|own| own.eq_ignore_ascii_case(id))
    }

    /// Whether the package has or may have a fixed version.
    pub fn is_fixable(&self) -> bool {
        self.fix != Fix::None
    }
}

impl Fix {
    /// Creates a fix from the fixed versions that a report states. `says_none` is whether the report states that there are
    /// none.
    pub(super) fn of_versions(versions: &str, says_none: bool) -> Self {
        match versions.trim() {
            "" if says_none => Self::None,
            "" => Self::Unstated,
            versions => Self::Available(versions.to_owned()),
        }
    }
}
