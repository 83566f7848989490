//! `kpromo cip` as a user runs it: output, files and exit codes.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Desk, cip, google, kpromo, put, run, scene};
use registry::sample::Recipe;
use registry::{Config, Effect, Fault, Kind, Server, Storage};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_it_would_do_a_confirmed_one_does_it_and_a_second_one_has_nothing_to_do() {
    let (_staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let (plan, report) = (desk.path("plan.json"), desk.path("report.json"));
    let flags = ["--manifest", manifest.to_str().unwrap(), "--output-plan", plan.to_str().unwrap()];

    let dry = cip(&flags);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stdout.contains("dry run: nothing was written"), "{}", dry.stdout);
    assert_eq!(production.tally().snapshot().writes(), 0);
    let written = desk.json("plan.json");
    assert_eq!(written["summary"]["total"]["copy"], 3);
    let edges = written["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 3);
    assert!(edges.iter().all(|edge| edge["action"] == "copy"), "{written}");

    let confirmed = cip(&[flags.as_slice(), &["--confirm", "--report", report.to_str().unwrap()]].concat());
    assert_eq!(confirmed.code, 0, "{}", confirmed.stderr);
    assert!(confirmed.stdout.contains("promoted 2 images"), "{}", confirmed.stdout);
    assert!(
        confirmed.stdout.contains("sign: signing is off (--sign=false)"),
        "phases that do nothing say so"
    );
    let messages = desk.json("report.json");
    assert_eq!((messages["outcome"].as_str(), messages["exitCode"].as_u64()), (Some("done"), Some(0)));
    assert_eq!(messages["totals"]["tagged"], 2);
    assert_eq!(messages["promoted"].as_array().unwrap().len(), 2);
    let counted = production.tally().snapshot();
    assert_eq!(
        messages["registries"][production.host().as_str()]["sent"],
        counted.bytes_in,
        "bytes are counted truly"
    );

    production.tally().reset();
    let again = cip(&[flags.as_slice(), &["--confirm"]].concat());
    assert_eq!((again.code, production.tally().snapshot().writes()), (0, 0));
    assert!(again.stdout.contains("Nothing to do"), "{}", again.stdout);
}

/// Signing is the default. Without an identity, nothing is promoted that would remain unsigned.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_identity_nothing_is_promoted_unless_signing_is_declined() {
    let (_staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let mut command = kpromo(None);
    command.args(["cip", "--confirm", "--signer-account=", "--manifest", manifest.to_str().unwrap()]);
    let ran = run(command);
    assert_eq!((ran.code, production.tally().snapshot().writes()), (20, 0), "{}", ran.stderr);
    for expected in ["no identity to sign with", "SIGSTORE_ID_TOKEN: not given", "--sign=false"] {
        assert!(ran.stderr.contains(expected), "{expected} is missing:\n{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_has_its_exit_code() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml").to_str().unwrap().to_owned();
    let with = |flags: &[&str]| cip(&[&["--manifest", &manifest], flags].concat());

    assert_eq!(cip(&[]).code, 2);
    assert_eq!(with(&["--no-such-flag"]).code, 2);
    assert_eq!(with(&["--vuln-severity-threshold", "6"]).code, 2);
    let unscanned = with(&["--vuln-severity-threshold", "3"]);
    assert_eq!(unscanned.code, 12, "{}", unscanned.stderr);

    let invalid = desk.write("invalid.yaml", "registries:\n- nam: x\n");
    let ran = cip(&["--manifest", invalid.to_str().unwrap()]);
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("invalid.yaml:2:3") && ran.stderr.contains("- nam: x"), "{}", ran.stderr);
    let config = desk.write("config.yaml", "host: {}\n");
    let config = config.to_str().unwrap();
    assert_eq!(with(&["--config", config]).code, 10);
    assert_eq!(with(&["--config", config, "--registry-config", config]).code, 2);
    assert_eq!(with(&["--use-prow-manifest-diff"]).code, 10, "JOB_TYPE is not set");

    // A device that is always full: the file can be opened but not written.
    assert_eq!(with(&["--report", "/dev/full"]).code, 1, "a report that is lost is no success");
    assert_eq!(with(&["--parse-only", "--report", "r.json"]).code, 2);

    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    put(&production, "prod/one", &other, &["v1"]).await;
    let plan = desk.path("conflict.json");
    let moved = with(&["--confirm", "--output-plan", plan.to_str().unwrap()]);
    assert_eq!(moved.code, 11);
    assert_eq!(
        desk.json("conflict.json")["summary"]["total"]["conflicts"],
        1,
        "the plan shows what is wrong with it"
    );
    assert!(
        moved.stderr.contains("never move") && moved.stderr.contains("manifest.yaml:"),
        "{}",
        moved.stderr
    );
    assert_eq!(production.tally().snapshot().writes(), 0);

    let (staging_2, production_2, desk) = scene().await;
    let manifest = desk.path("manifest.yaml").to_str().unwrap().to_owned();
    production_2.faults().add(Fault::new(Effect::Reset).on(Kind::ManifestPut).path("prod/two"));
    let partial =
        cip(&["--manifest", &manifest, "--confirm", "--report", desk.path("r.json").to_str().unwrap()]);
    assert_eq!(partial.code, 30, "{}", partial.stderr);
    assert!(
        partial.stdout.contains("failed: 1") && partial.stdout.contains("prod/two"),
        "{}",
        partial.stdout
    );
    assert_eq!(desk.json("r.json")["failed"].as_array().unwrap().len(), 1);
    let first_only = cip(&["--manifest", &manifest, "--confirm", "--keep-going=false"]);
    assert_eq!(first_only.code, 30, "a failure that ends the run is a failure: {}", first_only.stderr);

    drop((staging, production, staging_2, production_2));
    // Nothing listens there any more.
    let gone = cip(&["--manifest", &manifest]);
    assert_eq!(gone.code, 20, "{}", gone.stderr);
    assert!(gone.stderr.contains("cannot connect"), "{}", gone.stderr);
}

#[test]
fn parse_only_checks_manifests_without_a_network_and_finds_overlaps() {
    let desk = Desk::new();
    let digest = oci::Digest::of(b"x");
    // Nothing listens on port 1.
    let manifest = desk.manifest("127.0.0.1:1/s", &["127.0.0.1:1/p".to_owned()], &[("a", digest, &["v1"])]);
    let ran = cip(&["--parse-only", "--manifest", manifest.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1 manifest, 1 edge: valid\n"));

    let other = oci::Digest::of(b"y");
    let images: [(&str, oci::Digest, &[&str]); 2] = [("a", digest, &["v1"]), ("a", other, &["v1"])];
    let manifest = desk.manifest("127.0.0.1:1/s", &["127.0.0.1:1/p".to_owned()], &images);
    let ran = cip(&["--parse-only", "--manifest", manifest.to_str().unwrap()]);
    assert_eq!(ran.code, 11);
    assert!(
        ran.stderr.contains("manifest.yaml:8:") && ran.stderr.contains("manifest.yaml:11:"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_log_can_be_json_and_goes_to_standard_error() {
    let desk = Desk::new();
    let manifest = desk.manifest(
        "127.0.0.1:1/s",
        &["127.0.0.1:1/p".to_owned()],
        &[("a", oci::Digest::of(b"x"), &["v1"])],
    );
    let flags = [
        "--parse-only",
        "--manifest",
        manifest.to_str().unwrap(),
        "--log-format=json",
        "--log-level",
        "debug",
    ];
    let ran = cip(&flags);
    assert!(
        ran.stderr.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("setup"), "{}", ran.stderr);
    assert_eq!(
        cip(&["--parse-only", "--manifest", manifest.to_str().unwrap(), "--log-level=error"]).stderr,
        ""
    );
}

#[test]
fn version_completion_and_help_are_there() {
    let ran = |words: &[&str]| {
        let mut command = kpromo(None);
        command.args(words);
        run(command)
    };
    let version: serde_json::Value = serde_json::from_str(&ran(&["version", "--json"]).stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")));
    for field in ["gitCommit", "gitTreeState", "buildDate", "compiler", "platform"] {
        assert!(version[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {version}");
    }
    assert!(ran(&["version"]).stdout.starts_with("kpromo "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(ran(&["completion", shell]).stdout.contains("thin-manifest-dir"), "{shell}");
    }
    let help = ran(&["cip", "--help"]);
    assert_eq!(help.code, 0);
    assert!(
        help.stdout.contains("--confirm") && !help.stdout.contains("--max-image-size"),
        "{}",
        help.stdout
    );
}

/// A promotion continues if its log has no reader any more, as in `kpromo … 2>&1 | head`.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_error_stops_nothing() {
    let (_staging, production, desk) = scene().await;
    let mut command = kpromo(None);
    command.args([
        "cip",
        "--confirm",
        "--sign=false",
        "--log-level=TRACE",
        "--manifest",
        desk.path("manifest.yaml").to_str().unwrap(),
    ]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(production.store().missing_parts().await.unwrap().is_empty());
    assert!(production.store().resolve(&"prod/one".parse().unwrap(), &"v1".parse().unwrap()).is_some());
}

/// The demo promotes the content of its directory, so it refuses a directory that has other content.
#[test]
fn the_demo_leaves_directories_of_other_people_alone() {
    let desk = Desk::new();
    desk.write("manifests/mine/promoter-manifest.yaml", "registries: []\n");
    let mut command = kpromo(None);
    command.args(["demo", "--directory", desk.path("").to_str().unwrap()]);
    let ran = run(command);
    assert!(ran.code == 1 && ran.stderr.contains("not empty"), "{}", ran.stderr);
}

/// The demo shows a plan, a promotion, and a second run without work.
#[test]
fn the_demo_shows_the_main_job() {
    let mut command = kpromo(None);
    command.arg("demo");
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for expected in [
        "This was a dry run",
        "promoted 12 images",
        "signed 17 manifests (images and their parts), recorded 4 promotions",
        "Nothing to do",
        "4 of 4 platforms signed",
        "Missing parts of these images: 0",
    ] {
        assert!(ran.stdout.contains(expected), "{expected} is missing:\n{}", ran.stdout);
    }
    assert_eq!(ran.stderr, "", "there is nothing to warn of");
}

/// Starts the binary for a test that kills or interrupts it.
fn start(manifest: &str) -> Child {
    let mut command = kpromo(None);
    command.args(["cip", "--confirm", "--sign=false", "--manifest", manifest]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
}

/// After `kill -9` of the promoter after any number of writes, no registry has a manifest with missing parts, and the next run
/// completes the promotion. The registry is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_nothing_is_incomplete_and_the_next_run_completes() {
    for writes in [0, 1, 5, 9, 12, 14, 16, 17] {
        let (staging, desk) = (google().await, Desk::new());
        let storage = Storage::Directory(desk.path("storage"));
        let production =
            Server::start(Config { storage, google_listing: true, ..Config::default() }).await.unwrap();
        let image = Recipe { layers: 1, ..Recipe::default() }.index(3);
        put(&staging, "staging/app", &image, &[]).await;
        let (source, destination) =
            (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
        let manifest = desk.manifest(&source, &[destination], &[("app", image.digest(), &["v1", "latest"])]);
        let manifest = manifest.to_str().unwrap();

        let kinds = [Kind::Mount, Kind::UploadPut, Kind::ManifestPut];
        let fault = kinds.into_iter().fold(Fault::new(Effect::Hang), Fault::on).skip(writes);
        let watch = production.faults().add(fault);
        let mut child = start(manifest);
        while watch.struck() == 0 && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // SIGKILL. If all writes were let through, the process has already exited.
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(watch.struck() > 0, writes < 17, "12 for blobs, 3 for platforms, 2 for tags");
        assert!(production.store().missing_parts().await.unwrap().is_empty(), "after {writes} writes");

        production.faults().clear();
        assert_eq!(cip(&["--confirm", "--sign=false", "--manifest", manifest]).code, 0);
        let repository = "prod/app".parse().unwrap();
        for tag in ["v1", "latest"] {
            assert_eq!(production.store().resolve(&repository, &tag.parse().unwrap()), Some(image.digest()));
        }
        assert!(production.store().missing_parts().await.unwrap().is_empty());
    }
}

/// On SIGTERM during copies, the run finishes the copies in flight and begins no others. The exit code says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_terminated_finishes_what_is_under_way() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let mut images = Vec::new();
    for seed in 0..60 {
        let image = Recipe { seed, ..Recipe::default() }.image();
        put(&staging, &format!("staging/app-{seed}"), &image, &[]).await;
        images.push((format!("app-{seed}"), image.digest()));
    }
    let images: Vec<(&str, oci::Digest, &[&str])> =
        images.iter().map(|(name, digest)| (name.as_str(), *digest, ["v1"].as_slice())).collect();
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &images);
    // The latency slows the uploads down, so that the signal arrives while they are in flight.
    production.faults().set_latency(Duration::from_millis(30));
    let child = start(manifest.to_str().unwrap());
    while production.tally().snapshot().requests(Kind::UploadPut) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(32));
    let promoted = production.store().repositories().len();
    assert!((1..60).contains(&promoted), "{promoted} of 60 are promoted");
    let messages = String::from_utf8_lossy(&output.stdout);
    assert!(
        messages.contains("promoted") && messages.contains("not begun"),
        "what was done is told, and what not: {messages}"
    );
    assert!(production.store().missing_parts().await.unwrap().is_empty());
}

/// On SIGTERM during reads, there is nothing to finish, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_terminated_before_it_writes_ends_at_once() {
    let (_staging, production, desk) = scene().await;
    let watch = production.faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let child = start(desk.path("manifest.yaml").to_str().unwrap());
    while watch.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    terminate(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(production.tally().snapshot().writes(), 0);
}

/// The third run sends no request, because the second one has cached everything.
#[tokio::test(flavor = "multi_thread")]
async fn cached_repositories_are_not_read() {
    let (staging, production, desk) = scene().await;
    let (manifest, cache) = (desk.path("manifest.yaml"), desk.path("cache"));
    let flags = ["--manifest", manifest.to_str().unwrap(), "--inventory-cache", cache.to_str().unwrap()];
    let flags = [flags.as_slice(), &["--inventory-cache-sample", "0", "--confirm", "--sign=false"]].concat();
    let first = cip(&flags);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(cip(&flags).code, 0);

    staging.tally().reset();
    production.tally().reset();
    let third = cip(&flags);
    assert_eq!(third.code, 0, "{}", third.stderr);
    assert!(third.stdout.contains("Nothing to do"), "{}", third.stdout);
    assert_eq!((staging.tally().snapshot().total(), production.tally().snapshot().total()), (0, 0));
    let verified = cip(&[flags.as_slice(), &["--inventory-cache-verify"]].concat());
    assert_eq!((verified.code, production.tally().snapshot().total()), (0, 2));
}

/// If the time is over while a registry hangs, the run ends as on an interrupt, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_out_of_time_ends_as_if_interrupted() {
    let (_staging, production, desk) = scene().await;
    production.faults().add(Fault::new(Effect::Hang).on(Kind::TagList));
    let manifest = desk.path("manifest.yaml");
    let (report, page) = (desk.path("report.json"), desk.path("report.html"));
    let reports = ["--report", report.to_str().unwrap(), "--report", page.to_str().unwrap()];
    let flags = ["--manifest", manifest.to_str().unwrap(), "--confirm", "--timeout", "1s"];
    let flags = [&flags[..], &reports].concat();
    let ran = cip(&flags);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("timed out: "), "{}", ran.stderr);
    assert_eq!(production.tally().snapshot().writes(), 0);

    production.faults().clear();
    // The first write hangs forever. The run waits for it until SIGTERM arrives.
    let watch = production.faults().add(Fault::new(Effect::Hang).on(Kind::Mount));
    let mut child =
        kpromo(None).args(["cip", "--sign=false"]).args(&flags).stdout(Stdio::piped()).spawn().unwrap();
    while watch.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(child.try_wait().unwrap(), None, "what is under way has time to end");
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(32));

    // The run was abandoned, and says what is missing all the same.
    let report = desk.json("report.json");
    assert_eq!(report["outcome"], "interrupted");
    let expected =
        "timed out: the run took longer than --timeout allows (1s); run the same command again to finish";
    assert_eq!(report["error"], expected);
    assert_eq!(report["plan"]["total"]["edges"], 3);
    let totals = &report["totals"];
    let number = |name: &str| totals[name].as_u64().unwrap();
    assert!(number("unfinished") > 0, "{totals}");
    assert_eq!(number("promoted") + number("unfinished") + number("notBegun"), 2, "{totals}");
    let summary = String::from_utf8(output.stdout).unwrap();
    let summary = &summary[summary.find("not finished: ").expect("the summary")..];
    assert!(summary.contains("registry"), "what is missing comes first: {summary}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("Timed out") && page.contains("Not finished: "), "{page}");
    assert!(!page.contains("Nothing failed."));
}

/// With the environment of a Prow job, a run promotes only what the last commit adds.
#[tokio::test(flavor = "multi_thread")]
async fn a_prow_job_promotes_what_its_commit_adds() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let (old, new) =
        (Recipe { seed: 1, ..Recipe::default() }.image(), Recipe { seed: 2, ..Recipe::default() }.image());
    put(&staging, "staging/app", &old, &[]).await;
    put(&staging, "staging/app", &new, &[]).await;
    let registries = format!(
        "registries:\n- name: {}/staging\n  src: true\n- name: {}/prod\n",
        staging.host(),
        production.host()
    );
    desk.write("manifests/app/promoter-manifest.yaml", &registries);
    let images = desk
        .write("images/app/images.yaml", &format!("- name: app\n  dmap:\n    \"{}\": [old]\n", old.digest()));
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(desk.path(""))
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(words);
        assert!(command.output().unwrap().status.success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "old"]);
    let before = std::fs::read_to_string(&images).unwrap();
    std::fs::write(&images, format!("{before}    \"{}\": [new]\n", new.digest())).unwrap();
    git(&["commit", "-q", "-a", "-m", "new"]);
    let mut command = kpromo(None);
    let directory = desk.path("");
    command.args([
        "cip",
        "--confirm",
        "--sign=false",
        "--use-prow-manifest-diff",
        "--thin-manifest-dir",
        directory.to_str().unwrap(),
    ]);
    command.env("JOB_TYPE", "postsubmit");
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let tags: Vec<String> =
        production.store().tags(&"prod/app".parse().unwrap()).keys().map(ToString::to_string).collect();
    assert_eq!(tags, ["new"]);
}
