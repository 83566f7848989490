//! `kpromo snapshot diff`.

use crate::snapshot::scene::{expected, fill, image, index};
use crate::support::{Desk, google, kpromo_with, put, schema};

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_compared_with_its_snapshot_in_any_format() {
    let (server, desk) = (google().await, Desk::new());
    fill(&server).await;
    let registry = format!("{}/prod", server.host());
    for format in ["yaml", "csv", "json"] {
        let before = kpromo_with(&["snapshot", &registry, "--output", format]);
        let file = desk.write(&format!("before.{format}"), &before.stdout);
        let ran = kpromo_with(&["snapshot", "diff", file.to_str().unwrap(), &registry, "--exit-code"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{format}: {}", ran.stderr);
    }
    let before = desk.write("before", &expected(true).yaml());
    put(&server, "prod/app-b", &image(5), &["v2", "v11"]).await;
    put(&server, "prod/new", &index(8), &["v1"]).await;
    let (v2, v9) = (image(4).digest(), image(5).digest());
    let mut added = vec![format!("+ new@{} v1\n", index(8).digest())];
    added.extend(
        index(8).root().parse().unwrap().children.iter().map(|child| format!("+ new@{}\n", child.digest)),
    );
    added.sort();
    let lines = format!("~ app-b:v2 {v2} -> {v9}\n+ app-b:v11 {v9}\n{}", added.concat());
    let ran = kpromo_with(&["snapshot", "diff", before.to_str().unwrap(), &registry]);
    assert_eq!((ran.code, ran.stdout), (0, lines), "{}", ran.stderr);

    let ran = kpromo_with(&[
        "snapshot",
        "diff",
        &registry,
        before.to_str().unwrap(),
        "--exit-code",
        "--output=json",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    schema::is_strict("snapshot-diff", &json);
    assert_eq!(json["images"][0]["moved"][0]["from"], v9.to_string());
    assert_eq!(json["images"][0]["removedTags"][0]["tag"], "v11");
    assert_eq!(json["images"][1]["removed"].as_array().unwrap().len(), 3);

    let ran = kpromo_with(&["snapshot", "diff", &registry, before.to_str().unwrap(), "--tag=v11"]);
    // Both have the digest, which has lost this tag; the other tag of it has moved.
    assert_eq!(ran.stdout, format!("~ app-b:v2 {v9} -> {v2}\n- app-b:v11 {v9}\n"), "{}", ran.stderr);
    let ran = kpromo_with(&[
        "snapshot",
        "diff",
        &registry,
        before.to_str().unwrap(),
        "--tag=latest",
        "--exit-code",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_are_compared() {
    let (one, two) = (google().await, google().await);
    fill(&one).await;
    fill(&two).await;
    let of = |server: &registry::Server| format!("{}/prod", server.host());
    let ran = kpromo_with(&["snapshot", "diff", "--minimal", "--exit-code", &of(&one), &of(&two)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let ran = kpromo_with(&["snapshot", "diff", "--output=json", &of(&one), &of(&two)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "{\"schema\":1,\"images\":[]}\n"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_file_ends_the_comparison_before_any_request() {
    let (server, desk) = (google().await, Desk::new());
    let file = desk.write("a.yaml", "- name: A\n  dmap: {}\n");
    let registry = format!("{}/prod", server.host());
    let ran = kpromo_with(&["snapshot", "diff", &registry, file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (10, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("a.yaml: not a snapshot"), "{}", ran.stderr);
    assert_eq!(server.tally().snapshot().total(), 0);
    let ran = kpromo_with(&["snapshot", "diff", &registry, "missing.yaml"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let empty = desk.write("empty.csv", "\n");
    let ran = kpromo_with(&["snapshot", "diff", &registry, empty.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
}

/// A command that fails leaves the file empty that its output was to go to.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_failed_snapshot_is_not_an_empty_snapshot() {
    let (server, desk) = (google().await, Desk::new());
    fill(&server).await;
    let registry = format!("{}/prod", server.host());
    for (name, text) in [
        ("a.yaml", ""),
        ("a.csv", ""),
        ("a.json", ""),
        ("b.json", "\n\n"),
        ("a", ""),
        ("b.yaml", "# nothing\n\n"),
    ] {
        let file = desk.write(name, text);
        let ran = kpromo_with(&["snapshot", "diff", file.to_str().unwrap(), &registry]);
        assert_eq!((ran.code, ran.stdout.as_str()), (10, ""), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("not a snapshot"), "{name}: {}", ran.stderr);
    }
    assert_eq!(server.tally().snapshot().total(), 0);
    let whole = expected(true).yaml();
    let cut = desk.write("cut.yaml", &whole[..whole.len() - 1]);
    let ran = kpromo_with(&["snapshot", "diff", cut.to_str().unwrap(), &registry]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("may be incomplete"), "{}", ran.stderr);
    let whole = desk.write("whole.yaml", &whole);
    let ran = kpromo_with(&["snapshot", "diff", whole.to_str().unwrap(), &registry]);
    assert!(!ran.stderr.contains("may be incomplete"), "{}", ran.stderr);
}

#[test]
fn a_pipe_is_not_read_twice() {
    let mut command = crate::support::kpromo(None);
    command.args(["snapshot", "diff", "/dev/stdin", "/dev/stdin"]).stdin(std::process::Stdio::piped());
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("the same pipe"), "{errors}");
}
