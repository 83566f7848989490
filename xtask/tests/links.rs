//! The links in the documentation, and the table of contents of the book.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Documents outside of the book.
const BESIDE: &[&str] = &["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// The links of a document, and the fragments that links to it may have.
#[derive(Debug, Default)]
struct Document {
    links: Vec<String>,
    fragments: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a document in Markdown.
fn document(text: &str) -> Document {
    let mut document = Document::default();
    let mut heading: Option<String> = None;
    let mut times: HashMap<String, usize> = HashMap::new();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let fragment = fragment(&heading.take().unwrap_or_default());
                let before = times.entry(fragment.clone()).or_default();
                let unique = if *before == 0 { fragment } else { format!("{fragment}-{before}") };
                *before += 1;
                document.fragments.insert(unique);
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let sources = html.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
                document.links.extend(sources.map(str::to_owned));
            }
            _ => {}
        }
    }
    document
}

/// Returns the fragment that mdBook and GitHub give a heading.
fn fragment(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns the documents below a directory, relative to `root`.
fn below(root: &Path, directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(directory)).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            found.extend(below(root, relative.to_str().unwrap()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(relative);
        }
    }
    found
}

fn documents() -> BTreeMap<PathBuf, Document> {
    let root = root();
    let names = BESIDE.iter().map(PathBuf::from).chain(below(&root, "docs"));
    names.map(|name| (name.clone(), document(&fs::read_to_string(root.join(name)).unwrap()))).collect()
}

/// Resolves `.` and `..` in a path, without the file system.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{} is outside the repository", path.display()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Returns the problems of the links of these documents.
fn broken(documents: &BTreeMap<PathBuf, Document>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, document) in documents {
        for link in &document.links {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let target = match path {
                "" => name.clone(),
                path => plain(&name.parent().unwrap_or(Path::new("")).join(path)),
            };
            let leaves_the_book = name.starts_with("docs") && !target.starts_with("docs");
            let known = documents.get(&target);
            let problem = match known {
                _ if leaves_the_book => "has a target outside the book",
                None if !exists(&target) => "has no target",
                None if !fragment.is_empty() => "has a fragment, but its target is not a document",
                Some(known) if !fragment.is_empty() && !known.fragments.contains(fragment) => {
                    "has a fragment without a heading"
                }
                _ => continue,
            };
            broken.push(format!("{}: the link `{link}` {problem}", name.display()));
        }
    }
    broken
}

#[test]
fn every_link_has_a_target() {
    let root = root();
    let broken = broken(&documents(), |path| root.join(path).exists());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let documents = documents();
    let contents = &documents[Path::new("docs/SUMMARY.md")];
    let mut listed: Vec<PathBuf> = contents.links.iter().map(|link| Path::new("docs").join(link)).collect();
    listed.sort();
    let pages = documents.keys().filter(|name| name.starts_with("docs") && !name.ends_with("SUMMARY.md"));
    assert_eq!(listed, pages.cloned().collect::<Vec<_>>());
}

#[test]
fn broken_links_are_found() {
    let samples = [
        (
            "docs/a.md",
            "# A `b` c\n\n## A b c\n\n[x](b.md#there) [y](#a-b-c-1) ![z](images/p.svg) [w](https://example.com)",
        ),
        (
            "docs/b.md",
            "# There\n\n[x](c.md) [y](a.md#nowhere) [z](../README.md) [w](images/p.svg#part) `[v](c.md)`",
        ),
        ("README.md", "[x](docs/a.md#a-b-c)\n\n<img src=\"docs/none.svg\">"),
    ];
    let documents = samples.map(|(name, text)| (PathBuf::from(name), document(text))).into();
    let found = broken(&documents, |path| path == Path::new("docs/images/p.svg"));
    assert_eq!(
        found,
        [
            "README.md: the link `docs/none.svg` has no target",
            "docs/b.md: the link `c.md` has no target",
            "docs/b.md: the link `a.md#nowhere` has a fragment without a heading",
            "docs/b.md: the link `../README.md` has a target outside the book",
            "docs/b.md: the link `images/p.svg#part` has a fragment, but its target is not a document",
        ]
    );
}
