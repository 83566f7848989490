//! The worlds of these tests.

use std::time::Duration;

use bytes::Bytes;
use registry::sample::Recipe;
use registry::{Access, Account, Authentication, Config, Tokens};

use crate::support::World;

pub(crate) fn base_layer() -> Bytes {
    Bytes::from(vec![7; 4096])
}

/// Creates ten images of four platforms. Each platform has a configuration, two layers of its own, and the base layer.
pub(crate) async fn small_world(config: Config) -> World {
    let mut world = World::of(config, 5).await;
    for seed in 0..10 {
        let recipe = Recipe { seed, shared_layers: vec![base_layer()], ..Recipe::default() };
        world.stage(&format!("image-{seed}"), &recipe.index(4), &["v1"]).await;
    }
    world
}

/// An image costs 18 requests in staging: 5 manifests, 12 blobs of its own, and one lookup of attachments. It costs 31 in each
/// region: 2 for each of its own 12 blobs, 1 for the base layer, 5 manifests (the index is written by its tag), and 1 lookup of
/// the tag right before the write. 60 repositories are listed.
pub(crate) const SMALL_WORLD: u64 = 10 * 18 + 5 * 10 * 31 + 60;

/// Returns the size of all configurations in staging, in bytes.
pub(crate) async fn configurations(world: &World) -> u64 {
    let mut bytes = 0;
    let store = world.staging.store();
    for repository in store.repositories() {
        for digest in store.manifests(&repository) {
            let manifest = store.manifest(&repository, &digest).await.unwrap().unwrap().parse().unwrap();
            bytes += manifest.blobs.first().map_or(0, |config| config.size);
        }
    }
    bytes
}

/// The account that the tests use.
#[derive(Debug)]
pub(crate) struct Promoter;

impl oci::CredentialSource for Promoter {
    fn credential<'a>(
        &'a self,
        _: &'a oci::Host,
        _: Option<&'a oci::RepositoryPath>,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<oci::FoundCredential>, String>> {
        let password = transport::Secret::new("secret");
        let credential = oci::Credential::Basic { user: "promoter".to_owned(), password };
        Box::pin(async { Ok(Some(credential.from("the test"))) })
    }

    fn places(&self) -> String {
        "the test".to_owned()
    }
}

pub(crate) fn accounts() -> Vec<Account> {
    vec![Account { name: "promoter".to_owned(), password: "secret".to_owned(), access: Access::Full }]
}

pub(crate) fn tokens(lifetime: Duration) -> Config {
    let tokens = Tokens { accounts: accounts(), anonymous_pull: false, lifetime, service: "test".to_owned() };
    Config {
        authentication: Authentication::Token(tokens),
        page_size: 2.try_into().unwrap(),
        ..Config::default()
    }
}
