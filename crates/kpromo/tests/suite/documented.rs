//! What the documentation shows exists: the commands and flags in its blocks, and the fields of its configurations.

use crate::support::page::{all, blocks};
use crate::support::{Desk, kpromo_with, schema};

/// All commands with their flags. Another test compares it with the code.
const COMMANDS: &str = include_str!("../../../../docs/reference/cli.md");

/// Returns what the reference says of a command, such as `kpromo manifest add`.
fn section(command: &str) -> Option<&'static str> {
    let (_, rest) = COMMANDS.split_once(&format!("\n## `{command}`\n"))?;
    rest.split("\n## ").next()
}

/// Returns what is wrong with the calls of kpromo in a text, and the number of calls.
fn check(text: &str) -> (Vec<String>, usize) {
    let (mut wrong, mut calls) = (Vec::new(), 0);
    for line in text.replace("\\\n", " ").lines() {
        let before = line.find("kpromo ").filter(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let Some(at) = before else { continue };
        let words: Vec<&str> = line[at..].split_whitespace().collect();
        // A word that is not a command is the start of a sentence or a placeholder.
        let is_command = words.get(1).is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
        if !is_command {
            continue;
        }
        calls += 1;
        let found = [3_usize, 2].iter().find_map(|length| section(&words.get(..*length)?.join(" ")));
        let Some(section) = found else {
            wrong.push(format!("unknown command: {line}"));
            continue;
        };
        let words =
            words.into_iter().take_while(|word| !matches!(*word, "|" | "&&" | ";" | ">" | ">>" | "#"));
        for flag in words.filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or_default().trim_end_matches([',', ';', '"', '`']);
            let known =
                |text: &str| [" ", "`", "[", "="].iter().any(|end| text.contains(&format!("`{flag}{end}")));
            if !known(section) && !section_of_all().is_some_and(known) {
                wrong.push(format!("unknown flag {flag}: {line}"));
            }
        }
    }
    (wrong, calls)
}

/// Returns the section with the flags of all commands.
fn section_of_all() -> Option<&'static str> {
    section("kpromo")
}

#[test]
fn commands_and_flags_in_the_blocks_of_all_pages_exist() {
    let (mut wrong, mut calls) = (Vec::new(), 0);
    for (file, page) in all() {
        let prose = ["", "text", "yaml", "json", "rust"];
        for block in blocks(&page) {
            // Only commands: in other blocks `kpromo` may be a word of a text.
            if prose.contains(&block.language.as_str()) && !block.text.contains("kpromo cip") {
                continue;
            }
            let (found, number) = check(&block.text);
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", file.display())));
            calls += number;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(calls > 60, "{calls}");
}

#[test]
fn commands_and_flags_that_do_not_exist_are_found() {
    let text = "$ kpromo cip --manifest m.yaml --no-such=1 | tee --no-other\n$ kpromo promote x\n\
                $ kpromo manifest add a b c --dir d --log-level debug\n  kpromo lint \\\n  --bases x\n";
    let (wrong, calls) = check(text);
    assert_eq!(calls, 4);
    let begins: Vec<&str> = wrong.iter().map(|what| what.split(':').next().unwrap()).collect();
    assert_eq!(begins, ["unknown flag --no-such", "unknown command", "unknown flag --bases"]);
}

#[test]
fn the_configurations_in_the_pages_are_valid() {
    let desk = Desk::new();
    desk.key_pair();
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let manifest =
        desk.manifest("staging.example", &["registry.example".to_owned()], &[("app", digest, &["v1"])]);
    let mut checked = 0;
    for (file, page) in all() {
        for block in blocks(&page).iter().filter(|block| block.text.starts_with("# kpromo.yaml\n")) {
            let config = desk.write("kpromo.yaml", &block.text);
            let [config, manifest] = [&config, &manifest].map(|path| path.to_str().unwrap());
            let ran = kpromo_with(&["cip", "--config", config, "--manifest", manifest, "--parse-only"]);
            // A page may name files of its reader. These are read after the fields are checked.
            let is_valid = ran.code == 0 || ran.stderr.contains(": No such file");
            assert!(is_valid, "{}:\n{}\n{}", file.display(), block.text, ran.stderr);
            let document = serde_saphyr::from_str(&block.text).unwrap();
            let checked_by_schema = schema::check("config", &document);
            assert_eq!(checked_by_schema, Ok(()), "{}:\n{}", file.display(), block.text);
            checked += 1;
        }
    }
    assert!(checked > 4, "{checked}");
}
