//! Flags of `kpromo verify`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Args, ValueEnum};
use oci::Repository;
use trust::audit::ImageName;

use super::config::ConfigFlags;
use super::manifests::ManifestSource;
use super::signatures::TrustFlags;
use crate::choice::TrustArgs;

const EXAMPLES: &str = "\
Examples:
  kpromo verify registry.k8s.io/pause:3.10
  kpromo verify --output json registry.k8s.io/pause:3.10
  kpromo verify --verification-key cosign.pub registry.example.com/app:v1
  kpromo verify --verification-key cosign.pub --manifest manifest.yaml
  kpromo verify --verification-key cosign.pub --repository example.com/app

Exit codes:
  0    all images are signed
  2    usage
  10   invalid manifest or configuration
  12   some images are not signed
  20   a registry or the trusted root is unavailable
  130  interrupted";

/// The flags of `kpromo verify`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct VerifyFlags {
    /// Images: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST.
    #[arg(value_name = "IMAGE", required_unless_present_any = ["manifest", "thin_manifest_dir", "repository"])]
    images: Vec<ImageName>,
    /// Verify all images in this plain manifest, at all destinations, and that its tags name their digests; - reads standard
    /// input. Repeatable.
    #[arg(long, help_heading = "Images", value_name = "FILE", value_parser = OsStringValueParser::new())]
    manifest: Vec<OsString>,
    /// Verify all images in the thin manifests in this directory, as with --manifest. Repeatable.
    #[arg(long, help_heading = "Images", value_name = "DIR", value_parser = OsStringValueParser::new())]
    thin_manifest_dir: Vec<OsString>,
    /// Verify all tagged images in this repository. Repeatable.
    #[arg(long, help_heading = "Images", value_name = "REPOSITORY")]
    repository: Vec<Repository>,
    /// Format of the result.
    #[arg(long, help_heading = "Output", value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
    /// Show the platforms of an index in detail; JSON always does.
    #[arg(long, help_heading = "Output")]
    platforms: bool,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(flatten)]
    trust: TrustFlags,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
}

/// The checked arguments of `kpromo verify`.
#[derive(Clone, Debug)]
pub(crate) struct VerifyArgs {
    pub(crate) images: Vec<ImageName>,
    /// The manifests whose images are verified.
    pub(crate) manifests: Vec<ManifestSource>,
    /// The repositories whose tagged images are verified.
    pub(crate) repositories: Vec<Repository>,
    pub(crate) output: Form,
    pub(crate) platforms: bool,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) trust: TrustArgs,
}

impl VerifyFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(crate) fn resolve(self) -> Result<VerifyArgs, String> {
        let plain = self.manifest.into_iter().map(|file| ManifestSource::Plain(file.into()));
        let thin = self.thin_manifest_dir.into_iter().map(|directory| ManifestSource::Thin(directory.into()));
        Ok(VerifyArgs {
            images: self.images,
            manifests: plain.chain(thin).collect(),
            repositories: self.repository,
            output: self.output,
            platforms: self.platforms,
            config: self.config.resolve()?,
            trust: self.trust.resolve()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::{Cli, Command};
    use super::*;

    fn verify(flags: &str) -> Result<VerifyArgs, String> {
        let words = ["kpromo", "verify"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Verify(flags) = cli.command else { panic!("verify was asked for") };
        flags.resolve()
    }

    #[test]
    fn several_images_may_stand_between_flags() {
        let args = verify("gcr.io/a:v1 --output json gcr.io/b:v2 --platforms").unwrap();
        let images: Vec<String> = args.images.iter().map(ToString::to_string).collect();
        assert_eq!(images, ["gcr.io/a:v1", "gcr.io/b:v2"]);
        assert_eq!((args.output, args.platforms), (Form::Json, true));
        assert_eq!(args.trust, TrustArgs::default());
    }

    #[test]
    fn an_image_without_tag_and_digest_and_no_image_at_all_are_usage_errors() {
        for flags in ["", "gcr.io/a", "alpine:3", "gcr.io/a@sha256:0"] {
            assert!(verify(flags).is_err(), "{flags}");
        }
        assert!(verify("gcr.io/a:v1 --tuf-mirror https://x").unwrap_err().contains("--tuf-root"));
    }

    #[test]
    fn manifests_and_repositories_stand_for_images() {
        let args = verify("--manifest m.yaml --repository gcr.io/a --repository gcr.io/b").unwrap();
        assert_eq!(args.manifests, [ManifestSource::Plain("m.yaml".into())]);
        let both = verify("--manifest m.yaml --thin-manifest-dir d --manifest n.yaml").unwrap();
        assert_eq!(both.manifests.len(), 3, "none is left out");
        assert_eq!((args.images.len(), args.repositories.len()), (0, 2));
        assert!(verify("--repository gcr.io/a:v1").is_err(), "a repository has no tag");
    }

    #[test]
    fn there_is_no_flag_that_signs() {
        let verify = Cli::command();
        let verify = verify.find_subcommand("verify").unwrap();
        let names: Vec<&str> = verify.get_arguments().filter_map(clap::Arg::get_long).collect();
        assert!(names.contains(&"certificate-identity") && !names.contains(&"sign"), "{names:?}");
    }
}
