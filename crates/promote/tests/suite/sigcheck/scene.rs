//! A promoted world, and `kpromo sigcheck` over it.

use oci::Repository;
use promote::sigcheck::{Check, CheckedImage, FoundImages, Naming, Wanted, check, find};
use promote::{Confirmed, Error};
use registry::Config;
use registry::sample::Sample;
use trust::SignatureFormat;

use crate::support::signer::Identity;
use crate::support::{World, within_limit};

/// All images that the registry lists.
pub(crate) const ALL: Wanted = Wanted::Listed { span: None, limit: None };

/// A world that is signed and checked with one key.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) identity: Identity,
}

impl Scene {
    pub(crate) async fn of(config: Config, format: SignatureFormat) -> Self {
        let mut world = World::of(config, 1).await;
        let identity = Identity::new(format);
        let canonical = world.trust_config.production.canonical_host.clone();
        world.trust_config = identity.trust_config(&world.door, canonical);
        world.trust_config.verification.trust = identity.trust();
        Self { world, identity }
    }

    pub(crate) async fn stage(&mut self, name: &str, sample: &Sample, tags: &[&str]) {
        self.world.stage(name, sample, tags).await;
    }

    /// Promotes all images, with signatures and records.
    pub(crate) async fn promote(&self) {
        let done = self.world.promote().await;
        assert_eq!((done.promoted().failed(), done.unsigned(), done.unrecorded()), (0, 0, 0));
    }

    /// Promotes all images without signatures and records.
    pub(crate) async fn promote_unsigned(&mut self) {
        let signing = self.world.trust_config.signing.take();
        self.world.promote().await;
        self.world.trust_config.signing = signing;
    }

    /// Returns the manifests of the world.
    pub(crate) fn manifests(&self) -> Naming {
        Naming { manifests: Some(self.world.manifests()) }
    }

    pub(crate) async fn find(&self, wanted: &Wanted, naming: &Naming) -> FoundImages {
        let (run, reader) = (self.world.run(), self.world.fresh_client().reader());
        let production = &self.world.trust_config.production;
        find(&run, &reader, production, wanted, naming.named().as_ref()).await.unwrap()
    }

    /// Finds and checks images.
    pub(crate) async fn look(&self, wanted: &Wanted, naming: &Naming) -> Result<Check, Error> {
        let found = self.find(wanted, naming).await;
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        let (run, client) = (self.world.run(), self.world.fresh_client());
        within_limit(check(&run, &client, &found.images, naming, &self.world.trust_config, true)).await
    }

    pub(crate) async fn check(&self, wanted: &Wanted, naming: &Naming) -> Vec<CheckedImage> {
        self.look(wanted, naming).await.unwrap_or_else(|error| panic!("{error}")).images
    }

    /// Repairs images that lack something, and checks all images again.
    pub(crate) async fn repair(&self, wanted: &Wanted, naming: &Naming) -> Vec<CheckedImage> {
        let checked = self.look(wanted, naming).await.unwrap_or_else(|error| panic!("{error}"));
        let confirmed = Confirmed::when(true, &self.world.fresh_client()).unwrap();
        let run = self.world.run();
        let done = within_limit(checked.repair(&run, &confirmed, &self.world.trust_config)).await;
        done.unwrap_or_else(|error| panic!("{error}"));
        self.check(wanted, naming).await
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        self.world.repository(0, name)
    }
}

/// Returns the findings as text.
pub(crate) fn findings(images: &[CheckedImage]) -> Vec<String> {
    let bad = images.iter().filter(|image| !image.is_ok());
    bad.map(|image| format!("{}: {:?}", image.name(), image.result)).collect()
}
