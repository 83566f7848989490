//! Local tokens: in a file, or on standard input.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::{self, File};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use transport::Secret;

use super::invalid_token::TOKEN_MAX;

/// The maximum number of bytes to read: a token, and whitespace around it.
const READ_MAX: u64 = TOKEN_MAX as u64 + 1024;
/// How long to wait for standard input.
const INPUT_TIME: Duration = Duration::from_secs(60);

/// The location of a token that the user provides (`--identity-token`).
#[derive(Debug)]
pub struct Given(Kind);

enum Kind {
    File(PathBuf),
    Input(Box<dyn AsyncRead + Send + Sync + Unpin>),
    /// The content of the input, kept because the input can be read only once.
    Read(Result<Secret, String>),
}

impl Given {
    /// A file. It is read whenever a token is needed, so another process may renew it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// Standard input, or a stream in its place. It is read once, to its end, when the first token is needed.
    pub fn input(input: impl AsyncRead + Send + Sync + Unpin + 'static) -> Self {
        Self(Kind::Input(Box::new(input)))
    }

    pub(super) async fn read(&mut self) -> Result<Secret, String> {
        let text = match &mut self.0 {
            Kind::File(path) => {
                let missing = || format!("{}: there is no such file", path.display());
                return file(path).await?.ok_or_else(missing);
            }
            Kind::Read(text) => return text.clone(),
            Kind::Input(input) => timeout(INPUT_TIME, read(input)).await.unwrap_or_else(|_| {
                Err(format!("it did not end within {} s; pipe the token in", INPUT_TIME.as_secs()))
            }),
        };
        let text = text.map_err(|why| format!("standard input: {why}"));
        self.0 = Kind::Read(text.clone());
        text
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Input(_) | Self::Read(_) => f.write_str("standard input"),
        }
    }
}

/// Returns the text of a file, or `None` if there is no such file.
pub(crate) async fn file(path: &Path) -> Result<Option<Secret>, String> {
    let fail = |why: String| format!("{}: {why}", path.display());
    let unreadable = |error: std::io::Error| fail(format!("cannot be read: {error}"));
    match fs::metadata(path).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
        // A pipe would return its token only once, and opening it would block until a process writes to it.
        Ok(metadata) if !metadata.is_file() => {
            return Err(fail("not a regular file; pipe the token in, with `-` as the file".to_owned()));
        }
        Ok(_) => {}
    }
    let mut file = File::open(path).await.map_err(unreadable)?;
    read(&mut file).await.map(Some).map_err(fail)
}

async fn read(from: &mut (impl AsyncRead + Unpin + ?Sized)) -> Result<Secret, String> {
    let mut text = String::new();
    from.take(READ_MAX + 1).read_to_string(&mut text).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => "not text, so not a token".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    match text.len() as u64 {
        0 => Err("it is empty".to_owned()),
        1..=READ_MAX => Ok(Secret::new(text)),
        _ => Err(format!("larger than {READ_MAX} bytes, the limit for a token")),
    }
}
