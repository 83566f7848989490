//! The assignment of destination hosts to shards.
//!
//! It depends only on the manifests, and not on registries, flags or the order of files, so that all shards agree on it without
//! communication. It depends on all manifests even in a run over a diff: shards that start at different times may compare with
//! different commits, and each host must still belong to exactly one shard.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use manifest::Manifest;
use oci::{Digest, Host};
use trust::Production;

use crate::shard::number::Shard;
use crate::shard::promotion::identity;

/// The work of copying an image to a host, in requests. Assumes an index of four platforms with two layers each, like most
/// images of Kubernetes.
const IMAGE: u64 = 30;
/// The work of writing a tag.
const TAG: u64 = 2;
/// The work of signing and recording such an image in its canonical repository.
const SIGNATURES: u64 = 35;

/// The destination hosts of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardHosts {
    shard: Shard,
    hosts: BTreeSet<Host>,
    all: usize,
    promotion: Digest,
}

impl ShardHosts {
    /// Returns the hosts of a shard. The hosts to which `manifests` promote are divided among the shards: from the host with the
    /// most work to the host with the least, each goes to the shard with the least work so far. Signing adds work to a host; the
    /// host of the canonical region signs for all regions. Ties between hosts are broken by name, ties between shards by index.
    pub fn new(shard: Shard, manifests: &[Manifest], production: &Production) -> Self {
        let work = work(manifests, production);
        let all = work.len();
        let mut parts = divide(work, usize::try_from(shard.count().get()).unwrap_or(usize::MAX));
        let index = usize::try_from(shard.index()).unwrap_or(usize::MAX);
        // Shards beyond the number of hosts get no host.
        let hosts = if index < parts.len() { parts.swap_remove(index) } else { BTreeSet::new() };
        Self { shard, hosts, all, promotion: identity(manifests, production) }
    }

    /// Returns the shard.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns the hosts of the shard.
    pub fn hosts(&self) -> &BTreeSet<Host> {
        &self.hosts
    }

    /// Returns the digest that all shards of a promotion share. Shards with another digest had other manifests or another
    /// canonical region, and may disagree on the owner of a host.
    pub fn promotion(&self) -> &Digest {
        &self.promotion
    }

    /// Returns the number of hosts of all shards together.
    pub fn all(&self) -> usize {
        self.all
    }
}

/// Returns the work at each host to which images are promoted: the estimated number of requests for promoting and signing
/// everything from scratch. An image that two manifests list counts twice.
fn work(manifests: &[Manifest], production: &Production) -> BTreeMap<Host, u64> {
    let mut work: BTreeMap<Host, u64> = BTreeMap::new();
    for manifest in manifests {
        let is_canonical = |host: &Host| *host == production.canonical_host;
        for image in &manifest.images {
            let digests = image.digests.len() as u64;
            let tags = image.digests.iter().map(|listed| listed.tags.len() as u64).sum::<u64>();
            if digests == 0 {
                continue;
            }
            let repositories = manifest.destinations.iter().filter_map(|destination| {
                // The reader has checked that each name fits below each registry.
                destination.root.repository(&image.name).ok()
            });
            let repositories: Vec<_> = repositories.collect();
            // The regions below the production path share the signatures in the canonical one.
            let is_shared = repositories
                .iter()
                .any(|repository| is_canonical(&repository.host) && production.name(repository).is_some());
            for repository in repositories {
                let is_signed_elsewhere =
                    is_shared && production.name(&repository).is_some() && !is_canonical(&repository.host);
                let signatures = if is_signed_elsewhere { 0 } else { SIGNATURES * digests };
                let more = IMAGE * digests + TAG * tags + signatures;
                let there = work.entry(repository.host).or_default();
                *there = there.saturating_add(more);
            }
        }
    }
    work
}

