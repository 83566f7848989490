//! Registries with images in several repositories, and their snapshots.

use std::collections::{BTreeMap, BTreeSet};

use oci::Digest;
use registry::sample::{Recipe, Sample};
use registry::{Config, Server};

use crate::support::put;

/// An expected snapshot: the digests of each image with their tags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    images: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Expected {
    pub(crate) fn add(&mut self, name: &str, digest: Digest, tags: &[&str]) {
        let digests = self.images.entry(name.to_owned()).or_default();
        digests.entry(digest.to_string()).or_default().extend(tags.iter().map(|tag| (*tag).to_owned()));
    }

    /// Adds what a registry lists that lists untagged manifests too.
    pub(crate) fn add_whole(&mut self, name: &str, sample: &Sample, tags: &[&str]) {
        for child in sample.root().parse().unwrap().children {
            self.add(name, child.digest, &[]);
        }
        self.add(name, sample.digest(), tags);
    }

    pub(crate) fn yaml(&self) -> String {
        let mut text = String::new();
        for (name, digests) in &self.images {
            text.push_str(&format!("- name: {name}\n  dmap:\n"));
            for (digest, tags) in digests {
                let tags: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
                text.push_str(&format!("    \"{digest}\": [{}]\n", tags.join(", ")));
            }
        }
        text + "\n"
    }
}

pub(crate) fn image(seed: u64) -> Sample {
    Recipe { seed, layers: 1, ..Recipe::default() }.image()
}

pub(crate) fn index(seed: u64) -> Sample {
    Recipe { seed, layers: 1, ..Recipe::default() }.index(2)
}

/// Starts a registry with few entries on a page.
pub(crate) async fn paged() -> Server {
    let config = Config { page_size: 2.try_into().unwrap(), request_log: 10_000, ..Config::default() };
    Server::start(config).await.unwrap()
}

/// Puts images below `prod` and beside it. `prod` itself is a repository too.
pub(crate) async fn fill(server: &Server) {
    put(server, "prod", &image(1), &["root"]).await;
    put(server, "prod/app", &index(2), &["v1", "latest", "v0"]).await;
    put(server, "prod/app/agent", &image(3), &["v1"]).await;
    put(server, "prod/app-b", &image(4), &["v2"]).await;
    put(server, "prod/app-b", &image(5), &["v10", "v9"]).await;
    put(server, "prod-other/app", &image(6), &["v1"]).await;
    put(server, "other", &image(7), &["v1"]).await;
}

/// Returns the snapshot of `prod` after [`fill`]; `whole` with untagged manifests.
pub(crate) fn expected(whole: bool) -> Expected {
    let mut expected = Expected::default();
    expected.add("", image(1).digest(), &["root"]);
    if whole {
        expected.add_whole("app", &index(2), &[]);
    }
    expected.add("app", index(2).digest(), &["v1", "latest", "v0"]);
    expected.add("app/agent", image(3).digest(), &["v1"]);
    expected.add("app-b", image(4).digest(), &["v2"]);
    expected.add("app-b", image(5).digest(), &["v10", "v9"]);
    expected
}
