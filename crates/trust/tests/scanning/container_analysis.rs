//! Container Analysis: the requests, and the interpretation of the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use sigstore::AccessTokens;
use testkit::{Grafeas, Occurrences, OccurrencesFault};
use transport::{Door, HostSettings, Retry, Secret, Settings};
use trust::scan::{
    ContainerAnalysis, Fix, Part, PartScan, ScanError, ScanGate, ScanImage, ScanPolicy, ScanSource,
    ScannedHosts, Scanner, Severity, Threshold,
};

use crate::support::{brief, part};

const REPOSITORY: &str = "us-central1-docker.pkg.dev/project/images/app";

#[derive(Debug)]
struct Tokens(Result<Option<&'static str>, &'static str>);

impl AccessTokens for Tokens {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        let token = self.0.map(|token| token.map(Secret::new)).map_err(str::to_owned);
        Box::pin(std::future::ready(token))
    }
}

fn service_at(url: &str, tokens: Tokens) -> ContainerAnalysis {
    let retry = Retry { attempts: 2, first_pause: Duration::from_millis(1), ..Retry::default() };
    let other_hosts = HostSettings { patience: Duration::from_millis(1), ..HostSettings::default() };
    let door = Door::open(Settings { retry, other_hosts, ..Settings::default() }).unwrap();
    ContainerAnalysis::new(door, url, Some(Arc::new(tokens))).unwrap()
}

fn service(server: &Occurrences) -> ContainerAnalysis {
    service_at(&server.url(), Tokens(Ok(Some("token"))))
}

fn resource(part: &Part) -> String {
    format!("https://{REPOSITORY}@{}", part.digest)
}

async fn scan(service: &ContainerAnalysis, part: &Part) -> Result<PartScan, ScanError> {
    let repository = REPOSITORY.parse().unwrap();
    let (evidence, now) = (BTreeMap::new(), Timestamp::now());
    service.scan(ScanImage { repository: &repository, evidence: &evidence, now }, part).await
}

#[tokio::test]
async fn a_manifest_is_requested_once_with_the_token_of_the_caller() {
    let server = Occurrences::start();
    let resource = resource(&part());
    server.add_scan("project", &resource, "FINISHED_SUCCESS");
    server.add_vulnerability("project", &resource, "CVE-2024-1", "HIGH", Some("1.1.2"));
    server.add_vulnerability("project", &resource, "CVE-2024-2", "SEVERITY_UNSPECIFIED", None);
    server.add_vulnerability("project", "https://another@sha256:00", "CVE-2024-3", "CRITICAL", None);
    let service = service(&server);
    let found = scan(&service, &part()).await.unwrap();
    let brief: Vec<_> = found.findings.iter().map(|found| brief(&found.content)).collect();
    assert_eq!(
        brief,
        [
            ("CVE-2024-1", Severity::High, "openssl", "1.1.1", true),
            ("CVE-2024-2", Severity::Unknown, "openssl", "1.1.1", false),
        ]
    );
    assert_eq!(found.findings[0].content.fix, Fix::Available("1.1.2".to_owned()));
    assert_eq!((found.finished.len(), found.unscanned.len()), (1, 0));
    assert_eq!(scan(&service, &part()).await.unwrap(), found);
    let requests = server.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.path, "/v1/projects/project/occurrences");
    let filter = format!("resourceUrl=\"{resource}\" AND (kind=\"VULNERABILITY\" OR kind=\"DISCOVERY\")");
    let expected = [("filter", filter.as_str()), ("pageSize", "1000")];
    assert_eq!(request.query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(request.authorization.as_deref(), Some("Bearer token"));
}

#[tokio::test]
async fn all_pages_are_read() {
    let server = Occurrences::start();
    let resource = resource(&part());
    for number in 0..5 {
        server.add_vulnerability("project", &resource, &format!("CVE-2024-{number}"), "LOW", None);
    }
    server.add_scan("project", &resource, "COMPLETE");
    server.limit_pages(2);
    let found = scan(&service(&server), &part()).await.unwrap();
    assert_eq!((found.findings.len(), found.finished.len()), (5, 1));
    let tokens: Vec<Option<String>> =
        server.requests().iter().map(|request| request.query.get("pageToken").cloned()).collect();
    assert_eq!(tokens, [None, Some("from-2".to_owned()), Some("from-4".to_owned())]);
}

