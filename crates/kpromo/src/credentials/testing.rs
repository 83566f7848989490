//! Shared functions for tests of credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::helper::program;

/// Writes a script as a credential helper to a directory.
pub(super) fn write_helper(directory: &Path, name: &str, script: &str) {
    let file = directory.join(program(name));
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}
