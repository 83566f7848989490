//! Flags of `kpromo sigcheck`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction::Set;
use clap::builder::OsStringValueParser;
use clap::{Args, ValueEnum};
use trust::audit::ImageName;

use super::config::ConfigFlags;
use super::signatures::{SignerFlags, TrustFlags};
use super::value::{BOOL, go_bool, integer, path};
use crate::choice::{SigningArgs, TrustArgs};

/// The default of `--from-days`.
const FROM_DAYS: i64 = 5;
/// The maximum number of days: a hundred years.
const DAYS_MAX: i64 = 36_525;

const EXAMPLES: &str = "\
Examples:
  kpromo sigcheck                        # images of the last five days
  kpromo sigcheck --from-days 10 --to-days 5
  kpromo sigcheck registry.k8s.io/pause:3.10
  kpromo sigcheck --thin-manifest-dir registry.k8s.io --confirm

Exit codes:
  0    nothing is missing
  2    usage
  10   invalid manifest or configuration
  20   a registry, an identity or the trusted root is unavailable
  31   signatures or records are missing
  32   interrupted while writing
  130  interrupted before writing";

/// The flags of `kpromo sigcheck`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct SigcheckFlags {
    /// Images to check: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST, by their public name or by their name in a
    /// region. Default: all images below the production path of the canonical registry.
    #[arg(value_name = "IMAGE")]
    images: Vec<ImageName>,
    /// Add missing signatures and promotion records. Without this flag nothing is written.
    #[arg(long, help_heading = "What to do", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    confirm: bool,
    /// Check images uploaded at most this many days ago. Default: 5.
    #[arg(long, help_heading = "What to do", value_name = "DAYS", value_parser = integer, allow_negative_numbers = true)]
    from_days: Option<i64>,
    /// Check images uploaded at least this many days ago. Default: 0.
    #[arg(long, help_heading = "What to do", value_name = "DAYS", value_parser = integer, allow_negative_numbers = true)]
    to_days: Option<i64>,
    /// Check only this many of the latest images; 0 checks all. Default: 0.
    #[arg(long, help_heading = "What to do", value_name = "NUMBER", value_parser = integer, allow_negative_numbers = true)]
    limit: Option<i64>,
    /// Directory with thin manifests. With it, kpromo repairs only images in the manifests, and also adds missing records.
    /// Without it, kpromo signs all checked images and adds no records.
    #[arg(long, help_heading = "Manifests", value_name = "DIR", value_parser = OsStringValueParser::new())]
    thin_manifest_dir: Option<OsString>,
    /// Format of the result.
    #[arg(long, help_heading = "Output", value_enum, default_value_t = OutputForm::Text, value_name = "FORM")]
    output: OutputForm,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(flatten)]
    trust: TrustFlags,
    #[command(flatten)]
    signer: SignerFlags,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    Text,
    Json,
}

/// The images to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckedNames {
    /// These images.
    Named(Vec<ImageName>),
    /// All images that the canonical registry lists.
    Listed(Listed),
}

/// A selection of the images that the canonical registry lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The first and the last day of their upload, in days before now.
    pub(crate) from_days: i64,
    pub(crate) to_days: i64,
    /// Whether flags set the days.
    pub(crate) days_are_given: bool,
    /// The maximum number of images.
    pub(crate) limit: Option<usize>,
}

/// The checked arguments of `kpromo sigcheck`.
#[derive(Clone, Debug)]
pub(crate) struct SigcheckArgs {
    pub(crate) names: CheckedNames,
    pub(crate) confirm: bool,
    /// The directory of thin manifests.
    pub(crate) manifests: Option<PathBuf>,
    pub(crate) output: OutputForm,
    /// The path of the configuration. If `None`, that of the environment is used, if any.
    pub(crate) config: Option<PathBuf>,
    pub(crate) trust: TrustArgs,
    pub(crate) signing: SigningArgs,
}

