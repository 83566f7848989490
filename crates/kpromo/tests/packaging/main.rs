//! What people install and deploy: the container image, the recipes for CI systems, and the files for Kubernetes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod github;
mod gitlab;
mod image;
mod job;
mod kubernetes;
mod pipelines;
mod summary;
#[path = "../support/mod.rs"]
mod support;
mod world;
