//! Flags about registries: timeouts, the spool and the inventory cache.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::OsStringValueParser;
use oci::SpoolSettings;
use promote::Recheck;

use super::super::value::{BOOL, bytes, go_bool, path, percent, seconds_or_duration};

/// The flags about registries.
#[derive(Clone, Debug, Args)]
pub(super) struct RegistryFlags {
    /// How long a registry may serve nothing before kpromo promotes to the others first, in seconds or as "2m 30s". kpromo waits
    /// for every registry with --strict, with --keep-going=false and without --confirm.
    #[arg(long, help_heading = "Registries", value_name = "SECONDS|DURATION", default_value = "30", value_parser = seconds_or_duration)]
    late_after: Duration,
    /// Directory for blobs that wait for slow registries. Default: the system's temporary directory.
    #[arg(long, help_heading = "Registries", value_name = "DIR", value_parser = OsStringValueParser::new())]
    spool_dir: Option<OsString>,
    /// Maximum disk space for these blobs, such as "500Mi" or "2Gi"; 0 disables the spool.
    #[arg(long, help_heading = "Registries", value_name = "BYTES", default_value = "10Gi", value_parser = bytes)]
    spool_limit: u64,
    /// Cache the contents of production in this file, and read only what is not cached.
    #[arg(long, help_heading = "Registries", value_name = "FILE", value_parser = OsStringValueParser::new())]
    inventory_cache: Option<OsString>,
    /// Percentage of the cached repositories to re-check, chosen at random.
    #[arg(long, help_heading = "Registries", value_name = "PERCENT", default_value_t = 1.0, value_parser = percent, requires = "inventory_cache")]
    inventory_cache_sample: f64,
    /// Re-check all cached repositories.
    #[arg(long, help_heading = "Registries", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    inventory_cache_verify: bool,
}

/// The inventory cache of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CacheArgs {
    pub(crate) path: PathBuf,
    pub(crate) recheck: Recheck,
}

/// Returns the checked arguments.
pub(super) struct RegistryArgs {
    pub(super) late_after: Duration,
    pub(super) spool: SpoolSettings,
    pub(super) cache: Option<CacheArgs>,
}

impl RegistryFlags {
    /// Returns whether there is an inventory cache.
    pub(super) fn names_cache(&self) -> bool {
        path(self.inventory_cache.clone()).is_some()
    }

    /// Returns the checked arguments.
    ///
    /// # Errors
    /// Returns an error if a flag requires another one that is missing.
    pub(super) fn resolve(self) -> Result<RegistryArgs, String> {
        let cache = path(self.inventory_cache);
        if cache.is_none() && self.inventory_cache_verify {
            return Err("--inventory-cache-verify needs --inventory-cache".to_owned());
        }
        let recheck = match self.inventory_cache_verify {
            true => Recheck::All,
            false => Recheck::Sample(self.inventory_cache_sample / 100.0),
        };
        Ok(RegistryArgs {
            late_after: self.late_after,
            spool: SpoolSettings { directory: path(self.spool_dir), limit: self.spool_limit },
            cache: cache.map(|path| CacheArgs { path, recheck }),
        })
    }
}
