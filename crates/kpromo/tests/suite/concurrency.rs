//! The variable with which `cargo xtask test` runs the integration tests with one request at a time at each host.

#![cfg(debug_assertions)]
use std::time::Duration;

use crate::support::{CONCURRENCY, Desk, kpromo, put, run};
use registry::sample::Recipe;
use registry::{Config, Server};

#[tokio::test(flavor = "multi_thread")]
async fn the_variable_of_the_tests_limits_the_requests_under_way_at_each_host() {
    let (staging, production) =
        (Server::start(Config::default()).await.unwrap(), Server::start(Config::default()).await.unwrap());
    let mut images = Vec::new();
    for seed in 0..8 {
        let (name, image) = (format!("app-{seed}"), Recipe { seed, ..Recipe::default() }.image());
        put(&staging, &format!("staging/{name}"), &image, &[]).await;
        images.push((name, image.digest()));
    }
    let images: Vec<(&str, oci::Digest, &[&str])> =
        images.iter().map(|(name, digest)| (name.as_str(), *digest, ["v1"].as_slice())).collect();
    let desk = Desk::new();
    let (source, destination) =
        (format!("{}/staging", staging.host()), format!("{}/prod", production.host()));
    let manifest = desk.manifest(&source, &[destination], &images);
    staging.faults().set_latency(Duration::from_millis(50));
    for (concurrency, expected) in [("1", 1), ("3", 3)] {
        staging.tally().reset();
        let mut command = kpromo(None);
        command.env(CONCURRENCY, concurrency).args(["cip", "--sign=false", "--manifest"]).arg(&manifest);
        let ran = run(command);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(staging.tally().snapshot().most_in_flight, expected);
    }
}
