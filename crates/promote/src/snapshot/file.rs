//! Reads snapshots from files, in any of their formats.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci::{Digest, RepositoryPath, Tag};
use oci_types::text::{printable, shown, visible};
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::{Contents, Format, Snapshot};

/// The maximum size of a file, in bytes. A snapshot of Kubernetes' production has about 15 MB.
const FILE_MAX: u64 = 64 << 20;
/// The maximum number of values in a file.
const VALUES_MAX: usize = 8_000_000;
/// The maximum length of a description of what is wrong with a file, in characters.
const PROBLEM_MAX: usize = 400;

/// A snapshot that was read from a file.
#[derive(Debug)]
pub struct FileSnapshot {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Whether the file has the end of a snapshot: an empty line for YAML and CSV. A file without it may have been cut off.
    pub has_end: bool,
}

/// A file that is not a readable snapshot.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct InvalidSnapshot {
    file: String,
    problem: String,
}

/// Reads a snapshot from a file or a pipe. The extension of its name determines the format: `.yaml`, `.yml`, `.csv` or `.json`.
/// With any other name, the content determines it.
///
/// # Errors
/// Returns an error if the file cannot be read, has more than 64 MiB, or is not a snapshot. A file that a failed command has left
/// empty is not a snapshot.
pub fn read_file(path: &Path) -> Result<FileSnapshot, InvalidSnapshot> {
    let invalid = |problem: String| InvalidSnapshot {
        file: visible(&path.display().to_string()),
        problem: shown(&problem, PROBLEM_MAX),
    };
    let text = text_of(path).map_err(invalid)?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = match extension.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => Format::Yaml,
        "csv" => Format::Csv,
        "json" => Format::Json,
        _ => format_of(&text),
    };
    let parsed = parse(&text, format).map_err(|problem| invalid(format!("not a snapshot: {problem}")));
    let has_end = format == Format::Json || text.lines().last().is_some_and(|line| line.trim().is_empty());
    Ok(FileSnapshot { snapshot: parsed?, has_end })
}

fn text_of(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err("a directory, not a snapshot".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("larger than {} MiB, the limit for a snapshot", FILE_MAX >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())?;
    // Editors may put a byte order mark at the start.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn format_of(text: &str) -> Format {
    let start = text.trim_start();
    if start.starts_with('[') {
        Format::Json
    } else if start.starts_with(['-', '#']) {
        Format::Yaml
    } else {
        Format::Csv
    }
}

fn parse(text: &str, format: Format) -> Result<Snapshot, String> {
    if text.trim().is_empty() {
        // A snapshot without images is an empty line, and in JSON an empty list.
        return match format {
            Format::Yaml | Format::Csv if text.contains('\n') => Ok(Snapshot::default()),
            _ => Err("it is empty, perhaps because the command that writes it failed".to_owned()),
        };
    }
    match format {
        Format::Csv => from_csv(text),
        Format::Json => serde_json::from_str(text).map_err(|error| printable(&error.to_string(), 300)),
        Format::Yaml => {
            let snapshot: Snapshot = from_yaml(&with_quoted_null(text))?;
            // YAML parses a file that has only comments as an empty list.
            if snapshot.images.is_empty() && !begins_list(text) {
                return Err("expected a list of images".to_owned());
            }
            Ok(snapshot)
        }
    }
}

/// Returns whether the first line of a YAML file that is neither empty nor a comment begins a list.
fn begins_list(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    first.is_some_and(|line| line.starts_with(['-', '[']))
}

/// Quotes names that are `null`. Snapshots do not quote names, and YAML would parse this one as null.
fn with_quoted_null(text: &str) -> Cow<'_, str> {
    let is_null = |line: &str| {
        let line = line.trim();
        line.strip_prefix('-').unwrap_or(line).trim_start() == "name: null"
    };
    if !text.lines().any(is_null) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 1024);
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n').unwrap_or(line).trim_end().strip_suffix("null") {
            Some(start) if is_null(line) => {
                quoted.push_str(start);
                quoted.push_str("\"null\"\n");
            }
            _ => quoted.push_str(line),
        }
    }
    Cow::Owned(quoted)
}

fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut options = serde_saphyr::Options::default();
    let mut budget = serde_saphyr::Budget::default();
    (budget.max_nodes, budget.max_events, budget.max_aliases) = (VALUES_MAX, 2 * VALUES_MAX, 0);
    (options.budget, options.with_snippet) = (Some(budget), false);
    serde_saphyr::from_str_with_options(text, options).map_err(|error| printable(&error.to_string(), 300))
}

/// The images of a file, with checks that hold for every format.
#[derive(Default)]
struct Images {
    images: BTreeMap<String, BTreeMap<Digest, Vec<Tag>>>,
}

