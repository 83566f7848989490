//! The choice of defaults: Kubernetes' signer is the default if everything to promote or verify is in Kubernetes' production.
//! Otherwise there is no default signer.

use manifest::Manifests;
use oci::{RegistryRoot, Repository};
use trust::Production;

use crate::choice::Defaults;
use crate::config::Config;

/// Returns the destinations of all manifests that promote an image.
fn destinations(manifests: &Manifests) -> impl Iterator<Item = &RegistryRoot> {
    let promoting = manifests.manifests.iter().filter(|manifest| !manifest.images.is_empty());
    promoting.flat_map(|manifest| &manifest.destinations).map(|destination| &destination.root)
}

/// Returns the defaults of a promotion, and the first destination outside Kubernetes' production.
pub(crate) fn of_run<'a>(config: &Config, manifests: &'a Manifests) -> (Defaults, Option<&'a RegistryRoot>) {
    let production = config.production();
    let is_inside = |root: &RegistryRoot| {
        config.is_kubernetes()
            && root.prefix.as_ref().is_some_and(|prefix| is_below(&production, prefix.as_str()))
    };
    let outside = destinations(manifests).find(|root| !is_inside(root));
    (defaults(outside.is_none()), outside)
}

/// Returns the defaults of a verification of images in repositories, and the first repository outside Kubernetes' production.
pub(crate) fn of_repositories<'a>(
    config: &Config,
    repositories: impl IntoIterator<Item = &'a Repository>,
) -> (Defaults, Option<&'a Repository>) {
    let production = config.production();
    let is_inside = |Repository { host, path }: &Repository| {
        config.is_kubernetes() && (*host == production.reference || is_below(&production, path.as_str()))
    };
    let outside = repositories.into_iter().find(|repository| !is_inside(repository));
    (defaults(outside.is_none()), outside)
}

/// Returns the defaults of what is below the production path.
pub(crate) fn of_production(config: &Config) -> Defaults {
    defaults(config.is_kubernetes())
}

fn defaults(is_kubernetes: bool) -> Defaults {
    if is_kubernetes { Defaults::Kubernetes } else { Defaults::None }
}

/// Returns whether a path is the production path or below it.
fn is_below(production: &Production, path: &str) -> bool {
    let rest = path.strip_prefix(production.path.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use manifest::{Destination, Image, Manifest};

    use super::*;

    fn manifests(destinations: &[&[&str]]) -> Manifests {
        let manifest = |roots: &&[&str]| Manifest {
            name: "p".into(),
            images_file: "f".into(),
            source: "s.io/staging".parse().unwrap(),
            destinations: roots
                .iter()
                .map(|root| Destination { root: root.parse().unwrap(), service_account: None })
                .collect(),
            unchanged: Vec::new(),
            images: vec![Image { name: "app".parse().unwrap(), digests: Vec::new() }],
        };
        let manifests = destinations.iter().map(manifest).collect();
        Manifests { manifests, ..Manifests::default() }
    }

    #[test]
    fn kubernetes_defaults_hold_where_every_destination_is_below_its_production_path() {
        let kubernetes = "us-west2-docker.pkg.dev/k8s-artifacts-prod/images";
        let below = "us-west2-docker.pkg.dev/k8s-artifacts-prod/images/kubernetes";
        let beside = "us-west2-docker.pkg.dev/k8s-artifacts-prod/images-old";
        let config = Config::default();
        let of = |destinations: &[&[&str]]| of_run(&config, &manifests(destinations)).0;
        assert_eq!(of(&[&[kubernetes], &[below]]), Defaults::Kubernetes);
        assert_eq!(of(&[&[kubernetes], &[below, beside]]), Defaults::None);
        assert_eq!(of(&[&["registry.example"]]), Defaults::None);
        let mut quiet = manifests(&[&[kubernetes], &[beside]]);
        quiet.manifests[1].images.clear();
        assert_eq!(of_run(&config, &quiet).0, Defaults::Kubernetes, "what promotes nothing does not count");
    }

    #[test]
    fn kubernetes_defaults_hold_for_images_of_its_production_by_either_name() {
        let config = Config::default();
        let of = |names: &[&str]| {
            let repositories: Vec<Repository> = names.iter().map(|name| name.parse().unwrap()).collect();
            let (defaults, outside) = of_repositories(&config, &repositories);
            (defaults, outside.map(ToString::to_string))
        };
        let inside = ["registry.k8s.io/pause", "us-west2-docker.pkg.dev/k8s-artifacts-prod/images/pause"];
        assert_eq!(of(&inside), (Defaults::Kubernetes, None));
        let staging = "gcr.io/k8s-staging-pause/pause";
        assert_eq!(of(&[inside[0], staging]), (Defaults::None, Some(staging.to_owned())));
    }
}
