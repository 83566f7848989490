//! Output files and file stores that are directories: a file in such a store is content, which no output may replace.

use std::path::{Path, PathBuf};

use manifest::files::{Scheme, StoreUrl};

/// Checks that an output file is not in the directory of a store. It would replace a file there, or be taken for one.
///
/// # Errors
/// Returns the flag, the file and the store if it is.
pub(crate) fn check_outside<'a>(
    stores: impl IntoIterator<Item = &'a StoreUrl>,
    flag: &str,
    path: &Path,
) -> Result<(), String> {
    // Standard output.
    if path == Path::new("-") {
        return Ok(());
    }
    let file = resolved(path).map_err(|error| format!("{flag} {}: {error}", path.display()))?;
    let mut directories = stores.into_iter().filter(|store| store.scheme() == Scheme::File);
    let inside = directories
        .find(|store| resolved(Path::new(store.path())).is_ok_and(|directory| file.starts_with(directory)));
    match inside {
        Some(store) => Err(format!(
            "{flag} {}: the file is in the store {store}: choose another directory",
            path.display()
        )),
        None => Ok(()),
    }
}

/// Returns an absolute path without links and `..`, as in the URL of a store. The path need not exist yet.
///
/// # Errors
/// If the current directory is not known.
pub(crate) fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let resolved = absolute.ancestors().find_map(|above| {
        let below = absolute.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(below))
    });
    Ok(resolved.unwrap_or(absolute))
}
