//! Snapshots of registries, with the requests that they cost.

use registry::{Canned, Effect, Fault, Kind};

use crate::snapshot::scene::{Expected, expected, fill, image, index, paged};
use crate::support::{cip, google, kpromo_with, put};

/// One request for each name in the tree below `prod`; `prod` is itself a repository.
#[tokio::test(flavor = "multi_thread")]
async fn google_s_child_lists_are_followed_with_one_request_a_repository() {
    let server = google().await;
    fill(&server).await;
    put(&server, "prod/deep/down/image", &image(8), &[]).await;
    let mut all = expected(true);
    all.add("deep/down/image", image(8).digest(), &[]);
    let registry = format!("{}/prod", server.host());
    let ran = cip(&["--snapshot", &registry]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    let requests = server.tally().snapshot();
    // prod, app, app/agent, app-b, deep, deep/down, deep/down/image
    assert_eq!((requests.requests(Kind::TagList), requests.total()), (7, 7));

    let modern = kpromo_with(&["snapshot", &format!("{registry}/"), "--output=yaml"]);
    assert_eq!((modern.code, modern.stdout), (0, all.yaml()), "{}", modern.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_listed_by_its_catalog_even_if_its_lists_are_google_s() {
    let server = google().await;
    put(&server, "a/b", &index(1), &["v1"]).await;
    put(&server, "c", &image(2), &[]).await;
    let ran = cip(&["--snapshot", server.host().as_str()]);
    let mut all = Expected::default();
    all.add_whole("a/b", &index(1), &["v1"]);
    all.add("c", image(2).digest(), &[]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    let requests = server.tally().snapshot();
    assert_eq!(
        (requests.requests(Kind::Catalog), requests.requests(Kind::TagList), requests.total()),
        (1, 2, 3)
    );
}

/// Pages have two entries. The catalog has seven repositories, of which four are at or below the path.
#[tokio::test(flavor = "multi_thread")]
async fn other_registries_cost_a_request_a_page_and_one_for_each_tag() {
    let server = paged().await;
    fill(&server).await;
    let ran = cip(&["--snapshot", &format!("{}/prod", server.host())]);
    assert_eq!((ran.code, ran.stdout), (0, expected(false).yaml()), "{}", ran.stderr);
    let requests = server.tally().snapshot();
    let catalog = requests.requests(Kind::Catalog);
    assert_eq!(catalog, 3, "six repositories");
    // prod: 1 page, app: 2, app/agent: 1, app-b: 2
    assert_eq!((requests.requests(Kind::TagList), requests.requests(Kind::ManifestHead)), (6, 8));
    assert_eq!(requests.total(), 3 + 6 + 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn minimal_leaves_out_untagged_children_and_reads_each_index_once() {
    let server = google().await;
    put(&server, "prod/app", &index(1), &["v1"]).await;
    put(&server, "prod/copy", &index(1), &["v1"]).await;
    put(&server, "prod/untagged-index", &index(2), &[]).await;
    let lone = index(3);
    put(&server, "prod/lone", &image(4), &[]).await;
    // A child that another repository's index lists, and a child that has a tag.
    let child = lone.root().parse().unwrap().children[0].digest;
    put(&server, "prod/parent", &lone, &["v1"]).await;
    let mut all = Expected::default();
    all.add("app", index(1).digest(), &["v1"]);
    all.add("copy", index(1).digest(), &["v1"]);
    all.add("untagged-index", index(2).digest(), &[]);
    all.add("lone", image(4).digest(), &[]);
    all.add("parent", lone.digest(), &["v1"]);
    let ran = cip(&["--snapshot", &format!("{}/prod", server.host()), "--minimal-snapshot"]);
    assert_eq!((ran.code, &ran.stdout), (0, &all.yaml()), "{}", ran.stderr);
    assert!(!ran.stdout.contains(&child.to_string()));
    let requests = server.tally().snapshot();
    assert_eq!((requests.requests(Kind::ManifestGet), requests.requests(Kind::ManifestHead)), (3, 0));

    server.tally().reset();
    let ran =
        cip(&["--snapshot", &format!("{}/prod", server.host()), "--minimal-snapshot", "--snapshot-tag=v1"]);
    assert_eq!(ran.stdout.matches("[\"v1\"]").count(), 3);
    assert_eq!(server.tally().snapshot().requests(Kind::ManifestGet), 0, "what has a tag is never left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn minimal_manifests_are_compared_with_the_indexes_of_the_registry() {
    let (server, desk) = (google().await, crate::support::Desk::new());
    let (listed, lone) = (index(1), image(9));
    put(&server, "prod/app", &listed, &["v1"]).await;
    let child = listed.root().parse().unwrap().children[0].digest;
    let registry = format!("{}/prod", server.host());
    let images =
        [("app", child, [].as_slice()), ("app", listed.digest(), &["v1"]), ("lone", lone.digest(), &[])];
    let manifest = desk.manifest("r.example/staging", std::slice::from_ref(&registry), &images[..1]);
    let text = std::fs::read_to_string(&manifest).unwrap()
        + &format!("    \"{}\": [\"v1\"]\n- name: lone\n  dmap:\n    \"{}\": []\n", images[1].1, images[2].1);
    std::fs::write(&manifest, text).unwrap();
    let flag = format!("--manifest={}", manifest.display());
    let ran = cip(&[&flag, "--manifest-based-snapshot-of", &registry, "--minimal-snapshot"]);
    let mut all = Expected::default();
    all.add("app", listed.digest(), &["v1"]);
    all.add("lone", lone.digest(), &[]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    server.tally().reset();
    let ran = cip(&[&flag, "--manifest-based-snapshot-of", &registry]);
    assert!(ran.stdout.contains(&child.to_string()));
    assert_eq!(server.tally().snapshot().total(), 0, "the manifests alone are read");
}

/// Only repositories with the tag are asked for the manifests of their tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_tag_has_all_tags_of_the_digests_that_have_it() {
    for server in [google().await, paged().await] {
        fill(&server).await;
        let ran = cip(&["--snapshot", &format!("{}/prod", server.host()), "--snapshot-tag", "latest"]);
        let mut all = Expected::default();
        all.add("app", index(2).digest(), &["v1", "latest", "v0"]);
        assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
        let heads = server.tally().snapshot().requests(Kind::ManifestHead);
        assert!(heads == 0 || heads == 3, "{heads}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_listed_alone_where_there_is_no_catalog() {
    let server = paged().await;
    fill(&server).await;
    let refusal = Canned::new(http::StatusCode::NOT_FOUND).with_body("text/plain", "404 page not found");
    server.faults().add(Fault::new(Effect::Canned(refusal)).on(Kind::Catalog));
    let ran = cip(&["--snapshot", &format!("{}/prod/app-b", server.host()), "--output=csv"]);
    let (a, b) = (image(4).digest(), image(5).digest());
    let mut lines = [format!("@{a},:v2\n"), format!("@{b},:v10\n@{b},:v9\n")];
    lines.sort();
    assert_eq!((ran.code, ran.stdout), (0, lines.concat() + "\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no catalog") && ran.stderr.contains("not what may be below"),
        "{}",
        ran.stderr
    );

    for registry in [format!("{}/nowhere", server.host()), server.host().to_string()] {
        let ran = cip(&["--snapshot", &registry]);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("neither Google's child lists nor a catalog"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{}/REPOSITORY", server.host())), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_registry_is_an_empty_line() {
    let server = paged().await;
    let ran = cip(&["--snapshot", server.host().as_str()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "\n"), "{}", ran.stderr);
}

/// Every read waits for a slow quota, and nothing holds its place while it waits for another.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time_reads_the_same() {
    let server = paged().await;
    fill(&server).await;
    let desk = crate::support::Desk::new();
    let config = format!("hosts: {{ '{}': {{ concurrency: 1 }} }}\n", server.host());
    let config = desk.write("config.yaml", &config);
    let registry = format!("{}/prod", server.host());
    let ran = cip(&["--snapshot", &registry, "--config", config.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout), (0, expected(false).yaml()), "{}", ran.stderr);
}
