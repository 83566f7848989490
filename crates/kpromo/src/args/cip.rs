//! Flags of `kpromo cip`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::OsStringValueParser;
use oci::SpoolSettings;
use promote::Recheck;

use super::config::ConfigFlags;
use super::lint::revision;
use super::manifests::{Limit, ManifestSource, limit, manifests};
use super::signatures::{SigningFlags, TrustFlags};
use super::snapshot::{Beside, CipSnapshotFlags, SnapshotArgs};
use super::value::{BOOL, bytes, duration, go_bool, path, percent, seconds_or_duration};
use super::vulnerabilities::{VulnArgs, VulnFlags};
use crate::choice::{SigningArgs, TrustArgs};

const EXAMPLES: &str = "\
Examples:
  kpromo cip --config kpromo.yaml --manifest manifest.yaml             show the plan
  kpromo cip --config kpromo.yaml --manifest manifest.yaml --confirm   promote
  kpromo cip --manifest manifest.yaml --confirm --signing-key cosign.key
  kpromo cip --thin-manifest-dir registry.k8s.io --confirm --use-prow-manifest-diff
  kpromo cip --thin-manifest-dir registry.k8s.io --parse-only
  kpromo cip --snapshot us-west2-docker.pkg.dev/k8s-artifacts-prod/images --output csv

Exit codes: 0 done · 2 usage · 10 invalid manifest or configuration · 11 conflict ·
12 policy · 20 unavailable · 30 some failed · 31 not all signed ·
32 interrupted while writing · 130 interrupted before writing";

/// Flags of `kpromo cip`, as they are written.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct CipFlags {
    /// Write to production. Without this flag nothing is written.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    confirm: bool,
    /// Check the manifests only, without any network access.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    parse_only: bool,
    /// Fail before anything is written if neither staging nor production has an image, or an entry of a manifest is invalid.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    strict: bool,
    /// Continue with other images when one fails.
    #[arg(long, help_heading = "What to do", default_value = "true", value_parser = go_bool(), action = Set, value_name = BOOL)]
    keep_going: bool,

    // In scripts an empty path is a variable that is not set, and means that the flag is not given.
    /// Plain manifest.
    #[arg(long, help_heading = "Manifests", value_name = "FILE", value_parser = OsStringValueParser::new())]
    manifest: Option<OsString>,
    /// Folder of thin manifests: manifests/*/promoter-manifest.yaml and images/*/images.yaml.
    #[arg(long, help_heading = "Manifests", value_name = "DIR", value_parser = OsStringValueParser::new())]
    thin_manifest_dir: Option<OsString>,
    /// Promote only what the change of a Prow job adds (JOB_TYPE, PULL_BASE_SHA).
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
    config: ConfigFlags,

    /// Stop after this time, as if interrupted: "90s", "2h 30m".
    #[arg(long, help_heading = "What to do", value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// In a dry run, also look up which promoted images lack a signature or a promotion record. With --confirm, they are always
    /// looked up.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    check_signatures: bool,

    /// Also sign and record promoted images that lack a signature, a record or another attestation: all that the manifests name.
    /// Default: true, but false in a run over a diff, which completes what it adds. With --repair=false, a run over all manifests
    /// completes only what it copies or tags.
    #[arg(long, help_heading = "What to do", value_parser = go_bool(), action = Set, value_name = BOOL)]
    repair: Option<bool>,

    /// Time that a registry may be silent before the others are promoted without it; it is asked again afterwards. Seconds, or
    /// "2m 30s". Every registry is waited for with --strict, with --keep-going=false and without --confirm.
    #[arg(long, help_heading = "Registries", value_name = "SECONDS|DURATION", default_value = "30", value_parser = seconds_or_duration)]
    late_after: Duration,
    /// Folder for blobs that wait for slow registries. Default: the system's folder for temporary files.
    #[arg(long, help_heading = "Registries", value_name = "DIR", value_parser = OsStringValueParser::new())]
    spool_dir: Option<OsString>,
    /// Disk space for these blobs, such as "500Mi" or "2Gi"; 0 disables the spool.
    #[arg(long, help_heading = "Registries", value_name = "BYTES", default_value = "10Gi", value_parser = bytes)]
    spool_limit: u64,
    /// Remember in this file what production holds, and ask only about what is not remembered.
    #[arg(long, help_heading = "Registries", value_name = "FILE", value_parser = OsStringValueParser::new())]
    inventory_cache: Option<OsString>,
    /// Percentage of the remembered repositories that is checked again, chosen at random.
    #[arg(long, help_heading = "Registries", value_name = "PERCENT", default_value_t = 1.0, value_parser = percent, requires = "inventory_cache")]
    inventory_cache_sample: f64,
    /// Check everything again that is remembered.
    #[arg(long, help_heading = "Registries", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    inventory_cache_verify: bool,

    /// List every edge of the plan, with whole digests. Default: the first 50.
    #[arg(long, help_heading = "Output", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    verbose: bool,
    /// Write the plan to this file as JSON.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    output_plan: Option<OsString>,
    /// Write a report of the run to this file as JSON.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    report: Option<OsString>,

    #[command(flatten)]
    signing: SigningFlags,
    #[command(flatten)]
    trust: TrustFlags,
    #[command(flatten)]
    vulnerabilities: VulnFlags,

    #[command(flatten)]
    snapshots: CipSnapshotFlags,
    /// Ignored, as it is in the Go tool.
    #[arg(long, hide = true, default_value_t = 2048)]
    max_image_size: i64,
}

