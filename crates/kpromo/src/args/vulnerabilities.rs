//! Flags about vulnerabilities.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction::{Append, Set};
use clap::Args;
use clap::builder::OsStringValueParser;
use trust::scan::Threshold;

use super::value::{BOOL, go_bool, integer, path};

const VULNERABILITIES: &str = "Vulnerabilities";

/// The flags of `kpromo cip` about vulnerabilities.
#[derive(Clone, Debug, Args)]
pub(super) struct VulnFlags {
    /// Only scan the images in the manifests: report fixable vulnerabilities of this severity or higher, and promote nothing.
    /// -1 off, 0 any, 1 minimal, 2 low, 3 medium, 4 high, 5 critical.
    #[arg(long, help_heading = VULNERABILITIES, value_name = "SEVERITY", default_value_t = -1, value_parser = integer, allow_negative_numbers = true)]
    vuln_severity_threshold: i64,
    /// Vulnerability policy (YAML) that images must pass to be promoted. With --vuln-severity-threshold, the scan uses this
    /// policy with the threshold of the flag.
    #[arg(long, help_heading = VULNERABILITIES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    vuln_policy: Option<OsString>,
    /// Also count vulnerabilities without a fix.
    #[arg(long, help_heading = VULNERABILITIES, default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    vuln_unfixed: bool,
    /// Let images pass that have no finished scan. They are still reported.
    #[arg(long, help_heading = VULNERABILITIES, default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    allow_unscanned: bool,
    /// Source of vulnerabilities: `google` (Container Analysis), `attestations` on the images, the URL of a Grafeas server, or
    /// a file or directory with reports (Trivy, Grype, SARIF, CycloneDX). Repeatable. Default: google for Google's registries,
    /// attestations for others.
    #[arg(long, help_heading = VULNERABILITIES, value_name = "SOURCE", action = Append)]
    vuln_source: Vec<String>,
}

/// The choices about vulnerabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VulnArgs {
    /// The threshold of a run that only scans.
    pub(crate) only_scan: Option<Threshold>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) counts_unfixed: bool,
    pub(crate) allows_unscanned: bool,
    /// The sources. If empty, those of the policy are used.
    pub(crate) sources: Vec<String>,
}

impl VulnFlags {
    /// Returns whether the run only scans.
    pub(super) fn is_scan(&self) -> bool {
        self.vuln_severity_threshold >= 0
    }

    /// Returns the choices.
    ///
    /// # Errors
    /// Returns an error if the threshold is invalid, or if a flag has no effect.
    pub(super) fn resolve(self) -> Result<VulnArgs, String> {
        let only_scan = match self.vuln_severity_threshold {
            -1 => None,
            number => {
                let threshold = u8::try_from(number).ok().and_then(Threshold::of_number);
                let threshold =
                    threshold.ok_or("--vuln-severity-threshold must be from -1 (off) to 5 (critical)")?;
                Some(threshold)
            }
        };
        let policy = path(self.vuln_policy);
        let sources: Vec<String> = self.vuln_source.into_iter().filter(|text| !text.is_empty()).collect();
        let args = VulnArgs {
            only_scan,
            policy,
            counts_unfixed: self.vuln_unfixed,
            allows_unscanned: self.allow_unscanned,
            sources,
        };
        if only_scan.is_none() && args.policy.is_none() {
            let given = [
                ("--vuln-unfixed", args.counts_unfixed),
                ("--allow-unscanned", args.allows_unscanned),
                ("--vuln-source", !args.sources.is_empty()),
            ];
            if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(format!("{flag} needs --vuln-severity-threshold or --vuln-policy"));
            }
        }
        Ok(args)
    }
}
