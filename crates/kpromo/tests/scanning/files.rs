//! Reports by file or folder.

use serde_json::json;

use crate::world::World;

fn write_all(world: &World, found: &[(&str, &str)]) -> String {
    for part in 0..3 {
        let found = if part == 1 { found } else { &[] };
        world.desk.write(&format!("reports/{part}.json"), &world.trivy(part, found).to_string());
    }
    world.desk.path("reports").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_folder_are_matched_by_digest() {
    let world = World::new().await;
    let reports = write_all(&world, &[("CVE-2024-1", "HIGH")]);
    let ask =
        |threshold: &str| world.cip(&["--vuln-severity-threshold", threshold, "--vuln-source", &reports]);
    let said = ask("4");
    assert_eq!(said.code, 12, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("CVE-2024-1") && said.stdout.contains("linux/arm64"), "{}", said.stdout);
    let said = ask("5");
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    assert!(!said.stderr.contains("about none of the images"), "{}", said.stderr);
    std::fs::remove_file(world.desk.path("reports/2.json")).unwrap();
    let said = ask("5");
    assert_eq!(said.code, 12, "one image has no report: {}", said.stdout);
    assert!(said.stdout.contains("no report names it by digest"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_another_image_is_told_and_counts_for_nothing() {
    let world = World::new().await;
    let mut other = world.trivy(0, &[]);
    let name = "registry.example/other";
    other["Metadata"]["RepoDigests"] = json!([format!("{name}@{}", oci::Digest::of(b"other"))]);
    let path = world.desk.write("other.json", &other.to_string()).display().to_string();
    let said = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &path]);
    assert_eq!(said.code, 12, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("other.json: the report is about none of the images"), "{}", said.stderr);
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
        (&nameless.to_string(), "names no image by digest"),
        (&directory.to_string(), "scanned a filesystem"),
        (&undated.to_string(), "`CreatedAt` makes no sense"),
    ] {
        let path = world.desk.write("bad.json", text).display().to_string();
        let said = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &path]);
        assert_eq!(said.code, 10, "{text}: {}\n{}", said.stdout, said.stderr);
        assert!(
            said.stderr.contains("bad.json") && said.stderr.contains(expected),
            "{expected}: {}",
            said.stderr
        );
    }
    let large = world.desk.write("large.json", "{");
    std::fs::OpenOptions::new().write(true).open(&large).unwrap().set_len(100 << 20).unwrap();
    let said = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &large.display().to_string()]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(
        said.stderr.contains("large.json: not a regular file of at most 67108864 bytes"),
        "{}",
        said.stderr
    );
    let empty = world.desk.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = world.cip(&["--vuln-severity-threshold", "5", "--vuln-source", &empty.display().to_string()]);
    assert!(said.code == 10 && said.stderr.contains("it has no report"), "{}", said.stderr);
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
        let said = world.cip(&["--vuln-policy", &policy]);
        assert_eq!(said.code, code, "{product} {package}: {}\n{}", said.stdout, said.stderr);
    }
    world.desk.write("reports/vex.json", &vex(part, openssl).to_string());
    let said = world.cip(&["--vuln-severity-threshold", "4", "--vuln-source", &reports]);
    assert_eq!(said.code, 0, "a VEX document among the reports: {}", said.stdout);
    assert!(said.stdout.contains("VEX not_affected by"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_may_be_too_old_and_all_sources_are_asked() {
    let world = World::new().await;
    write_all(&world, &[]);
    let mut old = world.trivy(1, &[]);
    old["CreatedAt"] = "2024-01-01T00:00:00Z".into();
    world.desk.write("reports/1.json", &old.to_string());
    let policy = world.policy("threshold: high\nmaxAge: 168h\nsources: [reports]\n");
    let said = world.cip(&["--vuln-policy", &policy]);
    assert_eq!(said.code, 12, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("1.json: it is of a scan") && said.stderr.contains("168 h is the most"));
    let both = format!("threshold: high\nmaxAge: 168h\nsources: [reports, '{}']\n", world.occurrences.url());
    world.occurrences.add_scan("staging", &world.resource(1), "FINISHED_SUCCESS");
    let said = world.cip(&["--vuln-policy", &world.policy(&both)]);
    assert_eq!(said.code, 0, "the other source has scanned it: {}\n{}", said.stdout, said.stderr);
    world.find(0, "CVE-2024-1", "HIGH", Some("2"));
    assert_eq!(world.cip(&["--vuln-policy", &world.policy(&both)]).code, 12, "and has found something");
}
