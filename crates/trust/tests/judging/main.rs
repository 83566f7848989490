//! Which images pass under which policy: each rule, with images that pass and images that do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests report failures as panics")]

mod image;
mod index;
mod others;
mod parts;
mod support;
mod unattested;
