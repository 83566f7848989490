//! Reports and VEX documents, attested by cosign.

use jiff::Timestamp;
use oci::Digest;
use serde_json::{Value, json};
use testkit::{Issuer, Rekor, Signing};

use crate::support::run;
use crate::trust::world::{BUILDER, Production, STRANGER, World, index};

/// A report of Trivy in the predicate that `cosign attest --type vuln` expects.
fn report(digest: Digest, severity: &str) -> Value {
    let now = Timestamp::now().to_string();
    let report = json!({
        "SchemaVersion": 2, "CreatedAt": now, "ArtifactType": "container_image", "ArtifactName": "app",
        "Metadata": { "RepoDigests": [format!("registry.example/app@{digest}")] },
        "Results": [{ "Class": "os-pkgs", "Vulnerabilities": [{
            "VulnerabilityID": "CVE-2024-1", "PkgName": "openssl", "InstalledVersion": "1", "FixedVersion": "2",
            "Severity": severity,
        }] }],
    });
    json!({
        "invocation": { "parameters": null, "uri": "", "event_id": "", "builder.id": "" },
        "scanner": { "uri": "trivy", "version": "1", "db": { "uri": "", "version": "" }, "result": report },
        "metadata": { "scanStartedOn": now, "scanFinishedOn": now },
    })
}

/// Reports that cosign attests, in either form, pass the gate or block it, and so do VEX documents. Those of another identity do
/// not count.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn vulnerability_attestations_by_cosign_count_if_the_signer_does() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        let image = index(1);
        world.stage("app", image.clone(), &["v1"]).await;
        let [first, second] = [0, 1].map(|number| image.manifests[number].digest());
        let attest = |identity: &str, digest: Digest, kind: &str, predicate: &Value| {
            let signing = Signing::keyless(world.sigstore.token(identity));
            let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
            world.v3().attest(&world.staged("app", digest), kind, predicate, &signing);
        };
        let issuer = world.sigstore.issuer(Issuer::Usual);
        let policy = format!("threshold: high\nsigners: ['sigstore::{issuer}::{BUILDER}']\n");
        let policy = world.desk.write("policy.yaml", &policy).display().to_string();
        let promote = || run(world.command(&["--vuln-policy", &policy]));
        attest(BUILDER, first, "vuln", &report(first, "MEDIUM"));
        attest(STRANGER, second, "vuln", &report(second, "MEDIUM"));
        let ran = promote();
        assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("not one of the signers whose reports count"), "{}", ran.stderr);
        attest(BUILDER, second, "vuln", &report(second, "HIGH"));
        let ran = promote();
        assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("CVE-2024-1 (high) in openssl 1"), "{}", ran.stderr);
        let vex = json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex", "author": "a",
            "timestamp": Timestamp::now().to_string(), "version": 1,
            "statements": [{
                "vulnerability": { "name": "CVE-2024-1" }, "status": "not_affected",
                "justification": "component_not_present", "products": [{ "@id": format!("pkg:oci/app@{second}") }],
            }],
        });
        attest(BUILDER, second, "openvex", &vex);
        let ran = promote();
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        let report = world.desk.json("report.json");
        assert_eq!(
            (&report["scanTotals"]["vex"], &report["scanTotals"]["belowThreshold"]),
            (&1.into(), &1.into())
        );
    }
}
