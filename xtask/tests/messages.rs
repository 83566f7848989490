//! Every message that the guide explains is in the code.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::fs;
use std::path::Path;

/// Returns the messages in the first column of the guide's tables, each split at the ellipses, which stand for any text.
fn messages(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| format!("`{line}"));
    let cells = rows.filter_map(|row| row.split(" | ").next().map(str::to_owned));
    let parts = |cell: String| {
        // A code span has one backtick or two on each side. Text may follow it.
        let fence = if cell.starts_with("``") { "``" } else { "`" };
        let code = cell.trim_start_matches('`').split(fence).next().unwrap_or_default().to_owned();
        code.split('…').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    cells.map(parts).collect()
}

/// Adds the sources below a directory to `all`, with string literals that span lines joined.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&joined(&fs::read_to_string(path).unwrap()));
        }
    }
}

/// Joins lines that end with a backslash.
fn joined(source: &str) -> String {
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

#[test]
fn the_messages_of_the_guide_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/guide/messages.md")).unwrap();
    let mut code = String::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let directory = entry.unwrap().path().join("src");
        if directory.is_dir() {
            sources(&directory, &mut code);
        }
    }
    let messages = messages(&page);
    assert!(messages.len() > 30, "{messages:?}");
    let missing: Vec<_> = messages.iter().flatten().filter(|part| !code.contains(part.as_str())).collect();
    assert!(missing.is_empty(), "no message of the code has {missing:?}: correct docs/guide/messages.md");
}

#[test]
fn messages_are_read_from_the_tables() {
    let page =
        "| message | cause |\n|---|---|\n| `one … two` after `x` | why |\n| `` three `four` `` | `why` |\n";
    let expected = [vec!["one", "two"], vec!["three `four`"]];
    assert_eq!(
        messages(page),
        expected.map(|parts| parts.into_iter().map(str::to_owned).collect::<Vec<_>>())
    );
    assert_eq!(joined("\"one \\\n     two\""), "\"one two\"");
}
