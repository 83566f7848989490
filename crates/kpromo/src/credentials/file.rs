//! Files that may hold credentials.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The bytes of a file of at most `limit` bytes; `None` where there is no such file.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    match fs::metadata(path) {
        // `/dev/null` is the home of some users.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
        // Opening a pipe would wait for a writer.
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit { Err(format!("larger than {limit} bytes")) } else { Ok(Some(bytes)) }
}

/// The path of a file, and that it does not exist where that is so.
pub(super) fn with_existence(path: &Path) -> String {
    let note = if path.exists() { "" } else { " (does not exist)" };
    format!("{}{note}", path.display())
}
