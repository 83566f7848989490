//! Reports and VEX documents that are attested about images, by a key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci::{Client, Digest, Known, NewLayer, NewReferrer, Repository, Subject};
use serde_json::{Value, json};
use sigstore::{Services, Signer, SigningKey, Statement};
use transport::{Door, Settings};

use crate::scanning::world::World;
use crate::support::Desk;

const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
const OPENVEX: &str = "https://openvex.dev/ns/v0.2.0";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Attests something about a manifest in staging, as cosign does: a bundle that refers to it. `subject` is what is signed.
async fn attest(
    world: &World,
    key: &Desk,
    to: Digest,
    subject: Digest,
    predicate_type: &str,
    predicate: Value,
) {
    let door = Door::open(Settings::default()).unwrap();
    let pem = std::fs::read(key.path("cosign.key")).unwrap();
    let signer =
        Signer::with_key(door.clone(), SigningKey::from_pem(&pem, None).unwrap(), Services::none(), None)
            .unwrap();
    let statement = Statement::about("app", &subject.hex(), predicate_type, predicate);
    let bundle = signer.statement(&statement, &subject.hex()).await.unwrap().bundle();
    let manifests = world.index.manifests.iter().chain(&world.image.manifests);
    let manifest = manifests.clone().find(|manifest| manifest.digest() == to).unwrap();
    let name = if world.image.digest() == to { "two" } else { "one" };
    let path = format!("staging/{name}").parse().unwrap();
    let repository = Repository { host: world.staging.host().clone(), path };
    let layer =
        NewLayer { media_type: BUNDLE.to_owned(), content: bundle.into(), annotations: BTreeMap::new() };
    let referrer = NewReferrer {
        subject: Subject::from(manifest),
        artifact_type: BUNDLE.to_owned(),
        layer,
        annotations: BTreeMap::new(),
    };
    let writer = Client::new(door, Arc::new(oci::Anonymous), HashMap::new()).writer();
    writer.attach(&repository, &referrer, Known::Unknown).await.unwrap();
}

