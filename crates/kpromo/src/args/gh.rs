//! Flags of `kpromo gh`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::{ArgAction, Args};
use manifest::releases::{GitHubName, ReleaseBucket, ReleaseDirectory, ReleaseEntry, ReleaseTag};
use url::Url;

use super::pr::{API_URL, checked_url};
use super::value::{BOOL, duration, go_bool, path};

const EXAMPLES: &str = "\
Examples:
  kpromo gh --org kubernetes --repo release --tags v0.0.0,v0.0.1 \\
    --bucket k8s-staging-release-test --release-dir release
  kpromo gh --org acme --repo tool --bucket s3://mirror/releases --dry-run
  kpromo gh --config releases.yaml

Exit codes:
  0    done, or a dry run
  2    usage
  10   invalid configuration, or no such repository or tag
  11   conflict
  20   GitHub or a bucket is unavailable
  30   some files failed
  32   interrupted while writing
  130  interrupted before writing";

/// The flags of `kpromo gh`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct GhFlags {
    /// Owner of the repository on GitHub.
    #[arg(
        long,
        help_heading = "Releases",
        value_name = "ORG",
        default_value = "",
        hide_default_value = true
    )]
    org: String,
    /// Repository on GitHub.
    #[arg(
        long,
        help_heading = "Releases",
        value_name = "REPO",
        default_value = "",
        hide_default_value = true
    )]
    repo: String,
    /// Tags of the releases to copy. Default: all releases.
    #[arg(long, help_heading = "Releases", value_name = "TAG", value_delimiter = ',', action = ArgAction::Append)]
    tags: Vec<String>,
    /// Include prereleases. Releases in --tags are always included.
    #[arg(long, help_heading = "Releases", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    include_prereleases: bool,
    /// File with a list of repositories (`releaseConfigs`). The other flags about releases and buckets are then ignored.
    #[arg(long, help_heading = "Releases", value_name = "FILE", value_parser = OsStringValueParser::new())]
    config: Option<OsString>,
    /// URL of a GitHub-compatible API, such as that of GitHub Enterprise.
    #[arg(long, help_heading = "Releases", value_name = "URL", default_value = API_URL)]
    api_url: Url,

    /// Bucket of Google Cloud Storage, or a URL: gs://BUCKET/PATH, s3://BUCKET/PATH, file:///PATH.
    #[arg(
        long,
        help_heading = "Destination",
        value_name = "BUCKET",
        default_value = "",
        hide_default_value = true
    )]
    bucket: String,
    /// Directory in the bucket. Default: ORG/REPO.
    #[arg(
        long,
        help_heading = "Destination",
        value_name = "DIR",
        default_value = "",
        hide_default_value = true
    )]
    release_dir: String,
    /// Local directory to also write the files to: DIR/ORG/REPO/TAG/FILE.
    #[arg(long, help_heading = "Destination", value_name = "DIR", value_parser = OsStringValueParser::new())]
    output_dir: Option<OsString>,
    /// Write only to --output-dir, and to no bucket.
    #[arg(long, help_heading = "Destination", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    download_only: bool,

    /// Write nothing, and print what would be written.
    #[arg(long, help_heading = "Run", value_name = BOOL, value_parser = go_bool(), default_value = "false")]
    dry_run: bool,
    /// Stop after this time, for example "30m".
    #[arg(long, help_heading = "Run", value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Write a manifest of the files in the bucket to this file, for `kpromo run files`.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    files_manifest: Option<OsString>,
    /// Write a report to this file, as JSON.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    report: Option<OsString>,
    /// Configuration file of kpromo, with settings for hosts. Default: $KPROMO_CONFIG.
    #[arg(long, help_heading = "Configuration", value_name = "FILE", value_parser = OsStringValueParser::new())]
    registry_config: Option<OsString>,
}

/// The source of the list of releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseSource {
    /// The flags.
    Flags(Box<ReleaseEntry>),
    /// A file. The flags in the list are ignored.
    File(PathBuf, Vec<&'static str>),
}

/// The checked arguments of `kpromo gh`.
#[derive(Clone, Debug)]
pub(crate) struct GhArgs {
    pub(crate) source: ReleaseSource,
    pub(crate) output_dir: Option<PathBuf>,
    pub(crate) download_only: bool,
    pub(crate) api_url: Url,
    pub(crate) dry_run: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) files_manifest: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
}