/// The inventory cache of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CacheArgs {
    pub(crate) path: PathBuf,
    pub(crate) recheck: Recheck,
}

/// What `kpromo cip` is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct CipArgs {
    pub(crate) manifests: ManifestSource,
    pub(crate) limit: Limit,
    pub(crate) confirm: bool,
    pub(crate) parse_only: bool,
    pub(crate) strict: bool,
    pub(crate) keep_going: bool,
    /// Whether a dry run looks up which promoted images lack a signature or a record.
    pub(crate) check_signatures: bool,
    /// Whether promoted images are completed of which nothing is promoted; none: in a run over all manifests.
    pub(crate) repair: Option<bool>,
    /// What the flags choose about trust.
    pub(crate) trust: TrustArgs,
    /// What the flags choose about vulnerabilities.
    pub(crate) vulnerabilities: VulnArgs,
    /// What the flags choose about signing; none: signing is declined.
    pub(crate) signing: Option<SigningArgs>,
    /// The configuration; none: that of the environment, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) cache: Option<CacheArgs>,
    pub(crate) spool: SpoolSettings,
    /// How long a registry may answer nothing before the others are promoted without it.
    pub(crate) late_after: Duration,
    pub(crate) timeout: Option<Duration>,
    /// Whether the whole plan is listed.
    pub(crate) verbose: bool,
    pub(crate) output_plan: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
}

impl CipArgs {
    /// A dry run of these manifests, in which nothing else is asked for: no signing either.
    pub(crate) fn of(manifests: ManifestSource) -> Self {
        Self {
            manifests,
            limit: Limit::None,
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
            output_plan: None,
            report: None,
        }
    }
}

impl CipFlags {
    /// What the flags ask for.
    ///
    /// # Errors
    /// If they contradict one another, or ask for a snapshot.
    pub(crate) fn resolve(self) -> Result<CipArgs, String> {
        self.snapshots.asked()?;
        let manifests = manifests(self.manifest, self.thin_manifest_dir)?
            .ok_or("one of --manifest and --thin-manifest-dir is needed")?;
        let (output_plan, report) = (path(self.output_plan), path(self.report));
        if self.parse_only && (output_plan.is_some() || report.is_some()) {
            return Err(
                "--parse-only makes no plan and no report: remove --output-plan and --report".to_owned()
            );
        }
        let limit = limit(self.use_prow_manifest_diff, self.manifest_diff_since, self.diff_base)?;
        let cache = path(self.inventory_cache);
        if cache.is_none() && self.inventory_cache_verify {
            return Err("--inventory-cache-verify needs --inventory-cache".to_owned());
        }
        let recheck = match self.inventory_cache_verify {
            true => Recheck::All,
            false => Recheck::Sample(self.inventory_cache_sample / 100.0),
        };
        let mut trust = self.trust.resolve()?;
        let vulnerabilities = self.vulnerabilities.resolve()?;
        // A run that only scans signs nothing, and needs no signer.
        let signing = self.signing.resolve(&mut trust)?.filter(|_| vulnerabilities.only_scan.is_none());
        if vulnerabilities.only_scan.is_some() && output_plan.is_some() {
            return Err(
                "--vuln-severity-threshold only scans and makes no plan: remove --output-plan".to_owned()
            );
        }
        if self.repair == Some(true) && signing.is_none() {
            return Err("--repair and --sign=false exclude each other".to_owned());
        }
        Ok(CipArgs {
            manifests,
            limit,
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
            cache: cache.map(|path| CacheArgs { path, recheck }),
            spool: SpoolSettings { directory: path(self.spool_dir), limit: self.spool_limit },
            late_after: self.late_after,
            timeout: self.timeout,
            verbose: self.verbose,
            output_plan,
            report,
        })
    }
}

