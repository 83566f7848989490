//! `--metrics FILE`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::reports::world::World;
use crate::support::kpromo_with;

/// A sample: its labels and its value.
type Sample = (BTreeMap<String, String>, f64);

/// Reads Prometheus' text format 0.0.4 as strictly as its own parser and linter together.
fn parse(text: &str) -> BTreeMap<String, Vec<Sample>> {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    let (mut help, mut kind) = (None, None);
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(!words.is_empty() && !families.contains_key(name), "{line}");
            (help, kind) = (Some(name), None);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').unwrap();
            assert_eq!((Some(name), of), (help, "gauge"), "{line}");
            assert!(is_name(name) && !name.ends_with("_total"), "{line}");
            kind = Some(name);
            families.insert(name.to_owned(), Vec::new());
        } else {
            let (name, rest) = line.split_once('{').unwrap();
            assert_eq!(Some(name), kind, "a sample follows its family: {line}");
            let (labels, rest) = labels(rest);
            let value: f64 = rest.strip_prefix(' ').unwrap().parse().unwrap();
            assert!(value.is_finite(), "{line}");
            assert!(seen.insert((name, labels.clone())), "there is one sample of these labels: {line}");
            families.get_mut(name).unwrap().push((labels, value));
        }
    }
    assert!(families.values().all(|samples| !samples.is_empty()), "no family is empty");
    families
}

fn is_name(name: &str) -> bool {
    name.starts_with("kpromo_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Reads labels up to the brace.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let (mut labels, mut rest) = (BTreeMap::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("\\{c}"),
                },
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name}");
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}

/// Returns the value of the sample with these labels, beside `command`.
fn value(families: &BTreeMap<String, Vec<Sample>>, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let samples = families.get(name).unwrap_or_else(|| panic!("{name}: {families:#?}"));
    let matches = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(label, text)| labels.get(*label).is_some_and(|value| value == text))
    };
    let found: Vec<f64> =
        samples.iter().filter(|(labels, _)| matches(labels)).map(|(_, value)| *value).collect();
    assert_eq!(found.len(), 1, "{name} {wanted:?}: {samples:?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_numbers_of_the_report() {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    world.desk.write("kpromo.prom", &"old\n".repeat(10_000));
    let path = world.path("kpromo.prom");
    let (ran, report) = world.report(&["--confirm", "--metrics", &path]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert_eq!(world.desk.names(), ["kpromo.prom", "manifest.yaml", "report.json"], "it was renamed");
    let families = parse(&fs::read_to_string(path).unwrap());
    for (name, expected) in [
        ("kpromo_run_exit_code", &report["exitCode"]),
        ("kpromo_run_duration_seconds", &report["elapsedSeconds"]),
        ("kpromo_images_promoted", &report["totals"]["promoted"]),
        ("kpromo_images_failed", &report["totals"]["failed"]),
        ("kpromo_tags_written", &report["totals"]["tagged"]),
        ("kpromo_blobs_sent_bytes", &report["totals"]["bytesSent"]),
    ] {
        assert_eq!(value(&families, name, &[("command", "cip")]), expected.as_f64().unwrap(), "{name}");
    }
    let info = [("outcome", "failed"), ("confirmed", "true"), ("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value(&families, "kpromo_run_info", &info), 1.0);
    assert_eq!(value(&families, "kpromo_edges", &[("verdict", "copy")]), 3.0);
    let host = world.production.host().to_string();
    let traffic = &report["registries"][&host];
    assert_eq!(value(&families, "kpromo_sent_bytes", &[("host", &host)]), traffic["sent"].as_f64().unwrap());
    for (kind, number) in traffic["requests"].as_object().unwrap() {
        let labels = [("host", host.as_str()), ("kind", kind.as_str())];
        assert_eq!(value(&families, "kpromo_requests", &labels), number.as_f64().unwrap());
    }
    for (phase, seconds) in report["phaseSeconds"].as_object().unwrap() {
        let labels = [("phase", phase.as_str())];
        assert_eq!(value(&families, "kpromo_phase_duration_seconds", &labels), seconds.as_f64().unwrap());
    }
    let started: jiff::Timestamp = report["started"].as_str().unwrap().parse().unwrap();
    let ended = value(&families, "kpromo_run_end_timestamp_seconds", &[]);
    assert!(ended >= started.as_second() as f64 && ended < started.as_second() as f64 + 1e5, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_begin_leaves_the_last_metrics_as_they_are() {
    let world = World::new().await;
    let path = world.desk.write("kpromo.prom", "old\n").display().to_string();
    let ran = kpromo_with(&["cip", "--manifest", "no.yaml", "--metrics", &path]);
    assert_eq!((ran.code, fs::read_to_string(path).unwrap()), (10, "old\n".to_owned()), "{}", ran.stderr);
}
