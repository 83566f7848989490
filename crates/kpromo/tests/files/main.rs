//! Promotion of files, as a user runs it.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod folders;
mod manifest_files;
mod recorded;
mod stores;
