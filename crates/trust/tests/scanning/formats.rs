//! The formats of reports, tested with small samples in the form that the tools write.

use jiff::Timestamp;
use serde_json::{Value, json};
use trust::scan::report::InvalidReport;
use trust::scan::{Coverage, Fix, Severity, VexStatus};

use crate::support::{brief, bytes, digest, part, read, report, sample};

/// Changes a sample and reads it. Panics if the path is not in the sample.
fn changed(name: &str, pointer: &str, value: Value) -> Result<trust::scan::report::Document, InvalidReport> {
    let mut json: Value = serde_json::from_slice(&bytes(name)).unwrap();
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")) = value;
    read(&serde_json::to_vec(&json).unwrap())
}

fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn trivy_json() {
    let report = report("trivy.json");
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("CVE-2019-18224", Severity::Critical, "libidn2-0", "2.0.5-1", true),
            ("CVE-2019-18276", Severity::High, "bash", "5.0-4", false),
            ("GHSA-aaaa-bbbb-cccc", Severity::Unknown, "gem", "1.0.0", true),
        ]
    );
    assert_eq!(report.findings[0].aliases, ["DSA-4613-1"]);
    assert_eq!(report.findings[0].fix, Fix::Available("2.0.5-1+deb10u1".to_owned()));
    assert_eq!(
        report.findings[0].purl.as_ref().unwrap().as_str(),
        "pkg:deb/debian/libidn2-0@2.0.5-1?arch=amd64&distro=debian-10.1"
    );
    assert_eq!(report.finished, time("2021-08-25T12:20:30.000000005Z"));
    assert_eq!(report.about.image_id, Some(digest("cc")));
    assert_eq!(report.about.platform.as_deref(), Some("linux/amd64"));
    assert!(report.about.manifests.contains(&digest("ee")));
    assert_eq!(report.about.coverage(&part()), Coverage::Covers);
}

#[test]
fn trivy_sarif() {
    let report = report("trivy.sarif");
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("CVE-2019-1549", Severity::Medium, "libcrypto1.1", "1.1.1c-r0", true),
            ("CVE-2019-1551", Severity::Medium, "libcrypto1.1", "1.1.1c-r0", true),
            ("CVE-2019-1549", Severity::Medium, "libssl1.1", "1.1.1c-r0", true),
            ("CVE-2019-1551", Severity::Medium, "libssl1.1", "1.1.1c-r0", true),
        ]
    );
    assert_eq!(report.findings[0].fix, Fix::Available("1.1.1d-r0".to_owned()));
    assert_eq!(report.about.coverage(&part()), Coverage::Covers);
}

#[test]
fn trivy_cyclonedx() {
    let document = sample("trivy.cdx.json");
    let report = document.report.unwrap();
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            // Debian has no rating, so the highest of the others counts.
            ("CVE-2019-18224", Severity::Critical, "libidn2-0", "2.0.5-1", true),
            // The rating by Debian is low, and other ratings do not count.
            ("CVE-2019-18276", Severity::Low, "bash", "5.0-4", true),
            ("CVE-2020-8165", Severity::High, "activesupport", "6.0.2.1", true),
        ]
    );
    assert_eq!(report.findings[1].fix, Fix::Unstated);
    assert_eq!((report.about.coverage(&part()), report.tool.as_str()), (Coverage::Covers, "trivy"));
    assert!(document.vex.is_empty());
}

#[test]
fn grype_json() {
    let report = report("grype.json");
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("GHSA-dddd-eeee-ffff", Severity::Low, "package-1", "1.1.1", true),
            ("CVE-1999-0002", Severity::Critical, "package-2", "2.2.2", false),
        ]
    );
    assert_eq!(report.findings[0].aliases, ["CVE-1999-0001"]);
    assert_eq!(report.findings[0].fix, Fix::Available("1.2.1, 2.1.3, 3.4.0".to_owned()));
    assert_eq!(report.finished, time("2026-03-19T15:34:26.5Z"));
    assert_eq!(report.about.coverage(&part()), Coverage::Covers);
    assert_eq!(report.about.platform.as_deref(), Some("linux/amd64"));
}

