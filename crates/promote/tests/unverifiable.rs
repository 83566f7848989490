//! A policy that this build cannot hold anybody to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::sync::Arc;

use oci::RegistryRoot;
use promote::policy::{BuildLevel, BuilderDraft, Draft, Mode, Policies};
use promote::{Error, prepare};
use registry::Config;
use registry::sample::Recipe;
use support::World;

/// A policy for a source.
fn policies(source: &RegistryRoot, mode: Mode) -> Policies {
    let builder = BuilderDraft { id: "b".parse().unwrap(), level: BuildLevel::Two, signers: Vec::new() };
    let draft = Draft {
        mode: Some(mode),
        signers: vec!["sigstore::https://i::a@b.c".parse().unwrap()],
        builders: vec![builder],
        sources: vec!["github.com/o/r".parse().unwrap()],
        ..Draft::default()
    };
    let policy = draft.into_policy().unwrap().map(Arc::new);
    Policies::new(&[(source, policy)]).unwrap()
}

#[tokio::test]
async fn images_with_a_policy_that_nobody_would_check_are_not_promoted() {
    let mut world = World::of(Config::default(), 1).await;
    world.stage("app", &Recipe::default().image(), &["v1"]).await;
    let source = world.manifests().manifests[0].source.clone();
    let prepare_with = |policies| {
        let mut job = world.job();
        job.manifests.policies = policies;
        let (run, client) = (world.run(), world.client.clone());
        async move { prepare(&run, &client, job).await }
    };
    for mode in [Mode::Warn, Mode::Require] {
        let Err(error) = prepare_with(policies(&source, mode)).await else {
            panic!("{mode}: the policy is passed over")
        };
        assert!(matches!(&error, Error::Unverifiable(found) if found.to_string() == format!("{source}/app")));
        assert!(error.to_string().contains("not yet in this build"), "{error}");
    }
    let elsewhere: RegistryRoot = format!("{}/elsewhere", source.host).parse().unwrap();
    assert!(prepare_with(policies(&elsewhere, Mode::Require)).await.is_ok(), "a policy of others");
}
