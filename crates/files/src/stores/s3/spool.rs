//! Stores parts that are too large for memory in a temporary file, because the hash of a part is needed before its content is sent.

use std::io::{self, SeekFrom};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{StreamExt as _, unfold};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use transport::Body;

/// The size of the read buffer, in bytes.
const PIECE: usize = 256 * 1024;

/// A part in a temporary file without a name.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// The size of a whole part, in bytes.
    part: u64,
    size: u64,
    hasher: sha2::Sha256,
}

impl Spool {
    pub(super) fn new(part: u64) -> io::Result<Self> {
        let file = File::from_std(tempfile::tempfile()?);
        Ok(Self { file, part, size: 0, hasher: sha2::Sha256::new() })
    }

    /// Adds content.
    pub(super) async fn add(&mut self, content: &Bytes) -> io::Result<()> {
        self.file.write_all(content).await?;
        self.size += content.len() as u64;
        self.hasher.update(content);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Returns whether there is a whole part.
    pub(super) fn is_full(&self) -> bool {
        self.size >= self.part
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Returns the content as a body. Only one body may be in use at a time, because it moves the position in the file.
    pub(super) async fn body(&mut self) -> io::Result<Body> {
        self.file.flush().await?;
        let mut file = self.file.try_clone().await?;
        file.seek(SeekFrom::Start(0)).await?;
        let stream = unfold(Some(file), |file| async move {
            let mut file = file?;
            let mut piece = BytesMut::with_capacity(PIECE);
            match file.read_buf(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(piece.freeze()), Some(file))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Body::Stream { length: self.size, stream: stream.boxed() })
    }

    /// Removes the content.
    pub(super) async fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        (self.size, self.hasher) = (0, sha2::Sha256::new());
        Ok(())
    }
}
