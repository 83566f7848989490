//! Flags of `kpromo cip`.

mod output;
mod registries;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::OsStringValueParser;
use oci::SpoolSettings;
use output::OutputFlags;
use promote::Shard;
pub(crate) use registries::CacheArgs;
use registries::RegistryFlags;

use super::config::ConfigFlags;
use super::lint::revision;
use super::manifests::{Limit, ManifestSource, limit, manifests};
use super::report::ReportArgs;
use super::shard::{ShardFlags, ShardVariables};
use super::signatures::{SigningFlags, TrustFlags};
use super::snapshot::{Beside, CipSnapshotFlags, SnapshotArgs};
use super::value::{BOOL, duration, go_bool, integer, is_standard};
use super::vulnerabilities::{VulnArgs, VulnFlags};
use crate::choice::{SigningArgs, TrustArgs};

const EXAMPLES: &str = "\
Examples:
  kpromo cip --config kpromo.yaml --manifest app.yaml             # plan
  kpromo cip --config kpromo.yaml --manifest app.yaml --confirm   # promote
  kpromo cip --manifest manifest.yaml --confirm --signing-key cosign.key
  kpromo cip --thin-manifest-dir registry.k8s.io --confirm \\
    --use-prow-manifest-diff
  kpromo cip --thin-manifest-dir registry.k8s.io --parse-only
  kpromo cip --snapshot registry.example.com/team --output csv

Exit codes:
  0    done, or a dry run
  2    usage
  10   invalid manifest or configuration
  11   conflict
  12   a policy is not satisfied
  20   a registry or credentials are unavailable
  30   some images were not promoted
  31   some images are not signed or recorded
  32   interrupted while writing
  130  interrupted before writing";

/// The flags of `kpromo cip`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct CipFlags {
    /// Write to production. Without this flag nothing is written.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    confirm: bool,
    /// Only check the manifests, without network access.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    parse_only: bool,
    /// Fail before writing anything if neither staging nor production has an image, or if an entry in a manifest is invalid.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    strict: bool,
    /// Continue with other images when one fails.
    #[arg(long, help_heading = "What to do", default_value = "true", value_parser = go_bool(), action = Set, value_name = BOOL)]
    keep_going: bool,

    // An empty path counts as not set, because in scripts it usually comes from an unset variable.
    /// Plain manifest; - reads standard input.
    #[arg(long, help_heading = "Manifests", value_name = "FILE", value_parser = OsStringValueParser::new())]
    manifest: Option<OsString>,
    /// Directory with thin manifests: manifests/*/promoter-manifest.yaml and images/*/images.yaml.
    #[arg(long, help_heading = "Manifests", value_name = "DIR", value_parser = OsStringValueParser::new())]
    thin_manifest_dir: Option<OsString>,
    /// Promote only what the change under test in a Prow job adds (JOB_TYPE, PULL_BASE_SHA).
    #[arg(long, help_heading = "Manifests", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    use_prow_manifest_diff: bool,
    /// Promote only what was added since this time, such as "7 days".
    #[arg(
        long,
        help_heading = "Manifests",
        value_name = "WHEN",
        default_value = "",
        hide_default_value = true
    )]
    manifest_diff_since: String,
    /// Promote only what was added since this git revision, such as "origin/main".
    #[arg(long, help_heading = "Manifests", value_name = "REV", value_parser = revision)]
    diff_base: Option<String>,

    #[command(flatten)]
    shard: ShardFlags,
    #[command(flatten)]
    config: ConfigFlags,

    /// Stop after this time, as on an interrupt, for example "90s" or "2h 30m".
    #[arg(long, help_heading = "What to do", value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// In a dry run, also check which promoted images lack a signature or a promotion record. A run with --confirm always checks.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    check_signatures: bool,

    /// Also sign and record images in the manifests that are already promoted but lack a signature, a record or another
    /// attestation. Default: true, or false in a run over a diff. With --repair=false, a run over all manifests signs and
    /// records only the images that it copies or tags.
    #[arg(long, help_heading = "What to do", value_parser = go_bool(), action = Set, value_name = BOOL)]
    repair: Option<bool>,

    #[command(flatten)]
    registries: RegistryFlags,
    #[command(flatten)]
    output: OutputFlags,

    #[command(flatten)]
    signing: SigningFlags,
    #[command(flatten)]
    trust: TrustFlags,
    #[command(flatten)]
    vulnerabilities: VulnFlags,

    #[command(flatten)]
    snapshots: CipSnapshotFlags,
    /// Ignored, as it is in the Go tool.
    #[arg(long, hide = true, default_value_t = 2048, value_parser = integer)]
    max_image_size: i64,
}

