//! Flags of `kpromo verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trust::audit::ImageName;

use super::config::ConfigFlags;
use super::signatures::TrustFlags;
use crate::choice::TrustArgs;

const EXAMPLES: &str = "\
Examples:
  kpromo verify registry.k8s.io/pause:3.10
  kpromo verify --output json registry.k8s.io/pause:3.10 registry.k8s.io/pause:3.9
  kpromo verify --verification-key cosign.pub registry.example.com/app:v1

Exit codes: 0 all signed · 2 usage · 10 invalid configuration · 12 some not signed ·
20 registry or trusted root unavailable";

/// The flags of `kpromo verify`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct VerifyFlags {
    /// Images: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<ImageName>,
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
        Ok(VerifyArgs {
            images: self.images,
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
    fn there_is_no_flag_that_signs() {
        let verify = Cli::command();
        let verify = verify.find_subcommand("verify").unwrap();
        let names: Vec<&str> = verify.get_arguments().filter_map(clap::Arg::get_long).collect();
        assert!(names.contains(&"certificate-identity") && !names.contains(&"sign"), "{names:?}");
    }
}
