//! Reports from files: they are matched by digest, and unused ones are listed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use trust::scan::{
    FindingStatus, Part, ReportFiles, ScanGate, ScanPolicy, ScanSource, ScannedHosts, Threshold,
    Vulnerabilities,
};

use crate::support::{bytes, digest, part, read, sample};

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn files(names: &[&str], max_age: Option<Duration>) -> Arc<ReportFiles> {
    let documents = names.iter().map(|name| ((*name).to_owned(), sample(name))).collect();
    Arc::new(ReportFiles::new("reports".to_owned(), documents, max_age).unwrap())
}

fn judge(scanner: &Arc<ReportFiles>, part: Part, policy: ScanPolicy) -> Vulnerabilities {
    let scanner = Arc::<ReportFiles>::clone(scanner);
    let gate = ScanGate::new(policy, vec![ScanSource { hosts: ScannedHosts::All, scanner }]);
    let repository = "r.io/app".parse().unwrap();
    gate.judge(&repository, &[part], &BTreeMap::new(), now()).now_or_never().unwrap().unwrap()
}

fn high() -> ScanPolicy {
    ScanPolicy::new(Threshold::of_name("high").unwrap())
}

#[test]
fn a_report_counts_only_for_the_image_that_it_names() {
    let scanner = files(&["trivy.json", "grype.json"], None);
    let refusal = judge(&scanner, part(), high()).refusal().unwrap();
    assert!(refusal.contains("2 vulnerabilities reach the threshold high"), "{refusal}");
    assert!(
        refusal.contains(
            "CVE-2019-18224 (critical) in libidn2-0 2.0.5-1, fixed in 2.0.5-1+deb10u1, by trivy.json"
        )
    );
    assert!(refusal.contains("GHSA-aaaa-bbbb-cccc (unknown)"), "{refusal}");
    assert!(scanner.unused().is_empty());

    let scanner = files(&["trivy.json", "grype.json"], None);
    let other = Part { digest: digest("22"), config: Some(digest("23")), indexes: Vec::new(), ..part() };
    let refusal = judge(&scanner, other.clone(), high()).refusal().unwrap();
    assert!(refusal.contains("not scanned, which does not mean that it is clean"), "{refusal}");
    assert!(refusal.contains("reports: no report names it by digest"), "{refusal}");
    assert_eq!(scanner.unused(), ["trivy.json", "grype.json"]);
    assert!(judge(&scanner, other, ScanPolicy { allows_unscanned: true, ..high() }).passes());
}

#[test]
fn another_platform_of_the_same_index_has_its_own_report() {
    let scanner = files(&["trivy.json", "grype.json"], None);
    let arm64 = Part {
        digest: digest("22"),
        config: Some(digest("23")),
        platform: Some("linux/arm64".to_owned()),
        ..part()
    };
    let judged = judge(&scanner, arm64, high());
    assert!(!judged.passes() && !judged.parts[0].is_scanned() && judged.parts[0].findings.is_empty());
}

#[test]
fn a_report_that_names_only_the_index_proves_no_platform() {
    let mut json: Value = serde_json::from_slice(&bytes("trivy.json")).unwrap();
    json["Metadata"]["ImageID"] = Value::Null;
    json["Metadata"]["ImageConfig"] = Value::Null;
    let document = read(json.to_string().as_bytes()).unwrap();
    let scanner = ReportFiles::new("reports".to_owned(), vec![("trivy.json".to_owned(), document)], None);
    let refusal = judge(&Arc::new(scanner.unwrap()), part(), high()).refusal().unwrap();
    assert!(refusal.contains("trivy.json: it names the index and does not prove which"), "{refusal}");
}

#[test]
fn a_report_without_a_digest_is_an_error() {
    let documents = vec![("grype.sarif".to_owned(), sample("grype.sarif"))];
    let error = ReportFiles::new("reports".to_owned(), documents, None).unwrap_err().to_string();
    assert!(error.starts_with("grype.sarif: the report does not name the image by digest"), "{error}");
}

#[test]
fn an_old_report_is_not_a_scan_but_its_findings_count() {
    let day = Duration::from_secs(24 * 3600);
    let scanner = files(&["grype.json"], Some(day));
    let refusal = judge(&scanner, part(), high()).refusal().unwrap();
    assert!(refusal.contains("grype.json: its scan is 1760 h old, and 24 h is the maximum"), "{refusal}");
    let lenient = ScanPolicy { allows_unscanned: true, counts_unfixed: true, ..high() };
    let judged = judge(&scanner, part(), lenient);
    assert!(!judged.passes());
    assert!(judged.refusal().unwrap().contains("CVE-1999-0002 (critical) in package-2"));
    let scanner = files(&["grype.json"], Some(100 * day));
    assert!(judge(&scanner, part(), high()).passes());
}

#[test]
fn the_latest_report_of_each_scanner_counts() {
    let at = |name: &str, pointer: &str, time: &str, entries: (&str, Value)| {
        let mut json: Value = serde_json::from_slice(&bytes(name)).unwrap();
        *json.pointer_mut(pointer).unwrap() = time.into();
        *json.pointer_mut(entries.0).unwrap() = entries.1;
        read(json.to_string().as_bytes()).unwrap()
    };
    let trivy = |time: &str, is_clean: bool| {
        let original: Value = serde_json::from_slice(&bytes("trivy.json")).unwrap();
        let results = if is_clean { json!([{ "Class": "os-pkgs" }]) } else { original["Results"].clone() };
        at("trivy.json", "/CreatedAt", time, ("/Results", results))
    };
    let (early, late) = ("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z");
    let clean_grype = at("grype.json", "/descriptor/timestamp", late, ("/matches", json!([])));
    let future = "2026-07-01T00:00:00Z";
    for (documents, passes) in [
        (vec![trivy(early, false), trivy(late, true)], true),
        (vec![trivy(late, true), trivy(early, false)], true),
        (vec![trivy(early, true), trivy(late, false)], false),
        (vec![trivy(late, true), trivy(late, false)], false),
        (vec![trivy(early, false), clean_grype], false),
        (vec![trivy(early, true), trivy(future, false)], false),
        (vec![trivy(early, false), trivy(future, true)], false),
        (vec![trivy(future, true)], false),
    ] {
        let shown = format!("{documents:?}");
        let documents =
            documents.into_iter().enumerate().map(|(index, document)| (index.to_string(), document));
        let scanner = ReportFiles::new("reports".to_owned(), documents.collect(), None).unwrap();
        assert_eq!(judge(&Arc::new(scanner), part(), high()).passes(), passes, "{shown}");
    }
}

#[test]
fn vex_removes_the_findings_that_it_is_about() {
    let scanner = files(&["trivy.json", "cyclonedx-vex.json"], None);
    let any = ScanPolicy { counts_unfixed: true, ..ScanPolicy::new(Threshold::of_name("any").unwrap()) };
    let judged = judge(&scanner, part(), any);
    let statuses: Vec<(&str, bool)> = judged.parts[0]
        .findings
        .iter()
        .map(|judged| (judged.finding.id.as_str(), matches!(judged.status, FindingStatus::Vex { .. })))
        .collect();
    // Those that count come first. A vulnerability in triage counts.
    assert_eq!(
        statuses,
        [("CVE-2019-18276", false), ("GHSA-aaaa-bbbb-cccc", false), ("CVE-2019-18224", true)]
    );
    let vex = judged.parts[0].findings[2].status.to_string();
    assert_eq!(vex, "VEX not_affected by cyclonedx-vex.json: code_not_reachable");
}
