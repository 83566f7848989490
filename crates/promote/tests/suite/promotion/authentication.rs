//! Registries that require credentials.

use std::sync::Arc;
use std::time::Duration;

use registry::sample::Recipe;
use registry::{Authentication, Config, Kind};

use crate::promotion::worlds::{Promoter, accounts, tokens};
use crate::support::{World, google, path, tag};

/// The registries have pages of two tags, tokens for each repository, and no digests in listings. No image counts as lost there.
#[tokio::test]
async fn plain_registries_with_tokens_and_pages_get_everything_and_no_image_counts_as_lost() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config; 2], Arc::new(Promoter)).await;
    for seed in 0..3 {
        let sample = Recipe { seed, ..Recipe::default() }.index(2);
        // The tags in staging fill several pages.
        let tags: Vec<_> = (0..7).map(|number| tag(&format!("old-{number}"))).collect();
        sample.put(world.staging.store(), &path(&format!("staging/app-{seed}")), &tags).await.unwrap();
        world.request(&format!("app-{seed}"), sample.digest(), &["v1", "v1.0", "latest"]);
    }
    let attested = world.promote().await;
    assert_eq!(attested.promoted().plan().summary().total.lost, 0);
    assert_eq!(attested.promoted().failed(), 0);
    world.assert_complete().await;
    world.reset_tallies();
    let again = world.prepare().await.unwrap();
    assert!(again.plan().is_empty());
    assert_eq!(world.writes(), 0);
    for region in &world.production {
        assert_eq!(region.tally().snapshot().requests(Kind::Ping), 0, "a host is probed once");
    }
}

/// A token is requested once for each repository and kind of access, however many concurrent requests need it.
#[tokio::test]
async fn tokens_are_requested_once_for_each_scope() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(4), &["v1"]).await;
    world.promote().await;
    let [staging, production] = &world.tallies()[..] else { panic!("two registries") };
    assert_eq!(staging.requests(Kind::Token), 1, "to pull");
    assert_eq!(production.requests(Kind::Token), 1, "to push, which includes pulling");
    for registry in [staging, production] {
        assert_eq!(
            registry.requests(Kind::Ping),
            1,
            "a host with credentials is probed for its authentication scheme"
        );
        assert_eq!(registry.requests(Kind::TagList), 1, "no listing is requested without a token");
    }
    world.assert_all_passed_the_door();
}

/// Tokens that the registry rejects are renewed in the middle of a run.
#[tokio::test]
async fn a_rejected_token_is_renewed() {
    let config = tokens(Duration::from_secs(300));
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    let cleared = world.prepare().await.unwrap();
    world.servers().for_each(registry::Server::revoke_tokens);
    let attested = world.carry_out(cleared).await;
    assert_eq!(attested.promoted().failed(), 0);
    world.assert_complete().await;
}

#[tokio::test]
async fn basic_authentication_suffices() {
    let config = Config { authentication: Authentication::Basic(accounts()), ..google() };
    let mut world = World::with(config.clone(), vec![config], Arc::new(Promoter)).await;
    world.stage("app", &Recipe::default().index(2), &["v1"]).await;
    world.promote().await;
    world.assert_complete().await;
}
