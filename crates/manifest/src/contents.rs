//! The content of a manifest file: bounded in size, and validated as text before it is parsed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use oci_types::text::visible;

use super::diagnostic::Diagnostic;
use super::source::Source;

/// The maximum size of a manifest, in bytes. The largest manifest of Kubernetes has about 200 KB.
pub(super) const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The content of a file, from disk or from a commit.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// The name of the file in messages.
    pub(super) file: Arc<str>,
    pub(super) bytes: Vec<u8>,
}

impl Contents {
    /// Reads a regular file of at most [`FILE_MAX`] bytes.
    pub(super) fn read(path: &Path) -> Result<Self, Diagnostic> {
        let file = shown(path);
        match bounded(path) {
            Ok(bytes) => Ok(Self { file, bytes }),
            Err(Unread::Wrong(problem)) => Err(Diagnostic::of_file(&file, problem)),
            Err(Unread::Failed(error)) => Err(cannot_read(&file, &error)),
        }
    }

    /// Takes the content of a file that was read before, of at most [`FILE_MAX`] bytes.
    pub(super) fn of(file: &str, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let file = Arc::from(file);
        match bytes.len() as u64 > FILE_MAX {
            true => Err(Diagnostic::of_file(&file, too_large())),
            false => Ok(Self { file, bytes }),
        }
    }

    /// Returns the content as text.
    ///
    /// # Errors
    /// If the content is not text: the error has the position of the first invalid byte.
    pub(super) fn text(&self) -> Result<Source<'_>, Diagnostic> {
        let (text, problem) = match std::str::from_utf8(&self.bytes) {
            Ok(text) => match text.find('\0') {
                None => return Ok(Source::new(&self.file, text)),
                Some(at) => (&text[..at], "a binary file, not a manifest: here is a zero byte"),
            },
            Err(error) => {
                let (text, _) = self.bytes.split_at(error.valid_up_to());
                (std::str::from_utf8(text).unwrap_or_default(), "not UTF-8 text: here is an invalid byte")
            }
        };
        let source = Source::new(&self.file, text);
        Err(Diagnostic::at(&source, source.end(), problem))
    }
}

fn too_large() -> String {
    format!("larger than {} MiB, the limit for a manifest", FILE_MAX >> 20)
}

/// Why a file is not read.
enum Unread {
    /// Reading failed.
    Failed(io::Error),
    /// The file is of a kind or size that is not read.
    Wrong(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn bounded(path: &Path) -> Result<Vec<u8>, Unread> {
    // The file type is checked before opening: opening a pipe would block until another process writes to it.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Unread::Wrong("not a regular file".to_owned()));
    }
    if metadata.len() > FILE_MAX {
        return Err(Unread::Wrong(too_large()));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    // The file may have grown since its size was read.
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX { Err(Unread::Wrong(too_large())) } else { Ok(bytes) }
}

/// The error for a file or a directory that cannot be read.
pub(super) fn cannot_read(file: &Arc<str>, error: &io::Error) -> Diagnostic {
    let text = error.to_string();
    // Drop the error number, which adds no information to the text.
    let text = text.split(" (os error ").next().unwrap_or(&text);
    Diagnostic::about(file, format!("cannot read {file}: {text}"))
}

/// The name of a path in messages, with control characters escaped.
pub(super) fn shown(path: &Path) -> Arc<str> {
    visible(&path.to_string_lossy()).into()
}

#[cfg(test)]
mod tests {
    use super::super::source::Position;
    use super::*;

    #[test]
    fn content_that_is_not_text_is_refused_with_its_position() {
        for bytes in [&b"ab\nc\xff\xfed"[..], b"ab\nc\0d"] {
            let contents = Contents { file: "f.yaml".into(), bytes: bytes.to_vec() };
            let Err(error) = contents.text() else { panic!("{bytes:?} is text") };
            assert_eq!(error.position(), Some(Position { line: 2, column: 2 }), "{error}");
        }
    }
}
