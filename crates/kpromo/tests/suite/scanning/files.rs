//! Reports by file or directory.

use serde_json::json;

use crate::scanning::world::World;

fn write_all(world: &World, found: &[(&str, &str)]) -> String {
    for part in 0..3 {
        let found = if part == 1 { found } else { &[] };
        world.desk.write(&format!("reports/{part}.json"), &world.trivy(part, found).to_string());
    }
    world.desk.path("reports").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_directory_are_matched_by_digest() {
    let world = World::new().await;
    let reports = write_all(&world, &[("CVE-2024-1", "HIGH")]);
    let ask =
        |threshold: &str| world.cip(&["--vuln-severity-threshold", threshold, "--vuln-source", &reports]);
    let ran = ask("4");
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("CVE-2024-1") && ran.stdout.contains("linux/arm64"), "{}", ran.stdout);
    let ran = ask("5");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("about none of the images"), "{}", ran.stderr);
    std::fs::remove_file(world.desk.path("reports/2.json")).unwrap();
    let ran = ask("5");
    assert_eq!(ran.code, 12, "one image has no report: {}", ran.stdout);
    assert!(ran.stdout.contains("no report names it by digest"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_another_image_is_reported_and_does_not_count() {
    let world = World::new().await;
    let mut other = world.trivy(0, &[]);
    let name = "registry.example/other";
    other["Metadata"]["RepoDigests"] = json!([format!("{name}@{}", oci::Digest::of(b"other"))]);
    let path = world.desk.write("other.json", &other.to_string()).display().to_string();
    let ran = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &path]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("other.json: the report is about none of the images"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_report_ends_with_exit_10_and_its_name() {
    let world = World::new().await;
    let sbom = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": [] });
    let mut nameless = world.trivy(0, &[]);
    nameless["Metadata"] = json!({ "RepoDigests": [] });
    let mut directory = world.trivy(0, &[]);
    directory["ArtifactType"] = "filesystem".into();
    let mut undated = world.trivy(0, &[]);
    undated["CreatedAt"] = "yesterday".into();
    for (text, expected) in [
        ("{\"SchemaVersion\": 2, ", "EOF while parsing"),
        ("not JSON", "expected"),
        ("{}", "in none of the supported formats"),
        (&sbom.to_string(), "bill of materials without vulnerabilities"),
        (&nameless.to_string(), "does not name the image by digest"),
        (&directory.to_string(), "scanned a filesystem"),
        (&undated.to_string(), "`CreatedAt` is not valid"),
    ] {
        let path = world.desk.write("bad.json", text).display().to_string();
        let ran = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &path]);
        assert_eq!(ran.code, 10, "{text}: {}\n{}", ran.stdout, ran.stderr);
        assert!(
            ran.stderr.contains("bad.json") && ran.stderr.contains(expected),
            "{expected}: {}",
            ran.stderr
        );
    }
    let large = world.desk.write("large.json", "{");
    std::fs::OpenOptions::new().write(true).open(&large).unwrap().set_len(100 << 20).unwrap();
    let ran = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &large.display().to_string()]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("large.json: not a regular file of at most 67108864 bytes"),
        "{}",
        ran.stderr
    );
    let empty = world.desk.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &empty.display().to_string()]);
    assert!(ran.code == 10 && ran.stderr.contains("it has no report"), "{}", ran.stderr);
    assert_eq!(world.staging.tally().snapshot().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn vex_by_file_takes_out_what_does_not_affect_this_image() {
    let world = World::new().await;
    let reports = write_all(&world, &[("CVE-2024-1", "HIGH")]);
    let vex = |product: oci::Digest, package: &str| {
        json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2024-01-01T00:00:00Z",
            "statements": [{
                "vulnerability": { "name": "CVE-2024-1" }, "status": "not_affected",
                "justification": "vulnerable_code_not_in_execute_path",
                "products": [{ "@id": format!("pkg:oci/one@{product}"), "subcomponents": [{ "@id": package }] }],
            }],
        })
    };
    let (part, openssl) = (world.parts()[1].1, "pkg:apk/alpine/openssl@1");
    for (product, package, code) in [
        (part, openssl, 0),
        (world.index.digest(), openssl, 0),
        (world.parts()[0].1, openssl, 12),
        (part, "pkg:apk/alpine/openssl@2", 12),
    ] {
        world.desk.write("vex.json", &vex(product, package).to_string());
        let policy = world.policy("threshold: high\nsources: [reports]\nvex: [vex.json]\n");
        let ran = world.cip(&["--vuln-policy", &policy]);
        assert_eq!(ran.code, code, "{product} {package}: {}\n{}", ran.stdout, ran.stderr);
    }
    world.desk.write("reports/vex.json", &vex(part, openssl).to_string());
    let ran = world.cip(&["--vuln-severity-threshold", "4", "--vuln-source", &reports]);
    assert_eq!(ran.code, 0, "a VEX document among the reports: {}", ran.stdout);
    assert!(ran.stdout.contains("VEX not_affected by"), "{}", ran.stdout);
}

