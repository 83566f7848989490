//! Attestations, records and summaries, judged by cosign.

use oci::{MediaType, RawManifest};
use registry::sample::Recipe;
use serde_json::json;
use testkit::{Expected, Issuer, Rekor, Signing, TokenRequest};

use crate::support::{put, run};
use crate::trust::world::{
    BUILDER, PROMOTER, PROVENANCE, Production, RECORD, SUMMARIES, SUMMARY, World, github, index, provenance,
};

/// An attestation by cosign, in either form, satisfies a policy. It is carried, and a summary states the level. Provenance by
/// another identity blocks the promotion.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn provenance_by_cosign_satisfies_a_policy_and_is_carried() {
    let provenance = provenance();
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        world.require_provenance();
        let digest = world.stage("app", index(1), &["v1"]).await;
        let staged = world.staged("app", digest);
        let attest = |identity: &str| {
            let signing = Signing::keyless(world.sigstore.token(identity));
            let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
            world.v3().attest(&staged, PROVENANCE, &provenance, &signing);
        };
        assert_eq!(run(world.command(&[])).code, 12, "there is no provenance");
        attest(PROMOTER);
        let ran = run(world.command(&[]));
        assert_eq!(ran.code, 12, "it is by somebody else");
        assert!(ran.stderr.contains("not one of the policy's signers"), "{}", ran.stderr);
        attest(BUILDER);
        world.promote(&["--verification-summaries"]);
        world.parts().iter().for_each(|reference| world.assert_accepted(reference));
        let promoted = format!("{}/prod/app@{digest}", world.production.host());
        let form = |expected: Expected<'static>| if bundle { expected.bundle() } else { expected };
        world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).unwrap();
        let summary =
            world.v3().verify_attestation(&promoted, SUMMARY, &world.by(PROMOTER).bundle()).unwrap();
        let envelope: serde_json::Value = serde_json::from_str(summary.lines().next().unwrap()).unwrap();
        let payload = crate::support::base64(envelope["payload"].as_str().unwrap());
        assert!(payload.contains("SLSA_BUILD_LEVEL_2"), "{payload}");
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        server.tally().reset();
        world.promote(&["--verification-summaries"]);
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Two indexes share a part. One has provenance. The other has none, so the part is judged by its own and fails: it gets no
/// signature and no summary through the first one either.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_part_that_fails_in_one_index_is_not_signed_through_another() {
    let mut world = World::with(Production::embedded().await).await;
    let whole = index(1);
    let part = whole.manifests[0].clone();
    let child = json!({
        "mediaType": part.media_type().as_str(), "digest": part.digest().to_string(), "size": part.bytes().len(),
    });
    let kind = MediaType::OciIndex;
    let text = json!({ "schemaVersion": 2, "mediaType": kind.as_str(), "manifests": [child] }).to_string();
    let mut bare = whole.clone();
    bare.manifests = vec![part.clone(), RawManifest::new(kind, text.into())];
    let bare = world.stage("app", bare, &["bare"]).await;
    world.promote_unsigned();
    let whole = world.stage("app", whole, &["v1"]).await;
    let signing = Signing::keyless(world.sigstore.token(BUILDER));
    world.v3().attest(&world.staged("app", whole), PROVENANCE, &provenance(), &signing);
    world.require_provenance();
    let ran = run(world.command(&["--verification-summaries"]));
    assert_eq!(ran.code, 31, "{}\n{}", ran.stdout, ran.stderr);
    for digest in [part.digest(), bare, whole] {
        let reference = format!("{}/prod/app@{digest}", world.production.host());
        world.v3().verify(&reference, &world.by(PROMOTER).any_form()).unwrap_err();
        world.v3().verify_attestation(&reference, SUMMARY, &world.by(PROMOTER).bundle()).unwrap_err();
    }
}