/// Returns cosign's predicate with a report.
fn vuln(report: &Value, finished: &str) -> Value {
    json!({
        "invocation": {}, "scanner": { "uri": "pkg:github/aquasecurity/trivy", "result": report },
        "metadata": { "scanStartedOn": finished, "scanFinishedOn": finished },
    })
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// A world in which all image manifests have an attested report, with this vulnerability in the second platform.
async fn attested(found: &[(&str, &str)]) -> (World, String) {
    let world = World::new().await;
    world.desk.key_pair();
    for (part, (_, digest)) in world.parts().into_iter().enumerate() {
        let found = if part == 1 { found } else { &[] };
        attest(&world, &world.desk, digest, digest, VULN, vuln(&world.trivy(part, found), &now())).await;
    }
    let key = world.desk.path("cosign.pub").display().to_string();
    (world, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn attested_reports_are_the_default_outside_of_googles_registries() {
    let (world, key) = attested(&[("CVE-2024-1", "HIGH")]).await;
    let ask =
        |threshold: &str| world.cip(&["--vuln-severity-threshold", threshold, "--verification-key", &key]);
    let ran = ask("4");
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    let finding = &world.report()["scanned"][0]["parts"][1]["findings"][0];
    assert_eq!((&finding["id"], &finding["status"]), (&"CVE-2024-1".into(), &"violates".into()));
    assert!(finding["source"].as_str().unwrap().contains("/staging/one@sha256:"), "{finding}");
    let ran = ask("5");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(world.occurrences.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_reads_what_is_attested_and_promotes_what_passes() {
    let (world, key) = attested(&[("CVE-2024-1", "HIGH")]).await;
    for (threshold, code) in [("high", 12), ("critical", 0)] {
        let policy = world.policy(&format!("threshold: {threshold}\n"));
        let ran = world.cip(&["--confirm", "--vuln-policy", &policy, "--verification-key", &key]);
        assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
        assert_eq!(world.writes() > 0, code == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_by_another_signer_or_about_another_image_is_not_a_scan() {
    let world = World::new().await;
    world.desk.key_pair();
    let stranger = Desk::new();
    stranger.key_pair();
    let [(_, first), (_, second), (_, image)] = world.parts();
    attest(&world, &stranger, first, first, VULN, vuln(&world.trivy(0, &[]), &now())).await;
    // Signed for the platform, and the report inside is of another image.
    attest(&world, &world.desk, second, second, VULN, vuln(&world.trivy(2, &[]), &now())).await;
    attest(&world, &world.desk, image, image, VULN, vuln(&json!({ "matches": 7, "descriptor": 1 }), &now()))
        .await;
    let key = world.desk.path("cosign.pub").display().to_string();
    let ran = world.cip(&["--vuln-severity-threshold", "5", "--verification-key", &key]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    let report = world.report();
    for (image, part, expected) in [
        (0, 0, "key"),
        (0, 1, "it is a report about a different image"),
        (1, 0, "it cannot be used: invalid type"),
    ] {
        let why = report["scanned"][image]["parts"][part]["unscanned"].to_string();
        assert!(why.contains(expected), "{expected}: {why}");
        assert_eq!(report["scanned"][image]["parts"][part]["scannedBy"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_the_index_counts_for_the_platform_that_it_names() {
    let world = World::new().await;
    world.desk.key_pair();
    let (index, [_, _, (_, image)]) = (world.index.digest(), world.parts());
    attest(&world, &world.desk, index, index, VULN, vuln(&world.trivy(0, &[]), &now())).await;
    attest(&world, &world.desk, image, image, VULN, vuln(&world.trivy(2, &[]), &now())).await;
    let key = world.desk.path("cosign.pub").display().to_string();
    let ask = || world.cip(&["--vuln-severity-threshold", "5", "--verification-key", &key]);
    assert_eq!(ask().code, 12);
    let parts = world.report()["scanned"][0]["parts"].clone();
    assert_eq!((&parts[0]["passes"], &parts[1]["passes"]), (&true.into(), &false.into()));
    attest(&world, &world.desk, index, index, VULN, vuln(&world.trivy(1, &[]), &now())).await;
    assert_eq!(ask().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_too_old_or_of_the_future_is_no_scan() {
    for (finished, expected) in [
        ("2024-01-01T00:00:00Z", "720 h is the maximum"),
        ("2100-01-01T00:00:00Z", "which is in the future"),
        ("soon", "is not valid"),
    ] {
        let world = World::new().await;
        world.desk.key_pair();
        for (part, (_, digest)) in world.parts().into_iter().enumerate() {
            let mut report = world.trivy(part, &[]);
            report["CreatedAt"] = Value::Null;
            attest(&world, &world.desk, digest, digest, VULN, vuln(&report, finished)).await;
        }
        let key = world.desk.path("cosign.pub").display().to_string();
        let ran = world.cip(&["--vuln-severity-threshold", "5", "--verification-key", &key]);
        assert_eq!(ran.code, 12, "{finished}: {}\n{}", ran.stdout, ran.stderr);
        let why = world.report()["scanned"][1]["parts"][0]["unscanned"].to_string();
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attested_vex_takes_out_what_a_trusted_signer_says() {
    let (world, key) = attested(&[("CVE-2024-1", "HIGH")]).await;
    let second = world.parts()[1].1;
    let vex = |product: Digest| {
        json!({
            "@context": OPENVEX, "timestamp": "2024-01-01T00:00:00Z", "statements": [{
                "vulnerability": { "name": "CVE-2024-1" }, "status": "not_affected",
                "justification": "component_not_present", "products": [{ "@id": format!("pkg:oci/one@{product}") }],
            }],
        })
    };
    let ask = || world.cip(&["--vuln-severity-threshold", "4", "--verification-key", &key]).code;
    let stranger = Desk::new();
    stranger.key_pair();
    attest(&world, &stranger, second, second, OPENVEX, vex(second)).await;
    assert_eq!(ask(), 12, "it is by somebody else");
    attest(&world, &world.desk, second, second, OPENVEX, vex(world.image.digest())).await;
    assert_eq!(ask(), 12, "it is about another product");
    let index = world.index.digest();
    attest(&world, &world.desk, index, index, OPENVEX, vex(second)).await;
    assert_eq!(ask(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_reports_of_other_predicate_types_count_and_provenance_does_not_matter() {
    let world = World::new().await;
    world.desk.key_pair();
    let [(_, first), (_, second), (_, image)] = world.parts();
    let provenance = json!({ "buildDefinition": {}, "runDetails": { "builder": { "id": "b" } } });
    attest(&world, &world.desk, first, first, "https://slsa.dev/provenance/v1", provenance).await;
    attest(&world, &world.desk, first, first, "https://example.com/trivy", world.trivy(0, &[])).await;
    let custom = json!({ "Data": world.trivy(1, &[]).to_string(), "Timestamp": now() });
    attest(&world, &world.desk, second, second, "https://cosign.sigstore.dev/attestation/v1", custom).await;
    let cyclonedx = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5",
        "metadata": { "timestamp": now(), "tools": [{ "name": "trivy" }],
            "component": { "type": "container", "name": "two", "version": image.to_string() } },
        "vulnerabilities": [{ "id": "CVE-2024-1", "ratings": [{ "severity": "low" }],
            "affects": [{ "ref": "pkg:apk/alpine/openssl@1" }] }],
    });
    attest(&world, &world.desk, image, image, "https://cyclonedx.org/bom", cyclonedx).await;
    let key = world.desk.path("cosign.pub").display().to_string();
    let ask =
        |threshold: &str| world.cip(&["--vuln-severity-threshold", threshold, "--verification-key", &key]);
    let ran = ask("3");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ask("2").code, 12);
}
