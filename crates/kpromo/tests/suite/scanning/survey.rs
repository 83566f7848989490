//! `--vuln-severity-threshold`: scan, report, stop.

use testkit::OccurrencesFault;

use crate::scanning::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn each_digest_is_scanned_once_and_a_fixable_vulnerability_ends_with_exit_12() {
    let world = World::new().await;
    world.scan_all();
    world.find(1, "CVE-2024-1", "HIGH", Some("1.1.2"));
    world.find(1, "CVE-2024-2", "CRITICAL", None);
    world.find(2, "CVE-2024-3", "LOW", Some("1.1.2"));
    let ran = world.ask(&["--vuln-severity-threshold", "4", "--confirm"]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    let row = ran.stdout.lines().find(|line| line.contains("CVE-2024-1")).unwrap();
    for cell in ["staging/one@sha256:", "linux/arm64", "high", "openssl", "1.1.1", "1.1.2", "violates"] {
        assert!(row.contains(cell), "{cell}: {row}");
    }
    let unfixed = ran.stdout.lines().find(|line| line.contains("CVE-2024-2")).unwrap();
    assert!(unfixed.contains("no fix") && !unfixed.contains("violates"), "{unfixed}");
    assert!(!ran.stdout.contains("CVE-2024-3"), "below the threshold: {}", ran.stdout);
    assert!(ran.stdout.contains("scanned 2 images: 1 did not pass, 0 without"), "{}", ran.stdout);
    assert!(ran.stdout.contains("Nothing was promoted: this run only scans."), "{}", ran.stdout);
    assert!(ran.stderr.contains("--confirm has no effect"), "{}", ran.stderr);
    assert_eq!(world.production_requests(), 0, "production is not asked");
    assert_eq!(world.occurrences.requests().len(), 3, "one request for each image manifest");
    assert!(world.occurrences.requests().iter().all(|request| request.authorization.is_none()));

    let report = world.report();
    assert_eq!((&report["outcome"], &report["exitCode"]), (&"refused".into(), &12.into()));
    assert_eq!(report["scanTotals"]["violations"], 1);
    assert_eq!(report["scanTotals"]["unfixed"], 1);
    assert_eq!(report["scanTotals"]["belowThreshold"], 1);
    let one = &report["scanned"][0];
    assert_eq!((&one["passes"], &one["threshold"]), (&false.into(), &"high".into()));
    assert_eq!((&one["parts"][0]["passes"], &one["parts"][1]["passes"]), (&true.into(), &false.into()));
    let finding = &one["parts"][1]["findings"][0];
    for (field, expected) in [
        ("id", "CVE-2024-1"),
        ("severity", "high"),
        ("package", "openssl"),
        ("installed", "1.1.1"),
        ("fixed", "1.1.2"),
        ("status", "violates"),
    ] {
        assert_eq!(finding[field], expected);
    }
    assert_eq!(report["scanned"][1]["parts"][0]["findings"][0]["status"], "below-threshold");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threshold_and_the_flags_decide_what_counts() {
    let world = World::new().await;
    world.scan_all();
    world.find(0, "CVE-2024-1", "MEDIUM", Some("2"));
    world.find(0, "CVE-2024-2", "CRITICAL", None);
    for (flags, code) in [
        (&["--vuln-severity-threshold=5"][..], 0),
        (&["--vuln-severity-threshold", "4"], 0),
        (&["--vuln-severity-threshold", "3"], 12),
        (&["--vuln-severity-threshold", "0"], 12),
        (&["--vuln-severity-threshold", "5", "--vuln-unfixed"], 12),
        (&["--vuln-severity-threshold", "5", "--vuln-unfixed=false"], 0),
    ] {
        let ran = world.ask(flags);
        assert_eq!(ran.code, code, "{flags:?}\n{}\n{}", ran.stdout, ran.stderr);
    }
    assert_eq!(world.report()["outcome"], "scanned");
    let before = world.occurrences.requests().len();
    assert_eq!(world.cip(&["--vuln-severity-threshold", "-1"]).code, 0);
    assert_eq!(world.occurrences.requests().len(), before, "-1 is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unspecified_severity_reaches_every_threshold() {
    let world = World::new().await;
    world.scan_all();
    world.find(0, "CVE-2024-1", "SEVERITY_UNSPECIFIED", Some("2"));
    let ran = world.ask(&["--vuln-severity-threshold", "5"]);
    assert_eq!(ran.code, 12, "{}", ran.stdout);
    assert!(ran.stdout.contains("unknown"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_scanned_is_not_clean() {
    let world = World::new().await;
    world.occurrences.add_scan("staging", &world.resource(0), "FINISHED_SUCCESS");
    world.occurrences.add_scan("staging", &world.resource(1), "SCANNING");
    let ran = world.ask(&["--vuln-severity-threshold", "5"]);
    assert_eq!(ran.code, 12, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("unscanned: Container Analysis at 127.0.0.1, project staging"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("2 did not pass, 2 without a finished scan"), "{}", ran.stdout);
    let ran = world.ask(&["--vuln-severity-threshold", "5", "--allow-unscanned"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("unscanned, allowed"), "it is reported: {}", ran.stdout);
    let report = world.report();
    assert_eq!(
        (&report["scanTotals"]["unscanned"], &report["scanTotals"]["refused"]),
        (&2.into(), &0.into())
    );
    let why = &report["scanned"][0]["parts"][1]["unscanned"][0];
    assert!(why.as_str().unwrap().contains("the scan is in progress"), "{why}");
    // What is known of an unfinished scan counts nevertheless.
    world.find(1, "CVE-2024-1", "CRITICAL", Some("2"));
    assert_eq!(world.ask(&["--vuln-severity-threshold", "5", "--allow-unscanned"]).code, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_tell_ends_with_exit_20() {
    for (fault, expected) in [
        (OccurrencesFault::Refuses(403, "API not enabled".to_owned()), "API not enabled"),
        (OccurrencesFault::Says("<html>".to_owned()), "not a list of occurrences"),
        (OccurrencesFault::SamePage, "read before"),
    ] {
        let world = World::new().await;
        world.scan_all();
        world.occurrences.fail_always(fault);
        let ran = world.ask(&["--vuln-severity-threshold", "5", "--allow-unscanned"]);
        assert_eq!(ran.code, 20, "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert_eq!(world.report()["outcome"], "unavailable");
        assert!(world.report()["scanned"][0]["error"].as_str().unwrap().contains(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_staging_does_not_have_is_unscanned() {
    let world = World::new().await;
    world.scan_all();
    let lost = oci::Digest::of(b"lost");
    world.desk.manifest(
        &format!("{}/staging", world.staging.host()),
        &[format!("{}/prod", world.production.host())],
        &[("one", lost, &["v1"])],
    );
    let ran = world.ask(&["--vuln-severity-threshold", "5"]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("unscanned: ") && world.occurrences.requests().is_empty(), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_checked_without_any_scan() {
    let world = World::new().await;
    let (manifest, url) = (world.desk.path("manifest.yaml"), world.occurrences.url());
    let flags = ["cip", "--sign=false", "--vuln-severity-threshold=5", "--parse-only", "--vuln-source", &url];
    let ran =
        crate::support::kpromo_with(&[&flags[..], &["--manifest", manifest.to_str().unwrap()]].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(world.occurrences.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_about_a_digest_in_several_repositories_are_combined() {
    let world = World::new().await;
    world.scan_all();
    // The same image is in a second repository, where the service knows of another vulnerability.
    crate::support::put(&world.staging, "staging/zoo", &world.image, &[]).await;
    world.desk.manifest(
        &format!("{}/staging", world.staging.host()),
        &[format!("{}/prod", world.production.host())],
        &[("two", world.image.digest(), &["v1"]), ("zoo", world.image.digest(), &["v1"])],
    );
    let second = world.resource(2).replace("/two@", "/zoo@");
    let flags = &["--vuln-severity-threshold", "5"];
    let ran = world.ask(flags);
    assert_eq!(ran.code, 12, "scanned in one of them only: {}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("unscanned"), "{}", ran.stdout);
    let policy = world.policy("threshold: critical\n");
    assert_eq!(world.ask(&["--vuln-policy", &policy]).code, 12, "the gate says the same");
    world.occurrences.add_scan("staging", &second, "FINISHED_SUCCESS");
    assert_eq!(world.ask(flags).code, 0);
    world.occurrences.add_vulnerability("staging", &second, "CVE-2024-1", "CRITICAL", Some("2"));
    let ran = world.ask(flags);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("staging/zoo@") && ran.stdout.contains("CVE-2024-1"), "{}", ran.stdout);
    assert_eq!(world.ask(&["--vuln-policy", &policy]).code, 12, "the gate says the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_one_source_exit_with_12_although_another_is_unavailable() {
    let world = World::new().await;
    world.scan_all();
    let failing = testkit::Occurrences::start();
    failing.fail_always(OccurrencesFault::Refuses(403, "denied".to_owned()));
    let source = failing.url();
    let flags = ["--vuln-source", &source, "--vuln-severity-threshold", "5"];
    assert_eq!(world.ask(&flags).code, 20);
    world.find(2, "CVE-2024-1", "CRITICAL", Some("2"));
    let policy = world.policy("threshold: critical\n");
    for flags in [&flags[..], &["--vuln-source", &source, "--vuln-policy", &policy]] {
        let ran = world.ask(flags);
        assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains("CVE-2024-1"),
            "{}\n{}",
            ran.stdout,
            ran.stderr
        );
        assert_eq!(world.report()["scanTotals"]["violations"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_age_holds_for_scans_of_a_service() {
    let world = World::new().await;
    world.scan_all();
    let policy = world.policy("threshold: high\nmaxAge: 1h\n");
    let ran = world.ask(&["--vuln-policy", &policy]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("does not state the time of the scan"), "{}", ran.stderr);
}
