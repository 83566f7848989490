//! What the Go tool does in each case (recorded from v4.5.1), and what ours does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use files::Attributes;
use serde::Deserialize;
use testkit::{Asked, FakeGcs, Fault, Relay, VersityGw};

use super::stores::{command, open, put, runtime, sha256};
use crate::support::{Desk, run};

/// Where exit code or standard output differ, why: specification 04, *`kpromo run files`*.
const DIFFERENT: &[(&str, &str)] = &[
    ("gcs/destination-differs", "what is overwritten is said: REPLACE"),
    ("gcs/destination-equal-manifest-differs", "the hash in the manifest counts"),
    ("gcs/destination-is-source", "a mistake in the manifest"),
    ("gcs/destination-right-source-differs", "production is as it should be"),
    ("gcs/gzip-encoding", "stored bytes are promoted, nothing is unpacked"),
    ("gcs/list-403", "single objects may be read"),
    ("gcs/manifests-tree-conflict", "two contents for one object"),
    ("gcs/no-md5-at-source", "CRC32C and metadata tell that it is done"),
    ("gcs/same-name-twice", "a mistake in the manifest"),
    ("gcs/upload-503-once", "uploads are tried again"),
    ("s3/destination-differs", "what is overwritten is said: REPLACE"),
    ("s3/multipart-at-destination", "an object in parts is no reason to stop"),
];

#[derive(Deserialize)]
struct Case {
    what: String,
    arguments: Vec<String>,
    inputs: BTreeMap<String, String>,
    faults: Vec<Failing>,
    before: BTreeMap<String, BTreeMap<String, Before>>,
    go: Vec<Ran>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Before {
    content: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    cache_control: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Before {
    /// The content. One object has five mebibytes and four bytes, in two parts.
    fn content(&self) -> Vec<u8> {
        self.content
            .as_ref()
            .map_or_else(|| vec![b'x'; 5_242_884], |content| STANDARD.decode(content).unwrap())
    }
}

#[derive(Clone, Deserialize)]
struct Failing {
    #[serde(rename = "match")]
    pattern: String,
    times: usize,
    #[serde(default)]
    method: String,
    status: Option<u16>,
    #[serde(default)]
    body: String,
    strip: Option<String>,
}

#[derive(Deserialize)]
struct Ran {
    exit: i32,
    stdout: String,
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("data/cases.json")).unwrap()
}

/// Makes the faults of a case. The recorded ones were for the requests of the Go tool; ours read objects elsewhere.
fn faults(failing: &[Failing]) -> impl Fn(&Asked) -> Fault + Send + Sync + 'static {
    let failing = failing.to_vec();
    let seen: Mutex<HashMap<usize, usize>> = Mutex::default();
    move |asked| {
        for (index, fault) in failing.iter().enumerate() {
            let part = match fault.pattern.as_str() {
                "^/staging/a" => "/download/storage/v1/b/staging/o/a?",
                "name=sub%2Fa" | "name=sub%2Fb" => "/upload/storage/v1/b/prod/o?",
                pattern => &pattern.trim_start_matches('^').replace("\\?", "?"),
            };
            let is_method = fault.method.is_empty() || fault.method == asked.method;
            if !asked.target.starts_with(part) || !is_method {
                continue;
            }
            // One of three uploads is refused: its boundary has the hash of `b`.
            let is_b =
                asked.headers.get("content-type").is_some_and(|kind| kind.contains("kpromo-f44e64e75f39"));
            if fault.pattern == "name=sub%2Fb" && !is_b {
                return Fault::None;
            }
            let mut seen = seen.lock().unwrap();
            let count = seen.entry(index).or_default();
            *count += 1;
            if *count > fault.times {
                return Fault::None;
            }
            return match (fault.status, &fault.strip) {
                (Some(status), _) => Fault::Status(status, fault.body.clone()),
                (None, Some(_)) => Fault::Rewrite(Box::new(|body| {
                    let mut parts = body.split("\"md5Hash\":\"");
                    let first = parts.next().unwrap_or_default().to_owned();
                    parts.fold(first, |text, part| text + part.split_once("\",").map_or("", |(_, rest)| rest))
                })),
                (None, None) => Fault::None,
            };
        }
        Fault::None
    }
}

/// Runs a case, and returns what was seen: for each run the exit code and standard output, then the objects at the destinations.
fn outcome(name: &str, case: &Case, gcs: &FakeGcs, s3: &VersityGw) -> (Vec<(i32, String)>, String) {
    let relay = Relay::like_google(gcs.host(), faults(&case.faults));
    let desk = Desk::new();
    case.inputs.iter().for_each(|(name, text)| drop(desk.write(name, text)));
    let mut runs = Vec::new();
    for _ in &case.go {
        let mut command = command(&relay.host(), s3.host());
        command.args(&case.arguments).current_dir(desk.path("."));
        let ran = run(command);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        runs.push((ran.code, ran.stdout));
    }
    let mut objects = String::new();
    for bucket in case.before.keys().filter(|bucket| bucket.starts_with("prod")) {
        if name.starts_with("gcs/") {
            for object in gcs.names(bucket) {
                let resource = gcs.resource(bucket, &object).unwrap();
                let content = gcs.get(bucket, &object).unwrap();
                let metadata: BTreeMap<String, String> =
                    serde_json::from_value(resource["metadata"].clone()).unwrap_or_default();
                let text = |field: &str| resource[field].as_str().unwrap_or("-").to_owned();
                objects.push_str(&line(
                    bucket,
                    &object,
                    &content,
                    &text("contentType"),
                    &text("contentEncoding"),
                    &text("cacheControl"),
                    metadata,
                ));
            }
        } else {
            objects.push_str(&runtime().block_on(of_s3(s3, bucket)));
        }
    }
    (runs, objects)
}