/// The checked arguments of `kpromo cip`.
#[derive(Clone, Debug)]
pub(crate) struct CipArgs {
    pub(crate) manifests: ManifestSource,
    pub(crate) limit: Limit,
    /// The shard to promote. If `None`, everything is promoted.
    pub(crate) shard: Option<Shard>,
    pub(crate) confirm: bool,
    pub(crate) parse_only: bool,
    pub(crate) strict: bool,
    pub(crate) keep_going: bool,
    /// Whether a dry run checks which promoted images lack a signature or a record.
    pub(crate) check_signatures: bool,
    /// Whether the run also completes images that it does not promote. If `None`, only a run over all manifests does.
    pub(crate) repair: Option<bool>,
    /// The choices about trust.
    pub(crate) trust: TrustArgs,
    /// The choices about vulnerabilities.
    pub(crate) vulnerabilities: VulnArgs,
    /// The choices about signing. `None` with `--sign=false`.
    pub(crate) signing: Option<SigningArgs>,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) cache: Option<CacheArgs>,
    pub(crate) spool: SpoolSettings,
    /// How long a registry may be silent before the run promotes to the others first.
    pub(crate) late_after: Duration,
    pub(crate) timeout: Option<Duration>,
    /// Whether the plan is listed completely.
    pub(crate) verbose: bool,
    /// Whether only errors and results are printed.
    pub(crate) quiet: bool,
    pub(crate) output_plan: Option<PathBuf>,
    pub(crate) report: ReportArgs,
}

impl CipArgs {
    /// Returns the arguments of a dry run of these manifests, without signing.
    #[cfg(any(test, feature = "embedded-registry"))]
    pub(crate) fn of(manifests: ManifestSource) -> Self {
        Self {
            manifests,
            limit: Limit::None,
            shard: None,
            confirm: false,
            parse_only: false,
            strict: false,
            keep_going: true,
            check_signatures: false,
            repair: None,
            trust: TrustArgs::default(),
            vulnerabilities: VulnArgs::default(),
            signing: None,
            config: None,
            cache: None,
            spool: SpoolSettings::default(),
            late_after: Duration::from_secs(30),
            timeout: None,
            verbose: false,
            quiet: false,
            output_plan: None,
            report: ReportArgs::default(),
        }
    }

    /// Returns these arguments with the shard in the environment, unless a flag sets one.
    ///
    /// # Errors
    /// Returns an error if the variables are invalid.
    pub(crate) fn or_shard_of(self, variables: &ShardVariables) -> Result<Self, String> {
        let shard = self.shard.map_or_else(|| variables.shard(), |shard| Ok(Some(shard)))?;
        Ok(Self { shard, ..self })
    }
}

impl CipFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other, or request a snapshot.
    pub(crate) fn resolve(self) -> Result<CipArgs, String> {
        self.snapshots.asked()?;
        let manifests = manifests(self.manifest, self.thin_manifest_dir)?
            .ok_or("--manifest or --thin-manifest-dir is required")?;
        let output = self.output.resolve();
        if let Some(flag) = output.given().filter(|_| self.parse_only) {
            return Err(format!("--parse-only makes no plan and no report: remove {flag}"));
        }
        let limit = limit(self.use_prow_manifest_diff, self.manifest_diff_since, self.diff_base)?;
        if limit != Limit::None
            && let ManifestSource::Plain(path) = &manifests
            && is_standard(path)
        {
            return Err(
                "a manifest from standard input (-) cannot be compared with an earlier commit".to_owned()
            );
        }
        let registries = self.registries.resolve()?;
        let mut trust = self.trust.resolve()?;
        let vulnerabilities = self.vulnerabilities.resolve()?;
        // A run that only scans signs nothing, and needs no signer.
        let signing = self.signing.resolve(&mut trust)?.filter(|_| vulnerabilities.only_scan.is_none());
        if vulnerabilities.only_scan.is_some() && output.plan.is_some() {
            return Err(
                "--vuln-severity-threshold only scans and makes no plan: remove --output-plan".to_owned()
            );
        }
        if self.repair == Some(true) && signing.is_none() {
            return Err("--repair and --sign=false cannot be used together".to_owned());
        }
        Ok(CipArgs {
            manifests,
            limit,
            shard: self.shard.resolve()?,
            confirm: self.confirm,
            parse_only: self.parse_only,
            strict: self.strict,
            keep_going: self.keep_going,
            check_signatures: self.check_signatures,
            repair: self.repair,
            trust,
            vulnerabilities,
            signing,
            config: self.config.resolve()?,
            cache: registries.cache,
            spool: registries.spool,
            late_after: registries.late_after,
            timeout: self.timeout,
            verbose: output.verbose,
            quiet: false,
            output_plan: output.plan,
            report: output.report,
        })
    }
}

impl CipFlags {
    /// Returns the requested snapshot, or `None` for a promotion.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(crate) fn snapshot(&self) -> Result<Option<SnapshotArgs>, String> {
        let Some(flag) = self.snapshots.asked()? else { return Ok(None) };
        let flags = self.clone();
        let output = flags.output.resolve();
        let excluded = [
            ("--confirm", flags.confirm),
            ("--parse-only", flags.parse_only),
            ("--shard", flags.shard.is_given()),
            ("--inventory-cache", flags.registries.names_cache()),
            ("--vuln-severity-threshold", flags.vulnerabilities.is_scan()),
        ];
        let excluded = excluded.into_iter().find_map(|(flag, given)| given.then_some(flag));
        let beside = Beside {
            manifests: manifests(flags.manifest, flags.thin_manifest_dir)?,
            limit: limit(flags.use_prow_manifest_diff, flags.manifest_diff_since, flags.diff_base)?,
            strict: flags.strict,
            config: flags.config.resolve()?,
            timeout: flags.timeout,
            excluded: excluded.or(output.given()),
        };
        flags.snapshots.resolve(flag, beside).map(Some)
    }
}

#[cfg(test)]
pub(super) mod tests;
