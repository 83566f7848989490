//! The forty manifests of the table `golden/manifests/expected.tsv`: the results of the Go tool, and where kpromo differs.

use std::fs;

use manifest::Edges;
use manifest::load_plain;

use crate::support::{data, lines};

struct Row {
    file: String,
    /// The expected result of kpromo.
    ours: String,
    /// The error of the Go tool, or its edges as JSON.
    theirs: serde_json::Value,
}

fn table() -> Vec<Row> {
    let table = fs::read_to_string(data("golden/manifests/expected.tsv")).unwrap();
    let row = |line: &str| {
        let [file, _, ours, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Row { file: file.to_owned(), ours: ours.to_owned(), theirs: serde_json::from_str(theirs).unwrap() }
    };
    table.lines().skip(1).map(row).collect()
}

/// Returns the result of kpromo for a file: its edges, or its faults.
fn verdict(file: &str) -> Result<Vec<String>, String> {
    let manifests =
        load_plain(&data("golden/manifests").join(file)).map_err(|wrong| lines(&wrong).join("\n"))?;
    let edges = Edges::new(&manifests).map_err(|_| "overlap".to_owned())?;
    let shown = edges.all().iter().map(|edge| {
        let tag = edges.tag(edge).map(ToString::to_string).unwrap_or_default();
        format!("{}@{} -> {}:{tag}", edges.source(edge), edges.digest(edge), edges.destination(edge))
    });
    Ok(shown.collect())
}

#[test]
fn the_table_names_every_golden_manifest() {
    let mut files: Vec<String> = fs::read_dir(data("golden/manifests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    files.sort();
    assert_eq!(table().into_iter().map(|row| row.file).collect::<Vec<_>>(), files);
}

#[test]
fn golden_manifests_have_the_edges_of_the_table() {
    let rows: Vec<Row> = table().into_iter().filter(|row| row.ours.starts_with("accept")).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let expected = row.theirs.as_array().cloned().unwrap_or_default();
        let expected = expected.iter().map(|edge| {
            let edge = edge.as_str().unwrap();
            if row.ours.contains("slashes taken off") { edge.replace("//", "/") } else { edge.to_owned() }
        });
        let mut expected: Vec<String> = expected.collect();
        expected.sort();
        let mut edges = verdict(&row.file).unwrap_or_else(|wrong| panic!("{}: {wrong}", row.file));
        edges.sort();
        assert_eq!(edges, expected, "{}", row.file);
    }
}

#[test]
fn golden_manifests_that_overlap_are_read_and_then_refused() {
    let rows: Vec<Row> = table().into_iter().filter(|row| row.ours == "overlap").collect();
    assert_eq!(rows.len(), 1);
    let manifests = load_plain(&data("golden/manifests").join(&rows[0].file)).unwrap();
    let overlaps = Edges::new(&manifests).unwrap_err();
    let messages = overlaps[0].to_string();
    assert_eq!(overlaps.len(), 1);
    assert!(
        [":8:81", ":11:81"].iter().all(|place| messages.contains(&format!("{}{place}", rows[0].file))),
        "{messages}"
    );
}

#[test]
fn golden_manifests_are_refused_for_the_expected_reason() {
    let mut refused = String::new();
    for row in table().into_iter().filter(|row| row.ours.starts_with("reject")) {
        let wrong = verdict(&row.file).expect_err(&row.file);
        refused.push_str(&format!("{}\n", row.file));
        wrong.lines().for_each(|line| refused.push_str(&format!("  {line}\n")));
    }
    insta::assert_snapshot!(refused, @"
    05-unquoted-bool-tag.yaml
      8:96: a tag is empty
    10-scalar-tag.yaml
      8:80: expected a list of tags, found text
    11-duplicate-digest.yaml
      9:5: the digest sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is listed twice
    12-duplicate-key.yaml
      7:3: the field `name` is listed twice
    13-unknown-field.yaml
      7:3: unknown field `foo`
    19-two-documents.yaml
      9:1: not YAML that can be read: a second document begins here, but a manifest must be one document
    22-empty-dmap.yaml
      7:9: `dmap` is empty: it names no digests to promote
    23-null-dmap.yaml
      7:7: `dmap` is empty: it names no digests to promote
    24-no-registries.yaml
      1:1: `registries` is missing or empty
    25-two-sources.yaml
      4:3: gcr.io/p also has `src: true`: images come from one registry
    26-no-source.yaml
      2:3: no registry has `src: true`: the source of the images is unknown
    29-upper-digest.yaml
      8:5: `SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    30-short-digest.yaml
      8:5: `sha256:abc` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    31-sha512.yaml
      8:5: `sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not a SHA-256 digest, and images are promoted by SHA-256
    33-tag-129.yaml
      8:81: `ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    34-tag-dash.yaml
      8:81: `-x` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    37-tag-unicode.yaml
      8:81: `é` is not a tag: expected a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`
    38-empty-tag.yaml
      8:81: a tag is empty
    40-upper-name.yaml
      6:9: `Apple` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    41-dotdot-name.yaml
      6:9: `../a` is not a repository name: expected components of lower-case letters and digits, joined by `/`, each inside by `.`, `_`, `__` or dashes, 255 characters at most
    42-empty-name.yaml
      6:9: an image's `name` is empty
    43-service-account.yaml
      6:3: unknown field `token`
    45-destination-is-source.yaml
      4:3: the destination gcr.io/s is also the source
    50-comment-only.yaml
      1:1: `registries` is missing or empty
    51-empty.yaml
      1:1: `registries` is missing or empty
    52-list-at-top.yaml
      1:1: expected a mapping with `registries`, `images`, found a list
    54-digest-with-space.yaml
      8:5: `sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits
    56-imagesPath.yaml
      5:1: unknown field `imagesPath`
    59-tabs.yaml
      6:9: not YAML that can be read: while scanning a plain scalar, found a tab
    ");
}
