//! If a report is unclear, it counts against the image.

use serde_json::{Value, json};
use trust::scan::report::Document;
use trust::scan::{Fix, Part, Severity};

use crate::support::{bytes, digest, part, read, report};

/// Changes a sample by a function.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Document {
    let mut json: Value = serde_json::from_slice(&bytes(name)).unwrap();
    change(&mut json);
    read(json.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_fix_counts_as_unstated_unless_its_absence_is_stated() {
    for (fix, expected) in [
        (json!({ "state": "not-fixed", "versions": [] }), Fix::None),
        (json!({ "state": "wont-fix", "versions": null }), Fix::None),
        (json!({ "state": "fixed", "versions": [] }), Fix::Unstated),
        (json!({ "state": "unknown", "versions": [] }), Fix::Unstated),
        (json!({ "state": "", "versions": [] }), Fix::Unstated),
        (json!({ "versions": ["2"] }), Fix::Available("2".to_owned())),
        (json!({}), Fix::Unstated),
        (json!(null), Fix::Unstated),
    ] {
        let document = changed("grype.json", |json| json["matches"][0]["vulnerability"]["fix"] = fix.clone());
        assert_eq!(document.report.unwrap().findings[0].fix, expected, "{fix}");
    }
    for (status, version, expected) in [
        (json!("affected"), json!(null), Fix::None),
        (json!("will_not_fix"), json!(""), Fix::None),
        (json!("end_of_life"), json!(null), Fix::None),
        (json!("fixed"), json!(null), Fix::Unstated),
        (json!("unknown"), json!(null), Fix::Unstated),
        (json!(null), json!(null), Fix::Unstated),
        (json!("affected"), json!("2"), Fix::Available("2".to_owned())),
    ] {
        let document = changed("trivy.json", |json| {
            let found = &mut json["Results"][0]["Vulnerabilities"][0];
            (found["Status"], found["FixedVersion"]) = (status.clone(), version.clone());
        });
        assert_eq!(document.report.unwrap().findings[0].fix, expected, "{status} {version}");
    }
}

#[test]
fn a_report_of_trivy_without_results_is_not_a_finished_scan() {
    for results in [json!(null), json!([])] {
        let report = changed("trivy.json", |json| json["Results"] = results.clone()).report.unwrap();
        assert!(report.unfinished.unwrap().contains("no results"), "{results}");
    }
}

#[test]
fn a_member_in_another_case_is_an_error() {
    for (name, pointer, member, other) in [
        ("trivy.json", "", "Results", "results"),
        ("trivy.json", "", "Results", "RESULTS"),
        ("trivy.json", "/Results/0", "Vulnerabilities", "vulnerabilities"),
        ("trivy.json", "/Results/0/Vulnerabilities/0", "Severity", "severity"),
        ("grype.json", "/matches/0/vulnerability", "fix", "Fix"),
        ("grype.sarif", "/runs/0", "results", "Results"),
        ("grype.sarif", "/runs/0/results/0", "ruleId", "ruleID"),
        ("trivy.cdx.json", "", "vulnerabilities", "Vulnerabilities"),
        ("trivy.cdx.json", "/vulnerabilities/0", "ratings", "Ratings"),
    ] {
        let mut json: Value = serde_json::from_slice(&bytes(name)).unwrap();
        let object = json.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        let value = object.remove(member).unwrap();
        object.insert(other.to_owned(), value);
        let error = read(json.to_string().as_bytes()).unwrap_err().to_string();
        let is_reported =
            error.contains(&format!("unknown member `{other}`")) || error.contains("missing field");
        assert!(is_reported, "{name} {pointer}/{other}: {error}");
    }
}

/// Returns a SARIF report of one result. `rule` is added to its rule.
fn sarif(tool: &str, id: &str, rule: &Value, message: &str) -> Value {
    let mut whole = json!({ "id": id });
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let result = json!({ "ruleId": id, "message": { "text": message } });
    json!({
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": { "name": tool, "rules": [whole] } }, "results": [result] }],
    })
}

#[test]
fn a_result_of_sarif_counts_unless_it_is_known_to_be_something_else() {
    let tagged =
        |tags: &[&str], score: &str| json!({ "properties": { "tags": tags, "security-severity": score } });
    for (tool, id, rule, expected) in [
        ("Trivy", "GMS-2022-20", tagged(&["security"], "9.8"), Some(Severity::Critical)),
        ("Trivy", "GMS-2022-20", json!({}), Some(Severity::Unknown)),
        ("grype", "ELSA-2024-1-git", tagged(&[], "5.0"), Some(Severity::Medium)),
        ("another", "X-1", tagged(&["vulnerability", "LOW"], "9.8"), Some(Severity::Low)),
        ("Trivy", "CVE-2024-1", tagged(&["secret"], "9.8"), Some(Severity::Critical)),
        ("Trivy", "aws-key", tagged(&["secret", "security", "CRITICAL"], "9.5"), None),
        ("Trivy", "DS001", tagged(&["misconfiguration", "security"], "9.5"), None),
        // A report of another tool counts only if at least one of its results is known to be a vulnerability.
        ("CodeQL", "js/xss", tagged(&["security"], "6.1"), None),
    ] {
        let found = read(sarif(tool, id, &rule, "").to_string().as_bytes());
        let severity = found.ok().map(|document| document.report.unwrap().findings[0].severity);
        assert_eq!(severity, expected, "{tool} {id} {rule}");
    }
    let mut named_otherwise = sarif("Trivy", "CVE-2024-1", &json!({}), "");
    named_otherwise["runs"][0]["results"][0] = json!({ "rule": { "id": "CVE-2024-1" }, "message": {} });
    let report = read(named_otherwise.to_string().as_bytes()).unwrap().report.unwrap();
    assert_eq!(report.findings[0].severity, Severity::Unknown);
}

#[test]
fn the_message_of_a_result_never_lowers_the_severity() {
    let help = |text: &str| json!({ "help": { "text": text } });
    let two = || Fix::Available("2".to_owned());
    for (rule, message, severity, fix) in [
        (
            help("Severity: CRITICAL\nFixed Version: 2"),
            "Severity: low\nFixed Version: ",
            Severity::Critical,
            two(),
        ),
        (help("Severity: low\nFixed Version: "), "Severity: HIGH\nFixed Version: 2", Severity::High, two()),
        (help("Severity: low\nFixed Version: "), "Severity: low\nFixed Version: ", Severity::Low, Fix::None),
        // The name of a package contains a line break.
        (help("Severity: high\nPackage: a\nFix Version: \nFix Version: 2"), "", Severity::High, two()),
        (help("Severity: high\nPackage: a\nSeverity: low"), "", Severity::High, Fix::Unstated),
        (json!({}), "Severity: low\nFixed Version: ", Severity::Unknown, Fix::Unstated),
        (
            json!({ "properties": { "security-severity": "9.8" } }),
            "Severity: low",
            Severity::Critical,
            Fix::Unstated,
        ),
    ] {
        let json = sarif("Trivy", "CVE-2024-1", &rule, message);
        let finding = read(json.to_string().as_bytes()).unwrap().report.unwrap().findings.swap_remove(0);
        assert_eq!((finding.severity, finding.fix), (severity, fix), "{rule} {message}");
    }
}

#[test]
fn an_unknown_rating_of_cyclonedx_is_not_outweighed() {
    let cvss =
        |score: f64| json!({ "score": score, "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" });
    for (ratings, expected) in [
        (json!([{ "severity": "unknown" }, { "severity": "low" }]), Severity::Unknown),
        (json!([{ "severity": "extreme" }, { "severity": "high" }]), Severity::Unknown),
        (json!([{ "severity": "unknown" }, { "severity": "critical" }]), Severity::Critical),
        (json!([cvss(9.8), { "severity": "low" }]), Severity::Critical),
        (json!([cvss(3.1)]), Severity::Low),
        (json!([{ "method": "CVSSv31" }, { "severity": "low" }]), Severity::Unknown),
        // The score of EPSS is a probability.
        (json!([{ "score": 0.03, "method": "other" }, { "severity": "low" }]), Severity::Low),
        (json!([{ "score": 0.03, "method": "other" }]), Severity::Unknown),
        (
            json!([{ "source": { "name": "debian" }, "severity": "unknown" }, { "severity": "low" }]),
            Severity::Unknown,
        ),
        (json!([]), Severity::Unknown),
    ] {
        let document =
            changed("trivy.cdx.json", |json| json["vulnerabilities"][0]["ratings"] = ratings.clone());
        assert_eq!(document.report.unwrap().findings[0].severity, expected, "{ratings}");
    }
}

#[test]
fn cyclonedx_vex_removes_only_findings_that_it_is_proven_to_be_about() {
    let serial = "3ff14136-e09f-4df9-80ea-000000000006";
    let package = "pkg:deb/debian/libidn2-0@2.0.5-1";
    let image = json!({ "bom-ref": "app", "version": digest("11").to_string() });
    let affects = |reference: &str| json!([{ "ref": reference }]);
    let listed = |versions: Value| json!([{ "ref": package, "versions": versions }]);
    for (component, affects, is_about) in [
        (image.clone(), affects(package), true),
        (image.clone(), affects("app"), true),
        (image.clone(), affects(&format!("urn:cdx:{serial}/1#{package}")), true),
        (image.clone(), affects(&format!("urn:cdx:{}/1#{package}", serial.replace('3', "4"))), false),
        (image.clone(), affects(&format!("urn:cdx:{}/1#app", serial.replace('3', "4"))), false),
        (image.clone(), affects(&format!("urn:cdx:{serial}#{package}")), false),
        (image.clone(), affects(&format!("pkg:oci/app@{}", digest("22"))), false),
        (json!(null), affects(&format!("pkg:oci/app@{}", digest("11"))), true),
        (json!(null), affects(package), false),
        (json!({ "name": "registry.example/other:v1" }), affects(package), false),
        (json!({ "bom-ref": "app", "name": "registry.example/other:v1" }), affects("app"), false),
        (json!({ "bom-ref": "app", "purl": "pkg:npm/other@1.0.0" }), affects(package), false),
        (json!({ "bom-ref": "app", "version": digest("22").to_string() }), affects(package), false),
        // The reference looks like the image but is not the image.
        (
            json!({ "bom-ref": format!("pkg:oci/app@{}", digest("11")), "name": "other" }),
            affects(&format!("pkg:oci/app@{}", digest("11"))),
            false,
        ),
        (image.clone(), listed(json!([])), true),
        (image.clone(), listed(json!([{ "version": "2.0.5-1", "status": "unaffected" }])), true),
        (image.clone(), listed(json!([{ "version": "2.0.5-1" }])), false),
        (image.clone(), listed(json!([{ "version": "2.0.5-1", "status": "affected" }])), false),
        (image.clone(), listed(json!([{ "version": "2.0.5-1", "status": "unknown" }])), false),
        (image.clone(), listed(json!([{ "version": "3", "status": "unaffected" }])), false),
        (image.clone(), listed(json!([{ "range": "vers:deb/*", "status": "unaffected" }])), false),
    ] {
        let document = changed("cyclonedx-vex.json", |json| {
            json["metadata"]["component"] = component.clone();
            json["vulnerabilities"][0]["affects"] = affects.clone();
        });
        let finding = report("trivy.json").findings.swap_remove(0);
        assert_eq!(document.vex[0].is_about(&finding, &part()), is_about, "{component} {affects}");
        let other = Part { digest: digest("99"), config: None, indexes: Vec::new(), ..part() };
        assert!(!document.vex[0].is_about(&finding, &other), "{component} {affects}");
    }
}

#[test]
fn an_empty_identifier_names_no_vulnerability() {
    let mut finding = report("trivy.json").findings.swap_remove(0);
    finding.aliases = vec![String::new(), " ".to_owned()];
    assert!(!finding.has_id("") && !finding.has_id(" ") && finding.has_id("cve-2019-18224"));
}
