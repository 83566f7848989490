//! `kpromo pr` and `kpromo manifest add`, against a forge with real git and an embedded registry.

mod add;
mod branches;
mod dry_run;
mod hooks;
mod interrupted;
mod policy;
mod recorded;
mod refused;
mod repeated;
mod scene;
mod secrets;