/// The policy names files too, and an output must not replace those either.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_never_replaces_a_file_that_the_policy_names() {
    let world = World::new().await;
    write_all(&world, &[]);
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2024-01-01T00:00:00Z",
        "statements": [{
            "vulnerability": { "name": "CVE-2024-1" }, "status": "fixed",
            "products": [{ "@id": format!("pkg:oci/one@{}", world.index.digest()) }],
        }],
    });
    let vex = world.desk.write("vex.json", &vex.to_string()).display().to_string();
    let report = world.desk.path("reports/0.json").display().to_string();
    let policy = world.policy("threshold: high\nsources: [reports]\nvex: [vex.json]\n");
    for (flag, output, expected) in
        [("--report", &vex, "`vex` of --vuln-policy"), ("--metrics", &report, "`sources` of --vuln-policy")]
    {
        let before = std::fs::read(output).unwrap();
        let ran = world.cip(&["--vuln-policy", &policy, flag, output]);
        assert_eq!(ran.code, 10, "{flag}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("would replace") && ran.stderr.contains(expected),
            "{flag}: {}",
            ran.stderr
        );
        assert!(before == std::fs::read(output).unwrap(), "{flag}");
    }
    // The flag replaces the sources of the policy in this run, and the next run may read them.
    let (before, other) = (std::fs::read(&report).unwrap(), world.desk.path("other.json"));
    std::fs::copy(&report, &other).unwrap();
    let other = other.display().to_string();
    let ran = world.cip(&["--vuln-policy", &policy, "--vuln-source", &other, "--report", &report]);
    assert!(ran.code == 10 && before == std::fs::read(&report).unwrap(), "{}", ran.stderr);
    assert_eq!(world.staging.tally().snapshot().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_may_be_too_old_and_all_sources_are_read() {
    let world = World::new().await;
    write_all(&world, &[]);
    let mut old = world.trivy(1, &[]);
    old["CreatedAt"] = "2024-01-01T00:00:00Z".into();
    world.desk.write("reports/1.json", &old.to_string());
    let policy = world.policy("threshold: high\nmaxAge: 168h\nsources: [reports]\n");
    let ran = world.cip(&["--vuln-policy", &policy]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("1.json: its scan is ") && ran.stderr.contains("168 h is the maximum"));
    let both = format!("threshold: high\nmaxAge: 168h\nsources: [reports, '{}']\n", world.occurrences.url());
    world.occurrences.add(
        "staging",
        json!({
            "resourceUri": world.resource(1), "kind": "DISCOVERY",
            "noteName": "projects/goog-analysis/notes/PACKAGE_VULNERABILITY",
            "discovery": {
                "analysisStatus": "FINISHED_SUCCESS", "lastScanTime": jiff::Timestamp::now().to_string(),
            },
        }),
    );
    let ran = world.cip(&["--vuln-policy", &world.policy(&both)]);
    assert_eq!(ran.code, 0, "the other source has scanned it: {}\n{}", ran.stdout, ran.stderr);
    world.find(0, "CVE-2024-1", "HIGH", Some("2"));
    assert_eq!(world.cip(&["--vuln-policy", &world.policy(&both)]).code, 12, "and has found something");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_of_a_directory_is_left_out_silently() {
    let world = World::new().await;
    let reports = write_all(&world, &[]);
    let ask = || world.cip(&["--vuln-severity-threshold", "4", "--vuln-source", &reports]);
    assert_eq!(ask().code, 0);
    let found = world.trivy(1, &[("CVE-2024-1", "CRITICAL")]).to_string();
    let capital = world.desk.write("reports/b.JSON", &found);
    let ran = ask();
    assert!(ran.code == 12 && ran.stdout.contains("CVE-2024-1"), "{}\n{}", ran.stdout, ran.stderr);
    std::fs::remove_file(capital).unwrap();
    std::os::unix::fs::symlink("nowhere", world.desk.path("reports/c.json")).unwrap();
    let ran = ask();
    assert!(
        ran.code == 10 && ran.stderr.contains("c.json: cannot be read"),
        "{}\n{}",
        ran.stdout,
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_results_is_no_scan() {
    let world = World::new().await;
    write_all(&world, &[]);
    let mut empty = world.trivy(1, &[]);
    empty.as_object_mut().unwrap().remove("Results");
    world.desk.write("reports/1.json", &empty.to_string());
    let ran = world.cip(&["--vuln-policy", &world.policy("threshold: high\nsources: [reports]\n")]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("1.json: Trivy's report has no results"), "{}", ran.stderr);
}
