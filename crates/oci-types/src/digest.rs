//! Content digests (OCI image specification, *Descriptors: Digests*).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash algorithms that the OCI specification registers and that registries verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which practically all images use.
    Sha256,
    /// SHA-512, which the specification registers but which is rare.
    Sha512,
}

impl Algorithm {
    /// Returns the name of the algorithm, as it is written before the colon of a digest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns a new hasher.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// A content digest: an algorithm and the hash in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// A SHA-256 hash.
    Sha256([u8; 32]),
    /// A SHA-512 hash.
    Sha512([u8; 64]),
}

/// The text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits"
)]
pub struct InvalidDigest {
    text: String,
}

impl Digest {
    /// A regular expression for digests (ECMA-262, as in JSON Schemas).
    pub const PATTERN: &str = "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$";

    /// Returns the SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Returns the hash without the algorithm, in bytes.
    pub fn hash(&self) -> &[u8] {
        match self {
            Self::Sha256(hash) => hash,
            Self::Sha512(hash) => hash,
        }
    }

    /// Returns the hash without the algorithm, in hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.hash())
    }

    /// Returns `true` if this is the digest of `bytes`.
    pub fn names(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.algorithm().hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())?;
        f.write_str(":")?;
        self.hash().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        fn hash<const N: usize>(digits: &str) -> Option<[u8; N]> {
            let mut hash = [0; N];
            // `hex` also accepts upper-case digits, but a digest has only one spelling.
            let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (lower && hex::decode_to_slice(digits, &mut hash).is_ok()).then_some(hash)
        }
        let parsed = match text.split_once(':') {
            Some(("sha256", digits)) => hash(digits).map(Self::Sha256),
            Some(("sha512", digits)) => hash(digits).map(Self::Sha512),
            _ => None,
        };
        // The input is untrusted, so the error contains at most 160 characters of it.
        parsed.ok_or_else(|| InvalidDigest { text: text.chars().take(160).collect() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Computes a [`Digest`] of data that arrives in pieces.
#[derive(Clone)]
pub enum Hasher {
    /// Computes a SHA-256 digest.
    Sha256(Sha256),
    /// Computes a SHA-512 digest.
    Sha512(Sha512),
}

impl Hasher {
    /// Adds a piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all pieces.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_parsed_and_formatted_in_its_only_form() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest, Digest::of(b""));
        assert_eq!(digest.to_string(), EMPTY);
        let long = format!("sha512:{}", "ab".repeat(64));
        assert_eq!(long.parse::<Digest>().unwrap().to_string(), long);
    }

    #[test]
    fn other_forms_are_rejected() {
        let upper = EMPTY.to_uppercase();
        let upper_hex = format!("sha256:{}", "AB".repeat(32));
        for text in
            ["", "sha256:", "sha256:abc", "md5:00", &upper, &upper_hex, &format!("{EMPTY} "), "sha512:00"]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Algorithm::Sha256.hasher();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
        assert!(Digest::of(b"abc").names(b"abc"));
        assert!(!Digest::of(b"abc").names(b"abd"));
    }
}
