//! Provenance and Validate between embedded registries: attachments of staging images decide whether they are promoted, and
//! reading them costs the expected number of requests. These tests sign with keys. The tests of certificate identities are in
//! `judging` of the crate `trust`, and those with real signing services in kpromo.

mod images;
mod indexes;
mod late;
mod scene;