impl Images {
    fn name(name: &str) -> Result<(), String> {
        // The repository at the path of the registry itself has an empty name.
        if name.is_empty() {
            Ok(())
        } else {
            name.parse::<RepositoryPath>().map(drop).map_err(|error| error.to_string())
        }
    }

    fn finish(self) -> Result<Snapshot, String> {
        let mut snapshot = Snapshot::default();
        for (name, digests) in self.images {
            let mut named: HashMap<&Tag, Digest> = HashMap::new();
            for (digest, tags) in &digests {
                for tag in tags {
                    if named.insert(tag, *digest).is_some_and(|other| other != *digest) {
                        return Err(format!("{name}:{tag} names two digests"));
                    }
                }
            }
            snapshot.insert(&name, Contents::new(digests));
        }
        Ok(snapshot)
    }
}

fn from_csv(text: &str) -> Result<Snapshot, String> {
    let mut found = Images::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (name, digest, tag) =
            from_line(line).map_err(|problem| format!("line {}: {problem}", index + 1))?;
        let tags = found.images.entry(name).or_default().entry(digest).or_default();
        tags.extend(tag);
    }
    found.finish()
}

/// Parses `name@digest,name:tag` or `name@digest,-`.
fn from_line(line: &str) -> Result<(String, Digest, Option<Tag>), String> {
    let form =
        || format!("`NAME@DIGEST,NAME:TAG` or `NAME@DIGEST,-` expected, not `{}`", printable(line, 160));
    let (image, tag) = line.split_once(',').ok_or_else(form)?;
    let (name, digest) = image.rsplit_once('@').ok_or_else(form)?;
    Images::name(name)?;
    let digest = digest.parse::<Digest>().map_err(|error| error.to_string())?;
    let tag = match tag {
        "-" => None,
        tag => {
            let tag = tag.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).ok_or_else(form)?;
            Some(tag.parse::<Tag>().map_err(|error| error.to_string())?)
        }
    };
    Ok((name.to_owned(), digest, tag))
}

/// An image of a file in YAML or JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    /// The Go tool writes an empty name as null in YAML. The field is required.
    #[serde(deserialize_with = "nullable")]
    name: Option<String>,
    dmap: Dmap,
}

fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

struct Dmap(BTreeMap<Digest, Vec<Tag>>);

impl<'de> Deserialize<'de> for Snapshot {
    /// Reads the images one after another.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Snapshot;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of images")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Snapshot, A::Error> {
                let mut found = Images::default();
                while let Some(image) = list.next_element::<Image>()? {
                    let name = image.name.unwrap_or_default();
                    Images::name(&name).map_err(A::Error::custom)?;
                    if found.images.contains_key(&name) {
                        return Err(A::Error::custom(format!("the image `{name}` is listed twice")));
                    }
                    found.images.insert(name, image.dmap.0);
                }
                found.finish().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Dmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Dmap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of digests to lists of tags")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dmap, A::Error> {
                let mut digests = BTreeMap::new();
                while let Some(digest) = entries.next_key::<String>()? {
                    let tags = entries.next_value::<Vec<String>>()?;
                    let parsed: Digest = digest.parse().map_err(de::Error::custom)?;
                    let tags = tags.iter().map(|tag| tag.parse().map_err(de::Error::custom));
                    if digests.insert(parsed, tags.collect::<Result<Vec<Tag>, A::Error>>()?).is_some() {
                        return Err(A::Error::custom(format!("{parsed} is listed twice")));
                    }
                }
                Ok(Dmap(digests))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Snapshot {
        let tags = |text: &str| text.split_whitespace().map(|tag| tag.parse().unwrap()).collect::<Vec<Tag>>();
        let mut snapshot = Snapshot::default();
        let digest = |n: u8| Digest::Sha256([n; 32]);
        snapshot.insert("", Contents::new([(digest(1), tags("v1"))]));
        // Names and tags that YAML could parse as numbers or other values.
        for name in ["1.10", "true", "a/b", "123e4", "0x10", "no", "null"] {
            snapshot.insert(name, Contents::new([(digest(1), tags("1.10 null v1")), (digest(2), tags(""))]));
        }
        snapshot.insert("z", Contents::new([(Digest::Sha512([7; 64]), tags("latest"))]));
        snapshot
    }

    #[test]
    fn snapshots_are_read_back_in_every_format_by_file_name_or_content() {
        let directory = tempfile::tempdir().unwrap();
        for (format, names) in [
            (Format::Yaml, ["a.yaml", "a.YML", "a"]),
            (Format::Csv, ["b.csv", "b.CSV", "b"]),
            (Format::Json, ["c.json", "c.Json", "c"]),
        ] {
            for snapshot in [sample(), Snapshot::default()] {
                for name in names {
                    let mut bytes = Vec::new();
                    snapshot.write(format, &mut bytes).unwrap();
                    let path = directory.path().join(name);
                    std::fs::write(&path, bytes).unwrap();
                    let read = read_file(&path).unwrap();
                    assert_eq!((read.snapshot, read.has_end), (snapshot.clone(), true), "{name}");
                    let marked = [b"\xef\xbb\xbf", std::fs::read(&path).unwrap().as_slice()].concat();
                    std::fs::write(&path, marked).unwrap();
                    assert_eq!(read_file(&path).unwrap().snapshot, snapshot, "{name} with a byte order mark");
                }
            }
        }
    }