/// Divides hosts into at most this number of parts, none of them empty.
fn divide(work: BTreeMap<Host, u64>, parts: usize) -> Vec<BTreeSet<Host>> {
    let mut divided = vec![BTreeSet::new(); parts.min(work.len())];
    let mut hosts: Vec<(Host, u64)> = work.into_iter().collect();
    // Stable: hosts with the same work stay in the order of their names.
    hosts.sort_by_key(|(_, work)| Reverse(*work));
    let mut loads: BinaryHeap<Reverse<(u64, usize)>> =
        (0..divided.len()).map(|part| Reverse((0, part))).collect();
    for (host, work) in hosts {
        let Some(Reverse((load, part))) = loads.pop() else { break };
        divided[part].insert(host);
        loads.push(Reverse((load.saturating_add(work), part)));
    }
    divided
}

#[cfg(test)]
mod tests {
    use manifest::{Destination, DigestTags, Image, Position};
    use proptest::prelude::*;

    use super::*;

    const AT: Position = Position { line: 1, column: 1 };

    fn production() -> Production {
        Production {
            canonical_host: "m.io".parse().unwrap(),
            path: "prod".parse().unwrap(),
            reference: "registry.example".parse().unwrap(),
        }
    }

    /// Returns a manifest that promotes this number of digests, each with one tag, to these registries.
    fn manifest(name: &str, roots: &[String], digests: usize) -> Manifest {
        let listed = |number: usize| DigestTags {
            digest: Digest::of(format!("{name} {number}").as_bytes()),
            position: AT,
            tags: vec![(format!("v{number}").parse().unwrap(), AT)],
        };
        let destination = |root: &String| Destination { root: root.parse().unwrap(), service_account: None };
        Manifest {
            name: name.into(),
            images_file: "f".into(),
            source: "s.io/staging".parse().unwrap(),
            destinations: roots.iter().map(destination).collect(),
            unchanged: Vec::new(),
            images: vec![Image { name: name.parse().unwrap(), digests: (0..digests).map(listed).collect() }],
        }
    }

    fn roots(hosts: &[&str], path: &str) -> Vec<String> {
        hosts.iter().map(|host| format!("{host}/{path}")).collect()
    }

    fn all(manifests: &[Manifest], count: u32) -> Vec<Vec<String>> {
        let hosts = |index| ShardHosts::new(Shard::new(index, count).unwrap(), manifests, &production());
        let names = |hosts: ShardHosts| hosts.hosts().iter().map(ToString::to_string).collect();
        (0..count).map(|index| names(hosts(index))).collect()
    }

    #[test]
    fn equal_hosts_are_assigned_by_name_after_the_canonical_host() {
        let hosts = ["a.io", "b.io", "c.io", "m.io", "z.io"];
        let manifests = [manifest("app", &roots(&hosts, "prod"), 10)];
        // The canonical host has the work of about two others.
        assert_eq!(all(&manifests, 2), [vec!["m.io", "z.io"], vec!["a.io", "b.io", "c.io"]]);
        assert_eq!(all(&manifests, 1), [hosts]);
        let mirrors = [manifest("app", &roots(&hosts, "mirror"), 10)];
        assert_eq!(
            all(&mirrors, 2),
            [vec!["a.io", "c.io", "z.io"], vec!["b.io", "m.io"]],
            "outside of the production path, each host signs its own images"
        );
    }

    #[test]
    fn shards_beyond_the_number_of_hosts_have_no_hosts() {
        let manifests = [manifest("app", &roots(&["a.io", "b.io"], "prod"), 1)];
        assert_eq!(all(&manifests, 4), [vec!["a.io"], vec!["b.io"], vec![], vec![]]);
        assert_eq!(all(&[], 2), [Vec::<String>::new(), Vec::new()]);
        let last = Shard::new(u32::MAX - 1, u32::MAX).unwrap();
        assert!(
            ShardHosts::new(last, &manifests, &production()).hosts().is_empty(),
            "memory does not grow with the number of shards"
        );
    }