impl SigcheckFlags {
    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(crate) fn resolve(self) -> Result<SigcheckArgs, String> {
        let mut trust = self.trust.resolve()?;
        let signing = self.signer.resolve(&mut trust)?;
        let listed = listed(self.from_days, self.to_days, self.limit)?;
        let says_which = self.from_days.is_some() || self.to_days.is_some() || self.limit.is_some();
        let names = match self.images {
            images if images.is_empty() => CheckedNames::Listed(listed),
            _ if says_which => {
                let text = "--from-days, --to-days and --limit say which of all images are checked: name no images with them";
                return Err(text.to_owned());
            }
            images => CheckedNames::Named(images),
        };
        Ok(SigcheckArgs {
            names,
            confirm: self.confirm,
            manifests: path(self.thin_manifest_dir),
            output: self.output,
            config: self.config.resolve()?,
            trust,
            signing,
        })
    }
}

fn listed(from: Option<i64>, to: Option<i64>, limit: Option<i64>) -> Result<Listed, String> {
    let (from_days, to_days) = (from.unwrap_or(FROM_DAYS), to.unwrap_or(0));
    for (flag, days) in [("--from-days", from_days), ("--to-days", to_days)] {
        if !(0..=DAYS_MAX).contains(&days) {
            return Err(format!("{flag} must be from 0 to {DAYS_MAX}, not {days}"));
        }
    }
    if from_days < to_days {
        return Err(format!(
            "--from-days {from_days} is later than --to-days {to_days}: the first day comes first, such as --from-days {to_days} \
             --to-days {from_days}"
        ));
    }
    let limit = usize::try_from(limit.unwrap_or(0)).map_err(|_| "--limit must not be negative".to_owned())?;
    let (limit, days_are_given) = (Some(limit).filter(|limit| *limit > 0), from.is_some() || to.is_some());
    Ok(Listed { from_days, to_days, days_are_given, limit })
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn sigcheck(flags: &str) -> Result<SigcheckArgs, String> {
        let words = ["kpromo", "sigcheck"].into_iter().chain(flags.split_whitespace());
        let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
        let Command::Sigcheck(flags) = cli.command else { panic!("sigcheck was asked for") };
        flags.resolve()
    }

    fn days(flags: &str) -> (i64, i64, bool, Option<usize>) {
        match sigcheck(flags).unwrap().names {
            CheckedNames::Listed(Listed { from_days, to_days, days_are_given, limit }) => {
                (from_days, to_days, days_are_given, limit)
            }
            CheckedNames::Named(names) => panic!("{names:?}"),
        }
    }

    #[test]
    fn without_images_the_latest_days_are_listed() {
        assert_eq!(days(""), (5, 0, false, None));
        assert_eq!(days("--from-days=10 --to-days 5"), (10, 5, true, None));
        assert_eq!(days("--limit 3"), (5, 0, false, Some(3)));
        assert_eq!(days("--limit 0 --to-days 5"), (5, 5, true, None));
    }

    #[test]
    fn negative_and_crossed_days_and_days_with_images_are_usage_errors() {
        for (flags, expected) in [
            ("--from-days -3", "--from-days"),
            ("--to-days=-1", "--to-days"),
            ("--from-days 99999", "--from-days"),
            ("--from-days 5 --to-days 10", "--from-days 10 --to-days 5"),
            ("--to-days 6", "--from-days 5 is later than --to-days 6"),
            ("--limit -1", "--limit"),
            ("--from-days 1 gcr.io/a:v1", "name no images"),
            ("--limit 1 gcr.io/a:v1", "name no images"),
            ("--from-days x", "invalid"),
            ("gcr.io/a", "invalid"),
            ("--sign=false", "unexpected"),
        ] {
            let error = sigcheck(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }

    #[test]
    fn confirm_is_written_as_in_go() {
        for (flags, expected) in
            [("", false), ("--confirm", true), ("--confirm=true", true), ("--confirm=0", false)]
        {
            assert_eq!(sigcheck(flags).unwrap().confirm, expected, "{flags}");
        }
        assert!(sigcheck("--confirm true").is_err(), "it swallows no word");
        let args = sigcheck("--thin-manifest-dir d registry.k8s.io/a:v1 --output json gcr.io/b:v2").unwrap();
        assert_eq!((args.manifests, args.output), (Some("d".into()), OutputForm::Json));
        assert!(matches!(args.names, CheckedNames::Named(names) if names.len() == 2));
    }
}
