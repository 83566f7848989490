//! Vulnerabilities: runs that only scan, and the gate within a promotion, by the binary.

mod attested;
mod files;
mod gate;
mod survey;
mod world;
