//! Benchmarks of the pure parts of a plan at the size of Kubernetes' production: manifests to edges, listings to inventories,
//! inventories to verdicts.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]
#![expect(clippy::unwrap_used, reason = "the input is valid, because the benchmark creates it")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use manifest::{Edges, Id};
use manifest::{Manifests, load_thin};
use oci::{Digest, Found, Listed, ListedManifest, MediaType, Repository};
use promote::{Inventory, ListingBuilder, decide};

const PROJECTS: usize = 110;
const IMAGES: usize = 12;
const DIGESTS: usize = 34;
const REGIONS: usize = 22;

/// Writes thin manifests with as many promotions as Kubernetes has.
fn write_manifests(directory: &Path) {
    for project in 0..PROJECTS {
        let (manifests, images) =
            (directory.join(format!("manifests/p{project}")), directory.join(format!("images/p{project}")));
        fs::create_dir_all(&manifests).unwrap();
        fs::create_dir_all(&images).unwrap();
        let mut text = format!("registries:\n- name: staging.example/p{project}\n  src: true\n");
        for region in 0..REGIONS {
            writeln!(text, "- name: r{region}.example/prod/p{project}").unwrap();
        }
        fs::write(manifests.join("promoter-manifest.yaml"), text).unwrap();
        let mut text = String::new();
        for image in 0..IMAGES {
            writeln!(text, "- name: image-{image}\n  dmap:").unwrap();
            for number in 0..DIGESTS {
                let digest = Digest::of(format!("{project}/{image}/{number}").as_bytes());
                writeln!(text, "    \"{digest}\": [\"v1.{number}\"]").unwrap();
            }
        }
        fs::write(images.join("images.yaml"), text).unwrap();
    }
}

/// Returns an inventory in which every production repository lists everything that the edges request.
fn listed(edges: &Edges) -> Inventory {
    let mut inventory = Inventory::default();
    for requested in edges.by_destination() {
        let mut draft = ListingBuilder::new(edges, requested[0].destination);
        draft.take(Listed::Manifests);
        for edge in requested {
            let (digest, media_type) = (*edges.digest(edge), MediaType::OciIndex);
            let tags = edges.tag(edge).cloned().into_iter().collect();
            draft.take(Listed::Manifest(ListedManifest { digest, media_type, tags, uploaded: None }));
        }
        inventory.listed(draft, &Found::Present(()));
    }
    // Staging is empty, because nothing has to be copied.
    let sources: std::collections::BTreeSet<Id<Repository>> =
        edges.all().iter().map(|edge| edge.source).collect();
    sources
        .into_iter()
        .for_each(|source| inventory.listed(ListingBuilder::new(edges, source), &Found::Present(())));
    inventory
}

fn plan(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    write_manifests(directory.path());
    let load = || -> Manifests { load_thin(directory.path()).unwrap() };
    let manifests = load();
    let edges = Edges::new(&manifests).unwrap();
    assert_eq!(edges.all().len(), PROJECTS * IMAGES * DIGESTS * REGIONS);
    let inventory = listed(&edges);

    let mut group = criterion.benchmark_group("987,360 edges");
    group.sample_size(10);
    group.bench_function("parse", |bencher| bencher.iter(|| black_box(load())));
    group.bench_function("expand", |bencher| bencher.iter(|| black_box(Edges::new(&manifests).unwrap())));
    group.bench_function("take in listings", |bencher| bencher.iter(|| black_box(listed(&edges))));
    group.bench_function("decide", |bencher| {
        bencher.iter(|| edges.all().iter().filter(|edge| decide(edge, &edges, &inventory).is_ok()).count());
    });
    group.finish();
}

criterion_group!(benches, plan);
criterion_main!(benches);