/// Another identity, from the environment, signs the summaries. Both versions of cosign still find the promoter's signature on
/// every image, every part and a digest without a tag, beside carried attestations and these bundles. The summaries are signed
/// by the other identity.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn summaries_by_another_signer_do_not_hide_our_signature() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        world.require_provenance();
        let digest = world.stage("app", index(1), &["v1"]).await;
        let tagless = world.stage("tagless", Recipe { seed: 3, ..Recipe::default() }.image(), &[]).await;
        for (name, digest) in [("app", digest), ("tagless", tagless)] {
            let signing = Signing::keyless(world.sigstore.token(BUILDER));
            let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
            world.v3().attest(&world.staged(name, digest), PROVENANCE, &provenance(), &signing);
        }
        let tokens = github(world.sigstore.token_of(&TokenRequest::workload("summaries")));
        let summaries = ["--verification-summaries", "--summary-signer-account", SUMMARIES];
        let promote = || {
            let mut command = world.command(&summaries);
            command
                .env("ACTIONS_ID_TOKEN_REQUEST_URL", &tokens)
                .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "proof");
            let ran = run(command);
            assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        };
        promote();
        let by_workload = Expected::identity(SUMMARIES, world.sigstore.issuer(Issuer::Workload)).bundle();
        let tagless = format!("{}/prod/tagless@{tagless}", world.production.host());
        for reference in world.parts() {
            if reference != tagless {
                world.assert_accepted(&reference);
            }
            world.v3().verify_attestation(&reference, SUMMARY, &by_workload).unwrap();
            world.v3().verify_attestation(&reference, SUMMARY, &world.by(PROMOTER).bundle()).unwrap_err();
        }
        for reference in [tagless, format!("{}/prod/app@{digest}", world.production.host())] {
            for cosign in [world.v2(), world.v3()] {
                cosign.verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
            }
        }
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        server.tally().reset();
        promote();
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Attestations that the policy accepts are owed if the policy is newer than the promotion, or if production has lost them. A
/// dry run reports them, and the next run carries them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn attestations_that_are_not_carried_yet_are_owed() {
    for bundle in [false, true] {
        let mut world = World::with(Production::embedded().await).await;
        let digest = world.stage("app", index(1), &["v1"]).await;
        let signing = Signing::keyless(world.sigstore.token(BUILDER));
        let signing = if bundle { signing.bundle(Rekor::V1) } else { signing };
        world.v3().attest(&world.staged("app", digest), PROVENANCE, &provenance(), &signing);
        world.promote(&[]);
        let promoted = format!("{}/prod/app@{digest}", world.production.host());
        let form = |by: Expected<'static>| if bundle { by.bundle() } else { by };
        world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).unwrap_err();
        world.require_provenance();
        let is_carried =
            || world.v3().verify_attestation(&promoted, PROVENANCE, &form(world.by(BUILDER))).is_ok();
        let ran = world.promote(&["--confirm=false", "--check-signatures"]);
        assert!(!ran.stdout.contains("Nothing to do") && !is_carried(), "{}", ran.stdout);
        world.promote(&[]);
        assert!(is_carried());
        world.parts().iter().for_each(|reference| world.assert_accepted(reference));
        let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
        let repository = "prod/app".parse().unwrap();
        let tag = digest.to_string().replace(':', "-") + ".att";
        if server.store().delete_tag(&repository, &tag.parse().unwrap()).await.unwrap() {
            world.promote(&[]);
            assert!(!bundle && is_carried());
        }
        server.tally().reset();
        let ran = world.promote(&["--confirm=false", "--check-signatures"]);
        assert!(ran.stdout.contains("Nothing to do"), "{}", ran.stdout);
        world.promote(&[]);
        assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
    }
}

/// Another identity attests parts in production. cosign then considers only bundles there, and finds kpromo's after the next run.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_bundle_by_another_signer_does_not_hide_our_signature() {
    let mut world = World::with(Production::embedded().await).await;
    world.stage("app", index(1), &["v1"]).await;
    world.promote(&[]);
    for reference in world.parts() {
        let signing = Signing::keyless(world.sigstore.token(BUILDER)).bundle(Rekor::V1);
        world.v3().attest(&reference, "https://spdx.dev/Document", &json!({}), &signing);
    }
    world.promote(&[]);
    world.parts().iter().for_each(|reference| world.assert_accepted(reference));
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    server.tally().reset();
    world.promote(&[]);
    assert_eq!(server.tally().snapshot().writes(), 0, "all of it is there");
}

/// An image that another tool has put into production is not signed only because it is there: the policy requires provenance
/// that it lacks.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_policy_also_applies_to_promoted_images() {
    let mut world = World::with(Production::embedded().await).await;
    world.policy = format!(
        "provenance:\n  mode: require\n  signers: ['sigstore::{}::{BUILDER}']\n  builders:\n  \
         - {{ id: https://builder.example/builder, level: 2 }}\n  sources: [github.com/org/repo]\n",
        world.sigstore.issuer(Issuer::Usual)
    );
    world.stage("app", index(1), &["v1"]).await;
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    put(server, "prod/app", &index(1), &["v1"]).await;
    server.tally().reset();
    let ran = run(world.command(&[]));
    assert_eq!((ran.code, server.tally().snapshot().writes()), (31, 0), "{}", ran.stderr);
    assert!(ran.stdout.contains("it did not pass"), "{}", ran.stdout);
}
