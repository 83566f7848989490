//! A forge with the repository of manifests and a fork, and a staging registry.

use std::path::PathBuf;
use std::process::Command;

use registry::Server;
use registry::sample::Recipe;
use testkit::{Forge, ForgeRequest};

use crate::support::{Desk, Ran, google, kpromo, put, run};

pub(crate) const TOKEN: &str = "ghp_a-token-of-tests-0123456789";
pub(crate) const UPSTREAM: &str = "kubernetes/k8s.io";
pub(crate) const FORK: &str = "me/k8s.io";
pub(crate) const FILE: &str = "registry.k8s.io/images/k8s-staging-kubernetes/images.yaml";
pub(crate) const BRANCH: &str = "kubernetes-v1.31.0-image-promotion";

/// What staging has: repository, tags, and the digest that the recorded cases name in its place.
const STAGING: [(&str, &[&str], &str); 9] = [
    (
        "k8s-staging-kubernetes/kube-apiserver",
        &["v1.30.0", "latest"],
        "24444dc9ab374c83aa513b996ab6ed85f6be6e8d3d70f2188d7e51e6392aedbf",
    ),
    (
        "k8s-staging-kubernetes/kube-apiserver",
        &["v1.31.0"],
        "568da6ef47e551f90d5f13b183234315f1a1d5d8c0d652c9de065f7c4063853d",
    ),
    (
        "k8s-staging-kubernetes/kube-proxy",
        &["v1.31.0"],
        "077c0835ddf4e3174cab766c9e79087977f9a9f73930015972b6b94fa7a02e52",
    ),
    ("k8s-staging-kubernetes/mock/kube-apiserver", &["v1.31.0"], ""),
    (
        "k8s-staging-kubernetes/pause",
        &["3.2"],
        "0ebb99179c260d3fc6d754405d29a59744755a0c030ddd87737768ac72207f9d",
    ),
    (
        "k8s-staging-kubernetes/pause",
        &["3.3", "3.3.1"],
        "96215fd6cec36a4cbf2a81609f4323c28d573423146b0aedf34c6c150f497807",
    ),
    (
        "k8s-staging-kubernetes/pause",
        &["3.10"],
        "47b339ea1cc38010a5b7a37d888a111a1ccc8795f136d5cfe481afe333d1af59",
    ),
    (
        "k8s-staging-kubernetes/sub/dir/agnhost",
        &["2.40"],
        "dc3771936c1dfa5ccd445ce1f0c355daed7c345a223a62101654ef03aafbddb2",
    ),
    ("my-project/tool", &["v1.0.0"], "7c9bbe5ec9b3fb774e8fa0f54247e93c34ddf8e5d16fe3073420de0ae81a262d"),
];

/// The images of Kubernetes at first: not sorted, with comments.
pub(crate) const IMAGES: &str = "\
# a comment on top
- name: pause
  dmap:
    \"sha256:0ebb99179c260d3fc6d754405d29a59744755a0c030ddd87737768ac72207f9d\": [\"3.2\"]
- name: kube-apiserver
  dmap:
    \"sha256:24444dc9ab374c83aa513b996ab6ed85f6be6e8d3d70f2188d7e51e6392aedbf\": [\"v1.30.0\"] # a comment
";

