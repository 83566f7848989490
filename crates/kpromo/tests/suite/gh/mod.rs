//! Releases of GitHub to object stores, as a user runs it.

mod copying;
mod faults;
mod interrupted;
mod limits;
mod listing;
mod object_stores;
mod recorded;
mod scene;
mod wrong;
