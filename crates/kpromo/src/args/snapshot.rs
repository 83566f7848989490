//! Flags of `kpromo snapshot`, and the flags of `kpromo cip` that ask for a snapshot.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction::Set;
use clap::builder::OsStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use oci::{RegistryRoot, Tag};
use promote::snapshot::Format;

use super::config::ConfigFlags;
use super::manifests::{Limit, ManifestSource, manifests};
use super::side::{Side, is_same_pipe, registry, side};
use super::value::{BOOL, duration, go_bool};

const EXAMPLES: &str = "\
Examples:
  kpromo snapshot us-west2-docker.pkg.dev/k8s-artifacts-prod > prod.yaml
  kpromo snapshot --minimal --output csv registry.example.com/team
  kpromo snapshot --thin-manifest-dir k8s.io registry.example.com/prod
  kpromo snapshot diff prod.yaml registry.example.com/prod

Exit codes:
  0    done
  1    output cannot be written
  2    usage
  10   invalid manifest or configuration
  11   manifests overlap
  20   a registry is unavailable or unknown
  30   invalid entries of manifests were left out
  130  interrupted";

const DIFF_EXAMPLES: &str = "\
Examples:
  kpromo snapshot diff monday.yaml tuesday.yaml
  kpromo snapshot diff prod.yaml registry.example.com/prod
  kpromo snapshot diff --exit-code us.example.com/prod eu.example.com/prod

Exit codes:
  0    compared
  1    with --exit-code, they differ
  2    usage
  10   invalid file or configuration
  20   a registry is unavailable or unknown
  130  interrupted";

/// The flags of `kpromo snapshot`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_override_self = true,
    subcommand_precedence_over_arg = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct SnapshotFlags {
    /// Registry, or a path in it: HOST[/PATH].
    #[arg(required = true, value_name = "REGISTRY", value_parser = registry)]
    registry: Option<RegistryRoot>,
    /// Print what this plain manifest promotes to the registry, without reading the registry.
    #[arg(long, help_heading = "Manifests", value_name = "FILE", value_parser = OsStringValueParser::new())]
    manifest: Option<OsString>,
    /// Print what the thin manifests in this directory promote to the registry, without reading the registry.
    #[arg(long, help_heading = "Manifests", value_name = "DIR", value_parser = OsStringValueParser::new())]
    thin_manifest_dir: Option<OsString>,
    /// Only include digests with this tag.
    #[arg(long, help_heading = "Content", value_name = "TAG")]
    tag: Option<Tag>,
    /// Omit untagged digests that an index in the registry lists.
    #[arg(long, help_heading = "Content")]
    minimal: bool,
    /// Format of the snapshot. Default: yaml.
    #[arg(long, help_heading = "Output", value_enum, ignore_case = true, value_name = "FORMAT")]
    output: Option<OutputFormat>,
    /// Stop after this time, as on an interrupt, for example "90s" or "2h 30m".
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    command: Option<SnapshotCommand>,
}

/// Commands about snapshots.
#[derive(Clone, Debug, Subcommand)]
enum SnapshotCommand {
    /// Compare two snapshots.
    Diff(DiffFlags),
}

/// The flags of `kpromo snapshot diff`.
#[derive(Clone, Debug, Args)]
#[command(after_help = DIFF_EXAMPLES, args_override_self = true)]
struct DiffFlags {
    /// First snapshot: an existing file (YAML, CSV or JSON), or a registry.
    #[arg(value_name = "A", value_parser = OsStringValueParser::new())]
    first: OsString,
    /// Second snapshot: a file or a registry.
    #[arg(value_name = "B", value_parser = OsStringValueParser::new())]
    second: OsString,
    /// Only include digests with this tag.
    #[arg(long, help_heading = "Content", value_name = "TAG")]
    tag: Option<Tag>,
    /// Omit untagged digests that an index in the registry lists. Applies to registries, not to files.
    #[arg(long, help_heading = "Content")]
    minimal: bool,
    /// Format of the differences.
    #[arg(long, help_heading = "Output", value_enum, default_value_t = DiffFormat::Text, value_name = "FORMAT")]
    output: DiffFormat,
    /// Exit with 1 if the snapshots differ.
    #[arg(long, help_heading = "Output")]
    exit_code: bool,
    /// Stop after this time, as on an interrupt, for example "90s" or "2h 30m".
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    config: ConfigFlags,
}

