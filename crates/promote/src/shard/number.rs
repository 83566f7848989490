//! The number of a shard: `INDEX/COUNT`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One of the parts that a promotion is divided into. Indices begin with 0, like those of a Kubernetes Indexed Job: four shards
/// are `0/4`, `1/4`, `2/4` and `3/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: NonZeroU32,
}

/// Two numbers, or a text, that do not name a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShard {
    /// The text is not two numbers with a slash between them.
    #[error("a shard is INDEX/COUNT, with an index from 0, such as 0/4")]
    Form,
    /// There is no shard with this index.
    #[error("there is no shard {0} of {1}: an index is from 0 to COUNT - 1")]
    Index(u32, u32),
    /// There are no shards.
    #[error("the number of shards is at least 1")]
    NoShards,
}

impl Shard {
    /// Returns the shard with an index, from 0, of this number of shards.
    ///
    /// # Errors
    /// If the number of shards is 0, or the index is not below it.
    pub fn new(index: u32, count: u32) -> Result<Self, InvalidShard> {
        let all = NonZeroU32::new(count).ok_or(InvalidShard::NoShards)?;
        if index < count { Ok(Self { index, count: all }) } else { Err(InvalidShard::Index(index, count)) }
    }

    /// Parses a shard from an index and a count, as in environment variables.
    ///
    /// # Errors
    /// If the texts are not decimal numbers, or do not name a shard.
    pub fn of_texts(index: &str, count: &str) -> Result<Self, InvalidShard> {
        Self::new(number(index)?, number(count)?)
    }

    /// Returns the index, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Returns the number of shards.
    pub fn count(self) -> NonZeroU32 {
        self.count
    }
}

/// Parses a decimal number without a sign.
fn number(text: &str) -> Result<u32, InvalidShard> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal).ok_or(InvalidShard::Form)
}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let (index, count) = text.split_once('/').ok_or(InvalidShard::Form)?;
        Self::of_texts(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.index, self.count)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_displayed_and_serialized_as_it_is_parsed() {
        for text in ["0/1", "0/4", "3/4", "4294967294/4294967295"] {
            assert_eq!(text.parse::<Shard>().map(|shard| shard.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(serde_json::to_value(Shard::new(0, 4).unwrap()).unwrap(), "0/4");
    }

    #[test]
    fn invalid_shards_are_refused() {
        for text in ["", "/", "1", "0/", "/4", "-1/4", "+1/4", "0/+4", "a/b", "0/4/4", " 0/4", "0/4294967296"]
        {
            assert_eq!(text.parse::<Shard>(), Err(InvalidShard::Form), "{text}");
        }
        assert_eq!("4/4".parse::<Shard>(), Err(InvalidShard::Index(4, 4)));
        assert_eq!("0/0".parse::<Shard>(), Err(InvalidShard::NoShards));
    }
}
