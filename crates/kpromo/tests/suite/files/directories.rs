//! Promotion between directories: what every store does, without external programs.

use std::fs;
use std::path::Path;

use super::stores::{command, content, manifests, sha256};
use crate::support::{Desk, Ran, run, schema};

/// Writes files to a directory, and manifests that promote them to two others. Returns the flags for them.
pub(crate) fn scene(names: &[(&str, &[u8])]) -> (Desk, Vec<String>) {
    let desk = Desk::new();
    for (name, content) in names {
        let path = desk.path(&format!("staging/{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir_all(desk.path("one")).unwrap();
    fs::create_dir_all(desk.path("two")).unwrap();
    let base = |name: &str| format!("file://{}", desk.path(name).display());
    let files: Vec<(&str, String)> = names.iter().map(|(name, content)| (*name, sha256(content))).collect();
    let flags = manifests(&desk, &[&base("staging"), &base("one"), &base("two")], &files);
    (desk, flags)
}

pub(crate) fn promote(flags: &[String], more: &[&str]) -> Ran {
    let mut command = command("127.0.0.1:1", "127.0.0.1:1");
    command.args(flags).args(more);
    run(command)
}

/// Returns the names of all files below a directory.
fn below(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => names.extend(below(&path)),
            false => names.push(path.display().to_string()),
        }
    }
    names.sort();
    names
}

#[test]
fn a_dry_run_writes_nothing_and_says_what_a_confirmed_run_does() {
    let large = content(20 << 20, 7);
    let (desk, flags) = scene(&[("v1/tool", b"alpha"), ("empty", b""), ("large", &large)]);
    let dry = promote(&flags, &[]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(
        dry.stdout.starts_with("********** START (DRY RUN) **********\nCOPY \"file://"),
        "{}",
        dry.stdout
    );
    assert!(dry.stdout.ends_with("********** FINISHED (DRY RUN) **********\n"), "{}", dry.stdout);
    assert!(below(&desk.path("one")).is_empty() && below(&desk.path("two")).is_empty());

    let report = desk.path("report.json").display().to_string();
    let metrics = desk.path("files.prom").display().to_string();
    let real = promote(&flags, &["--confirm", "--report", &report, "--metrics", &metrics]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    let copies = |stdout: &str| {
        stdout.lines().filter(|line| line.starts_with("COPY")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(copies(&dry.stdout), copies(&real.stdout));
    assert_eq!(copies(&real.stdout).len(), 6);
    assert!(real.stdout.ends_with("********** FINISHED **********\n"), "{}", real.stdout);
    for directory in ["one", "two"] {
        assert_eq!(fs::read(desk.path(directory).join("large")).unwrap(), large);
        assert_eq!(fs::read(desk.path(directory).join("v1/tool")).unwrap(), b"alpha");
        assert_eq!(below(&desk.path(directory)).len(), 3, "nothing else is left");
    }
    let written = desk.json("report.json");
    schema::is_strict("files-report", &written);
    assert_eq!((written["outcome"].as_str(), written["totals"]["copied"].as_u64()), (Some("done"), Some(6)));
    assert_eq!(written["totals"]["bytesSent"].as_u64(), Some(2 * ((20 << 20) + 5)));
    let metrics = fs::read_to_string(metrics).unwrap();
    for (name, value) in
        [("run_exit_code", 0), ("files_copied", 6), ("files_sent_bytes", 2 * ((20 << 20) + 5))]
    {
        let line = format!("kpromo_{name}{{command=\"run files\"}} {value}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let page = desk.path("files.html").display().to_string();
    let again = promote(&flags, &["--report", &page, "--report", &report]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(desk.json("report.json")["outcome"].as_str(), Some("dry-run"));
    assert!(fs::read_to_string(page).unwrap().contains(">Dry run</span></h1>"));

    let again = promote(&flags, &["--confirm"]);
    assert_eq!(again.stdout, "********** START **********\n********** FINISHED **********\n");
}

/// A report that is named like a file of a store must not cost that file.
#[test]
fn an_output_is_never_written_into_a_store() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    for (flag, place) in [("--report", "staging/a"), ("--metrics", "one/a"), ("--report", "two/new.json")] {
        let output = desk.path(place).display().to_string();
        for confirm in ["--confirm=false", "--confirm"] {
            let ran = promote(&flags, &[confirm, flag, &output]);
            assert_eq!(ran.code, 10, "{place}: {}", ran.stderr);
            assert!(
                ran.stderr.contains(flag) && ran.stderr.contains("is in the store file://"),
                "{}",
                ran.stderr
            );
        }
    }
    assert_eq!(fs::read(desk.path("staging/a")).unwrap(), b"alpha");
    assert!(!desk.path("two/new.json").exists() && !desk.path("one/a").exists(), "nothing was written");
}

#[test]
fn a_wrong_hash_fails_its_file_alone_and_leaves_nothing() {
    let (large, other) = (content(9 << 20, 1), content(9 << 20, 2));
    let (desk, flags) = scene(&[("a", b"alpha"), ("b", b"beta"), ("large", &large)]);
    fs::write(desk.path("staging/b"), "atec").unwrap();
    fs::write(desk.path("staging/large"), other).unwrap();
    let dry = promote(&flags, &[]);
    assert_eq!(dry.code, 0, "a dry run does not read what is to be copied");
    let verified = promote(&flags, &["--verify-source"]);
    assert_eq!(verified.code, 30);
    assert!(
        verified.stdout.contains("FINISHED WITH ERRORS") && verified.stdout.contains(&sha256(b"atec")),
        "{}",
        verified.stdout
    );
    let real = promote(&flags, &["--confirm"]);
    assert_eq!(real.code, 30, "{}", real.stderr);
    assert!(
        real.stdout.contains(&sha256(b"beta")) && real.stdout.contains("reading file://"),
        "{}",
        real.stdout
    );
    assert!(real.stderr.contains("correct one of the two"), "{}", real.stderr);
    assert_eq!(below(&desk.path("one")).len(), 1, "{:?}", below(&desk.path("one")));
}

#[test]
fn other_content_is_replaced_with_both_hashes_shown_or_is_a_conflict() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    fs::write(desk.path("one/a"), "older").unwrap();
    let careful = promote(&flags, &["--confirm", "--no-overwrite"]);
    assert_eq!(careful.code, 11, "{}", careful.stderr);
    for part in [&sha256(b"older"), &sha256(b"alpha"), "files.yaml:2:3"] {
        assert!(careful.stderr.contains(part), "{part}: {}", careful.stderr);
    }
    assert!(below(&desk.path("two")).is_empty(), "a plan with conflicts writes nothing");
    let bold = promote(&flags, &["--confirm"]);
    assert_eq!(bold.code, 0, "{}", bold.stderr);
    assert!(bold.stdout.contains("\nREPLACE \"file://"), "{}", bold.stdout);
    for part in [&sha256(b"older"), &sha256(b"alpha")] {
        assert!(bold.stderr.contains(part), "{part}: {}", bold.stderr);
    }
    assert_eq!(fs::read(desk.path("one/a")).unwrap(), b"alpha");
    assert_eq!(below(&desk.path("one")).len(), 1, "nothing else is left");
}

#[test]
fn a_lost_file_is_told_and_stops_a_strict_run() {
    let (desk, flags) = scene(&[("a", b"alpha"), ("lost", b"x")]);
    fs::remove_file(desk.path("staging/lost")).unwrap();
    let report = desk.path("report.json").display().to_string();
    let strict = promote(&flags, &["--confirm", "--strict", "--report", &report]);
    assert_eq!(strict.code, 11, "{}", strict.stderr);
    let written = desk.json("report.json");
    let listed = written["lost"].as_array().unwrap().len();
    assert_eq!(written["plan"]["lost"].as_u64(), Some(listed as u64), "{written}");
    assert!(listed > 0 && written["totals"]["notCompleted"] == 0, "{written}");
    assert!(below(&desk.path("one")).is_empty());
    let real = promote(&flags, &["--confirm"]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    assert!(
        real.stderr.contains("not found in the source: file://") && real.stderr.contains("files.yaml:4:3"),
        "{}",
        real.stderr
    );
    // What a destination has is not lost there.
    fs::write(desk.path("one/lost"), "x").unwrap();
    let there = promote(&flags, &["--confirm"]);
    assert!(!there.stderr.contains("one/lost"), "{}", there.stderr);
}

#[test]
fn stores_that_cannot_be_used_end_the_run_before_anything_is_written_and_all_are_named() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    fs::remove_dir(desk.path("one")).unwrap();
    fs::remove_dir_all(desk.path("staging")).unwrap();
    let ran = promote(&flags, &["--confirm"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("/one: ") && ran.stderr.contains("/staging: "), "{}", ran.stderr);
    assert!(below(&desk.path("two")).is_empty());
}

#[test]
fn faults_of_manifests_are_told_before_any_store_is_asked() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    desk.write("files.yaml", "files:\n- name: ../a\n  sha256: x\n");
    let ran = promote(&flags, &["--confirm"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (10, ""));
    assert!(
        ran.stderr.contains("files.yaml:2:9") && ran.stderr.contains("files.yaml:3:11"),
        "{}",
        ran.stderr
    );
}

#[test]
fn writing_to_google_needs_an_account_and_says_where_it_is_missing() {
    let desk = Desk::new();
    let flags = manifests(&desk, &["gs://staging", "gs://prod"], &[("a", sha256(b"alpha"))]);
    desk.write("filestores.yaml", "filestores:\n- {base: gs://staging, src: true}\n- base: gs://prod\n");
    for more in ["--confirm", "--use-service-account"] {
        let ran = promote(&flags, &[more]);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("filestores.yaml:3:3: gs://prod has no `service-account`"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn nothing_is_written_through_a_link_below_the_base() {
    let (desk, flags) = scene(&[("v1/tool", b"alpha")]);
    fs::create_dir(desk.path("outside")).unwrap();
    std::os::unix::fs::symlink(desk.path("outside"), desk.path("one/v1")).unwrap();
    let ran = promote(&flags, &["--confirm"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stdout.contains("one/v1 is a link"), "{}", ran.stdout);
    assert!(below(&desk.path("outside")).is_empty());
    assert_eq!(fs::read(desk.path("two/v1/tool")).unwrap(), b"alpha", "the other destination has it");
}

#[test]
fn settings_of_aws_matter_only_where_a_store_needs_them() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    desk.write(".aws/config", "[default]\nrole_arn = arn:aws:iam::1:role/x\n");
    let with_home = |flags: &[String]| {
        let mut command = command("127.0.0.1:1", "127.0.0.1:1");
        command.args(flags).env("HOME", desk.path("."));
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        run(command)
    };
    let ran = with_home(&flags);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let other = Desk::new();
    let base = format!("file://{}", desk.path("staging").display());
    let ran = with_home(&manifests(&other, &[&base, "s3://prod"], &[("a", sha256(b"alpha"))]));
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("opening s3://prod: the profile `default` has `role_arn`"), "{}", ran.stderr);
}

#[test]
fn a_result_that_cannot_be_printed_is_no_success() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let directory = desk.path("staging").display().to_string();
    for flags in
        [flags, words(&["manifest", "files", "--src", &directory]), words(&["version"]), words(&["--help"])]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = command("127.0.0.1:1", "127.0.0.1:1");
        let output = command.args(&flags).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {text}");
        assert!(text.matches("cannot be written").count() <= 1, "{flags:?}: {text}");
    }
}
