//! Which images pass under which policy: each rule with what it lets pass and what it does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod image;
mod index;
mod others;
mod parts;
mod support;
mod unattested;
