//! Signatures, judged by cosign.

use std::path::PathBuf;
use std::time::Duration;

use registry::sample::Recipe;
use testkit::{Expected, KeyPair, Rekor, Signing};

use crate::support::run;
use crate::trust::world::{BUILDER, PROMOTER, Production, RECORD, STAGING, World, index};

/// Both versions of cosign accept the promoter's signatures and records, for every image and every part, in both kinds of
/// registries. A second run writes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn cosign_accepts_everything_that_is_promoted_and_a_second_run_writes_nothing() {
    for production in [Production::embedded().await, Production::distribution()] {
        let mut world = World::with(production).await;
        world.stage("index", index(1), &["v1", "latest"]).await;
        world.stage("deep/image", Recipe { seed: 2, ..Recipe::default() }.image(), &["v2"]).await;
        world.promote(&[]);
        for reference in world.parts() {
            world.assert_accepted(&reference);
            let ran = world.v3().verify(&reference, &world.by(PROMOTER)).unwrap();
            assert!(ran.contains("registry.example/"), "{ran}");
        }
        for (name, sample, _) in &world.images {
            let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
            for cosign in [world.v2(), world.v3()] {
                cosign.verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
                cosign.verify_attestation(&reference, RECORD, &world.by(BUILDER).bundle()).unwrap_err();
            }
        }
        if let Production::Embedded(server) = &world.production {
            server.tally().reset();
            let ran = world.promote(&[]);
            assert_eq!(server.tally().snapshot().writes(), 0, "{}", ran.stdout);
        }
        let report = world.desk.json("report.json");
        assert_eq!(report["totals"]["signed"], if world.is_distribution() { 4 } else { 0 });
    }
}

/// Version 3 finds and accepts bundles with either log.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn cosign_accepts_bundles_of_either_log() {
    for rekor in [Rekor::V1, Rekor::V2] {
        let mut world = World::with(Production::embedded().await).await;
        world.stage("index", index(1), &["v1"]).await;
        let config = world.sigstore.signing_config(rekor);
        world.promote(&["--signature-format=bundle", "--signing-config", config.to_str().unwrap()]);
        for reference in world.parts() {
            world.v3().verify(&reference, &world.by(PROMOTER).bundle()).unwrap();
            world.v3().verify(&reference, &world.by(BUILDER).bundle()).unwrap_err();
        }
    }
}

/// kpromo signs with an encrypted key of cosign, and cosign accepts the signature by that key, with its log entry. Signatures
/// of staging may also be by a key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn keys_of_cosign_sign_and_are_believed() {
    let mut world = World::with(Production::embedded().await).await;
    let mut strange = World::with(Production::embedded().await).await;
    let digest = world.stage("app", index(1), &["v1"]).await;
    strange.stage("app", index(1), &["v1"]).await;
    let (staging, ours) = (world.v2().generate_key_pair(), world.v3().generate_key_pair());
    for world in [&world, &strange] {
        world.v2().sign(&world.staged("app", digest), &Signing::by_key(&staging));
    }
    let promote = |world: &World, verification_key: PathBuf| {
        let mut command = world.keyed();
        command.arg("--signing-key").arg(ours.private()).env("COSIGN_PASSWORD", KeyPair::PASSWORD);
        run({
            command.arg("--verification-key").arg(verification_key);
            command
        })
    };
    let ran = promote(&strange, ours.public());
    assert_eq!(ran.code, 0, "what another key has signed is someone else's: {}", ran.stderr);
    assert!(ran.stderr.contains("counts as unsigned"), "{}", ran.stderr);
    let ran = promote(&world, staging.public());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for reference in world.parts() {
        world.v3().verify(&reference, &Expected::key(&ours.public())).unwrap();
        world.v3().verify(&reference, &Expected::key(&world.v2().generate_key_pair().public())).unwrap_err();
    }
    let promoted = format!("{}/prod/app@{digest}", world.production.host());
    world.v3().verify(&promoted, &Expected::key(&staging.public())).unwrap();
    world.v3().verify_attestation(&promoted, RECORD, &Expected::key(&ours.public()).bundle()).unwrap();
}

/// kpromo verifies cosign's signatures in staging and carries them to production before its own. cosign then accepts
/// both identities.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn signatures_of_staging_are_verified_and_carried() {
    let mut world = World::with(Production::embedded().await).await;
    let digest = world.stage("app", index(1), &["v1"]).await;
    let token = world.sigstore.token(STAGING);
    world.v2().sign(&world.staged("app", digest), &Signing::keyless(token).recursive());
    world.promote(&[]);
    for reference in world.parts() {
        world.v3().verify(&reference, &world.by(STAGING)).unwrap();
        world.assert_accepted(&reference);
    }
}

/// If a signature in staging is by an identity that is not staging's signer, the run reports and ignores it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_signature_by_another_signer_is_reported_and_not_carried() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        let digest = world.stage("app", index(1), &["v1"]).await;
        let signing = Signing::keyless(world.sigstore.token(BUILDER));
        let signing = if bundle { signing.bundle(Rekor::V2) } else { signing };
        world.v3().sign(&world.staged("app", digest), &signing);
        let ran = world.promote(&[]);
        assert!(ran.stderr.contains("counts as unsigned") && ran.stderr.contains(BUILDER), "{}", ran.stderr);
        for reference in world.parts() {
            world.assert_accepted(&reference);
            world.v3().verify(&reference, &world.by(BUILDER).any_form()).unwrap_err();
        }
    }
}

/// However often and wherever a run is killed, in the end every image is signed and recorded exactly once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_run_that_is_killed_is_completed_by_the_next() {
    let mut world = World::with(Production::embedded().await).await;
    for seed in 0..12 {
        world.stage(&format!("app-{seed}"), index(seed), &["v1"]).await;
    }
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    let mut killed = 0;
    // The kill comes a little later in each step, between the first copy and the last record.
    for step in 0_u64.. {
        let mut child = world.command(&["--max-signature-ops=4"]).spawn().unwrap();
        let writes = step * 12 + 1;
        let done = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.success();
            }
            if server.tally().snapshot().writes() >= writes {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                break false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if done {
            break;
        }
        server.tally().reset();
        assert!(step < 100, "it gets somewhere each time");
    }
    assert!(killed >= 3, "{killed}");
    for reference in world.parts() {
        let ran = world.v3().verify(&reference, &world.by(PROMOTER)).unwrap();
        let payloads: Vec<serde_json::Value> = serde_json::from_str(&ran).unwrap();
        assert_eq!(payloads.len(), 1, "{reference} is signed once");
    }
    for (name, sample, _) in &world.images {
        let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
        let ran = world.v3().verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
        assert_eq!(ran.lines().count(), 1, "{reference} is recorded once");
    }
}

/// With the wrong identity, nothing is signed, and nothing is promoted that would remain unsigned.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn the_wrong_identity_promotes_nothing() {
    let mut world = World::with(Production::embedded().await).await;
    world.stage("app", index(1), &["v1"]).await;
    let ran = run(world.command(&["--signer-account", BUILDER]));
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains(PROMOTER) && ran.stderr.contains(BUILDER), "{}", ran.stderr);
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    assert_eq!(server.tally().snapshot().writes(), 0);
}
