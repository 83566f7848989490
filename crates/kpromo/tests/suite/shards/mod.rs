//! Shards of one promotion, each a process of its own.

mod command_line;
mod owners;
mod scene;
mod union;