#[tokio::test]
async fn a_scan_counts_only_when_all_its_analyses_have_succeeded() {
    for (states, expected) in [
        (&[][..], Some("nothing shows that it was scanned")),
        (&["FINISHED_SUCCESS"], None),
        (&["COMPLETE"], None),
        (&["PENDING"], Some("has not started")),
        (&["SCANNING"], Some("in progress")),
        (&["FINISHED_FAILED"], Some("has failed")),
        (&["FINISHED_UNSUPPORTED"], Some("does not support it")),
        (&["SOMETHING_NEW"], Some("the state of the scan is SOMETHING_NEW")),
        (&["FINISHED_SUCCESS", "SCANNING"], Some("in progress")),
        (&["FINISHED_SUCCESS", "ANALYSIS_STATUS_UNSPECIFIED"], None),
        (&["ANALYSIS_STATUS_UNSPECIFIED"], Some("nothing shows")),
    ] {
        let server = Occurrences::start();
        server.add_vulnerability("project", &resource(&part()), "CVE-2024-1", "LOW", None);
        states.iter().for_each(|state| server.add_scan("project", &resource(&part()), state));
        let found = scan(&service(&server), &part()).await.unwrap();
        assert_eq!(found.findings.len(), 1, "known findings count in any state");
        match expected {
            None => assert!(found.finished.len() == 1 && found.unscanned.is_empty(), "{states:?}: {found:?}"),
            Some(why) => assert!(found.finished.is_empty() && found.unscanned[0].contains(why), "{found:?}"),
        }
    }
}

/// Returns a discovery. `content` is added to it.
fn discovery(note: &str, content: &serde_json::Value) -> serde_json::Value {
    let mut discovery = json!({ "analysisStatus": "FINISHED_SUCCESS" });
    discovery.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    json!({ "resourceUri": resource(&part()), "noteName": note, "kind": "DISCOVERY", "discovery": discovery })
}

const NOTE: &str = "projects/goog-analysis/notes/PACKAGE_VULNERABILITY";

#[tokio::test]
async fn a_scan_counts_only_if_it_is_for_vulnerabilities_and_without_an_error() {
    for (note, content, is_scan) in [
        (NOTE, json!({}), true),
        ("projects/p/notes/analysis", json!({}), true),
        ("projects/goog-analysis/notes/SBOM", json!({}), false),
        ("projects/p/notes/sbom-generator", json!({}), false),
        ("projects/goog-analysis/notes/another", json!({}), false),
        ("", json!({}), false),
        (NOTE, json!({ "analysisStatusError": {} }), true),
        (NOTE, json!({ "analysisStatusError": { "code": 3, "message": "layer" } }), false),
        (NOTE, json!({ "analysisError": [{ "message": "layer" }] }), false),
    ] {
        let server = Occurrences::start();
        server.add("project", discovery(note, &content));
        let found = scan(&service(&server), &part()).await.unwrap();
        assert_eq!(
            (found.finished.len(), found.unscanned.len()),
            (usize::from(is_scan), usize::from(!is_scan)),
            "{note} {content}"
        );
    }
}

