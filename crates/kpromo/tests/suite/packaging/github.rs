//! `action.yml`, run as a runner of GitHub Actions runs it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use registry::sample::Recipe;
use sha2::{Digest as _, Sha256};
use testkit::{Cosign, DockerConfig, Expected, Issuer, Rekor, Sigstore};

use crate::packaging::job::{entries, expand, text};
use crate::packaging::world::{World, binary, isolated, project, succeed, yaml};
use crate::support::put;

/// The result of an action.
struct Action {
    code: i32,
    /// The outputs, by name. Those without a value are empty.
    outputs: BTreeMap<String, String>,
    /// The summary of the job.
    summary: String,
    log: String,
}

/// Runs the steps of `action.yml` until one fails.
fn action(world: &World, inputs: &[(&str, &str)], environment: &[(&str, String)]) -> Action {
    let file = yaml("action.yml");
    let given =
        |name: &str| inputs.iter().find(|(input, _)| *input == name).map(|(_, value)| (*value).to_owned());
    inputs.iter().for_each(|(name, _)| assert!(file["inputs"][*name].is_object(), "`{name}` is an input"));
    let mut outputs: BTreeMap<String, String> = BTreeMap::new();
    let value = |outputs: &BTreeMap<String, String>, expression: &str| match expression
        .split('.')
        .collect::<Vec<_>>()[..]
    {
        ["inputs", name] => given(name).unwrap_or_else(|| text(&file["inputs"][name]["default"])),
        ["steps", step, "outputs", name] => {
            outputs.get(&format!("{step}.{name}")).cloned().unwrap_or_default()
        }
        ["github", "action_repository"] => "example/kpromo".to_owned(),
        _ => panic!("what is `{expression}`?"),
    };
    let summary = world.desk.write("runner/summary", "");
    let (mut code, mut log) = (0, String::new());
    assert_eq!(file["runs"]["using"], "composite");
    for step in file["runs"]["steps"].as_array().unwrap() {
        assert_eq!(step["shell"], "bash");
        let output = world.desk.write("runner/output", "");
        let expanded = |text: &str| expand(text, "${{", "}}", |name| value(&outputs, name));
        let mut variables: Vec<_> =
            entries(&step["env"]).map(|(name, value)| (name, expanded(&text(&value)))).collect();
        for (name, value) in [
            ("GITHUB_OUTPUT", output.clone()),
            ("GITHUB_STEP_SUMMARY", summary.clone()),
            ("GITHUB_ACTION_PATH", project("")),
            ("RUNNER_TEMP", world.desk.path("runner")),
        ] {
            variables.push((name.to_owned(), value.display().to_string()));
        }
        variables.push(("GITHUB_ACTION".to_owned(), "kpromo".to_owned()));
        variables.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let ran = world.bash(&expanded(&text(&step["run"])), &variables);
        log += &format!("{}{}", ran.stdout, ran.stderr);
        for line in std::fs::read_to_string(output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            outputs.insert(format!("{}.{name}", text(&step["id"])), value.to_owned());
        }
        code = ran.code;
        if code != 0 {
            break;
        }
    }
    let declared = entries(&file["outputs"]).map(|(name, output)| {
        let value = expand(&text(&output["value"]), "${{", "}}", |name| value(&outputs, name));
        (name, value)
    });
    Action { code, outputs: declared.collect(), summary: std::fs::read_to_string(summary).unwrap(), log }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_action_shows_the_plan_of_what_was_added_and_writes_nothing() {
    let world = World::new().await;
    let (binary, base) = (binary(), world.git(&["rev-parse", "HEAD^"]));
    let inputs = [
        ("manifest", "manifest.yaml"),
        ("diff-base", base.as_str()),
        ("binary", binary.to_str().unwrap()),
        // As YAML gives it, with indentation and a blank line.
        ("arguments", "  --sign=false\n\n  --verbose\n"),
    ];
    let ran = action(&world, &inputs, &[]);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.outputs["exit-code"], "0");
    let row = format!(
        "| copy | `{}/prod/app:v1` | `{}/staging/app@",
        world.production.host(),
        world.staging.host()
    );
    assert!(ran.summary.starts_with("### kpromo: plan\n") && ran.summary.contains(&row), "{}", ran.summary);
    assert_eq!(std::fs::read_to_string(&ran.outputs["summary"]).unwrap(), ran.summary);
    let plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&ran.outputs["plan"]).unwrap()).unwrap();
    assert_eq!(plan["summary"]["total"]["copy"], 1);
    assert!(std::path::Path::new(&ran.outputs["report"]).is_file());
    assert_eq!(world.promoted("v1"), None);
    assert_eq!(world.production.tally().snapshot().writes(), 0);
}