    #[test]
    fn invalid_snapshots_are_refused_with_the_position_of_the_error() {
        let digest = Digest::of(b"x");
        let image = |name: &str, tags: &str| format!("- name: {name}\n  dmap:\n    \"{digest}\": {tags}\n");
        let other = format!("    \"{}\": [\"v1\"]\n", Digest::of(b"y"));
        for (format, text, expected) in [
            (Format::Yaml, "images: []".to_owned(), "line 1"),
            (Format::Yaml, image("A", "[]"), "repository name"),
            (Format::Yaml, image("a", "[-x]"), "tag"),
            (Format::Yaml, image("a", "[]") + &image("a", "[]"), "twice"),
            (Format::Yaml, image("a", "[v1]") + &other, "two digests"),
            (Format::Yaml, image("a", "[]") + &format!("    \"{digest}\": []\n"), "line 4"),
            (Format::Yaml, "- name: a\n  dmap:\n    x: []\n".to_owned(), "digest"),
            (Format::Yaml, "- name: a\n  dmap: {}\n  more: 1\n".to_owned(), "line 3"),
            (Format::Yaml, "- name: a\n  dmap:\n".to_owned(), "line 2"),
            (Format::Yaml, format!("- dmap:\n    \"{digest}\": []\n"), "name"),
            (Format::Yaml, String::new(), "empty"),
            (Format::Yaml, "# a comment\n\n".to_owned(), "a list of images"),
            (Format::Yaml, "---\n# a comment\n\n".to_owned(), "line 1"),
            (Format::Yaml, "null\n\n".to_owned(), "line 1"),
            (Format::Csv, String::new(), "empty"),
            (Format::Csv, "  ".to_owned(), "empty"),
            (Format::Json, String::new(), "empty"),
            (Format::Json, "\n".to_owned(), "empty"),
            (Format::Json, format!(r#"[{{"dmap":{{"{digest}":[]}}}}]"#), "name"),
            (Format::Json, "{}".to_owned(), "a list of images"),
            (Format::Json, format!(r#"[{{"name":"a","dmap":{{"{digest}":[],"{digest}":[]}}}}]"#), "twice"),
            (Format::Csv, format!("a@{digest},-\n\nb@{digest},a:v1\n"), "line 3"),
            (Format::Csv, "a,b".to_owned(), "line 1"),
            (Format::Csv, format!("a@{digest},a:v1\na@{},a:v1\n", Digest::of(b"y")), "two digests"),
        ] {
            let error = parse(&text, format).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_not_text_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        File::create(&path).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert!(read_file(&path).unwrap_err().to_string().contains("64 MiB"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_file(&path).unwrap_err().to_string().contains("UTF-8"));
        assert!(read_file(directory.path()).unwrap_err().to_string().contains("a directory"));
        assert!(
            read_file(&directory.path().join("none")).unwrap_err().to_string().contains("cannot be read")
        );
    }

    #[test]
    fn a_file_that_may_be_cut_off_is_read_and_reported() {
        let directory = tempfile::tempdir().unwrap();
        for format in [Format::Yaml, Format::Csv] {
            let mut bytes = Vec::new();
            sample().write(format, &mut bytes).unwrap();
            bytes.pop();
            let path = directory.path().join(if format == Format::Yaml { "a.yaml" } else { "a.csv" });
            std::fs::write(&path, bytes).unwrap();
            let read = read_file(&path).unwrap();
            assert_eq!((read.snapshot, read.has_end), (sample(), false));
        }
    }

    #[test]
    fn control_characters_of_a_file_are_escaped_in_errors() {
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        for text in [
            format!("a\u{1b}[31m@{digest},-\n"),
            "a@sha256:\u{1b}[31m,-\n".to_owned(),
            format!("a@{digest},a:\u{1b}[31m\n"),
        ] {
            let path = directory.path().join("a\u{1b}]0;x\u{7}.csv");
            std::fs::write(&path, text).unwrap();
            let error = read_file(&path).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains("a\\u{1b}]0;x"), "{error:?}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn yaml_aliases_do_not_multiply_the_content() {
        let tags = "- &a [v1, v2]\n".to_owned() + &"- *a\n".repeat(10);
        assert!(parse(&tags, Format::Yaml).is_err());
    }
}
