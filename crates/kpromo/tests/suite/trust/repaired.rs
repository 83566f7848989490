//! What `kpromo sigcheck` repairs, judged by cosign.

use std::path::PathBuf;
use std::process::Command;

use oci::{AttachedTag, AttachmentKind, Digest, RawManifest, RepositoryPath};
use registry::sample::Recipe;
use testkit::{Issuer, Rekor, Signing};

use crate::support::{Ran, kpromo, run};
use crate::trust::world::{
    BUILDER, PROMOTER, PROVENANCE, Production, RECORD, STRANGER, World, index, provenance,
};

/// Returns `kpromo sigcheck` with the manifests of the world, for signatures of the promoter.
fn command(world: &World, flags: &[&str]) -> Command {
    let mut command = kpromo(None);
    command.args(["sigcheck", "--certificate-identity", PROMOTER]);
    command.args(["--certificate-oidc-issuer", world.sigstore.issuer(Issuer::Usual)]);
    command.arg("--config").arg(world.config()).arg("--thin-manifest-dir").arg(thin(world));
    command.arg("--trusted-root").arg(world.sigstore.trusted_root()).args(flags);
    command
}

/// Returns the command that repairs with the promoter's identity.
fn repairing(world: &World) -> Command {
    let token = world.desk.write("token", &world.sigstore.token(PROMOTER));
    let mut command = command(world, &["--confirm", "--signer-account", PROMOTER]);
    command.arg("--identity-token").arg(token);
    command.arg("--signing-config").arg(world.sigstore.signing_config(Rekor::V1));
    command
}

/// Writes the manifest of the world as a thin one.
fn thin(world: &World) -> PathBuf {
    let text = std::fs::read_to_string(world.manifest()).unwrap();
    let (registries, images) = text.split_once("images:\n").unwrap();
    world.desk.write("thin/manifests/p/promoter-manifest.yaml", registries);
    world.desk.write("thin/images/p/images.yaml", images);
    world.desk.path("thin")
}

fn repaired(world: &World) -> Ran {
    let ran = run(repairing(world));
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    ran
}

/// Panics unless both versions of cosign accept every image with its parts and its record.
fn assert_whole(world: &World) {
    world.parts().iter().for_each(|reference| world.assert_accepted(reference));
    for (name, sample, _) in &world.images {
        let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
        for cosign in [world.v2(), world.v3()] {
            cosign.verify_attestation(&reference, RECORD, &world.by(PROMOTER).bundle()).unwrap();
        }
    }
}

/// cosign accepts what sigcheck has signed and recorded, in both kinds of registries, and a second run writes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn cosign_accepts_what_sigcheck_repairs() {
    for production in [Production::embedded().await, Production::distribution()] {
        let mut world = World::with(production).await;
        world.stage("index", index(1), &["v1", "latest"]).await;
        world.stage("deep/image", Recipe { seed: 2, ..Recipe::default() }.image(), &["v2"]).await;
        world.promote_unsigned();
        let ran = run(command(&world, &[]));
        assert_eq!(ran.code, 31, "{}\n{}", ran.stdout, ran.stderr);
        repaired(&world);
        assert_whole(&world);
        // No other identity will do, whether it is named or matched; a pattern matches the whole identity.
        let issuer = world.sigstore.issuer(Issuer::Usual);
        for (identity, code) in [
            (["--certificate-identity", STRANGER], 31),
            (["--certificate-identity-regexp", ".*@example\\.org"], 0),
            (["--certificate-identity-regexp", "promoter"], 31),
        ] {
            let mut command = kpromo(None);
            command.arg("sigcheck").args(identity).args(["--certificate-oidc-issuer", issuer, "--config"]);
            command.arg(world.config()).arg("--trusted-root").arg(world.sigstore.trusted_root());
            let ran = run(command);
            assert_eq!(ran.code, code, "{identity:?}: {}\n{}", ran.stdout, ran.stderr);
            assert_eq!(ran.stdout.contains("signature other identity"), code == 31, "{}", ran.stdout);
        }
        if let Production::Embedded(server) = &world.production {
            server.tally().reset();
            let ran = repaired(&world);
            assert_eq!(server.tally().snapshot().writes(), 0, "{}", ran.stdout);
        }
    }
}

/// What was deleted and replaced is healed. A promotion finds nothing to do afterwards, and accepted provenance is carried again
/// with the record.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn deleted_and_replaced_signatures_and_records_are_healed() {
    let mut world = World::with(Production::embedded().await).await;
    world.require_provenance();
    for (seed, name) in [(1, "one"), (2, "two")] {
        let digest = world.stage(name, index(seed), &["v1"]).await;
        let signing = Signing::keyless(world.sigstore.token(BUILDER)).bundle(Rekor::V1);
        world.v3().attest(&world.staged(name, digest), PROVENANCE, &provenance(), &signing);
    }
    world.promote(&[]);
    assert_whole(&world);
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    let (one, two): (RepositoryPath, RepositoryPath) =
        ("prod/one".parse().unwrap(), "prod/two".parse().unwrap());
    let signature = |digest: Digest| AttachedTag::new(digest, AttachmentKind::Signature).unwrap().tag();
    // All bundles of one image are deleted, and the tags of the other name each other's signatures.
    for digest in server.store().manifests(&one) {
        let manifest = server.store().manifest(&one, &digest).await.unwrap().unwrap();
        if manifest.parse().unwrap().subject.is_some() {
            server.store().delete_manifest(&one, digest).await.unwrap();
        }
    }
    let parts: Vec<Digest> = index(2).manifests.iter().map(RawManifest::digest).collect();
    for (part, other) in parts.iter().zip(parts.iter().cycle().skip(1)) {
        let other = server.store().resolve(&two, &signature(*other)).unwrap();
        let other = server.store().manifest(&two, &other).await.unwrap().unwrap();
        server.store().put_manifest(&two, Some(&signature(*part)), &other).await.unwrap();
    }
    let ran = run(command(&world, &[]));
    assert_eq!(ran.code, 31, "{}\n{}", ran.stdout, ran.stderr);
    repaired(&world);
    assert_whole(&world);
    for (name, sample, _) in &world.images {
        let reference = format!("{}/prod/{name}@{}", world.production.host(), sample.digest());
        world.v3().verify_attestation(&reference, PROVENANCE, &world.by(BUILDER).bundle()).unwrap();
    }
    server.tally().reset();
    world.promote(&[]);
    repaired(&world);
    assert_eq!(server.tally().snapshot().writes(), 0);
}

/// The signer must be one whose signatures count, and that is known before anything is written.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn a_signer_whose_signatures_do_not_count_repairs_nothing() {
    let mut world = World::with(Production::embedded().await).await;
    world.stage("app", index(1), &["v1"]).await;
    world.promote_unsigned();
    let Production::Embedded(server) = &world.production else { unreachable!("it is embedded") };
    server.tally().reset();
    let mut command = repairing(&world);
    command.args(["--certificate-identity", STRANGER]);
    let ran = run(command);
    assert_eq!(ran.code, 10, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("would not count") && ran.stderr.contains(PROMOTER), "{}", ran.stderr);
    assert_eq!(server.tally().snapshot().total(), 0);
}
