//! Flags that name the configuration file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::OsStringValueParser;

use super::value::path;

/// The flags for the configuration file, for all commands that access registries.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigFlags {
    /// Configuration file for registries, production, signing and verification; - reads standard input. Default: $KPROMO_CONFIG.
    #[arg(long, help_heading = "Configuration", value_name = "FILE", value_parser = OsStringValueParser::new())]
    config: Option<OsString>,
    /// Older name of --config.
    #[arg(long, help_heading = "Configuration", value_name = "FILE", value_parser = OsStringValueParser::new())]
    registry_config: Option<OsString>,
}

impl ConfigFlags {
    /// Returns the file, if any.
    ///
    /// # Errors
    /// Returns an error if both flags are given.
    pub(super) fn resolve(self) -> Result<Option<PathBuf>, String> {
        match (path(self.config), path(self.registry_config)) {
            (Some(_), Some(_)) => {
                Err("--config and its older name --registry-config cannot be used together".to_owned())
            }
            (config, older) => Ok(config.or(older)),
        }
    }
}
