//! Flags of `kpromo run files`, `kpromo manifest files` and `kpromo manifest validate`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::{Args, Subcommand};

use super::config::ConfigFlags;
use super::manifest_add::ManifestAddFlags;
use super::report::{ReportArgs, ReportFlags};
use super::value::{BOOL, duration, go_bool, path};

const EXAMPLES: &str = "\
Examples:
  kpromo run files --filestores filepromoter-manifest.yaml --files files/
  kpromo run files --manifests artifacts/ --confirm
  AWS_ENDPOINT_URL=https://s3.example.com kpromo run files \\
    --filestores s.yaml --files f.yaml --confirm

Exit codes:
  0    done, or a dry run
  2    usage
  10   invalid manifest or configuration
  11   conflict
  20   a filestore is unavailable
  30   some files failed
  32   interrupted while writing
  130  interrupted before writing";

/// Commands that promote content other than images.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Promote files between object stores.
    Files(Box<RunFilesFlags>),
}

/// The flags of `kpromo run files`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct RunFilesFlags {
    /// File with the list of stores (`filestores`).
    #[arg(long, help_heading = "Manifests", value_name = "FILE", value_parser = OsStringValueParser::new())]
    filestores: Option<OsString>,
    /// File with the list of files to promote (`files`), or a directory of such files.
    #[arg(long, help_heading = "Manifests", value_name = "FILE|DIR", value_parser = OsStringValueParser::new())]
    files: Option<OsString>,
    /// Directory with several projects: filestores/PROJECT/filepromoter-manifest.yaml and manifests/PROJECT/. Takes precedence
    /// over --filestores and --files.
    #[arg(long, help_heading = "Manifests", value_name = "DIR", value_parser = OsStringValueParser::new())]
    manifests: Option<OsString>,
    /// Write to the destinations. Without this flag nothing is written.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    confirm: bool,
    /// Use the service accounts in a dry run, too. A run with --confirm always uses them.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    use_service_account: bool,
    /// Fail instead of replacing different content at a destination.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    no_overwrite: bool,
    /// Read the files to copy and verify their hashes before writing anything.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    verify_source: bool,
    /// Fail before writing anything if neither the source nor a destination has a file.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    strict: bool,
    /// Stop after this time, for example "30m".
    #[arg(long, help_heading = "Run", value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

/// The manifests of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileManifestSource {
    /// A file with stores, and files or directories with lists of files.
    Pair(PathBuf, Vec<PathBuf>),
    /// A directory of projects.
    Tree(PathBuf),
}

/// The checked arguments of `kpromo run files`.
#[derive(Clone, Debug)]
pub(crate) struct RunFilesArgs {
    pub(crate) manifests: FileManifestSource,
    pub(crate) confirm: bool,
    pub(crate) use_service_account: bool,
    pub(crate) no_overwrite: bool,
    pub(crate) verify_source: bool,
    pub(crate) strict: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) report: ReportArgs,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
}

impl RunFilesFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if there are no manifests.
    pub(crate) fn resolve(self) -> Result<RunFilesArgs, String> {
        let manifests = match (path(self.manifests), path(self.filestores), path(self.files)) {
            (Some(directory), ..) => FileManifestSource::Tree(directory),
            (None, Some(filestores), Some(files)) => FileManifestSource::Pair(filestores, vec![files]),
            (None, Some(_), None) => return Err("--filestores needs --files".to_owned()),
            (None, None, Some(_)) => return Err("--files needs --filestores".to_owned()),
            (None, None, None) => {
                return Err("--manifests, or --filestores and --files, is required".to_owned());
            }
        };
        Ok(RunFilesArgs {
            manifests,
            confirm: self.confirm,
            use_service_account: self.use_service_account,
            no_overwrite: self.no_overwrite,
            verify_source: self.verify_source,
            strict: self.strict,
            timeout: self.timeout,
            report: self.report.resolve(),
            config: self.config.resolve()?,
        })
    }
}

/// Commands about manifests.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Add a tag to a manifest, offline, without changing other lines.
    Add(ManifestAddFlags),
    /// Print a manifest of the files in a directory.
    Files(ManifestFilesArgs),
    /// Check file manifests, without access to any store.
    Validate(ManifestValidateArgs),
}

/// Flags of `kpromo manifest files`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct ManifestFilesArgs {
    /// Directory with the files.
    #[arg(long, required = true, value_name = "DIR")]
    pub(crate) src: PathBuf,
    /// Only include files whose names begin with this prefix. A prefix that ends with a slash is a directory.
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Manifest to add the files to. Existing entries are kept; a file with a different hash is a conflict.
    #[arg(long, value_name = "FILE")]
    pub(crate) merge: Option<PathBuf>,
    /// Write the manifest to this file. Default: standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of `kpromo manifest validate`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true, after_help = VALIDATE)]
pub(crate) struct ManifestValidateArgs {
    /// Directory of projects, or a file with stores followed by files or directories with lists of files.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

const VALIDATE: &str = "\
One path is a directory of projects:
  DIR/filestores/PROJECT/filepromoter-manifest.yaml
  DIR/manifests/PROJECT/*.yaml
With more paths, the first is a file with `filestores`. The others are files
with `files`, or directories of such files.

All errors of all files are reported at once.

Exit codes:
  0    valid
  2    usage
  10   invalid";

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn run_files(flags: &str) -> Result<RunFilesArgs, String> {
        let words = ["kpromo", "run", "files"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Run(RunCommand::Files(flags)) = cli.command else { panic!("run files was asked for") };
        flags.resolve()
    }

    #[test]
    fn the_tree_wins_over_the_pair_which_needs_both() {
        let args = run_files("--manifests m --filestores s --files f").unwrap();
        assert_eq!(args.manifests, FileManifestSource::Tree("m".into()));
        let args = run_files("--filestores s --files f").unwrap();
        assert_eq!(args.manifests, FileManifestSource::Pair("s".into(), vec!["f".into()]));
        for flags in ["", "--filestores s", "--files f", "--manifests=", "--filestores s --files f extra"] {
            assert!(run_files(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn booleans_are_those_of_go() {
        let args = run_files("--manifests m --confirm --use-service-account=false").unwrap();
        assert!(args.confirm && !args.use_service_account);
        assert!(!run_files("--manifests m --confirm=false").unwrap().confirm);
        assert!(run_files("--manifests m --confirm true").is_err(), "a word of its own is an argument");
    }

    #[test]
    fn there_may_be_several_reports_and_one_file_of_metrics() {
        let args = run_files("--manifests m --report r.json --report r.html --metrics m.prom").unwrap();
        assert_eq!(args.report.reports, [PathBuf::from("r.json"), "r.html".into()]);
        assert_eq!(args.report.metrics, Some("m.prom".into()));
        assert_eq!(run_files("--manifests m").unwrap().report, ReportArgs::default());
    }
}
