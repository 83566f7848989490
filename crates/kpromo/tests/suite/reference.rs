//! The parts of the documentation that are generated from the code.

use std::fs;
use std::path::PathBuf;

use crate::support::{Desk, kpromo_with, schema};
use serde_json::Value;

fn is_up_to_date(part: &str, file: &str, page: &str) {
    let ran = kpromo_with(&["reference", part]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout == page, "docs/reference/{file} is stale: run `cargo xtask docs`");
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    is_up_to_date("commands", "cli.md", include_str!("../../../../docs/reference/cli.md"));
}

#[test]
fn the_page_of_environment_variables_is_up_to_date() {
    is_up_to_date("environment", "environment.md", include_str!("../../../../docs/reference/environment.md"));
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
    let page = fs::read_to_string(desk.path("kpromo-cip.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("\\-\\-thin\\-manifest\\-dir"), "{page}");

    let ran = kpromo_with(&["reference", "man", desk.path("none").to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("the man pages cannot be written to"), "{}", ran.stderr);
}

#[test]
fn the_schemas_are_up_to_date() {
    let desk = Desk::new();
    let ran = kpromo_with(&["reference", "schemas", desk.path("").to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let names: Vec<String> = schema::names().iter().map(|name| format!("{name}.schema.json")).collect();
    assert_eq!(desk.names(), names, "docs/reference/schemas is stale: run `cargo xtask docs`");
    let page = include_str!("../../../../docs/reference/schemas.md");
    for name in names {
        let is_current = read(desk.path(&name)) == read(schema::directory().join(&name));
        assert!(is_current, "docs/reference/schemas/{name} is stale: run `cargo xtask docs`");
        assert!(page.contains(&format!("(schemas/{name})")), "{name} is not in docs/reference/schemas.md");
    }

    let ran = kpromo_with(&["reference", "schemas", desk.path("none").to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("the schemas cannot be written to"), "{}", ran.stderr);
}

/// Editors and readers see the descriptions.
#[test]
fn each_field_in_the_schemas_has_a_description() {
    fn undescribed(schema: &Value, place: &str, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                for (key, member) in members {
                    if let ("properties", Value::Object(fields)) = (key.as_str(), member) {
                        let lacking = fields
                            .iter()
                            .filter(|(_, field)| field.is_object() && field.get("description").is_none());
                        found.extend(lacking.map(|(name, _)| format!("{place}/{name}")));
                    }
                    // Conditions repeat fields that are described elsewhere.
                    if !matches!(key.as_str(), "if" | "then") {
                        undescribed(member, &format!("{place}/{key}"), found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| undescribed(item, place, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for name in schema::names() {
        let text = fs::read_to_string(schema::directory().join(format!("{name}.schema.json"))).unwrap();
        undescribed(&serde_json::from_str(&text).unwrap(), name, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_version_satisfies_its_schema() {
    let ran = kpromo_with(&["version", "--json"]);
    schema::is_strict("version", &serde_json::from_str(&ran.stdout).unwrap());
}

#[test]
fn the_reference_is_not_in_the_help() {
    let ran = kpromo_with(&["--help"]);
    assert!(!ran.stdout.contains("reference"), "{}", ran.stdout);
}
