//! Compatibility with cosign v2 and v3 in both directions: we verify its signatures, and it verifies ours.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigstore::{Signatory, Signer, SigningKey, VerificationKey, Verifier};
use tempfile::TempDir;
use testkit::{Cosign, DockerConfig, KeyPair, Rekor};
use transport::Secret;

use crate::support::bundle::Good;
use crate::support::stack::{
    PREDICATE, SIGNER, door, issuer, key_signer, root, services, sha256, signer, sigstore, statement,
    usual_signatory, verifier,
};

const ARTIFACT: &[u8] = b"what is signed";
const LOGS: [Rekor; 2] = [Rekor::V1, Rekor::V2];

/// A directory with an artifact, and both versions of cosign.
struct Workspace {
    directory: TempDir,
    config: DockerConfig,
}

/// The signer, or the expected signer.
#[derive(Clone, Copy)]
enum By<'a> {
    Identity,
    Key(&'a Path),
}

impl Workspace {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("artifact"), ARTIFACT).unwrap();
        fs::write(directory.path().join("other"), b"something else").unwrap();
        fs::write(directory.path().join("predicate"), json!({ "by": "cosign" }).to_string()).unwrap();
        fs::write(directory.path().join("token"), sigstore().token(SIGNER)).unwrap();
        Self { directory, config: DockerConfig::anonymous() }
    }

    fn versions(&self) -> [Cosign<'_>; 2] {
        [Cosign::v2(sigstore(), &self.config), Cosign::v3(sigstore(), &self.config)]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs the artifact with cosign, and returns the bundle.
    fn signed(&self, cosign: &Cosign<'_>, subcommand: &str, by: By<'_>, rekor: Rekor) -> Good {
        let mut arguments: Vec<OsString> =
            [subcommand, "--yes", "--new-bundle-format=true"].map(Into::into).into();
        match by {
            By::Identity => arguments.extend(["--identity-token".into(), self.file("token").into()]),
            By::Key(key) => arguments.extend(["--key".into(), key.into()]),
        }
        if subcommand == "attest-blob" {
            arguments.extend(["--type".into(), PREDICATE.into()]);
            arguments.extend(["--predicate".into(), self.file("predicate").into()]);
        }
        arguments.extend(["--signing-config".into(), sigstore().signing_config(rekor).into()]);
        arguments.extend(["--trusted-root".into(), sigstore().trusted_root().into()]);
        arguments.extend(["--bundle".into(), self.file("bundle").into(), self.file("artifact").into()]);
        cosign.run(arguments).unwrap();
        Good::of(&fs::read(self.file("bundle")).unwrap(), ARTIFACT)
    }

    /// Verifies a bundle for a file with cosign.
    fn judged(&self, cosign: &Cosign<'_>, bundle: &[u8], by: By<'_>, name: &str) -> Result<String, String> {
        let bundle_file = self.file("bundle");
        fs::write(&bundle_file, bundle).unwrap();
        let bundle: Value = serde_json::from_slice(bundle).unwrap();
        let mut arguments: Vec<OsString> = Vec::new();
        if bundle.get("dsseEnvelope").is_some() {
            arguments.extend(["verify-blob-attestation".into(), "--type".into(), PREDICATE.into()]);
        } else {
            arguments.push("verify-blob".into());
        }
        arguments.extend(["--new-bundle-format=true".into(), "--use-signed-timestamps".into()]);
        match by {
            By::Identity => {
                arguments.extend(["--certificate-identity".into(), SIGNER.into()]);
                arguments.extend(["--certificate-oidc-issuer".into(), issuer().into()]);
            }
            By::Key(key) => arguments.extend(["--key".into(), key.into()]),
        }
        arguments.extend(["--trusted-root".into(), sigstore().trusted_root().into()]);
        arguments.extend(["--bundle".into(), bundle_file.into(), self.file(name).into()]);
        cosign.run(arguments)
    }
}