#[test]
fn grype_sarif_has_the_same_findings_and_names_no_image() {
    let report = report("grype.sarif");
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("CVE-1999-0001", Severity::Low, "package-1", "1.1.1", true),
            ("CVE-1999-0002", Severity::Critical, "package-2", "2.2.2", false),
        ]
    );
    assert_eq!(report.about.coverage(&part()), Coverage::NamesNothing);
}

#[test]
fn grype_cyclonedx_names_the_manifest_by_the_version_of_the_image() {
    let report = report("grype.cdx.json");
    let found: Vec<_> = report.findings.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("CVE-1999-0001", Severity::Low, "package-1", "1.1.1", true),
            ("CVE-1999-0002", Severity::Critical, "package-2", "2.2.2", true),
        ]
    );
    assert_eq!(report.about.coverage(&part()), Coverage::Covers);
}

#[test]
fn cosigns_predicate_holds_a_report_and_the_time_of_the_scan() {
    let document = sample("cosign-vuln.json");
    let report = document.report.unwrap();
    assert_eq!(report.findings, self::report("trivy.json").findings);
    assert_eq!(report.finished, time("2021-08-25T12:20:30.000000005Z"), "the older time is that of the scan");
    let inner = serde_json::from_slice::<Value>(&bytes("grype.sarif")).unwrap();
    let document = changed("cosign-vuln.json", "/scanner/result", inner).unwrap();
    assert_eq!(document.report.unwrap().finished, time("2026-03-19T11:05:00Z"));
}

#[test]
fn openvex_has_statements_with_products_and_packages() {
    let vex = sample("openvex.json").vex;
    let [fixed, not_affected] = &vex[..] else { panic!("{vex:?}") };
    assert_eq!((fixed.status, not_affected.status), (VexStatus::Fixed, VexStatus::NotAffected));
    assert_eq!(not_affected.ids, ["CVE-2023-3446", "GHSA-gggg-hhhh-iiii"]);
    assert_eq!(not_affected.at, time("2023-07-18T00:28:47.696004345Z"), "the time of the document");
    assert!(not_affected.why.starts_with("vulnerable_code_not_present; affected functions"));
    let mut finding = report("trivy.json").findings.swap_remove(0);
    finding.id = "GHSA-gggg-hhhh-iiii".to_owned();
    assert!(!not_affected.is_about(&finding, &part()), "it is about two packages only");
    finding.purl = trust::scan::Purl::parse("pkg:apk/alpine/libssl3@3.0.8-r3?arch=x86_64");
    assert!(not_affected.is_about(&finding, &part()) && !fixed.is_about(&finding, &part()));
    let elsewhere = trust::scan::Part { digest: digest("22"), ..part() };
    assert!(!not_affected.is_about(&finding, &elsewhere), "it is about another product");
}

#[test]
fn the_older_version_of_openvex_is_supported() {
    let document = json!({
        "@context": "https://openvex.dev/ns", "timestamp": "2023-01-01T00:00:00Z",
        "statements": [{
            "vulnerability": "CVE-2024-1", "products": [format!("pkg:oci/app@{}", digest("11"))],
            "subcomponents": ["pkg:deb/debian/libidn2-0@2.0.5-1"], "status": "not_affected",
            "justification": "component_not_present",
        }],
    });
    let vex = read(document.to_string().as_bytes()).unwrap().vex;
    let mut findings = report("trivy.json").findings;
    findings.iter_mut().for_each(|finding| finding.id = "CVE-2024-1".to_owned());
    let about: Vec<bool> = findings.iter().map(|finding| vex[0].is_about(finding, &part())).collect();
    assert_eq!(about, [true, false, false]);
}

