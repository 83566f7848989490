//! Benchmarks of lint at the size of Kubernetes: 110 projects with 45,000 tags, promoted to 22 regions.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]
#![expect(clippy::unwrap_used, reason = "the input is valid, because the benchmark creates it")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use criterion::{Criterion, criterion_group, criterion_main};
use manifest::Base;
use manifest::lint::{Target, lint};
use oci_types::Digest;

const PROJECTS: usize = 110;
const IMAGES: usize = 12;
const DIGESTS: usize = 34;
const REGIONS: usize = 22;

/// Writes the manifests. With `is_changed`, every project has one more tag, and one project moves one.
fn write_manifests(directory: &Path, is_changed: bool) {
    for project in 0..PROJECTS {
        let (manifests, images) = (
            directory.join(format!("manifests/p{project:03}")),
            directory.join(format!("images/p{project:03}")),
        );
        fs::create_dir_all(&manifests).unwrap();
        fs::create_dir_all(&images).unwrap();
        let mut text = format!("registries:\n- name: staging.example/p{project}\n  src: true\n");
        for region in 0..REGIONS {
            writeln!(text, "- name: r{region}.example/prod/p{project}").unwrap();
        }
        fs::write(manifests.join("promoter-manifest.yaml"), text).unwrap();
        let mut text = String::new();
        for image in 0..IMAGES {
            writeln!(text, "- name: image-{image:02}\n  dmap:").unwrap();
            for number in 0..DIGESTS + usize::from(is_changed && image == 0) {
                let is_moved = is_changed && (project, image, number) == (50, 5, 5);
                let digest = Digest::of(format!("{project}/{image}/{number}/{is_moved}").as_bytes());
                writeln!(text, "    \"{digest}\": [\"v1.{number}\"]").unwrap();
            }
        }
        fs::write(images.join("images.yaml"), text).unwrap();
    }
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
    assert!(command.args(arguments).status().unwrap().success());
}

fn check(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    write_manifests(directory.path(), false);
    git(directory.path(), &["init", "--quiet"]);
    git(directory.path(), &["add", "--all"]);
    git(directory.path(), &["commit", "--quiet", "--message=x"]);
    let target = Target::Thin { directory: directory.path().to_owned(), projects: None };
    let base = Base::Revision("HEAD".to_owned());
    assert_eq!(lint(&target, Some(&base), &[]).unwrap().findings.len(), 0);

    let mut group = criterion.benchmark_group("lint of 44,880 tags");
    group.sample_size(10);
    group.bench_function("alone", |bencher| bencher.iter(|| black_box(lint(&target, None, &[]).unwrap())));
    write_manifests(directory.path(), true);
    let moved = lint(&target, Some(&base), &[]).unwrap();
    assert_eq!((moved.errors(), moved.warnings()), (1, 0));
    group.bench_function("compared with a commit", |bencher| {
        bencher.iter(|| black_box(lint(&target, Some(&base), &[]).unwrap()));
    });
    // Every image is out of order, and every digest has no quotes.
    for project in 0..PROJECTS {
        let path = directory.path().join(format!("images/p{project:03}/images.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_at(text.find("- name: image-06").unwrap());
        fs::write(&path, format!("{rest}{first}").replace('"', "")).unwrap();
    }
    group.bench_function("fix everything", |bencher| {
        bencher.iter(|| black_box(lint(&target, None, &[]).unwrap().fixed()));
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
