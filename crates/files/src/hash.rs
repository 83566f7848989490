//! Hashes of content, computed in one pass over a stream.

use manifest::files::Sha256;
use md5::{Digest as _, Md5};

/// The hashes of some content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The size, in bytes.
    pub size: u64,
    /// The SHA-256.
    pub sha256: Sha256,
    /// The CRC32C, which Google Cloud Storage has for every object.
    pub crc32c: u32,
    /// The MD5, which stores have for objects that were written in one request. `None` if it was not computed.
    pub md5: Option<[u8; 16]>,
}

/// Computes the hashes of some content.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    size: u64,
    sha256: sha2::Sha256,
    crc32c: u32,
    md5: Option<Md5>,
}

impl Hasher {
    /// Creates a hasher for SHA-256 and CRC32C.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a hasher that also computes the MD5.
    pub fn with_md5() -> Self {
        Self { md5: Some(Md5::new()), ..Self::default() }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Returns the number of bytes hashed so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the hashes.
    pub fn finish(self) -> Hashes {
        Hashes {
            size: self.size,
            sha256: Sha256::new(self.sha256.finalize().into()),
            crc32c: self.crc32c,
            md5: self.md5.map(|md5| md5.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hashes_cover_the_whole_content() {
        let mut hasher = Hasher::with_md5();
        hasher.update(b"1234");
        hasher.update(b"56789");
        let hashes = hasher.finish();
        assert_eq!(hashes.size, 9);
        assert_eq!(hashes.crc32c, 0xe306_9283, "the check value of CRC32C");
        assert_eq!(
            hashes.sha256.to_string(),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
        let expected =
            [0x25, 0xf9, 0xe7, 0x94, 0x32, 0x3b, 0x45, 0x38, 0x85, 0xf5, 0x18, 0x1f, 0x1b, 0x62, 0x4d, 0x0b];
        assert_eq!(hashes.md5, Some(expected));
        assert_eq!(Hasher::new().finish().md5, None);
    }
}
