//! What the binary writes, against the JSON Schemas in the documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

/// Fields that documents may lack.
const OPTIONAL: &[&str] = &[
    "actor",
    "advice",
    "aliases",
    "attestations",
    "before",
    "builder",
    "cause",
    "column",
    "commit",
    "destination",
    "destinations",
    "detail",
    "details",
    "digest",
    "error",
    "faults",
    "fix",
    "fixed",
    "help",
    "hosts",
    "image",
    "job",
    "jobUrl",
    "level",
    "line",
    "manifest",
    "notBegun",
    "notRepaired",
    "parts",
    "platform",
    "policy",
    "predicateType",
    "project",
    "promotion",
    "purl",
    "reference",
    "refused",
    "refusedSignatures",
    "registry",
    "related",
    "repository",
    "requests",
    "shard",
    "shards",
    "signature",
    "signedAt",
    "signedBy",
    "source",
    "tag",
    "tags",
    "threshold",
    "timeline",
    "timestamp",
    "unanswered",
    "unexamined",
    "unfinished",
    "uploaded",
    "verifier",
    "why",
];

/// Fields whose values are maps with any names.
const MAPS: &[&str] = &["phaseSeconds", "projects", "hosts", "registries", "requests"];

/// Returns the directory of the schemas.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/schemas")
}

type Compiled = (Schemas, BTreeMap<String, SchemaIndex>);

/// Returns the schemas by name. Compiling checks that each is a schema of draft 2020-12.
fn compiled() -> &'static Compiled {
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        let mut indices = BTreeMap::new();
        for entry in std::fs::read_dir(directory()).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let name = file.strip_suffix(".schema.json").unwrap().to_owned();
            // Nothing is fetched from there.
            let place = format!("https://kpromo.example/{file}");
            let schema = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            compiler.add_resource(&place, schema).unwrap();
            let index =
                compiler.compile(&place, &mut schemas).unwrap_or_else(|error| panic!("{file}: {error:#}"));
            indices.insert(name, index);
        }
        (schemas, indices)
    })
}

/// Returns the names of all schemas.
pub(crate) fn names() -> Vec<&'static str> {
    compiled().1.keys().map(String::as_str).collect()
}

/// Returns why a document does not satisfy a schema.
pub(crate) fn check(name: &str, document: &Value) -> Result<(), String> {
    let (schemas, indices) = compiled();
    schemas.validate(document, indices[name]).map_err(|error| format!("{error:#}"))
}

/// Returns the schema that a document of kpromo must satisfy, if it is one.
pub(crate) fn of(document: &Value) -> Option<&'static str> {
    let has = |fields: &[&str]| fields.iter().all(|field| document.get(field).is_some());
    let kinds: &[(&str, &[&str])] = &[
        ("report", &["examinedTotals"]),
        ("files-report", &["confirmed", "hosts", "totals"]),
        ("releases-report", &["dryRun", "hosts"]),
        ("plan", &["schema", "summary", "edges"]),
        ("sigcheck", &["schema", "signer", "unread"]),
        ("verify", &["schema", "signer", "images"]),
        ("lint", &["schema", "bases", "findings"]),
        ("snapshot-diff", &["schema", "images"]),
        ("version", &["gitVersion"]),
        ("log", &["timestamp", "level", "fields"]),
    ];
    kinds.iter().find(|(_, fields)| has(fields)).map(|(name, _)| *name)
}

/// Checks a document against its schema, if it has one.
pub(crate) fn check_known(document: &Value) {
    if let Some(name) = of(document) {
        check(name, document).unwrap_or_else(|error| panic!("{name}: {error}\n{document:#}"));
    }
}

/// Checks what a run has printed: a document on standard output, and lines of JSON on standard error.
pub(crate) fn check_output(stdout: &str, stderr: &str) {
    if stdout.starts_with('{') {
        let _ = serde_json::from_str(stdout).map(|document| check_known(&document));
    }
    for line in stderr.lines().filter(|line| line.starts_with("{\"timestamp\"")) {
        check_known(&serde_json::from_str(line).unwrap());
    }
}

/// Checks that a document satisfies its schema, and that no document does that differs in one place: a field that is renamed,
/// added, removed unless it is optional, or of another type.
pub(crate) fn is_strict(name: &str, document: &Value) {
    assert_eq!(of(document), Some(name), "{document:#}");
    check(name, document).unwrap_or_else(|error| panic!("{name}: {error}\n{document:#}"));
    let mut changes = 0;
    for (what, changed) in changed(document) {
        assert!(check(name, &changed).is_err(), "{name}: {what}\n{changed:#}");
        changes += 1;
    }
    assert!(changes > 10, "{name}: {changes}");
}

/// Returns documents that differ from a document in one place, with the differences in words.
fn changed(document: &Value) -> Vec<(String, Value)> {
    let mut changed = Vec::new();
    change(document, "", false, &mut |place, object| {
        let mut other = document.clone();
        *other.pointer_mut(place).unwrap() = object;
        changed.push((place.to_owned(), other));
    });
    changed
}

/// Calls a function with a place (a JSON pointer) and the value that is there in a changed document.
fn change(value: &Value, place: &str, is_map: bool, to: &mut impl FnMut(&str, Value)) {
    let below = |key: &str| format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                change(item, &below(&index.to_string()), false, to);
            }
        }
        Value::Object(fields) => {
            let with = |key: &str, value: Value| {
                let mut fields = fields.clone();
                fields.insert(key.to_owned(), value);
                fields
            };
            if !is_map {
                to(place, with("strange", json!(1)).into());
            }
            for (key, field) in fields {
                // A list is never the value of a field that is not one, and a flag is never that of one.
                to(place, with(key, if field.is_array() { json!(true) } else { json!([1]) }).into());
                if !is_map {
                    let mut without = fields.clone();
                    without.remove(key);
                    if !OPTIONAL.contains(&key.as_str()) {
                        to(place, without.clone().into());
                    }
                    without.insert(format!("{key}X"), field.clone());
                    to(place, without.into());
                }
                change(field, &below(key), MAPS.contains(&key.as_str()), to);
            }
        }
        _ => {}
    }
}
