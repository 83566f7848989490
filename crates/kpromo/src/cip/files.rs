//! The files that a run of `kpromo cip` writes: checked and opened before the first request.

use std::path::PathBuf;

use promote::{Cache, CacheError};

use crate::args::{CacheArgs, CipArgs};
use crate::config::{Config, InvalidConfig};
use crate::named_files::{Clash, Content, NamedFiles};
use crate::output::{check_directory, check_file};

/// Checks that all output files can be written, before the first request.
pub(super) fn check_outputs(args: &CipArgs) -> Result<(), String> {
    args.output_plan.as_deref().map_or(Ok(()), |path| check_file(path, "plan"))?;
    crate::report::check(&args.report)?;
    let spool = args.spool.directory.as_deref().filter(|_| args.spool.limit > 0);
    spool.map_or(Ok(()), |directory| check_directory(directory, "blobs that wait for registries"))
}

/// Checks that no output replaces a file that the configuration names.
pub(super) fn check_config(args: &CipArgs, config: &Config) -> Result<(), InvalidConfig> {
    let files = config.files().into_iter();
    check_inputs(
        args,
        files.map(|(field, file)| (format!("`{field}` of the configuration"), file, Content::Nothing)),
    )
}

/// Checks that no output replaces an input that a file names. Inputs that the command line names are checked before.
pub(super) fn check_inputs(
    args: &CipArgs,
    inputs: impl IntoIterator<Item = (String, PathBuf, Content)>,
) -> Result<(), InvalidConfig> {
    let mut files = NamedFiles::default();
    for (name, path, content) in inputs {
        files.reads(name, &path, content);
    }
    args.output_plan.iter().for_each(|path| files.writes("--output-plan", path));
    args.report.reports.iter().for_each(|path| files.writes("--report", path));
    args.report.metrics.iter().for_each(|path| files.writes("--metrics", path));
    args.cache.iter().for_each(|cache| files.writes("--inventory-cache", &cache.path));
    files.check().map_err(|clash| match clash {
        Clash::Usage(text) | Clash::Output(text) => InvalidConfig::flag("the files of this run", text),
    })
}

/// Opens the inventory cache. Returns `None` if another process has it open: the run is then slower, but still correct.
pub(super) fn open_cache(args: Option<&CacheArgs>) -> Result<Option<Cache>, String> {
    let Some(args) = args else { return Ok(None) };
    match Cache::open(&args.path, args.recheck) {
        Ok((cache, refused)) => {
            refused.iter().for_each(|why| tracing::warn!("{why}"));
            Ok(Some(cache))
        }
        Err(error @ CacheError::InUse(_)) => {
            tracing::warn!("{error}: this run reads every repository");
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}
