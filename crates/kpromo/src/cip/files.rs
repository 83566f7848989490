//! The files that a run of `kpromo cip` writes: checked and opened before the first request.

use promote::{Cache, CacheError};

use crate::args::{CacheArgs, CipArgs};
use crate::output::{check_file, check_folder};

/// Checks that all output files can be written, before the first request.
pub(super) fn check_outputs(args: &CipArgs) -> Result<(), String> {
    args.output_plan.as_deref().map_or(Ok(()), |path| check_file(path, "plan"))?;
    crate::report::check(&args.report)?;
    let spool = args.spool.directory.as_deref().filter(|_| args.spool.limit > 0);
    spool.map_or(Ok(()), |folder| check_folder(folder, "blobs that wait for registries"))
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
