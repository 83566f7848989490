//! Promotion of files, as a user runs it.

mod answers;
mod changes;
mod conditions;
mod copying;
mod directories;
mod faults;
mod large_parts;
mod manifest_files;
mod page;
mod recorded;
mod scene;
pub(crate) mod stores;
mod trace;
mod uploads;
