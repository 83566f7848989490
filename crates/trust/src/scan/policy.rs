//! The vulnerability policy: which findings an image may have.

use std::time::Duration;

use jiff::Timestamp;
use manifest::policy::SignerPattern;

use super::finding::Finding;
use super::severity::Threshold;
use super::sourced::Sourced;
use super::vex::VexStatement;

/// The default maximum age of an attested report: 30 days.
const ATTESTED_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A vulnerability policy.
#[derive(Clone, Debug)]
pub struct ScanPolicy {
    /// The minimum severity of findings that count.
    pub threshold: Threshold,
    /// Whether findings without a fixed version count.
    pub counts_unfixed: bool,
    /// Whether an image without a finished scan passes if its known findings pass.
    pub allows_unscanned: bool,
    /// The findings that are ignored.
    pub ignore: Vec<IgnoreRule>,
    /// VEX statements that the user trusts.
    pub vex: Vec<Sourced<VexStatement>>,
    /// The maximum age of a scan, if the policy sets it. By default, attested reports may be 30 days old, and others any age.
    pub max_age: Option<Duration>,
    /// The signers whose attested reports and VEX documents count. If there are none, the signer of staging counts.
    pub signers: Vec<SignerPattern>,
}

impl ScanPolicy {
    /// Creates a policy with a threshold and the defaults for everything else.
    pub fn new(threshold: Threshold) -> Self {
        Self {
            threshold,
            counts_unfixed: false,
            allows_unscanned: false,
            ignore: Vec::new(),
            vex: Vec::new(),
            max_age: None,
            signers: Vec::new(),
        }
    }

    /// Returns the maximum age of an attested report.
    pub fn attested_max_age(&self) -> Duration {
        self.max_age.unwrap_or(ATTESTED_MAX_AGE)
    }

    /// Returns the expired ignore rules.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = &IgnoreRule> {
        self.ignore.iter().filter(move |rule| rule.is_expired(now))
    }
}

/// A rule that ignores findings until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreRule {
    id: String,
    packages: Vec<String>,
    reason: String,
    expires: Timestamp,
}

/// The reason why a rule is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// It names no vulnerability.
    #[error("`id` is empty: each rule ignores one vulnerability")]
    NoId,
    /// It has no reason.
    #[error("`reason` is empty: each rule states why it ignores the vulnerability")]
    NoReason,
    /// It names a package without a name.
    #[error("`packages` has an empty name")]
    NoPackage,
}

impl IgnoreRule {
    /// Creates a rule. Without packages, it holds for all packages.
    ///
    /// # Errors
    /// If the identifier, the reason or the name of a package is empty.
    pub fn new(id: &str, packages: &[String], reason: &str, expires: Timestamp) -> Result<Self, InvalidRule> {
        let [id, reason] = [id, reason].map(|text| text.trim().to_owned());
        let packages: Vec<String> = packages.iter().map(|package| package.trim().to_owned()).collect();
        if id.is_empty() {
            Err(InvalidRule::NoId)
        } else if reason.is_empty() {
            Err(InvalidRule::NoReason)
        } else if packages.iter().any(String::is_empty) {
            Err(InvalidRule::NoPackage)
        } else {
            Ok(Self { id, packages, reason, expires })
        }
    }

    /// Returns the identifier of the ignored vulnerability.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the time at which the rule ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether the rule has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// Whether the rule is about a finding, by any identifier of the vulnerability, and by the name or the package URL of the
    /// package.
    pub fn is_about(&self, finding: &Finding) -> bool {
        let is_package = |package: &String| {
            *package == finding.package || finding.purl.as_ref().is_some_and(|purl| purl.as_str() == package)
        };
        finding.has_id(&self.id) && (self.packages.is_empty() || self.packages.iter().any(is_package))
    }
}
