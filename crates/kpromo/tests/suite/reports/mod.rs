//! What a run tells programs and people: reports as JSON and as a page, metrics, and errors as JSON.

mod browser;
mod json_log;
mod merging;
mod metrics;
mod page;
mod schema;
mod trace;
mod world;