impl CipFlags {
    /// The snapshot that the flags ask for; none: they ask for a promotion.
    ///
    /// # Errors
    /// When they contradict one another.
    pub(crate) fn snapshot(&self) -> Result<Option<SnapshotArgs>, String> {
        let Some(flag) = self.snapshots.asked()? else { return Ok(None) };
        let flags = self.clone();
        let excluded = [
            ("--confirm", flags.confirm),
            ("--parse-only", flags.parse_only),
            ("--output-plan", path(flags.output_plan).is_some()),
            ("--report", path(flags.report).is_some()),
            ("--inventory-cache", path(flags.inventory_cache).is_some()),
            ("--vuln-severity-threshold", flags.vulnerabilities.is_scan()),
        ];
        let beside = Beside {
            manifests: manifests(flags.manifest, flags.thin_manifest_dir)?,
            limit: limit(flags.use_prow_manifest_diff, flags.manifest_diff_since, flags.diff_base)?,
            strict: flags.strict,
            config: flags.config.resolve()?,
            timeout: flags.timeout,
            excluded: excluded.into_iter().find_map(|(flag, given)| given.then_some(flag)),
        };
        flags.snapshots.resolve(flag, beside).map(Some)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Cli, Command, LogLevel};
    use super::*;

    /// What a command line asks for.
    pub(in super::super) fn cip(flags: &str) -> Result<CipArgs, String> {
        let words = ["kpromo", "cip"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Cip(flags) = cli.command else { panic!("cip was asked for") };
        assert_eq!(flags.snapshot()?, None);
        flags.resolve()
    }

    #[test]
    fn booleans_are_written_as_in_go_and_swallow_no_word() {
        for (flags, expected) in [
            ("--confirm", true),
            ("--confirm=true", true),
            ("--confirm=T", true),
            ("--confirm=0", false),
            ("", false),
        ] {
            assert_eq!(cip(&format!("{flags} --manifest m.yaml")).unwrap().confirm, expected, "{flags}");
        }
        assert!(
            cip("--confirm true --manifest m.yaml").is_err(),
            "a bare word is not the value of a boolean"
        );
        for flag in ["--confirm=yes", "--confirm="] {
            assert!(cip(&format!("{flag} --manifest m.yaml")).is_err(), "{flag} confirms nothing");
        }
    }

    #[test]
    fn values_follow_a_space_or_an_equals_sign_and_the_last_one_counts() {
        assert_eq!(
            cip("--manifest=a.yaml --manifest b.yaml").unwrap().manifests,
            ManifestSource::Plain("b.yaml".into())
        );
        let args = cip("--thin-manifest-dir d --manifest-diff-since=yesterday --sign=false").unwrap();
        assert_eq!((args.limit, args.signing), (Limit::Since("yesterday".to_owned()), None));
    }

    #[test]
    fn a_threshold_only_scans_and_signs_nothing() {
        let args =
            cip("--manifest m.yaml --vuln-severity-threshold 4 --vuln-source google --vuln-source reports");
        let args = args.unwrap();
        assert_eq!(args.vulnerabilities.only_scan.unwrap().to_string(), "high");
        assert_eq!(
            (args.vulnerabilities.sources, args.signing),
            (vec!["google".into(), "reports".into()], None)
        );
        for (flags, expected) in [
            ("--vuln-severity-threshold 6", "from -1 (off) to 5"),
            ("--vuln-severity-threshold=-2", "from -1 (off) to 5"),
            ("--vuln-unfixed", "--vuln-unfixed needs"),
            ("--allow-unscanned --vuln-policy=", "--allow-unscanned needs"),
            ("--vuln-source google", "--vuln-source needs"),
            ("--vuln-severity-threshold 0 --output-plan p", "only scans"),
        ] {
            let error = cip(&format!("--manifest m.yaml {flags}")).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
        let off = cip("--manifest m.yaml --vuln-severity-threshold -1 --vuln-unfixed=false").unwrap();
        assert_eq!(off.vulnerabilities, VulnArgs::default());
    }

    #[test]
    fn what_asks_for_nothing_is_taken() {
        assert!(
            cip("--manifest m.yaml --sign=false --vuln-severity-threshold=-1 --max-image-size 10").is_ok()
        );
        for nothing in ["--minimal-snapshot=false", "--snapshot=", "--snapshot-tag="] {
            assert!(cip(&format!("--manifest m.yaml {nothing}")).is_ok(), "{nothing}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command_and_the_last_one_counts() {
        for line in [
            "kpromo --log-level debug --log-level error cip",
            "kpromo --log-level debug cip --log-level error",
            "kpromo cip --log-level debug --log-level=error",
        ] {
            let (cli, _) = Cli::read(line.split(' ')).unwrap();
            assert_eq!(cli.global.log_level, LogLevel::Error, "{line}");
        }
    }

    #[test]
    fn a_cache_is_looked_at_again_in_part_or_as_a_whole() {
        let recheck = |flags: &str| {
            let args = cip(&format!("--manifest m.yaml --inventory-cache c {flags}"));
            args.map(|args| args.cache.unwrap().recheck)
        };
        assert_eq!(recheck(""), Ok(Recheck::Sample(0.01)));
        assert_eq!(recheck("--inventory-cache-sample 12.5"), Ok(Recheck::Sample(0.125)));
        assert_eq!(recheck("--inventory-cache-verify"), Ok(Recheck::All));
        assert!(recheck("--inventory-cache-sample 101").is_err());
        assert!(cip("--manifest m.yaml").unwrap().cache.is_none(), "off by default");
        for alone in ["--inventory-cache-verify", "--inventory-cache-sample 5"] {
            assert!(
                cip(&format!("--manifest m.yaml {alone}")).unwrap_err().contains("inventory-cache"),
                "{alone}"
            );
        }
    }

    #[test]
    fn the_spool_is_given_in_bytes_or_larger_units() {
        let spool = |flags: &str| cip(&format!("--manifest m.yaml {flags}")).map(|args| args.spool);
        assert_eq!(spool(""), Ok(SpoolSettings::default()));
        assert_eq!(spool("--spool-dir= --spool-limit 10GiB"), Ok(SpoolSettings::default()));
        let expected = SpoolSettings { directory: Some("d".into()), limit: 500 << 20 };
        assert_eq!(spool("--spool-dir d --spool-limit 500Mi"), Ok(expected));
        assert_eq!(spool("--spool-limit 0").unwrap().limit, 0);
        assert_eq!(spool("--spool-limit 4096").unwrap().limit, 4096);
        for wrong in ["1.5Gi", "10G", "Gi", "-1", "99999999999Ti"] {
            assert!(spool(&format!("--spool-limit={wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_timeout_is_a_time_with_its_unit() {
        for (text, seconds) in [("90s", 90), ("2h30m", 9_000), ("1m", 60)] {
            let args = cip(&format!("--manifest m.yaml --timeout {text}")).unwrap();
            assert_eq!(args.timeout, Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["90", "0s", "-5s", "soon"] {
            assert!(cip(&format!("--manifest m.yaml --timeout={text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_registry_is_late_after_thirty_seconds_or_after_the_seconds_or_the_time_that_is_given() {
        for (flag, seconds) in
            [("", 30), ("--late-after 5", 5), ("--late-after=90s", 90), ("--late-after 2m", 120)]
        {
            let args = cip(&format!("--manifest m.yaml {flag}")).unwrap();
            assert_eq!(args.late_after, Duration::from_secs(seconds), "{flag}");
        }
        for text in ["0", "0s", "-5", "soon", "", "NaN", "1e30"] {
            assert!(cip(&format!("--manifest m.yaml --late-after={text}")).is_err(), "{text}");
        }
        let of = CipArgs::of(ManifestSource::Plain("m.yaml".into()));
        assert_eq!(of.late_after, cip("--manifest m.yaml").unwrap().late_after);
    }

    #[test]
    fn an_empty_path_is_no_path() {
        let args = cip("--manifest= --thin-manifest-dir d").unwrap();
        assert_eq!(args.manifests, ManifestSource::Thin("d".into()));
        assert!(cip("--manifest=").unwrap_err().contains("one of --manifest"));
    }

    #[test]
    fn there_is_one_configuration_under_either_name() {
        let config = |flags: &str| cip(&format!("--manifest m.yaml {flags}")).map(|args| args.config);
        assert_eq!(config(""), Ok(None));
        assert_eq!(config("--config c.yaml"), Ok(Some("c.yaml".into())));
        assert_eq!(config("--registry-config c.yaml --config="), Ok(Some("c.yaml".into())));
        assert!(config("--config a --registry-config b").unwrap_err().contains("exclude each other"));
    }

    #[test]
    fn a_promotion_has_one_source_of_manifests_and_one_limit() {
        assert!(cip("").unwrap_err().contains("one of --manifest"));
        assert!(cip("--manifest a --thin-manifest-dir b").unwrap_err().contains("exclude"));
        let limits = ["--use-prow-manifest-diff", "--manifest-diff-since x", "--diff-base HEAD"];
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let flags = format!("--manifest a {} {}", limits[one], limits[other]);
            assert!(cip(&flags).unwrap_err().contains("exclude each other"), "{flags}");
        }
        let limit = |flags: &str| cip(&format!("--manifest a {flags}")).map(|args| args.limit);
        assert_eq!(limit("--diff-base HEAD^"), Ok(Limit::Revision("HEAD^".to_owned())));
        assert_eq!(limit("--manifest-diff-since="), Ok(Limit::None));
        assert!(limit("--diff-base=").unwrap_err().contains("is the variable set"));
    }
}
