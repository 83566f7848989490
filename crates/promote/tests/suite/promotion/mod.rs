//! Promotions between embedded registries over HTTP. The tests count every request.

mod authentication;
mod failures;
mod requests;
mod verdicts;
mod worlds;