/// The identity of the job comes from the runner, and cosign finds it in the signature.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn the_action_promotes_and_signs_with_the_identity_of_the_job() {
    let world = World::new().await;
    let (sigstore, binary) = (Sigstore::shared(), binary());
    // kpromo tells which identity Fulcio makes of a token of GitHub's own issuer only, so the job's is one of a workload here.
    let identity = "spiffe://kpromo.test/workflow";
    let issuer = sigstore.issuer(Issuer::Workload);
    let claims = testkit::TokenRequest::workload("workflow").query();
    let arguments = format!(
        "--signer-account={identity}\n--trusted-root={}\n--signing-config={}\n\
         --certificate-identity={identity}\n--certificate-oidc-issuer={issuer}\n",
        sigstore.trusted_root().display(),
        sigstore.signing_config(Rekor::V1).display(),
    );
    let inputs = [
        ("manifest", "manifest.yaml"),
        ("confirm", "true"),
        ("binary", binary.to_str().unwrap()),
        ("arguments", arguments.as_str()),
    ];
    let environment = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{issuer}/github?{claims}")),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "kpromo-test".to_owned()),
    ];
    let ran = action(&world, &inputs, &environment);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.summary.starts_with("### kpromo: promotion\n"), "{}", ran.summary);
    assert_eq!(world.promoted("v1"), Some(world.app.digest()));
    let docker = DockerConfig::anonymous();
    let reference = format!("{}/prod/app@{}", world.production.host(), world.app.digest());
    Cosign::v3(sigstore, &docker).verify(&reference, &Expected::identity(identity, issuer)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_conflict_fails_the_action_and_is_in_its_summary() {
    let world = World::new().await;
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    put(&world.production, "prod/app", &other, &["v1"]).await;
    let binary = binary();
    let inputs = [
        ("manifest", "manifest.yaml"),
        ("confirm", "true"),
        ("binary", binary.to_str().unwrap()),
        ("arguments", "--sign=false"),
    ];
    let ran = action(&world, &inputs, &[]);
    assert_eq!((ran.code, ran.outputs["exit-code"].as_str()), (11, "11"), "{}", ran.log);
    assert!(ran.summary.starts_with("### kpromo: promotion failed\n"), "{}", ran.summary);
    assert!(ran.summary.contains("| conflict | `"), "{}", ran.summary);
    assert_eq!(world.promoted("v1"), Some(other.digest()), "the tag has not moved");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn wrong_inputs_of_the_action_run_nothing() {
    let world = World::new().await;
    let binary = binary();
    let binary = ("binary", binary.to_str().unwrap());
    for (input, expected) in [
        (("confirm", "yes"), "must be true or false"),
        (("binary", "/no/such/kpromo"), "is not an executable file"),
        (("version", "../../x"), "is not a version"),
    ] {
        let inputs = [
            ("manifest", "manifest.yaml"),
            if input.0 == "confirm" { binary } else { ("confirm", "true") },
            input,
        ];
        let ran = action(&world, &inputs, &[]);
        assert_ne!(ran.code, 0, "{input:?}");
        assert!(ran.log.contains(expected), "{}", ran.log);
    }
    // Without a manifest kpromo itself refuses the command line, and there is still a summary.
    let ran = action(&world, &[binary], &[]);
    assert_eq!(ran.code, 2, "{}", ran.log);
    assert!(ran.summary.contains("the command line is invalid"), "{}", ran.summary);
    assert_eq!(world.staging.tally().snapshot().total(), 0);
}

/// A release as the action downloads it: an archive with a program that shows its arguments.
struct Release {
    archive: Vec<u8>,
    name: String,
}

impl Release {
    fn make(world: &World) -> Self {
        let name = format!("kpromo-9.9.9-{}-unknown-linux-gnu", std::env::consts::ARCH);
        let program = world.desk.write(&format!("release/{name}/kpromo"), "#!/bin/sh\necho \"ran: $*\"\n");
        std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut tar = isolated("tar");
        tar.args(["--create", "--gzip", "--file"]).arg(world.desk.path("release.tar.gz"));
        tar.arg("--directory").arg(world.desk.path("release")).arg(&name);
        succeed(tar);
        Self { archive: std::fs::read(world.desk.path("release.tar.gz")).unwrap(), name }
    }

    fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.archive))
    }

    /// Serves the archive at any path, and returns the URL. The thread ends with the test's process.
    fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let archive = self.archive.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    archive.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&archive));
            }
        });
        url
    }
}

/// Runs the first step of the action.
fn install(world: &World, url: &str, sha256: &str) -> Action {
    action(
        world,
        &[("version", "9.9.9"), ("url", url), ("sha256", sha256), ("manifest", "manifest.yaml")],
        &[],
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_action_runs_a_release_only_if_it_has_the_checksum() {
    let world = World::new().await;
    let release = Release::make(&world);
    let url = release.serve();
    let ran = install(&world, &url, &release.sha256());
    assert!(ran.code == 0 && ran.log.contains("ran: cip --manifest=manifest.yaml"), "{}", ran.log);
    let installed: PathBuf = world.desk.path("runner/kpromo-install").join(&release.name);
    std::fs::remove_dir_all(installed).unwrap();

    let ran = install(&world, &url, &"0".repeat(64));
    assert!(ran.code != 0 && ran.log.contains("does not have the checksum"), "{}", ran.log);
    assert!(!ran.log.contains("ran:"), "{}", ran.log);
    let ran = install(&world, &url, "");
    assert!(
        ran.code != 0 && ran.log.contains("failed: does the release 9.9.9 exist?"),
        "plain HTTP: {}",
        ran.log
    );
}
