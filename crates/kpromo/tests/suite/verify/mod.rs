//! `kpromo verify` as a user runs it: results, output and exit codes. The signatures are made with the tests' own keys.

mod command_line;
mod images;
mod lists;
mod scene;