#[test]
fn a_subcomponent_that_names_no_package_url_does_not_widen_a_statement() {
    let mut json: Value = serde_json::from_slice(&bytes("openvex.json")).unwrap();
    json["statements"][0]["products"][0]["subcomponents"] = json!([{ "@id": "libssl3" }]);
    let vex = read(json.to_string().as_bytes()).unwrap().vex;
    let mut finding = report("trivy.json").findings.swap_remove(0);
    finding.id = "CVE-2023-1255".to_owned();
    assert!(!vex[0].is_about(&finding, &part()));
}

#[test]
fn cyclonedx_vex_is_not_a_report() {
    let document = sample("cyclonedx-vex.json");
    assert_eq!(document.report, None, "VEX statements are not a scan");
    let statuses: Vec<_> = document.vex.iter().map(|vex| vex.status).collect();
    assert_eq!(statuses, [VexStatus::NotAffected, VexStatus::UnderInvestigation, VexStatus::Fixed]);
    let findings = report("trivy.json").findings;
    assert!(document.vex[0].is_about(&findings[0], &part()), "a package in the image, by a BOM link");
    assert!(document.vex[1].is_about(&findings[1], &part()), "the whole image");
    let elsewhere = trust::scan::Part { digest: digest("22"), config: None, indexes: Vec::new(), ..part() };
    assert!(document.vex.iter().all(|vex| findings.iter().all(|finding| !vex.is_about(finding, &elsewhere))));
}

#[test]
fn a_bill_of_materials_is_not_a_report() {
    for pointer in ["trivy.cdx.json", "cyclonedx-vex.json"] {
        let error = changed(pointer, "/vulnerabilities", json!([])).unwrap_err().to_string();
        assert!(error.contains("bill of materials without vulnerabilities"), "{error}");
    }
    let clean = changed("grype.cdx.json", "/vulnerabilities", json!([])).unwrap();
    assert!(clean.report.unwrap().findings.is_empty(), "a document by Grype is always a report");
}

#[test]
fn a_clean_report_has_no_findings() {
    for (name, pointer, value) in [
        ("trivy.json", "/Results", json!([{ "Class": "os-pkgs" }])),
        ("grype.json", "/matches", json!([])),
        ("trivy.sarif", "/runs/0/results", json!([])),
    ] {
        let report = changed(name, pointer, value).unwrap().report.unwrap();
        assert_eq!(report.unfinished, None, "{name}");
        assert!(report.findings.is_empty(), "{name}");
        assert_eq!(report.about.coverage(&part()), Coverage::Covers, "{name}");
    }
}

#[test]
fn reports_of_another_kind_are_refused() {
    for (name, pointer, value, expected) in [
        ("trivy.json", "/SchemaVersion", json!(1), "schema version 1"),
        ("trivy.json", "/ArtifactType", json!("filesystem"), "scanned a filesystem"),
        ("trivy.json", "/ArtifactType", json!(null), "does not state what Trivy has scanned"),
        ("trivy.json", "/Results", json!([{ "Class": "secret" }]), "something else than vulnerabilities"),
        ("grype.json", "/source/type", json!("directory"), "`directory`"),
        ("grype.json", "/source", json!({ "type": "unknown", "target": "unknown" }), "`unknown`"),
        ("trivy.sarif", "/version", json!("2.0.0"), "another version"),
        ("trivy.sarif", "/runs", json!([]), "several runs or none"),
        ("trivy.sarif", "/runs/0/tool/driver/name", json!("CodeQL"), ""),
        ("cosign-vuln.json", "/scanner/result", json!(null), "`scanner.result`"),
        ("cosign-vuln.json", "/scanner/result", json!({}), "none of the supported formats"),
        ("openvex.json", "/statements/0/status", json!("harmless"), "unknown status `harmless`"),
        ("openvex.json", "/statements/1/justification", json!(""), ""),
    ] {
        match changed(name, pointer, value) {
            Err(error) => assert!(error.to_string().contains(expected), "{name} {pointer}: {error}"),
            Ok(_) => assert!(expected.is_empty(), "{name} {pointer}"),
        }
    }
    let mut json: Value = serde_json::from_slice(&bytes("openvex.json")).unwrap();
    json["statements"][1]["justification"] = json!(null);
    json["statements"][1]["impact_statement"] = json!(null);
    let error = read(json.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("without the justification"), "{error}");
}

