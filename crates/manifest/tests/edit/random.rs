//! Random files and additions: the result promotes what a naive model predicts, and every other line is unchanged and in order.

use std::collections::{BTreeMap, BTreeSet};

use manifest::edit::{Addition, EditError, ImagesFile};
use proptest::prelude::*;

use super::{addition, digest};

/// The promotions of a file: image, digest, tags.
type Model = BTreeMap<(String, String), BTreeSet<String>>;

/// A file: each image with its digests, each with its tags.
type Written = Vec<(String, Vec<(String, Vec<String>)>)>;

/// The notation of a file.
#[derive(Clone, Debug)]
struct Notation {
    line_break: &'static str,
    quote: &'static str,
    separator: &'static str,
    is_block: bool,
    dash: &'static str,
    deeper: usize,
    has_comments: bool,
    has_gaps: bool,
    has_last_break: bool,
    /// Whether each dash is alone on its line.
    is_lone: bool,
}

fn notation() -> impl Strategy<Value = Notation> {
    let texts = (
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        prop::sample::select(vec!["\"", "'", ""]),
        prop::sample::select(vec![",", ", ", " , "]),
        prop::sample::select(vec!["- ", "-   ", "  - "]),
    );
    (texts, 1..4_usize, any::<[bool; 5]>()).prop_map(
        |((line_break, quote, separator, dash), deeper, flags)| {
            let [is_block, has_comments, has_gaps, has_last_break, is_lone] = flags;
            Notation {
                line_break,
                quote,
                separator,
                is_block,
                dash,
                deeper,
                has_comments,
                has_gaps,
                has_last_break,
                is_lone,
            }
        },
    )
}

const NAMES: [&str; 6] = ["a", "b/c", "b", "kube-proxy", "9p", "z"];
const TAGS: [&str; 8] = ["v1", "v1.9", "v1.10", "v1.10-rc.1", "1.10", "latest", "x", "null"];

/// Generates images, digests and tags in any order. A tag is on one digest of an image.
fn images() -> impl Strategy<Value = Written> {
    let names = prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_shuffle();
    let image = |name: &'static str| {
        let tags = Just(TAGS.to_vec()).prop_shuffle();
        let digests = prop::sample::subsequence("01234".chars().collect::<Vec<char>>(), 1..4).prop_shuffle();
        (tags, digests, prop::collection::vec(0..3_usize, 4)).prop_map(move |(tags, digests, counts)| {
            let mut tags = tags.into_iter().map(str::to_owned);
            let rows = digests.into_iter().zip(counts);
            let rows =
                rows.map(|(fill, count)| (digest(fill), tags.by_ref().take(count).collect())).collect();
            (name.to_owned(), rows)
        })
    };
    names.prop_flat_map(move |names| names.into_iter().map(image).collect::<Vec<_>>())
}

fn written(images: &Written, n: &Notation) -> String {
    if images.is_empty() {
        return format!("[]{}", n.line_break);
    }
    let comment = |text: &str| if n.has_comments { format!(" # {text}") } else { String::new() };
    let mut lines = Vec::new();
    let fields = " ".repeat(n.dash.len());
    let rows = format!("{fields}{}", " ".repeat(n.deeper));
    for (at, (name, digests)) in images.iter().enumerate() {
        if n.has_gaps && at > 0 {
            lines.push(String::new());
        }
        if n.has_comments {
            lines.push(format!("{}# about {name}", " ".repeat(n.dash.find('-').unwrap())));
        }
        let mut name = format!("{}name: \"{name}\"{}", n.dash, comment("n"));
        if n.is_lone {
            lines.push(n.dash.trim_end().to_owned());
            name = name.replacen('-', " ", 1);
        }
        lines.push(name);
        lines.push(format!("{fields}dmap:{}", comment("d")));
        for (digest, tags) in digests {
            let tags: Vec<String> = tags
                .iter()
                .map(|tag| match n.quote {
                    "" if tag == "null" => format!("'{tag}'"),
                    quote => format!("{quote}{tag}{quote}"),
                })
                .collect();
            if n.is_block && !tags.is_empty() {
                lines.push(format!("{rows}{digest}:{}", comment("t")));
                let dash =
                    if n.is_lone { format!("{rows}-{}{rows}  ", n.line_break) } else { format!("{rows}- ") };
                lines.extend(tags.iter().map(|tag| format!("{dash}{tag}{}", comment("t"))));
            } else {
                lines.push(format!("{rows}{digest}: [{}]{}", tags.join(n.separator), comment("t")));
            }
        }
    }
    let text = lines.join(n.line_break);
    if n.has_last_break { text + n.line_break } else { text }
}

/// Writes images sorted by name, each with its tags sorted, and with digests that are sorted as text or in any order.
fn sorted(mut images: Written, by_digest: bool) -> String {
    images.sort();
    for (_, rows) in &mut images {
        rows.iter_mut().for_each(|(_, tags)| tags.sort());
        if by_digest {
            rows.sort();
        }
    }
    let mut text = String::new();
    for (name, rows) in &images {
        text.push_str(&format!("- name: {name}\n  dmap:\n"));
        rows.iter().for_each(|(digest, tags)| text.push_str(&format!("    \"{digest}\": {tags:?}\n")));
    }
    if images.is_empty() { "[]\n".to_owned() } else { text }
}

fn model(images: &Written) -> Model {
    let rows = images.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row)));
    rows.map(|(name, (digest, tags))| ((name.clone(), digest.clone()), tags.iter().cloned().collect()))
        .collect()
}