/// The flags of `kpromo cip` that ask for a snapshot.
#[derive(Clone, Debug, Args)]
pub(super) struct CipSnapshotFlags {
    /// Print all images in this registry, and promote nothing. See also: kpromo snapshot.
    #[arg(
        long,
        help_heading = "Snapshots",
        value_name = "REGISTRY",
        default_value = "",
        hide_default_value = true
    )]
    snapshot: String,
    /// Print all images that the manifests promote to this registry, without reading the registry, and promote nothing.
    #[arg(
        long,
        help_heading = "Snapshots",
        value_name = "REGISTRY",
        default_value = "",
        hide_default_value = true
    )]
    manifest_based_snapshot_of: String,
    /// Print only digests with this tag.
    #[arg(
        long,
        help_heading = "Snapshots",
        value_name = "TAG",
        default_value = "",
        hide_default_value = true
    )]
    snapshot_tag: String,
    /// Omit untagged digests that an index in the registry lists. Reads the registry.
    #[arg(long, help_heading = "Snapshots", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    minimal_snapshot: bool,
    /// Format of the snapshot. Default: yaml.
    #[arg(long, help_heading = "Snapshots", value_enum, ignore_case = true, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

/// The format of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Yaml,
    Csv,
    Json,
}

/// The format of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    Text,
    Json,
}

/// The source of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotSource {
    /// The registry.
    Registry,
    /// The images that manifests promote to the registry. With `strict`, invalid entries in thin manifests are an error.
    Manifests { manifests: ManifestSource, limit: Limit, strict: bool },
}

/// A snapshot to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotArgs {
    pub(crate) registry: RegistryRoot,
    pub(crate) source: SnapshotSource,
    /// Whether there are manifests that are ignored.
    pub(crate) ignores_manifests: bool,
    pub(crate) tag: Option<Tag>,
    pub(crate) minimal: bool,
    pub(crate) format: Format,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
}

/// Two snapshots to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiffArgs {
    pub(crate) first: Side,
    pub(crate) second: Side,
    pub(crate) tag: Option<Tag>,
    pub(crate) minimal: bool,
    pub(crate) format: DiffFormat,
    pub(crate) exit_code: bool,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
}

/// The checked arguments of `kpromo snapshot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotTask {
    Print(SnapshotArgs),
    Diff(DiffArgs),
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Yaml => Self::Yaml,
            OutputFormat::Csv => Self::Csv,
            OutputFormat::Json => Self::Json,
        }
    }
}

impl SnapshotFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other, or if a side is neither a file nor a registry.
    pub(crate) fn resolve(self) -> Result<SnapshotTask, String> {
        let config = self.config.resolve()?;
        if let Some(SnapshotCommand::Diff(flags)) = self.command {
            let is_alone = (self.registry.is_none() && !self.minimal)
                && (self.manifest.is_none() && self.thin_manifest_dir.is_none() && self.tag.is_none())
                && (self.output.is_none() && self.timeout.is_none() && config.is_none());
            if !is_alone {
                return Err("write the arguments of `kpromo snapshot diff` after `diff`".to_owned());
            }
            return flags.resolve().map(SnapshotTask::Diff);
        }
        let registry = self.registry.ok_or("a registry is required")?;
        let source = match manifests(self.manifest, self.thin_manifest_dir)? {
            None => SnapshotSource::Registry,
            Some(manifests) => SnapshotSource::Manifests { manifests, limit: Limit::None, strict: false },
        };
        Ok(SnapshotTask::Print(SnapshotArgs {
            registry,
            source,
            ignores_manifests: false,
            tag: self.tag,
            minimal: self.minimal,
            format: self.output.unwrap_or(OutputFormat::Yaml).into(),
            config,
            timeout: self.timeout,
        }))
    }
}

impl DiffFlags {
    fn resolve(self) -> Result<DiffArgs, String> {
        let (first, second) = (side(&self.first)?, side(&self.second)?);
        if let (Side::File(first), Side::File(second)) = (&first, &second)
            && is_same_pipe(first, second)
        {
            return Err("A and B are the same pipe, which can be read only once".to_owned());
        }
        Ok(DiffArgs {
            first,
            second,
            tag: self.tag,
            minimal: self.minimal,
            format: self.output,
            exit_code: self.exit_code,
            config: self.config.resolve()?,
            timeout: self.timeout,
        })
    }
}