#[tokio::test]
async fn a_scan_counts_only_if_it_is_recent_enough() {
    let hour = Duration::from_secs(3600);
    let before = |hours: i64| (Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
    let scanned = |mode: &str, time: &str| json!({ "continuousAnalysis": mode, "lastScanTime": time });
    for (content, max_age, expected) in [
        (scanned("INACTIVE", "2019-01-01T00:00:00Z"), Some(hour), Some("1 h is the maximum")),
        (scanned("ACTIVE", "2019-01-01T00:00:00Z"), Some(hour), Some("1 h is the maximum")),
        (scanned("INACTIVE", "2019-01-01T00:00:00Z"), None, None),
        (scanned("INACTIVE", &before(1)), Some(3 * hour), None),
        (scanned("ACTIVE", &before(-2)), Some(hour), Some("in the future")),
        (scanned("ACTIVE", &before(-2)), None, Some("in the future")),
        (scanned("ACTIVE", "yesterday"), None, Some("yesterday, is not valid")),
        (json!({}), Some(hour), Some("does not state the time")),
        (json!({}), None, None),
    ] {
        let server = Occurrences::start();
        server.add("project", discovery(NOTE, &content));
        let found = scan(&service(&server).with_max_age(max_age), &part()).await.unwrap();
        match expected {
            None => assert_eq!(found.finished.len(), 1, "{content}: {found:?}"),
            Some(why) => assert!(found.finished.is_empty() && found.unscanned[0].contains(why), "{found:?}"),
        }
    }
    let server = Occurrences::start();
    let mut written = discovery(NOTE, &json!({}));
    written["updateTime"] = before(2).into();
    server.add("project", written);
    for (max_age, count) in [(hour, 0), (3 * hour, 1)] {
        let found = scan(&service(&server).with_max_age(Some(max_age)), &part()).await.unwrap();
        assert_eq!(found.finished.len(), count, "{found:?}");
    }
}

#[tokio::test]
async fn a_fix_counts_as_unstated_unless_its_absence_is_stated() {
    let version = |kind: serde_json::Value| json!({ "name": "2", "kind": kind });
    for (issues, expected) in [
        (json!([{ "fixedVersion": version(json!("NORMAL")) }]), Fix::Available("2".to_owned())),
        (json!([{ "fixedVersion": version(json!("normal")) }]), Fix::Available("2".to_owned())),
        (json!([{ "fixedVersion": version(json!(null)) }]), Fix::Available("2".to_owned())),
        (json!([{ "fixedVersion": { "kind": "MAXIMUM" } }]), Fix::None),
        (json!([{ "fixedVersion": { "kind": "MAXIMUM" }, "fixAvailable": true }]), Fix::Unstated),
        (json!([{ "fixAvailable": false }]), Fix::None),
        (json!([{ "affectedPackage": "git" }]), Fix::Unstated),
        (json!([]), Fix::Unstated),
        (json!(null), Fix::Unstated),
    ] {
        let server = Occurrences::start();
        let content = json!({ "severity": "HIGH", "packageIssue": issues });
        server.add(
            "project",
            json!({ "resourceUri": resource(&part()), "noteName": "projects/p/notes/CVE-2024-1",
                    "kind": "VULNERABILITY", "vulnerability": content }),
        );
        let found = scan(&service(&server), &part()).await.unwrap();
        assert_eq!(found.findings[0].content.fix, expected, "{issues}");
    }
}

#[tokio::test]
async fn a_vulnerability_counts_with_and_without_a_scheme_in_the_name_of_its_image() {
    let named = resource(&part());
    let bare = named.strip_prefix("https://").unwrap();
    for (resource, count) in
        [(named.as_str(), Some(1)), (bare, Some(1)), ("https://r.io/other", Some(0)), ("", None)]
    {
        let server = Occurrences::start();
        server.add_vulnerability("project", resource, "CVE-2024-1", "LOW", None);
        server.fail_always(OccurrencesFault::IgnoresFilter);
        let found = scan(&service(&server), &part()).await;
        assert_eq!(found.as_ref().ok().map(|scan| scan.findings.len()), count, "{resource}: {found:?}");
    }
}

#[tokio::test]
async fn findings_of_one_scanner_count_although_another_is_unavailable() {
    let (working, failing) = (Occurrences::start(), Occurrences::start());
    failing.fail_always(OccurrencesFault::Refuses(403, "denied".to_owned()));
    working.add_scan("project", &resource(&part()), "FINISHED_SUCCESS");
    let sources = || {
        let source = |server| ScanSource { hosts: ScannedHosts::All, scanner: Arc::new(service(server)) };
        vec![source(&failing), source(&working)]
    };
    let (repository, nothing) = (REPOSITORY.parse().unwrap(), BTreeMap::new());
    let judge = async || {
        let gate = ScanGate::new(ScanPolicy::new(Threshold::of_number(4).unwrap()), sources());
        gate.judge(&repository, &[part()], &nothing, Timestamp::now()).await
    };
    assert!(judge().await.unwrap_err().to_string().contains("denied"));
    working.add_vulnerability("project", &resource(&part()), "CVE-2024-1", "CRITICAL", Some("2"));
    let judged = judge().await.unwrap();
    assert!(judged.refusal().unwrap().contains("CVE-2024-1"), "{judged:?}");
    assert!(judged.parts[0].unscanned[0].contains("denied"), "{judged:?}");
}

#[tokio::test]
async fn occurrences_of_other_images_are_ignored() {
    let server = Occurrences::start();
    server.add_scan("project", "https://another@sha256:00", "FINISHED_SUCCESS");
    server.add_vulnerability("project", "https://another@sha256:00", "CVE-2024-1", "CRITICAL", None);
    server.fail_always(OccurrencesFault::IgnoresFilter);
    let found = scan(&service(&server), &part()).await.unwrap();
    assert!(found.findings.is_empty() && found.finished.is_empty(), "{found:?}");
}

#[tokio::test]
async fn failures_are_clear_errors_and_never_an_empty_list() {
    let refuses = |status, message: &str| OccurrencesFault::Refuses(status, message.to_owned());
    for (fault, expected, requests) in [
        (
            refuses(403, "Permission denied on project"),
            &["answered 403 Forbidden: Permission denied on project", "occurrences.viewer"][..],
            1,
        ),
        (refuses(401, "unauthenticated"), &["401", "gcloud auth application-default login"], 1),
        (refuses(404, "no such project"), &["404", "check that the project project exists there"], 1),
        (refuses(429, "quota"), &["429", "requestsPerSecond"], 0),
        (refuses(500, "internal"), &["500 Internal Server Error: internal"], 2),
        (refuses(503, "away"), &["503"], 2),
        (OccurrencesFault::Says("<html>".to_owned()), &["not a list of occurrences"], 1),
        (OccurrencesFault::Says("{\"occurrences\":[{\"vulnerability\":7}]}".to_owned()), &["not a list"], 1),
        (OccurrencesFault::Says("[]".to_owned()), &["not a list of occurrences"], 1),
        (OccurrencesFault::Says("{\"error\":{\"code\":500}}".to_owned()), &["answered with an error"], 1),
        (OccurrencesFault::Says("{\"unreachable\":[\"projects/p\"]}".to_owned()), &["is unreachable"], 1),
        (OccurrencesFault::SamePage, &["names a page that was read before"], 2),
        (OccurrencesFault::EndlessPages, &["more than 1000 pages"], 1_000),
    ] {
        let server = Occurrences::start();
        server.fail_always(fault.clone());
        let error = scan(&service(&server), &part()).await.unwrap_err().to_string();
        assert!(error.contains(&resource(&part())) && error.starts_with("asking 127.0.0.1"), "{error}");
        expected.iter().for_each(|text| assert!(error.contains(text), "{text}: {error}"));
        assert!(!error.contains("Bearer") && !error.contains("pageSize"), "{error}");
        let sent = server.requests().len();
        // The number of requests to a host that refuses because of its rate limit depends on the timing.
        let is_expected = if requests == 0 { sent > 0 } else { sent == requests };
        assert!(is_expected, "{fault:?}: {sent}");
    }
}

#[tokio::test]
async fn a_fault_is_retried() {
    let server = Occurrences::start();
    server.add_scan("project", &resource(&part()), "FINISHED_SUCCESS");
    server.fail_next(OccurrencesFault::Refuses(503, "away".to_owned()));
    assert_eq!(scan(&service(&server), &part()).await.unwrap().finished.len(), 1);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn unusable_credentials_are_an_error_and_missing_ones_are_not_sent() {
    let server = Occurrences::start();
    let failing = service_at(&server.url(), Tokens(Err("file.json: broken")));
    let error = scan(&failing, &part()).await.unwrap_err().to_string();
    assert!(error.contains("file.json: broken") && server.requests().is_empty(), "{error}");
    scan(&service_at(&server.url(), Tokens(Ok(None))), &part()).await.unwrap();
    assert_eq!(server.requests()[0].authorization, None);
}

#[test]
fn only_permitted_urls_are_accepted_as_services() {
    let door = Door::open(Settings::default()).unwrap();
    let open = |url: &str| ContainerAnalysis::new(door.clone(), url, None).map(drop);
    for url in
        [trust::scan::CONTAINER_ANALYSIS, "https://grafeas.example:8443/v1beta1/", "http://127.0.0.1:1"]
    {
        open(url).unwrap();
    }
    for (url, expected) in [
        ("grafeas.example", "not an https or http URL"),
        ("ftp://grafeas.example", "not an https or http URL"),
        ("http://grafeas.example", "plain HTTP is not allowed"),
        ("https://me:secret@grafeas.example", "only a host and a path"),
        ("https://grafeas.example/?a=b", "only a host and a path"),
    ] {
        let error = open(url).unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
}

#[tokio::test]
async fn each_platform_is_requested_and_the_worst_counts() {
    let server = Occurrences::start();
    let arm64 = Part { digest: crate::support::digest("22"), ..part() };
    for part in [&part(), &arm64] {
        server.add_scan("project", &resource(part), "FINISHED_SUCCESS");
    }
    server.add_vulnerability("project", &resource(&arm64), "CVE-2024-1", "CRITICAL", Some("2"));
    let scanner = Arc::new(service(&server));
    let policy = ScanPolicy::new(Threshold::of_number(5).unwrap());
    let gate = ScanGate::new(policy, vec![ScanSource { hosts: ScannedHosts::Google, scanner }]);
    let (repository, nothing) = (REPOSITORY.parse().unwrap(), BTreeMap::new());
    let judged = gate.judge(&repository, &[part(), arm64.clone()], &nothing, Timestamp::now()).await.unwrap();
    let passes: Vec<bool> = judged.parts.iter().map(|part| judged.part_passes(part)).collect();
    assert_eq!((passes, judged.passes()), (vec![true, false], false));
    let refusal = judged.refusal().unwrap();
    assert!(refusal.contains(&arm64.digest.to_string()) && !refusal.contains(&part().digest.to_string()));
    let elsewhere = "registry.example/app".parse().unwrap();
    let judged = gate.judge(&elsewhere, &[part()], &nothing, Timestamp::now()).await.unwrap();
    assert!(!judged.passes() && server.requests().len() == 2, "it is asked for Google's registries only");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn grafeas_lists_occurrences_in_pages_and_finished_scans_are_distinguished() {
    let server = Grafeas::start();
    server.create_project("project");
    let note = |id: &str, kind: &str, content: serde_json::Value| {
        let mut note = json!({ "name": format!("projects/project/notes/{id}"), "kind": kind });
        note.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        server.create("project", &format!("notes?noteId={id}"), &note);
    };
    let debian = "cpe:/o:debian:debian_linux:8";
    let version = |name: &str| json!({ "name": name, "revision": "3", "kind": "NORMAL" });
    let at = |name: &str| json!({ "cpeUri": debian, "package": "icu", "version": version(name) });
    for id in ["CVE-2024-1", "CVE-2024-2"] {
        let detail = json!({
            "cpeUri": debian, "package": "icu", "severityName": "HIGH", "minAffectedVersion": { "kind": "MINIMUM" },
            "fixedLocation": at("2"),
        });
        note(id, "VULNERABILITY", json!({ "vulnerability": { "severity": "HIGH", "details": [detail] } }));
    }
    note("analysis", "DISCOVERY", json!({ "discovery": { "analysisKind": "VULNERABILITY" } }));
    let none = json!({ "cpeUri": debian, "package": "icu", "version": { "kind": "MAXIMUM" } });
    let occurrence = |note: &str, kind: &str, resource: &str, member: &str, content: serde_json::Value| {
        let content = json!({
            "resource": { "uri": resource }, "noteName": format!("projects/project/notes/{note}"), "kind": kind,
            member: content,
        });
        server.create("project", "occurrences", &content);
    };
    let other = Part { digest: crate::support::digest("22"), ..part() };
    let analysis = |part: &Part, state: &str| {
        let content = json!({ "discovered": { "analysisStatus": state } });
        occurrence("analysis", "DISCOVERY", &resource(part), "discovered", content);
    };
    analysis(&part(), "FINISHED_SUCCESS");
    analysis(&other, "SCANNING");
    for (id, severity, fixed) in [("CVE-2024-1", "CRITICAL", at("2")), ("CVE-2024-2", "LOW", none)] {
        let issue = json!({ "affectedLocation": at("1"), "fixedLocation": fixed });
        let content = json!({ "severity": severity, "packageIssue": [issue] });
        occurrence(id, "VULNERABILITY", &resource(&part()), "vulnerability", content);
    }
    let service = service_at(&server.url(), Tokens(Ok(None)));
    let mut found = scan(&service, &part()).await.unwrap();
    found.findings.sort_by(|a, b| a.content.id.cmp(&b.content.id));
    let brief: Vec<_> = found.findings.iter().map(|found| brief(&found.content)).collect();
    assert_eq!(
        brief,
        [
            ("CVE-2024-1", Severity::Critical, "icu", "1-3", true),
            ("CVE-2024-2", Severity::Low, "icu", "1-3", false)
        ],
        "{}",
        server.log()
    );
    assert_eq!(found.finished.len(), 1);
    let unfinished = scan(&service, &other).await.unwrap();
    assert!(
        unfinished.finished.is_empty() && unfinished.unscanned[0].contains("in progress"),
        "{unfinished:?}"
    );
}