fn model_of(file: &ImagesFile) -> Model {
    let mut model = Model::new();
    for image in file.images() {
        for row in &image.digests {
            let tags = model.entry((image.name.to_string(), row.digest.to_string())).or_default();
            tags.extend(row.tags.iter().map(|(tag, _)| tag.to_string()));
        }
    }
    model
}

/// Splits a text into lines.
fn lines<'a>(text: &'a str, line_break: &str) -> Vec<&'a str> {
    text.split(line_break).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_result_matches_a_naive_model_and_other_lines_are_unchanged(
        images in images(),
        notation in notation(),
        additions in prop::collection::vec((prop::sample::select(NAMES.to_vec()), "[0-6]", prop::sample::select(TAGS.to_vec())), 1..5),
    ) {
        let text = written(&images, &notation);
        let file = ImagesFile::parse("images.yaml", text.clone().into_bytes(), None).unwrap();
        let mut expected = model(&images);
        prop_assert_eq!(&model_of(&file), &expected);
        let additions: Vec<Addition> =
            additions.iter().map(|(name, fill, tag)| addition(name, &digest(fill.chars().next().unwrap()), tag)).collect();
        // The naive model: a tag of an image is on one digest.
        let mut conflicts = false;
        let mut grown = BTreeSet::new();
        for addition in &additions {
            let (name, digest, tag) = (addition.image.to_string(), addition.digest.to_string(), addition.tag.to_string());
            conflicts |= expected.iter().any(|((image, other), tags)| *image == name && *other != digest && tags.contains(&tag));
            if !expected.get(&(name.clone(), digest.clone())).is_some_and(|tags| tags.contains(&tag)) {
                grown.insert(digest.clone());
            }
            expected.entry((name, digest)).or_default().insert(tag);
        }
        match file.add(&additions) {
            Err(EditError::Moves(_)) => prop_assert!(conflicts),
            Err(error) => prop_assert!(false, "{error}\n{text}"),
            Ok(edited) => {
                prop_assert!(!conflicts);
                prop_assert_eq!(model_of(&edited.file), expected);
                let after = String::from_utf8(edited.file.bytes().to_vec()).unwrap();
                prop_assert_eq!(edited.added.is_empty(), after == text);
                // Every old line exists, in order: a line with a digest that got a tag keeps its beginning, any other line is
                // unchanged.
                let new = lines(&after, notation.line_break);
                let mut at = 0;
                for old in lines(&text, notation.line_break) {
                    if old == "[]" { continue; }
                    let may_grow = grown.iter().any(|digest| old.contains(digest.as_str()));
                    let is_it = |line: &&str| **line == *old
                        || (may_grow && line.split(": ").next() == old.split(": ").next());
                    match new[at..].iter().position(is_it) {
                        Some(found) => at += found + 1,
                        None => prop_assert!(old.is_empty() && at == new.len(), "{old:?} is lost\n{text}\n---\n{after}"),
                    }
                }
            }
        }
    }

    /// If lint accepts a list, lint accepts it after any addition.
    #[test]
    fn a_clean_list_stays_clean(
        images in images(),
        by_digest in any::<bool>(),
        additions in prop::collection::vec((prop::sample::select(NAMES.to_vec()), "[0-6]", prop::sample::select(TAGS.to_vec())), 1..6),
    ) {
        let mut file = ImagesFile::parse("images.yaml", sorted(images, by_digest).into_bytes(), None).unwrap();
        if !by_digest {
            file = file.format().unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manifest.yaml");
        for (name, fill, tag) in additions {
            let addition = addition(name, &digest(fill.chars().next().unwrap()), tag);
            // A digest without a tag keeps its position when it gets one, and then may be out of order.
            let is_untagged = |row: &manifest::DigestTags| row.digest == addition.digest && row.tags.is_empty();
            if file.images().iter().any(|image| image.digests.iter().any(is_untagged)) {
                continue;
            }
            let before = String::from_utf8(file.bytes().to_vec()).unwrap();
            let Ok(edited) = file.add(&[addition]) else { continue };
            file = edited.file;
            let after = String::from_utf8(file.bytes().to_vec()).unwrap();
            std::fs::write(&path, format!("registries:\n- {{name: r.example/s, src: true}}\n- {{name: r.example/p}}\nimages:\n{after}")).unwrap();
            let target = manifest::lint::Target::Plain(path.clone());
            let linted = manifest::lint::lint(&target, None, &[]).unwrap();
            let unsorted: Vec<String> = linted.findings.iter().map(|finding| finding.render(100, false)).filter(|text| text.contains("sorted")).collect();
            prop_assert!(unsorted.is_empty(), "{}\n{before}---\n{after}", unsorted.join("\n"));
        }
    }

    #[test]
    fn a_formatted_file_promotes_the_same_and_is_stable(images in images(), notation in notation()) {
        let text = written(&images, &notation);
        let file = ImagesFile::parse("images.yaml", text.clone().into_bytes(), None).unwrap();
        match file.format() {
            Ok(formatted) => {
                prop_assert_eq!(model_of(&formatted), model(&images));
                let again = formatted.format().unwrap();
                prop_assert_eq!(again.bytes(), formatted.bytes());
            }
            // Tags that have comments cannot be written on one line.
            Err(error) => prop_assert!(notation.is_block && notation.has_comments, "{error}\n{text}"),
        }
    }
}
