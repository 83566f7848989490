//! The integration tests of kpromo, in one program: it is built and linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod advice;
mod cip;
mod concurrency;
mod configuration;
mod documented;
mod dry_run;
mod external;
mod failures;
mod files;
mod front;
mod gh;
mod lint;
mod outputs;
mod packaging;
mod pages;
mod pr;
mod reference;
mod rejected;
mod reports;
mod scanning;
mod shards;
mod sigcheck;
mod snapshot;
mod support;
mod trust;
mod verify;