    #[test]
    fn a_destination_without_images_has_no_work() {
        let empty = manifest("none", &roots(&["n.io"], "prod"), 0);
        let manifests = [manifest("app", &roots(&["a.io"], "prod"), 1), empty];
        assert_eq!(all(&manifests, 2), [vec!["a.io"], vec![]]);
    }

    fn worlds() -> impl Strategy<Value = Vec<Manifest>> {
        let host = prop_oneof![Just("m".to_owned()), "[a-h]"];
        let path = prop_oneof![Just("prod"), Just("mirror")];
        let root = (host, path).prop_map(|(host, path)| format!("{host}.io/{path}"));
        let roots = proptest::collection::btree_set(root, 1..12);
        let drafts = proptest::collection::vec((roots, 0..40_usize), 0..6);
        drafts.prop_map(|drafts| {
            let each = drafts.into_iter().enumerate().map(|(number, (roots, digests))| {
                manifest(&format!("p{number}"), &roots.into_iter().collect::<Vec<_>>(), digests)
            });
            each.collect()
        })
    }

    proptest! {
        /// Every host with images belongs to exactly one shard.
        #[test]
        fn shards_are_a_partition(manifests in worlds(), count in 1..12_u32) {
            let mut divided: Vec<String> = all(&manifests, count).concat();
            divided.sort();
            let expected: Vec<String> =
                work(&manifests, &production()).into_keys().map(|host| host.to_string()).collect();
            prop_assert_eq!(divided, expected);
        }

        /// Without its smallest host, the shard with the most work has no more work than any other. So no shard has more than the
        /// average work plus the work of one host.
        #[test]
        fn work_is_balanced(manifests in worlds(), count in 1..12_u32) {
            let each = work(&manifests, &production());
            let of = |hosts: &BTreeSet<Host>| hosts.iter().map(|host| each[host]).sum::<u64>();
            let parts = divide(each.clone(), count as usize);
            let Some(fullest) = parts.iter().max_by_key(|part| of(part)) else { return Ok(()) };
            let smallest = fullest.iter().map(|host| each[host]).min().unwrap_or_default();
            for part in &parts {
                prop_assert!(of(fullest) - smallest <= of(part));
                prop_assert!(!part.is_empty());
            }
            let total: u64 = each.values().sum();
            prop_assert!(of(fullest) <= total / parts.len() as u64 + smallest);
        }

        /// The assignment does not depend on the order of manifests and destinations, or on the names of projects.
        #[test]
        fn the_assignment_is_stable(manifests in worlds(), count in 1..12_u32, turn in 0..6_usize) {
            let mut other = manifests.clone();
            if !other.is_empty() {
                let turn = turn % other.len();
                other.rotate_left(turn);
            }
            for manifest in &mut other {
                manifest.destinations.reverse();
                manifest.images.iter_mut().for_each(|image| image.digests.reverse());
                manifest.name = "renamed".into();
            }
            prop_assert_eq!(all(&manifests, count), all(&other, count));
            prop_assert_eq!(identity(&manifests, &production()), identity(&other, &production()));
        }

        /// Any other image, tag or registry, and another canonical region, make another promotion.
        #[test]
        fn another_promotion_has_another_identity(manifests in worlds(), change in 0..5_usize) {
            let (mut changed, mut region) = (manifests.clone(), production());
            let first = changed.iter_mut().find(|manifest| !manifest.images[0].digests.is_empty());
            match (change, first) {
                (0, Some(manifest)) => drop(manifest.images[0].digests.pop()),
                (1, Some(manifest)) => drop(manifest.images[0].digests[0].tags.pop()),
                (2, Some(manifest)) => manifest.source = "other.io/staging".parse().unwrap(),
                (3, Some(manifest)) => drop(manifest.destinations.pop()),
                _ => region.canonical_host = "a.io".parse().unwrap(),
            }
            prop_assert_ne!(identity(&manifests, &production()), identity(&changed, &region));
        }
    }
}
