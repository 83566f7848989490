//! The flag that names a shard, and the environment variables that do so in a Kubernetes Indexed Job.

use clap::{ArgAction, Args};
use promote::{InvalidShard, Shard};

/// The flag that names a shard.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShardFlags {
    /// Promote only to the destination hosts of one shard: INDEX counts from 0 to COUNT - 1. Default:
    /// JOB_COMPLETION_INDEX/KPROMO_SHARDS if KPROMO_SHARDS is set, otherwise all hosts.
    #[arg(long, help_heading = "What to do", value_name = "INDEX/COUNT", action = ArgAction::Append)]
    shard: Vec<Shard>,
}

impl ShardFlags {
    /// Returns whether a shard is named.
    pub(super) fn is_given(&self) -> bool {
        !self.shard.is_empty()
    }

    /// Returns the shard that is named, if there is one.
    ///
    /// # Errors
    /// If several are named. The last one does not win, as that of other flags does: another shard's hosts would be left out.
    pub(super) fn resolve(self) -> Result<Option<Shard>, String> {
        match self.shard.as_slice() {
            [] => Ok(None),
            [shard] => Ok(Some(*shard)),
            [one, other, ..] => Err(format!("--shard is given twice, {one} and {other}: a run is one shard")),
        }
    }
}

/// The environment variables that name a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardVariables {
    /// `KPROMO_SHARDS`: the number of shards.
    pub(crate) count: Option<String>,
    /// `JOB_COMPLETION_INDEX`: the index of a pod in a Kubernetes Indexed Job. By itself it names no shard, because a Job may be
    /// indexed for other reasons.
    pub(crate) index: Option<String>,
}

impl ShardVariables {
    /// Returns the shard that the variables name, if they name one.
    ///
    /// # Errors
    /// Returns an error if `KPROMO_SHARDS` is set and the variables are invalid.
    pub(super) fn shard(&self) -> Result<Option<Shard>, String> {
        let Some(count) = &self.count else { return Ok(None) };
        let Some(index) = &self.index else {
            return Err(format!(
                "KPROMO_SHARDS is {count:?}, and JOB_COMPLETION_INDEX is not set: use a Job with `completionMode: Indexed`, \
                 or name the shard with --shard"
            ));
        };
        Shard::of_texts(index, count).map(Some).map_err(|error| {
            let error = match error {
                InvalidShard::Form => "both must be decimal numbers".to_owned(),
                InvalidShard::Index(..) => {
                    format!("{error}. Set KPROMO_SHARDS to the number of `completions` of the Job")
                }
                InvalidShard::NoShards => error.to_string(),
            };
            format!("KPROMO_SHARDS is {count:?} and JOB_COMPLETION_INDEX is {index:?}: {error}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::cip::tests::cip;
    use super::super::{Cli, Command};
    use super::*;

    fn variables(index: Option<&str>, count: Option<&str>) -> ShardVariables {
        ShardVariables { index: index.map(str::to_owned), count: count.map(str::to_owned) }
    }

    fn shard(flags: &str, index: Option<&str>, count: Option<&str>) -> Result<Option<String>, String> {
        let args = cip(&format!("--manifest m.yaml {flags}"))?.or_shard_of(&variables(index, count))?;
        Ok(args.shard.map(|shard| shard.to_string()))
    }

    #[test]
    fn the_flag_wins_over_the_environment() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(shard("", None, None), Ok(None));
        assert_eq!(shard("", Some("2"), None), Ok(None), "a Job may be indexed for other reasons");
        assert_eq!(shard("", Some("2"), Some("4")), some("2/4"));
        assert_eq!(shard("--shard 0/3", Some("2"), Some("4")), some("0/3"));
        assert_eq!(shard("--shard=0/3", None, Some("x")), some("0/3"));
    }

    #[test]
    fn what_names_no_shard_is_an_error() {
        for flags in ["--shard=", "--shard 4/4", "--shard 1", "--shard 0/0", "--shard -1/4"] {
            assert!(shard(flags, None, None).is_err(), "{flags}");
        }
        for twice in ["--shard 0/2 --shard 1/2", "--shard=0/2 --shard=0/2"] {
            assert!(shard(twice, None, None).unwrap_err().contains("--shard is given twice"), "{twice}");
        }
        for (index, count, expected) in [
            (None, "4", "completionMode: Indexed"),
            (Some("4"), "4", "no shard 4 of 4"),
            (Some("0"), "0", "at least 1"),
            (Some("0"), "four", "decimal number"),
            (Some("0x1"), "4", "decimal number"),
        ] {
            let error = shard("", index, Some(count)).unwrap_err();
            assert!(error.contains(expected) && error.contains("KPROMO_SHARDS"), "{error}");
        }
    }

    #[test]
    fn a_snapshot_has_no_shards() {
        let words = ["kpromo", "cip", "--snapshot", "a.io/b", "--shard", "0/4"];
        let (cli, _) = Cli::read(words).unwrap();
        let Command::Cip(flags) = cli.command else { panic!("cip was asked for") };
        assert!(flags.snapshot().unwrap_err().contains("--shard"));
    }
}
