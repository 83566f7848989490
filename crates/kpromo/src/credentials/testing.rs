//! Shared functions for tests of credentials.

use std::path::Path;

use testkit::write_script;

use super::helper::program;

/// Writes a script as a credential helper to a directory.
pub(super) fn write_helper(directory: &Path, name: &str, script: &str) {
    write_script(&directory.join(program(name)), script);
}
