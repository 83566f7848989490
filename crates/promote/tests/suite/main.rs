//! The integration tests of promotion, in one program: it is built and linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod attached;
mod auditing;
mod cache;
mod crash_points;
mod evidence;
mod fault_points;
mod gate;
mod gate_property;
mod lagging;
mod promotion;
mod provenance;
mod repair;
mod scanning;
mod sigcheck;
mod signing;
mod support;
mod two_runs;
mod wild;
