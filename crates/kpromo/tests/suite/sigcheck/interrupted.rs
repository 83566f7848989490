//! `kpromo sigcheck` ends on SIGTERM as `kpromo cip` does.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry::{Config, Effect, Fault, Kind};

use crate::sigcheck::scene::{Scene, sample};

fn start(scene: &Scene) -> Child {
    let directory = scene.manifests();
    let flags = ["--confirm", "--max-signature-ops=1", "--thin-manifest-dir", directory.to_str().unwrap()];
    let mut command = scene.command("sigcheck", &flags);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_writes_it_ends_at_once() {
    let scene = Scene::new(Config { google_listing: true, ..Config::default() }).await;
    let watch = scene.production.faults().add(Fault::new(Effect::Hang).on(Kind::ManifestGet));
    let child = start(&scene);
    until(|| watch.struck() > 0).await;
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), scene.writes()), (Some(130), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was written"));
}

/// What is under way is finished, nothing new is begun, and the next run does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_writes_it_finishes_what_is_under_way() {
    let scene = Scene::new(Config { google_listing: true, ..Config::default() }).await;
    let names: Vec<String> = (2..30).map(|seed| format!("app-{seed}")).collect();
    let mut named = vec![("app", sample(1).digest(), "v1")];
    for (seed, name) in (2..).zip(&names) {
        scene.promoted(name, &sample(seed), &["v1"]).await;
        named.push((name, sample(seed).digest(), "v1"));
    }
    scene.name_images(&named);
    // The latency slows the writes down, so that the signal arrives in between.
    scene.production.faults().set_latency(Duration::from_millis(20));
    let child = start(&scene);
    until(|| scene.production.tally().snapshot().requests(Kind::ManifestPut) > 2).await;
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(32), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("lacking something"), "what is left is told: {text}");
    assert!(scene.production.store().missing_parts().await.unwrap().is_empty());
    scene.production.faults().clear();
    scene.production.faults().set_latency(Duration::ZERO);
    let ran = scene.with_manifests(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}