/// Checks that cosign accepts the bundles of a signer for their subject and rejects them for another file.
async fn check_with_cosign(workspace: &Workspace, signer: &Signer, by: By<'_>) {
    let message = signer.message(ARTIFACT).await.unwrap().bundle();
    let statement = signer.statement(&statement(ARTIFACT), &sha256(ARTIFACT)).await.unwrap().bundle();
    for cosign in workspace.versions() {
        for bundle in [&message, &statement] {
            workspace.judged(&cosign, bundle, by, "artifact").unwrap();
            workspace.judged(&cosign, bundle, by, "other").expect_err("the bundle is about another file");
        }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn both_cosign_versions_verify_our_signatures_by_an_identity() {
    let workspace = Workspace::new();
    for rekor in LOGS {
        check_with_cosign(&workspace, &signer(rekor), By::Identity).await;
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn both_cosign_versions_verify_our_signatures_by_a_key() {
    let workspace = Workspace::new();
    let public = workspace.file("key.pub");
    for rekor in LOGS {
        let (signer, key) = key_signer(rekor);
        fs::write(&public, key.to_pem()).unwrap();
        check_with_cosign(&workspace, &signer, By::Key(&public)).await;
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn signatures_by_cosign_with_an_identity_verify() {
    let workspace = Workspace::new();
    let [old, new] = workspace.versions();
    let both = ["sign-blob", "attest-blob"];
    for (cosign, rekor, subcommands) in [
        (old, Rekor::V1, &both[..]),
        // Its attestations use an entry type that Rekor v2 no longer accepts.
        (old, Rekor::V2, &both[..1]),
        (new, Rekor::V1, &both),
        (new, Rekor::V2, &both),
    ] {
        for subcommand in subcommands {
            let good = workspace.signed(&cosign, subcommand, By::Identity, rekor);
            assert_eq!(good.judged_by(&verifier()).unwrap(), usual_signatory(), "{subcommand} {rekor:?}");
            let other = Good { artifact: b"something else".to_vec(), ..good };
            assert!(other.judged_by(&verifier()).is_err());
        }
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn signatures_by_cosign_with_an_encrypted_key_verify() {
    let workspace = Workspace::new();
    let [old, new] = workspace.versions();
    for (cosign, rekor) in [(old, Rekor::V1), (new, Rekor::V1), (new, Rekor::V2)] {
        let (keys, others) = (cosign.generate_key_pair(), cosign.generate_key_pair());
        let trusting = |keys: &KeyPair| {
            let key = VerificationKey::from_pem(&fs::read(keys.public()).unwrap()).unwrap();
            Verifier::with_key(key, Some(&root())).unwrap()
        };
        for subcommand in ["sign-blob", "attest-blob"] {
            let good = workspace.signed(&cosign, subcommand, By::Key(&keys.private()), rekor);
            let signatory = good.judged_by(&trusting(&keys)).unwrap();
            assert!(matches!(signatory, Signatory::Key { .. }), "{subcommand} {rekor:?}");
            assert!(good.judged_by(&trusting(&others)).is_err());
        }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_encrypted_key_of_cosign_can_sign() {
    let workspace = Workspace::new();
    for cosign in workspace.versions() {
        let keys = cosign.generate_key_pair();
        let pem = fs::read(keys.private()).unwrap();
        let password = Secret::new(KeyPair::PASSWORD);
        assert!(SigningKey::from_pem(&pem, None).unwrap_err().to_string().contains("COSIGN_PASSWORD"));
        assert!(SigningKey::from_pem(&pem, Some(&Secret::new("wrong"))).is_err());
        let key = SigningKey::from_pem(&pem, Some(&password)).unwrap();
        let written = fs::read(keys.public()).unwrap();
        assert_eq!(key.verification_key(), VerificationKey::from_pem(&written).unwrap());
        let signer = Signer::with_key(door(), key, services(Rekor::V1), Some(&root())).unwrap();
        check_with_cosign(&workspace, &signer, By::Key(&keys.public())).await;
    }
}

/// cosign also rejects an invalid bundle, which shows that this test can fail.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn cosign_accepts_our_bundles_in_older_versions_and_rejects_a_forged_one() {
    let workspace = Workspace::new();
    let good = Good::message(Rekor::V1, ARTIFACT).await;
    let [_, new] = workspace.versions();
    for version in ["0.1", "0.2"] {
        let older = good.in_version(version);
        assert_eq!(older.judged_by(&verifier()).unwrap(), usual_signatory(), "{version}");
        workspace.judged(&new, older.bundle.to_string().as_bytes(), By::Identity, "artifact").unwrap();
    }
    let forged = good.with(|bundle| {
        let signature = &mut bundle["messageSignature"]["signature"];
        *signature = crate::support::bundle::flipped(signature, 0);
    });
    assert!(forged.judged_by(&verifier()).is_err());
    workspace.judged(&new, forged.bundle.to_string().as_bytes(), By::Identity, "artifact").unwrap_err();
}

/// cosign's legacy bundle has the content of a layer's annotations.
#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_layer_made_of_a_signature_by_cosign_verifies() {
    use sigstore::{CosignLayer, SimpleSigning};
    let workspace = Workspace::new();
    let payload = SimpleSigning::new("registry.example/app", "sha256:ab", [].into()).to_json();
    fs::write(workspace.file("payload"), &payload).unwrap();
    for cosign in workspace.versions() {
        let mut arguments: Vec<OsString> =
            ["sign-blob", "--yes", "--new-bundle-format=false"].map(Into::into).into();
        arguments.extend(
            ["--use-signing-config=false", "--rekor-url", sigstore().rekor(Rekor::V1)].map(Into::into),
        );
        arguments.extend(["--fulcio-url", sigstore().fulcio(), "--identity-token"].map(Into::into));
        arguments.extend([
            workspace.file("token").into(),
            "--bundle".into(),
            workspace.file("bundle").into(),
        ]);
        arguments.push(workspace.file("payload").into());
        cosign.run(arguments).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(workspace.file("bundle")).unwrap()).unwrap();
        let text = |name: &str| written[name].as_str().unwrap().to_owned();
        use base64::Engine as _;
        let certificate = base64::engine::general_purpose::STANDARD.decode(text("cert")).unwrap();
        let annotations = [
            ("dev.cosignproject.cosign/signature", text("base64Signature")),
            ("dev.sigstore.cosign/certificate", String::from_utf8(certificate).unwrap()),
            ("dev.sigstore.cosign/bundle", written["rekorBundle"].to_string()),
        ];
        let annotations = annotations.map(|(name, text)| (name.to_owned(), text)).into();
        let verified = verifier()
            .cosign_signature(&CosignLayer { payload: &payload, annotations: &annotations })
            .unwrap();
        assert_eq!(verified.signatory, usual_signatory());
        assert_eq!(verified.content.digest(), "sha256:ab");
    }
}
