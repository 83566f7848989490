//! A repository of manifests as a CI system checks it out, the registries that it names, and files of this project.

use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Digest;
use registry::Server;
use registry::sample::{Recipe, Sample};
use serde_json::Value;

use crate::support::{Desk, Ran, google, put, run};

/// Returns a path below the root of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap().join(path)
}

/// Reads a YAML file of the project.
pub(crate) fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(project(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the binary under test.
pub(crate) fn binary() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("kpromo").to_path_buf()
}

/// Returns a command without any of the test's environment but `PATH`.
pub(crate) fn isolated(program: &str) -> Command {
    let mut command = Command::new(testkit::tool(program));
    #[expect(clippy::disallowed_methods, reason = "programs are found on the PATH of the tests")]
    let path = std::env::var_os("PATH").unwrap();
    command.env_clear().env("PATH", path);
    command
}

/// Runs a command that has to succeed, and returns its output.
pub(crate) fn succeed(command: Command) -> String {
    let shown = format!("{command:?}");
    let ran = run(command);
    assert_eq!(ran.code, 0, "{shown}\n{}\n{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Staging, production, and a git repository with a plain manifest. Its first commit promotes nothing, the second one `app`.
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) staging: Server,
    pub(crate) production: Server,
    pub(crate) app: Sample,
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self {
            desk: Desk::new(),
            staging: google().await,
            production: google().await,
            app: Recipe { seed: 1, ..Recipe::default() }.index(2),
        };
        put(&world.staging, "staging/app", &world.app, &[]).await;
        std::fs::create_dir(world.checkout()).unwrap();
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        world.commit(&[]);
        world.commit(&[(world.app.digest(), "v1")]);
        world
    }

    /// Returns the directory of the repository.
    pub(crate) fn checkout(&self) -> PathBuf {
        self.desk.path("checkout")
    }

    /// Commits a manifest that promotes these digests of `app` under tags.
    pub(crate) fn commit(&self, promoted: &[(Digest, &str)]) {
        let (staging, production) = (self.staging.host(), self.production.host());
        let mut text = format!(
            "registries:\n- name: {staging}/staging\n  src: true\n- name: {production}/prod\nimages:\n"
        );
        match promoted {
            [] => text.push_str("[]\n"),
            promoted => {
                text.push_str("- name: app\n  dmap:\n");
                promoted
                    .iter()
                    .for_each(|(digest, tag)| text.push_str(&format!("    \"{digest}\": [{tag}]\n")));
            }
        }
        let text = text.replace("images:\n[]", "images: []");
        self.desk.write("checkout/manifest.yaml", &text);
        self.git(&["add", "--all"]);
        self.git(&[
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.org",
            "commit",
            "--quiet",
            "--message=change",
        ]);
    }

    /// Runs git in the repository and returns the first line of its output.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = isolated("git");
        git.env("HOME", self.desk.path("")).arg("-C").arg(self.checkout()).args(arguments);
        succeed(git).trim_end().to_owned()
    }

    /// Returns the digest under a tag of production.
    pub(crate) fn promoted(&self, tag: &str) -> Option<Digest> {
        let repository = "prod/app".parse().unwrap();
        self.production.store().resolve(&repository, &tag.parse().unwrap())
    }

    /// Runs a script as a step of a CI system does: `bash -e` in the checkout.
    pub(crate) fn bash(&self, script: &str, variables: &[(String, String)]) -> Ran {
        let mut bash = isolated("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(self.checkout());
        bash.envs(variables.iter().cloned());
        run(bash)
    }
}
