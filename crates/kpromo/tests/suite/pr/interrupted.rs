//! Signals, and processes that a hook of git leaves behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::pr::hooks::hook;
use crate::pr::scene::{BRANCH, FORK, Scene};

/// A hook that says that it runs, and ends when it is told to.
fn waiting(scene: &Scene) -> String {
    let [began, go] = ["began", "go"].map(|name| scene.desk.path(name).display().to_string());
    format!("touch '{began}'; while [ -e '{began}' ] && [ ! -e '{go}' ]; do sleep 0.02; done")
}

fn wait_for(file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "{} does not appear", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Starts `kpromo pr`, by `sh` with a command before it.
fn start(scene: &Scene, before: &str) -> Child {
    let own = scene.command();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{before} exec \"$@\"")).arg("sh").arg(own.get_program());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["pr", "--fork", "me", "--tag", "v1.31.0", "--image", "kube-proxy", "--use-ssh=false"]);
    command.args(scene.places()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_run_without_a_trace() {
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let scene = Scene::new().await;
        hook(&scene, "pre-commit", &waiting(&scene));
        let mut child = start(&scene, "");
        wait_for(&scene.desk.path("began"));
        assert!(!scene.left().is_empty(), "the clone is there");
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(scene.left(), Vec::<String>::new(), "{signal}: neither the clone nor the token is left");
        scene.desk.write("go", "");
        assert_eq!(scene.forge.branches(FORK), ["main"], "{signal}");
    }
}

/// `nohup` lets a run outlive its terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_that_is_ignored_ends_nothing() {
    let scene = Scene::new().await;
    hook(&scene, "pre-commit", &waiting(&scene));
    let mut child = start(&scene, "trap '' HUP;");
    wait_for(&scene.desk.path("began"));
    send("HUP", &child);
    scene.desk.write("go", "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(scene.forge.tip(FORK, BRANCH).is_some());
}

/// A hook may start a process, such as a daemon, that holds the pipes of git open for longer than the run lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_a_hook_leaves_behind_does_not_hold_up_the_run() {
    let scene = Scene::new().await;
    hook(&scene, "post-commit", &format!("({}) &", waiting(&scene)));
    let ran = scene.propose(&[]);
    scene.desk.write("go", "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(scene.desk.path("began").exists(), "the process ran");
    assert!(scene.forge.tip(FORK, BRANCH).is_some());
}
