//! The page of results.

use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum as _;

use crate::error::Error;
use crate::machine::Setting;
use crate::record::{Section, Table, Target};
use crate::scenario::Scenario;

/// The maximum length of a line in a paragraph, in characters.
const WIDTH: usize = 120;

const INTRODUCTION: &str = "\
`cargo xtask bench` stores the results of each scenario in a file in `target/bench` and generates this page from all stored \
results. To change the page, change the benchmark.

The release binary runs as users run it. The registries are embedded ones in another process on the same machine, \
filled without HTTP and reached over loopback; they share the processors with the measured programs. The registries count \
requests, refusals (429) and bytes. Wall time is from start to exit. Processor time (user and system) and peak memory are those \
of the measured processes alone, as the system reports them; peak memory is that of the process with the highest peak. Of \
several runs, the one with the median wall time is shown. The minimum time under a quota is (served requests − burst) ÷ rate of \
the busiest host. 1 MB is 10⁶ bytes.";

/// Writes the page of all results in a directory, in the order of the scenarios.
pub(crate) fn write(results: &Path, page: &Path) -> Result<(), Error> {
    let mut sections = Vec::new();
    for scenario in Scenario::value_variants() {
        let path = results.join(format!("{}.json", scenario.name()));
        if !path.exists() {
            continue;
        }
        let text = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        let kept: Section =
            serde_json::from_slice(&text).map_err(|source| Error::Invalid { path, source })?;
        sections.push(kept);
    }
    std::fs::write(page, whole(&sections)).map_err(Error::file("writing", page))
}

fn whole(sections: &[Section]) -> String {
    let mut text = "# Performance\n\n".to_owned();
    for paragraph in INTRODUCTION.split("\n\n") {
        text.push_str(&wrapped(paragraph));
        text.push('\n');
    }
    text.push_str(&settings(sections));
    for kept in sections {
        text.push('\n');
        text.push_str(&section(kept));
    }
    text
}

/// Returns the machines and program versions of the measurements: once, or once for each group of sections that share them.
fn settings(sections: &[Section]) -> String {
    let mut groups: Vec<(&Setting, Vec<&str>)> = Vec::new();
    for section in sections {
        match groups.iter_mut().find(|(setting, _)| *setting == &section.setting) {
            Some((_, titles)) => titles.push(&section.title),
            None => groups.push((&section.setting, vec![&section.title])),
        }
    }
    let is_one = groups.len() == 1;
    let described = groups.into_iter().map(|(setting, titles)| {
        let of = if is_one { String::new() } else { format!(" ({})", titles.join("; ")) };
        let versions: Vec<_> =
            setting.versions.iter().map(|(name, version)| described(name, version)).collect();
        let line = format!(
            "Measured on {}{of}: {} cores of {}, {} GiB of memory, Linux {}; {}.",
            setting.date,
            setting.cores,
            setting.processor,
            setting.memory_gibibytes,
            setting.kernel,
            versions.join(", ")
        );
        wrapped(&line)
    });
    described.collect::<Vec<_>>().join("\n")
}

/// Returns a version after its program's name, unless the version begins with that name.
fn described(name: &str, version: &str) -> String {
    if version.starts_with(name) { version.to_owned() } else { format!("{name} {version}") }
}

/// Returns one section as Markdown that is also readable in a terminal.
pub(crate) fn section(section: &Section) -> String {
    let mut text = format!("## {}\n\n{}", section.title, wrapped(&section.about));
    if section.runs > 1 {
        text.push_str(&format!("\nMedian of {} runs of kpromo.\n", section.runs));
    }
    let targets =
        Table::new(&["metric", "target", "measured", "reached"], section.targets.iter().map(row).collect());
    let tables = section.tables.iter().chain((!section.targets.is_empty()).then_some(&targets));
    for shown in tables {
        text.push('\n');
        text.push_str(&table(shown));
    }
    if !section.notes.is_empty() {
        text.push('\n');
    }
    for note in &section.notes {
        text.push_str(&wrapped(&format!("- {note}")));
    }
    text
}

fn row(target: &Target) -> Vec<String> {
    let reached = if target.reached { "yes" } else { "**no**" };
    vec![target.what.clone(), target.target.clone(), target.measured.clone(), reached.to_owned()]
}

/// Returns a table with columns as wide as their cells. All columns but the first are right-aligned.
fn table(table: &Table) -> String {
    let widths: Vec<usize> = (0..table.head.len())
        .map(|column| {
            let cells =
                std::iter::once(&table.head).chain(&table.rows).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            // Writing to a `String` cannot fail.
            let _ = if column == 0 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
    };
    line(&table.head);
    let rule = |(column, width): (usize, &usize)| {
        let dashes = "-".repeat(width - usize::from(column > 0));
        if column == 0 { dashes } else { format!("{dashes}:") }
    };
    line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>());
    table.rows.iter().for_each(|row| line(row));
    text
}

/// Wraps a paragraph. In an item of a list, the lines after the first are indented.
fn wrapped(paragraph: &str) -> String {
    let indent = if paragraph.starts_with("- ") { "  " } else { "" };
    let (mut text, mut length) = (String::new(), 0);
    for word in paragraph.split_whitespace() {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > WIDTH {
            text.push('\n');
            text.push_str(indent);
            length = indent.len();
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += width;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let shown = Table::new(&["", "wall"], vec![cells(["kpromo", "1.00 s"]), cells(["crane", "12.5 s"])]);
        let expected = "\
|        |   wall |
| ------ | -----: |
| kpromo | 1.00 s |
| crane  | 12.5 s |
";
        assert_eq!(table(&shown), expected);
    }

    #[test]
    fn a_long_note_is_wrapped_and_indented() {
        let text = wrapped(&format!("- {}", "word ".repeat(30)));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("- word") && lines[1].starts_with("  word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn the_page_shows_stored_results_and_the_error_names_a_damaged_one() {
        let directory = tempfile::tempdir().unwrap();
        let setting = Setting {
            date: "2026-01-31".to_owned(),
            cores: 2,
            memory_gibibytes: 8,
            processor: "a processor".to_owned(),
            kernel: "6.1".to_owned(),
            versions: vec![("crane".to_owned(), "v1".to_owned())],
        };
        let kept = Section {
            title: "A small thing".to_owned(),
            about: "What is done.".to_owned(),
            setting,
            runs: 3,
            tables: Vec::new(),
            targets: vec![Target::exactly("requests", 2, 1, crate::show::count)],
            notes: vec!["a note".to_owned()],
            raw: Vec::new(),
        };
        let file = directory.path().join("small-world.json");
        std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
        let page = directory.path().join("page.md");
        write(directory.path(), &page).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("Measured on 2026-01-31: 2 cores of a processor"), "{text}");
        assert!(text.contains("## A small thing") && text.contains("**no**"), "{text}");
        std::fs::write(&file, "{").unwrap();
        let error = write(directory.path(), &page).unwrap_err().to_string();
        assert!(error.contains("small-world.json"), "{error}");
    }
}