pub(crate) struct Scene {
    pub(crate) forge: Forge,
    pub(crate) staging: Server,
    pub(crate) desk: Desk,
    /// The recorded digests, each with the one of the image here.
    digests: Vec<(String, String)>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(IMAGES).await
    }

    /// Starts a scene with this list of images.
    pub(crate) async fn with(images: &str) -> Self {
        let (staging, desk, forge) = (google().await, Desk::new(), Forge::start(TOKEN));
        let mut digests = Vec::new();
        for (seed, (repository, tags, recorded)) in STAGING.iter().enumerate() {
            let recipe = Recipe { seed: 100 + seed as u64, ..Recipe::default() };
            let sample = if repository.ends_with("proxy") { recipe.index(2) } else { recipe.image() };
            put(&staging, repository, &sample, tags).await;
            if !recorded.is_empty() {
                digests.push((format!("sha256:{recorded}"), sample.digest().to_string()));
            }
        }
        desk.write("home/.gitconfig", "[user]\n\tname = Test Person\n\temail = person@example.org\n");
        desk.write("tmp/.keep", "");
        let scene = Self { forge, staging, desk, digests };
        let manifest = |source: &str, below: &str| {
            format!(
                "registries:\n- name: {source}\n  src: true\n- name: us-central1-docker.pkg.dev/k8s-artifacts-prod/images{below}\n"
            )
        };
        let host = scene.staging.host().to_string();
        let files = [
            (
                "registry.k8s.io/manifests/k8s-staging-kubernetes/promoter-manifest.yaml",
                manifest(&format!("{host}/k8s-staging-kubernetes"), ""),
            ),
            (FILE, scene.own(images)),
            (
                "registry.k8s.io/manifests/k8s-staging-my-project/promoter-manifest.yaml",
                manifest(&format!("{host}/my-project"), "/my-project"),
            ),
            ("registry.k8s.io/images/k8s-staging-my-project/images.yaml", "[]\n".to_owned()),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        scene.forge.create(UPSTREAM, &files);
        scene.forge.fork(UPSTREAM, FORK, Some(UPSTREAM));
        scene
    }

    /// Puts the digests of this scene in place of recorded ones.
    pub(crate) fn own(&self, text: &str) -> String {
        self.digests.iter().fold(text.to_owned(), |text, (recorded, own)| text.replace(recorded, own))
    }

    pub(crate) fn digest(&self, recorded: &str) -> String {
        self.own(&format!("sha256:{recorded}"))
    }

    pub(crate) fn staging(&self, name: &str) -> String {
        format!("{}/{name}", self.staging.host())
    }

    /// The flags that name the forge and the staging registry of the scene.
    pub(crate) fn places(&self) -> Vec<String> {
        let staging = self.staging("k8s-staging-kubernetes");
        ["--git-url", &self.forge.url(), "--api-url", &self.forge.api_url(), "--staging-repo", &staging]
            .map(str::to_owned)
            .into()
    }

    /// Returns a command that has the token, and a home of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = kpromo(None);
        command
            .env("HOME", self.desk.path("home"))
            .env("TMPDIR", self.desk.path("tmp"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GITHUB_TOKEN", TOKEN)
            .env("GIT_SSH_COMMAND", self.forge.ssh())
            .env("GIT_SSH_VARIANT", "simple")
            .stdin(std::process::Stdio::null());
        command
    }

    /// Runs `kpromo pr` for `kube-proxy` at v1.31.0 by HTTPS, with more flags.
    pub(crate) fn propose(&self, more: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(["pr", "--fork", "me", "--tag", "v1.31.0", "--image", "kube-proxy", "--use-ssh=false"]);
        command.args(self.places()).args(more);
        run(command)
    }

    /// Returns the file of the fork's branch.
    pub(crate) fn proposed(&self) -> String {
        self.forge.file(FORK, BRANCH, FILE)
    }

    /// Returns the names in the directory for temporary files.
    pub(crate) fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.desk.path("tmp")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != ".keep").collect();
        names.sort();
        names
    }

    /// Returns the requests to the forge, each as method and path.
    pub(crate) fn requests(&self) -> Vec<String> {
        let shown = |ForgeRequest { method, path, .. }: ForgeRequest| format!("{method} {path}");
        self.forge.requests().into_iter().map(shown).collect()
    }

    /// Clones upstream into a directory of the desk.
    pub(crate) fn clone_upstream(&self) -> PathBuf {
        let directory = self.desk.path("clone");
        self.git(&[
            "clone",
            "--quiet",
            &format!("{}/{UPSTREAM}", self.forge.url()),
            directory.to_str().unwrap(),
        ]);
        directory
    }

    /// Runs git, which must succeed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.env("HOME", self.desk.path("home")).env("GIT_CONFIG_NOSYSTEM", "1").args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