/// The other flags of `kpromo cip` together with a snapshot.
pub(super) struct Beside {
    pub(super) manifests: Option<ManifestSource>,
    pub(super) limit: Limit,
    pub(super) strict: bool,
    pub(super) config: Option<PathBuf>,
    pub(super) timeout: Option<Duration>,
    /// The flags that cannot be used with a snapshot.
    pub(super) excluded: Option<&'static str>,
}

impl CipSnapshotFlags {
    /// Returns the flag that requests a snapshot, if there is one.
    ///
    /// # Errors
    /// Returns an error if there are flags for a snapshot, but no flag requests one.
    pub(super) fn asked(&self) -> Result<Option<&'static str>, String> {
        match (self.snapshot.is_empty(), self.manifest_based_snapshot_of.is_empty()) {
            (false, false) => {
                Err("--snapshot and --manifest-based-snapshot-of cannot be used together".to_owned())
            }
            (false, true) => Ok(Some("--snapshot")),
            (true, false) => Ok(Some("--manifest-based-snapshot-of")),
            (true, true) => {
                let given = [
                    ("--snapshot-tag", !self.snapshot_tag.is_empty()),
                    ("--minimal-snapshot", self.minimal_snapshot),
                    ("--output", self.output.is_some()),
                ];
                match given.into_iter().find(|(_, given)| *given) {
                    Some((flag, _)) => {
                        Err(format!("{flag} needs --snapshot or --manifest-based-snapshot-of"))
                    }
                    None => Ok(None),
                }
            }
        }
    }

    /// Returns the requested snapshot.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other, or if there is no registry.
    pub(super) fn resolve(self, flag: &'static str, beside: Beside) -> Result<SnapshotArgs, String> {
        if let Some(excluded) = beside.excluded {
            return Err(format!(
                "{flag} and {excluded} cannot be used together: a snapshot promotes nothing"
            ));
        }
        let is_of_manifests = self.snapshot.is_empty();
        let mut ignored = false;
        let text = if is_of_manifests { &self.manifest_based_snapshot_of } else { &self.snapshot };
        let source = match (is_of_manifests, beside.manifests) {
            // The Go tool accepts manifests here, and ignores them.
            (false, manifests) => {
                ignored = manifests.is_some() || beside.limit != Limit::None;
                SnapshotSource::Registry
            }
            (true, None) => return Err("--manifest or --thin-manifest-dir is required".to_owned()),
            (true, Some(manifests)) => {
                SnapshotSource::Manifests { manifests, limit: beside.limit, strict: beside.strict }
            }
        };
        let tag = Some(self.snapshot_tag.as_str()).filter(|tag| !tag.is_empty());
        Ok(SnapshotArgs {
            registry: registry(text).map_err(|error| format!("{flag}: {error}"))?,
            source,
            ignores_manifests: ignored,
            tag: tag.map(str::parse).transpose().map_err(|error| format!("--snapshot-tag: {error}"))?,
            minimal: self.minimal_snapshot,
            format: self.output.unwrap_or(OutputFormat::Yaml).into(),
            config: beside.config,
            timeout: beside.timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn snapshot(flags: &str) -> Result<SnapshotTask, String> {
        let words = ["kpromo", "snapshot"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Snapshot(flags) = cli.command else { panic!("snapshot was asked for") };
        flags.resolve()
    }

    fn printed(flags: &str) -> SnapshotArgs {
        match snapshot(flags) {
            Ok(SnapshotTask::Print(args)) => args,
            other => panic!("{flags}: {other:?}"),
        }
    }

    #[test]
    fn a_registry_is_read_unless_manifests_are_named() {
        let args = printed("r.example/a/ --tag v1 --minimal --output CSV --timeout 90s");
        assert_eq!(args.registry.to_string(), "r.example/a");
        assert_eq!((args.source, args.minimal, args.format), (SnapshotSource::Registry, true, Format::Csv));
        assert_eq!((args.tag, args.timeout), ("v1".parse().ok(), Some(Duration::from_secs(90))));
        let args = printed("--thin-manifest-dir d r.example");
        let manifests = ManifestSource::Thin("d".into());
        assert_eq!(args.source, SnapshotSource::Manifests { manifests, limit: Limit::None, strict: false });
        assert_eq!(args.format, Format::Yaml);
        for wrong in [
            "",
            "r.example/A",
            "r.example --output xml",
            "r --tag -x",
            "r --manifest a --thin-manifest-dir b",
        ] {
            assert!(snapshot(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_side_is_a_file_that_exists_or_else_a_registry() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("r.example");
        std::fs::write(&file, "").unwrap();
        let diff = snapshot(&format!("diff {} r.example:5000/a --exit-code", file.display()));
        let Ok(SnapshotTask::Diff(args)) = diff else { panic!("{diff:?}") };
        assert_eq!(args.first, Side::File(file.clone()));
        assert_eq!(args.second, Side::Registry("r.example:5000/a".parse().unwrap()));
        assert!(args.exit_code);
        for missing in ["./r.example/x", "/r.example", "prod.yaml", "prod.json", "../a"] {
            let error = snapshot(&format!("diff {missing} r.example")).unwrap_err();
            assert!(error.contains("does not exist"), "{missing}: {error}");
        }
        assert!(snapshot("diff r.example/A r.example").unwrap_err().contains("repository name"));
        assert!(snapshot("--log-level error diff r.example s.example").is_ok(), "a flag of every command");
        for wrong in [
            "diff",
            "diff r.example",
            "diff a b c",
            "r.example diff a b",
            "--tag v1 diff a b",
            "--config c diff a b",
        ] {
            assert!(snapshot(wrong).is_err(), "{wrong}");
        }
    }

    /// Returns the snapshot that flags of `kpromo cip` request.
    fn cip(flags: &str) -> Result<Option<SnapshotArgs>, String> {
        let words = ["kpromo", "cip"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Cip(flags) = cli.command else { panic!("cip was asked for") };
        flags.snapshot()
    }

    #[test]
    fn a_snapshot_of_cip_is_of_a_registry_or_of_manifests() {
        for ignored in ["--manifest m.yaml", "--use-prow-manifest-diff", "--thin-manifest-dir d"] {
            let args = cip(&format!("--snapshot r {ignored}")).unwrap().unwrap();
            assert_eq!((args.source, args.ignores_manifests), (SnapshotSource::Registry, true), "{ignored}");
        }
        let args = cip("--snapshot r.example/a/ --snapshot-tag v1 --minimal-snapshot --output=CSV");
        let args = args.unwrap().unwrap();
        assert_eq!((args.registry.to_string(), args.minimal), ("r.example/a".to_owned(), true));
        assert_eq!((args.source, args.format), (SnapshotSource::Registry, Format::Csv));
        assert_eq!(args.tag, "v1".parse().ok());
        let args = cip("--manifest-based-snapshot-of r.example --thin-manifest-dir d --strict");
        let args = args.unwrap().unwrap();
        let manifests = ManifestSource::Thin("d".into());
        assert_eq!(args.source, SnapshotSource::Manifests { manifests, limit: Limit::None, strict: true });
        assert_eq!((args.tag, args.minimal, args.format), (None, false, Format::Yaml));
    }

    #[test]
    fn a_snapshot_excludes_what_only_a_promotion_does_and_its_flags_need_one() {
        for (flags, expected) in [
            ("--snapshot r --confirm", "cannot be used together"),
            ("--snapshot r --parse-only", "cannot be used together"),
            ("--snapshot r --report f", "cannot be used together"),
            ("--snapshot r --vuln-severity-threshold 1", "cannot be used together"),
            ("--snapshot r --manifest-based-snapshot-of r", "cannot be used together"),
            ("--snapshot R/A", "--snapshot: `A`"),
            ("--snapshot r --snapshot-tag a/b", "--snapshot-tag"),
            ("--manifest-based-snapshot-of r", "--manifest or"),
            ("--manifest m.yaml --minimal-snapshot", "needs --snapshot"),
            ("--manifest m.yaml --snapshot-tag x", "needs --snapshot"),
            ("--manifest m.yaml --output yaml", "needs --snapshot"),
            ("--snapshot r --output xml", "xml"),
        ] {
            let error = cip(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }
}
