//! Shards: the parts of a promotion that separate processes carry out. Each takes whole destination hosts.

mod hosts;
mod number;
mod promotion;

pub use hosts::ShardHosts;
pub use number::{InvalidShard, Shard};