async fn of_s3(s3: &VersityGw, bucket: &str) -> String {
    let store = open(&format!("s3://{bucket}"), None, Some(s3)).await;
    let page = store.reader().page("", "", None).await.unwrap().unwrap();
    let mut text = String::new();
    for (name, _) in page.objects {
        let object = store.reader().find(&name).await.unwrap().unwrap();
        let Attributes { content_type, content_encoding, cache_control, custom, .. } =
            *object.attributes.unwrap();
        let shown = |field: Option<String>| field.unwrap_or("-".to_owned());
        let content = s3.get(bucket, &name).unwrap();
        text.push_str(&line(
            bucket,
            &name,
            &content,
            &shown(content_type),
            &shown(content_encoding),
            &shown(cache_control),
            custom,
        ));
    }
    text
}

fn line(
    bucket: &str,
    name: &str,
    content: &[u8],
    content_type: &str,
    encoding: &str,
    cache: &str,
    mut metadata: BTreeMap<String, String>,
) -> String {
    let hash = metadata.remove("content-hash-sha256");
    let known = match hash {
        None => "no hash",
        Some(hash) if hash == sha256(content) => "its hash",
        Some(_) => "ANOTHER HASH",
    };
    let size = content.len();
    format!(
        "    {bucket}/{name}: {size} bytes, {content_type}, encoding {encoding}, cache {cache}, {known}, {metadata:?}\n"
    )
}

/// The snapshot is the table of all cases: exit code, standard output, and the objects in production.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn every_recorded_case_ends_as_it_did_or_better() {
    let mut table = String::new();
    for (name, case) in cases() {
        let is_gcs = name.starts_with("gcs/");
        let gcs = FakeGcs::start(if is_gcs { &["staging", "prod", "prod2"] } else { &[] });
        let s3 = VersityGw::start(if is_gcs { &[] } else { &["stagings3", "prods3"] }, "us-east-1");
        fill(&case, is_gcs, &gcs, &s3);
        let is_wrong_key = name == "s3/wrong-key";
        let (runs, objects) =
            if is_wrong_key { wrong_key(&case, &s3) } else { outcome(&name, &case, &gcs, &s3) };
        // One code of the Go tool is many of ours.
        let is_same = runs.iter().zip(&case.go).all(|((exit, stdout), go)| {
            (*exit == 0) == (go.exit == 0) && (go.exit != 0 || *stdout == go.stdout)
        });
        let why = DIFFERENT.iter().find(|(other, _)| *other == name).map(|(_, why)| *why);
        assert_eq!(!is_same, why.is_some(), "{name}: {runs:?}");
        let note = why.map(|why| format!(" (there otherwise: {why})")).unwrap_or_default();
        table.push_str(&format!("{name}: {}{note}\n", case.what));
        for ((exit, stdout), go) in runs.iter().zip(&case.go) {
            table.push_str(&format!("  exit {exit}, there {}\n", go.exit));
            stdout
                .lines()
                .for_each(|line| table.push_str(&format!("  | {}\n", line.replace(gcs.host(), "HOST"))));
        }
        table.push_str(&objects);
    }
    insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "data"}, {
        insta::assert_snapshot!("expected", table);
    });
}

fn fill(case: &Case, is_gcs: bool, gcs: &FakeGcs, s3: &VersityGw) {
    for (bucket, objects) in &case.before {
        for (name, object) in objects {
            let content = object.content();
            let Before { content_type, content_encoding, cache_control, metadata, .. } = object;
            if is_gcs {
                let fields = [
                    ("contentType", serde_json::json!(content_type)),
                    ("contentEncoding", serde_json::json!(content_encoding)),
                    ("cacheControl", serde_json::json!(cache_control)),
                    ("metadata", serde_json::json!(metadata)),
                ];
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                let fields: Vec<String> = fields.map(|(name, value)| format!("\"{name}\":{value}")).collect();
                gcs.put(bucket, name, &content, &fields.join(","));
            } else {
                let attributes = Attributes {
                    content_type: content_type.clone(),
                    cache_control: cache_control.clone(),
                    custom: metadata.clone(),
                    ..Attributes::default()
                };
                runtime().block_on(put(s3, bucket, name, &content, attributes));
            }
        }
    }
}

fn wrong_key(case: &Case, s3: &VersityGw) -> (Vec<(i32, String)>, String) {
    let desk = Desk::new();
    case.inputs.iter().for_each(|(name, text)| drop(desk.write(name, text)));
    let mut command = command("127.0.0.1:1", s3.host());
    command.env("AWS_SECRET_ACCESS_KEY", "wrong").args(&case.arguments).current_dir(desk.path("."));
    let ran = run(command);
    assert!(ran.stderr.contains("SignatureDoesNotMatch"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("X-Amz-Signature="), "no signature is shown: {}", ran.stderr);
    (vec![(ran.code, ran.stdout)], String::new())
}
