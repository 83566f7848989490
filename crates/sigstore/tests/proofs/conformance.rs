//! The example `conformance`, run with the protocol of sigstore-conformance, on third-party bundles and on ours.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
use tempfile::TempDir;
use testkit::Rekor;

use crate::support::bundle::{Good, flipped};
use crate::support::stack::{SIGNER, issuer, key_signer, sha256, sigstore, statement};

const WORKFLOW: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/\
                        extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Returns the path of the example, which `cargo test` builds next to the tests.
fn client() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let directory = own.parent().and_then(Path::parent).unwrap().join("examples");
    let program = directory.join(format!("conformance{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} does not exist: run `cargo build -p sigstore --examples`",
        program.display()
    );
    program
}

/// Runs the example. Returns its error output if it fails.
fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let output = Command::new(client()).args(arguments).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    assert_eq!(output.status.code(), Some(1), "the example reports an error and does not crash");
    Err(String::from_utf8(output.stderr).unwrap())
}

/// The expected signer.
#[derive(Clone, Copy)]
enum By<'a> {
    Identity(&'a str, &'a str),
    Key(&'a Path),
}

impl By<'_> {
    fn arguments(self) -> Vec<OsString> {
        match self {
            Self::Identity(identity, issuer) => {
                ["--certificate-identity", identity, "--certificate-oidc-issuer", issuer]
                    .map(Into::into)
                    .into()
            }
            Self::Key(key) => vec!["--key".into(), key.into()],
        }
    }
}

/// Returns the arguments for the case in a directory.
fn case(directory: &Path, public_root: &Path) -> Vec<OsString> {
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    let text = |name: &str| file(name).map(|path| fs::read_to_string(path).unwrap().trim().to_owned());
    let mut arguments = vec!["verify-bundle".into()];
    arguments.extend(file("staging").map(|_| "--staging".into()));
    arguments.extend(["--bundle".into(), directory.join("bundle.sigstore.json").into()]);
    let (identity, issuer) = (text("identity"), text("issuer"));
    let identity = By::Identity(identity.as_deref().unwrap_or(WORKFLOW), issuer.as_deref().unwrap_or(GITHUB));
    arguments.extend(file("key.pub").map_or_else(|| identity.arguments(), |key| By::Key(&key).arguments()));
    // The built-in root of the public instance, because tests send no requests to the internet.
    let root =
        file("trusted_root.json").or_else(|| file("staging").is_none().then(|| public_root.to_owned()));
    arguments.extend(root.into_iter().flat_map(|root| ["--trusted-root".into(), root.into()]));
    let artifact = || file("artifact").unwrap_or_else(|| directory.with_file_name("a.txt")).into();
    arguments.push(text("digest").map_or_else(artifact, Into::into));
    arguments
}

#[test]
fn third_party_bundles_are_judged_correctly() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance");
    let own = tempfile::tempdir().unwrap();
    let public_root = own.path().join("trusted_root.json");
    fs::write(&public_root, SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    let directories = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let (mut good, mut bad) = (0, 0);
    for directory in directories.filter(|path| path.is_dir()) {
        let outcome = run(case(&directory, &public_root));
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("_fail") {
            let reason = fs::read_to_string(directory.join("reason")).unwrap();
            let complaint = outcome.expect_err(&name);
            assert!(complaint.contains(reason.trim()), "{name}: {complaint}");
            bad += 1;
        } else {
            outcome.expect(&name);
            good += 1;
        }
    }
    assert_eq!((good, bad), (7, 8));
}

#[test]
fn a_bundle_by_another_signer_or_over_other_content_is_refused() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance");
    let own = tempfile::tempdir().unwrap();
    let root = own.path().join("trusted_root.json");
    fs::write(&root, SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    let arguments = |identity: &str, issuer: &str, artifact: OsString| {
        let mut arguments: Vec<OsString> = vec!["verify-bundle".into(), "--bundle".into()];
        arguments.push(data.join("happy-path/bundle.sigstore.json").into());
        arguments.extend(By::Identity(identity, issuer).arguments());
        arguments.extend(["--trusted-root".into(), root.clone().into(), artifact]);
        arguments
    };
    let artifact = || data.join("a.txt").into_os_string();
    let digest = |bytes: &[u8]| OsString::from(format!("sha256:{}", sha256(bytes)));
    run(arguments(WORKFLOW, GITHUB, artifact())).unwrap();
    run(arguments(WORKFLOW, GITHUB, digest(&fs::read(artifact()).unwrap()))).unwrap();
    for (arguments, reason) in [
        (arguments("somebody", GITHUB, artifact()), "signed by"),
        (arguments(WORKFLOW, "https://example.com", artifact()), "signed by"),
        (arguments(WORKFLOW, GITHUB, data.join("README.md").into()), "about something else"),
        (arguments(WORKFLOW, GITHUB, digest(b"another")), "about something else"),
        (arguments(WORKFLOW, GITHUB, "sha256:abc".into()), "No such file"),
        (arguments("", GITHUB, artifact()), "must not be empty"),
    ] {
        let complaint = run(arguments).unwrap_err();
        assert!(complaint.contains(reason), "{complaint}");
    }
}

