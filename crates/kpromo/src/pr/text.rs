//! The texts of a proposal: the branch, the title, the body.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use manifest::edit::Addition;
use oci::Tag;
use oci_types::text::printable;

use crate::args::PrArgs;

/// The maximum number of rows of the table. GitHub accepts 65,536 characters.
const ROWS_MAX: usize = 200;

/// A row of the table of images.
pub(super) struct Row {
    pub(super) addition: Addition,
    /// The platforms, or the kind of the image if it has none.
    pub(super) platforms: String,
}

/// Returns the name of the branch.
pub(super) fn branch(args: &PrArgs) -> String {
    let tag = args.tags.first().map(ToString::to_string).unwrap_or_default();
    format!("{}-{tag}-image-promotion", args.project)
}

fn subject(args: &PrArgs) -> String {
    let tags: Vec<String> = args.tags.iter().map(ToString::to_string).collect();
    format!("Image promotion for {} {}", args.project, tags.join(" / "))
}

/// Returns the title of the pull request and of the commit.
pub(super) fn title(args: &PrArgs) -> String {
    let prefix = if args.project == "kubernetes" { "releng: " } else { "" };
    format!("{prefix}{}", subject(args))
}

/// Returns the tags in a title of kpromo for this project and the first tag of the run. A git hook may add a prefix to the title.
pub(super) fn tags_of(args: &PrArgs, title: &str) -> Option<Vec<Tag>> {
    let start = format!("Image promotion for {} ", args.project);
    let (before, tags) = title.rsplit_once(&start)?;
    if !before.is_empty() && !before.ends_with(' ') {
        return None;
    }
    let tags: Option<Vec<Tag>> = tags.split(" / ").map(|tag| tag.parse().ok()).collect();
    tags.filter(|tags| tags.first() == args.tags.first())
}

/// Returns whether the title and the body of a pull request match this proposal: the title has the tags, and the table has the
/// images. Other text in the body is ignored.
pub(super) fn is_current(args: &PrArgs, rows: &[Row], title: &str, body: &str) -> bool {
    let listed: BTreeSet<&str> =
        body.lines().map(str::trim_end).filter(|line| line.starts_with("| `")).collect();
    let own = table(rows);
    title.contains(&subject(args)) && listed == own.iter().map(String::as_str).collect()
}

/// Returns the rows of the table of images.
fn table(rows: &[Row]) -> Vec<String> {
    let row = |Row { addition: Addition { image, digest, tag }, platforms }: &Row| {
        let platforms = printable(platforms, 500).replace(['|', '`', '<', '>', '@'], "");
        format!("| `{image}` | `{tag}` | `{digest}` | {platforms} |")
    };
    rows.iter().take(ROWS_MAX).map(row).collect()
}

/// Returns the body of the pull request.
pub(super) fn body(args: &PrArgs, rows: &[Row]) -> String {
    let mut body = format!(
        "{}\nThis is an automated PR generated from `kpromo`\n```\n{}\n```\n\n| image | tag | digest | platforms |\n|---|---|---|---|\n",
        subject(args),
        command_line(&args.written)
    );
    for row in table(rows) {
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{row}");
    }
    if rows.len() > ROWS_MAX {
        let _ = writeln!(body, "\nand {} more", rows.len() - ROWS_MAX);
    }
    let _ = write!(body, "\n/hold\ncc: {}\n", args.reviewers);
    body
}

/// Returns the command line with the given flags.
fn command_line(flags: &[(&'static str, String)]) -> String {
    let mut line = "kpromo pr".to_owned();
    for (flag, value) in flags {
        line.push(' ');
        line.push_str(flag);
        match value.as_str() {
            "true" => {}
            "false" => line.push_str("=false"),
            value => {
                line.push(' ');
                line.push_str(&quoted(value));
            }
        }
    }
    line
}

/// Quotes a word for a shell command line, if necessary.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,=+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else if word.contains(['"', '\\', '$', '`', '!']) {
        format!("'{}'", word.replace('\'', "'\\''"))
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("v1.31.0", "v1.31.0"),
            ("@a @org/team", "\"@a @org/team\""),
            ("$x'y", "'$x'\\''y'"),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
