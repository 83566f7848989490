//! The example in the README: its files and its commands, unchanged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use registry::sample::Recipe;
use support::{Desk, google, kpromo, put, run};

const README: &str = include_str!("../../../README.md");
const DIGEST: &str = "sha256:e8ca4f9ff069d6a35f444832097e6650f6594b3ec0de129109d53a1b760884e9";

/// Returns the code blocks of a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let parts: Vec<&str> = README.split(fence.as_str()).skip(1).collect();
    parts.into_iter().map(|rest| rest.split("```").next().unwrap())
}

/// Embedded registries replace the hosts of the README, and a sample replaces its image. Everything else is unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_as_they_are_written() {
    let (staging, mut regions, desk) = (google().await, [google().await, google().await], Desk::new());
    regions.sort_by_key(|region| region.host().to_string());
    let image = Recipe::default().index(2);
    put(&staging, "myproject-staging/apple", &image, &[]).await;
    let names = [
        ("gcr.io", staging.host().to_string()),
        ("us-central1-docker.pkg.dev", regions[0].host().to_string()),
        ("europe-west1-docker.pkg.dev", regions[1].host().to_string()),
        (DIGEST, image.digest().to_string()),
    ];
    let here = |text: &str| names.iter().fold(text.to_owned(), |text, (name, ours)| text.replace(name, ours));
    desk.key_pair();
    for file in blocks("yaml") {
        let name = file.lines().next().unwrap().strip_prefix("# ").unwrap();
        desk.write(name, &here(file));
    }

    let mut config = None;
    let mut codes = Vec::new();
    for line in blocks("console").flat_map(str::lines) {
        let line = here(line.split(" #").next().unwrap());
        if let Some(path) = line.strip_prefix("$ export KPROMO_CONFIG=") {
            config = Some(path.trim().to_owned());
        }
        let Some(words) = line.strip_prefix("$ kpromo ") else { continue };
        let mut command = kpromo(None);
        command.current_dir(desk.path("")).args(words.split_whitespace());
        command.envs(config.iter().map(|config| ("KPROMO_CONFIG", config)));
        let ran = run(command);
        // The tests have no identity to sign with. kpromo reports that only after all other checks have passed.
        let expected = if words.contains("--signer-account") { 20 } else { 0 };
        assert_eq!(ran.code, expected, "{line}\n{}\n{}", ran.stdout, ran.stderr);
        codes.push(ran.code);
    }
    assert_eq!(codes, [0, 0, 0, 0, 20, 20, 0, 0], "every command was tried");
}
