//! Files that may contain credentials.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Reads a file of at most `limit` bytes. Returns `None` if there is no such file.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    match fs::metadata(path) {
        // Some users have the home directory `/dev/null`.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
        // Opening a pipe would block until a process writes to it.
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit { Err(format!("larger than {limit} bytes")) } else { Ok(Some(bytes)) }
}

/// Returns the path of a file, with a note if the file does not exist.
pub(super) fn with_existence(path: &Path) -> String {
    let note = if path.exists() { "" } else { " (does not exist)" };
    format!("{}{note}", path.display())
}
