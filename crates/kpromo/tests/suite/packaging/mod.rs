//! What people install and deploy: the container image, the recipes for CI systems, and the files for Kubernetes.

mod github;
mod gitlab;
mod image;
mod job;
mod kubernetes;
mod pipelines;
mod summary;
mod world;
