//! The parts of the documentation that are generated from the code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use support::{Desk, kpromo_with};

fn is_up_to_date(part: &str, file: &str, page: &str) {
    let ran = kpromo_with(&["reference", part]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout == page, "docs/reference/{file} is stale: run `cargo xtask docs`");
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    is_up_to_date("commands", "cli.md", include_str!("../../../docs/reference/cli.md"));
}

#[test]
fn the_page_of_environment_variables_is_up_to_date() {
    is_up_to_date("environment", "environment.md", include_str!("../../../docs/reference/environment.md"));
}

#[test]
fn each_command_has_a_man_page() {
    let desk = Desk::new();
    let ran = kpromo_with(&["reference", "man", desk.path("").to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let names = desk.names();
    for name in ["kpromo.1", "kpromo-cip.1", "kpromo-verify.1", "kpromo-run-files.1"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("reference")), "hidden commands have no page: {names:?}");
    let page = std::fs::read_to_string(desk.path("kpromo-cip.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("\\-\\-thin\\-manifest\\-dir"), "{page}");

    let ran = kpromo_with(&["reference", "man", desk.path("none").to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("the man pages cannot be written to"), "{}", ran.stderr);
}

#[test]
fn the_reference_is_not_in_the_help() {
    let ran = kpromo_with(&["--help"]);
    assert!(!ran.stdout.contains("reference"), "{}", ran.stdout);
}