impl GhFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if a flag is missing or a value is invalid.
    pub(crate) fn resolve(self) -> Result<GhArgs, String> {
        let source = match path(self.config.clone()) {
            Some(file) => ReleaseSource::File(file, self.ignored()),
            None => ReleaseSource::Flags(Box::new(self.entry()?)),
        };
        let output_dir = path(self.output_dir);
        if self.download_only && output_dir.is_none() {
            return Err("--download-only needs --output-dir".to_owned());
        }
        Ok(GhArgs {
            source,
            output_dir,
            download_only: self.download_only,
            api_url: checked_url("--api-url", self.api_url)?,
            dry_run: self.dry_run,
            timeout: self.timeout,
            files_manifest: path(self.files_manifest),
            report: path(self.report),
            config: path(self.registry_config),
        })
    }

    /// Returns the entry that the flags describe.
    fn entry(&self) -> Result<ReleaseEntry, String> {
        let needed = [("--org", &self.org), ("--repo", &self.repo), ("--bucket", &self.bucket)];
        let missing: Vec<&str> =
            needed.iter().filter(|(_, value)| value.is_empty()).map(|(flag, _)| *flag).collect();
        if !missing.is_empty() {
            return Err(format!("missing: {}; or name a file with --config", missing.join(", ")));
        }
        let wrong =
            |flag: &str, value: &str, error: &dyn std::fmt::Display| format!("{flag} `{value}`: {error}");
        let owner = self.org.parse::<GitHubName>().map_err(|error| wrong("--org", &self.org, &error))?;
        let repository =
            self.repo.parse::<GitHubName>().map_err(|error| wrong("--repo", &self.repo, &error))?;
        let bucket =
            self.bucket.parse::<ReleaseBucket>().map_err(|error| wrong("--bucket", &self.bucket, &error))?;
        let directory = match self.release_dir.as_str() {
            "" => format!("{owner}/{repository}"),
            directory => directory.to_owned(),
        };
        let directory = directory
            .parse::<ReleaseDirectory>()
            .map_err(|error| wrong("--release-dir", &directory, &error))?;
        let (mut tags, mut invalid): (Vec<ReleaseTag>, Vec<String>) = Default::default();
        for tag in self.tags.iter().filter(|tag| !tag.is_empty()) {
            match tag.parse::<ReleaseTag>() {
                Ok(tag) if !tags.contains(&tag) => tags.push(tag),
                Ok(_) => {}
                Err(error) => invalid.push(wrong("--tags", tag, &error)),
            }
        }
        if !invalid.is_empty() {
            return Err(invalid.join("\n"));
        }
        Ok(ReleaseEntry {
            owner,
            repository,
            tags,
            include_prereleases: self.include_prereleases,
            bucket: Some(bucket.into_url()),
            directory,
            origin: "the command line".into(),
        })
    }

    /// Returns the flags that are ignored with a file.
    fn ignored(&self) -> Vec<&'static str> {
        let given = [
            ("--org", !self.org.is_empty()),
            ("--repo", !self.repo.is_empty()),
            ("--tags", !self.tags.is_empty()),
            ("--include-prereleases", self.include_prereleases),
            ("--bucket", !self.bucket.is_empty()),
            ("--release-dir", !self.release_dir.is_empty()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn gh(flags: &str) -> Result<GhArgs, String> {
        let words = ["kpromo", "gh"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Gh(flags) = cli.command else { panic!("gh was asked for") };
        flags.resolve()
    }

    fn entry(flags: &str) -> ReleaseEntry {
        match gh(flags).unwrap().source {
            ReleaseSource::Flags(entry) => *entry,
            ReleaseSource::File(..) => panic!("flags were given"),
        }
    }

    #[test]
    fn a_bucket_has_the_directory_of_the_repository_or_another_one() {
        let place = |flags: &str| {
            let entry = entry(&format!("--org acme --repo k8s.io {flags}"));
            let name = entry.directory.file(&"v1".parse().unwrap(), "a").unwrap();
            entry.bucket.unwrap().file(&name)
        };
        assert_eq!(place("--bucket b"), "gs://b/acme/k8s.io/v1/a");
        assert_eq!(place("--bucket b --release-dir="), "gs://b/acme/k8s.io/v1/a");
        assert_eq!(place("--bucket s3://b/x --release-dir some/dir/"), "s3://b/x/some/dir/v1/a");
        let tags = entry("--org a --repo r --bucket b --tags v1,v2 --tags v3,v1 --include-prereleases");
        assert_eq!(tags.tags.len(), 3);
        assert!(tags.include_prereleases);
    }

    #[test]
    fn a_file_takes_the_place_of_flags() {
        let args = gh("--config c.yaml --org acme --tags v1 --output-dir out").unwrap();
        assert_eq!(args.source, ReleaseSource::File("c.yaml".into(), vec!["--org", "--tags"]));
        assert_eq!(args.api_url.as_str(), "https://api.github.com/");
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for (flags, expected) in [
            ("", "--org, --repo, --bucket"),
            ("--org a --repo r --download-only --output-dir out", "--bucket"),
            ("--org a --repo r --bucket b --download-only", "--output-dir"),
            ("--org a/b --repo r --bucket b", "--org"),
            ("--org a --repo .. --bucket b", "--repo"),
            ("--org a --repo r --bucket GS://b", "gs://"),
            ("--org a --repo r --bucket file:///", "root"),
            ("--org a --repo r --bucket b --tags a//b", "--tags"),
            ("--org a --repo r --bucket b --tags a//b,v1,../c", "--tags `../c`"),
            ("--org a --repo r --bucket b --release-dir ../x", "--release-dir"),
            ("--org a --repo r --bucket b --api-url http://example.com", "https://"),
            ("--org a --repo r --bucket b extra", "extra"),
        ] {
            let error = gh(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }
}