/// The working directory of the client.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        let workspace = Self(tempfile::tempdir().unwrap());
        workspace.write("artifact", b"the artifact");
        workspace.write("other", b"something else");
        workspace.write("statement", &statement(b"the artifact").to_json());
        workspace
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).unwrap();
    }

    fn sign(&self, rekor: Rekor, flags: &[&str], artifact: &str) -> Result<(), String> {
        let mut arguments: Vec<OsString> = vec!["sign-bundle".into()];
        arguments.extend(flags.iter().map(Into::into));
        arguments.extend(["--identity-token".into(), sigstore().token(SIGNER).into()]);
        arguments.extend(["--bundle".into(), self.file("bundle").into()]);
        arguments.extend(["--trusted-root".into(), sigstore().trusted_root().into()]);
        arguments.extend(["--signing-config".into(), sigstore().signing_config(rekor).into()]);
        arguments.push(self.file(artifact).into());
        run(arguments)
    }

    fn verify(&self, by: By<'_>, artifact: impl Into<OsString>) -> Result<(), String> {
        let mut arguments: Vec<OsString> =
            vec!["verify-bundle".into(), "--bundle".into(), self.file("bundle").into()];
        arguments.extend(by.arguments());
        arguments.extend(["--trusted-root".into(), sigstore().trusted_root().into(), artifact.into()]);
        run(arguments)
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_client_verifies_its_signatures_and_refuses_altered_ones() {
    let workspace = Workspace::new();
    let by = By::Identity(SIGNER, issuer());
    let digest = format!("sha256:{}", sha256(b"the artifact"));
    for rekor in [Rekor::V1, Rekor::V2] {
        for (flags, artifact) in [(&[][..], "artifact"), (&["--in-toto"][..], "statement")] {
            workspace.sign(rekor, flags, artifact).unwrap();
            workspace.verify(by, workspace.file("artifact")).unwrap();
            workspace.verify(by, &digest).unwrap();
            workspace.verify(by, workspace.file("other")).unwrap_err();
            workspace
                .verify(By::Identity("somebody@example.com", issuer()), workspace.file("artifact"))
                .unwrap_err();
            let mut bundle: Value =
                serde_json::from_slice(&fs::read(workspace.file("bundle")).unwrap()).unwrap();
            let certificate = &mut bundle["verificationMaterial"]["certificate"]["rawBytes"];
            *certificate = flipped(certificate, 0);
            workspace.write("bundle", bundle.to_string().as_bytes());
            workspace.verify(by, workspace.file("artifact")).unwrap_err();
        }
    }
    workspace.write("bundle", json!({}).to_string().as_bytes());
    workspace.verify(by, workspace.file("artifact")).unwrap_err();
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_client_verifies_signatures_by_a_key() {
    let workspace = Workspace::new();
    let (signer, key) = key_signer(Rekor::V2);
    let good = Good::of(&signer.message(b"the artifact").await.unwrap().bundle(), b"the artifact");
    workspace.write("bundle", good.bundle.to_string().as_bytes());
    workspace.write("key.pub", key.to_pem().as_bytes());
    workspace.write("stranger.pub", key_signer(Rekor::V2).1.to_pem().as_bytes());
    workspace.verify(By::Key(&workspace.file("key.pub")), workspace.file("artifact")).unwrap();
    workspace.verify(By::Key(&workspace.file("stranger.pub")), workspace.file("artifact")).unwrap_err();
    workspace.verify(By::Identity(SIGNER, issuer()), workspace.file("artifact")).unwrap_err();
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn an_invalid_token_signs_nothing() {
    let workspace = Workspace::new();
    let mut arguments: Vec<OsString> =
        ["sign-bundle", "--identity-token", "garbage", "--bundle"].map(Into::into).into();
    arguments.extend([
        workspace.file("bundle").into(),
        "--trusted-root".into(),
        sigstore().trusted_root().into(),
    ]);
    arguments.extend(["--signing-config".into(), sigstore().signing_config(Rekor::V1).into()]);
    arguments.push(workspace.file("artifact").into());
    run(arguments).unwrap_err();
    assert!(!workspace.file("bundle").exists());
}
