//! `kpromo sigcheck`, and `--repair` of `kpromo cip`, as a user runs them.

mod command_line;
mod interrupted;
mod repair;
mod scene;