#[test]
fn sarif_about_something_else_is_refused_regardless_of_the_tool() {
    let mut json: Value = serde_json::from_slice(&bytes("trivy.sarif")).unwrap();
    json["runs"][0]["tool"]["driver"] = json!({ "name": "CodeQL", "rules": [] });
    json["runs"][0]["results"] = json!([]);
    let error = read(json.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("SARIF of CodeQL without any vulnerability"), "{error}");
    json["runs"][0]["tool"]["driver"]["name"] = "Trivy".into();
    json["runs"][0]["tool"]["driver"]["rules"] =
        json!([{ "id": "aws-access-key", "properties": { "tags": ["secret", "security", "CRITICAL"] } }]);
    json["runs"][0]["results"] =
        json!([{ "ruleId": "aws-access-key", "message": { "text": "Artifact: x" } }]);
    assert!(read(json.to_string().as_bytes()).is_err(), "a secret is not a vulnerability");
    json["runs"][0]["invocations"] = json!([{ "executionSuccessful": false }]);
    let error = read(json.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("has not succeeded"), "{error}");
}

#[test]
fn invalid_times_are_refused_and_missing_times_are_accepted() {
    for (name, pointer) in [
        ("trivy.json", "/CreatedAt"),
        ("grype.json", "/descriptor/timestamp"),
        ("trivy.cdx.json", "/metadata/timestamp"),
        ("cosign-vuln.json", "/metadata/scanFinishedOn"),
        ("openvex.json", "/timestamp"),
    ] {
        for bad in [
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01",
            "1970-01-01T00:00:00Z",
        ] {
            let error = changed(name, pointer, json!(bad)).unwrap_err();
            assert!(matches!(error, InvalidReport::Time { .. }), "{name} {bad}: {error}");
        }
        for none in [json!(""), json!(null), json!("0001-01-01T00:00:00Z")] {
            changed(name, pointer, none).unwrap();
        }
    }
    let error = changed("cosign-vuln.json", "/metadata/scanStartedOn", json!("2026-03-19T12:00:00Z"));
    assert!(error.unwrap_err().to_string().contains("before it started"));
}

#[test]
fn too_many_findings_are_refused() {
    let mut json: Value = serde_json::from_slice(&bytes("grype.json")).unwrap();
    let one = json["matches"][0].clone();
    json["matches"] = Value::Array(vec![one; trust::scan::report::FINDINGS_MAX + 1]);
    let error = read(json.to_string().as_bytes()).unwrap_err();
    assert_eq!(error, InvalidReport::TooMany("vulnerabilities"));
}

#[test]
fn truncated_reports_are_refused() {
    for name in
        ["trivy.json", "grype.json", "trivy.sarif", "grype.cdx.json", "cosign-vuln.json", "openvex.json"]
    {
        let bytes = bytes(name);
        for end in (1..bytes.len() - 2).step_by(41) {
            assert!(matches!(read(&bytes[..end]), Err(InvalidReport::Json(_))), "{name} {end}");
        }
    }
}

#[test]
fn custom_attestations_by_cosign_contain_the_report_as_text() {
    let text = String::from_utf8(bytes("grype.json")).unwrap();
    let predicate = json!({ "Data": text, "Timestamp": "2026-03-20T00:00:00Z" });
    let document = trust::scan::report::read_value(&predicate).unwrap();
    assert_eq!(document, sample("grype.json"));
}
