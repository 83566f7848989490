//! The allowed directions of dependencies in this workspace, and the only crate that may use an HTTP client.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The crates of the workspace, each with those that it may depend on. The directions do not apply to `[dev-dependencies]`,
/// because a registry is tested with a client, and a client with a registry.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("transport", &[]),
    ("oci-types", &[]),
    ("manifest", &["oci-types"]),
    ("run", &[]),
    ("oci", &["oci-types", "transport"]),
    ("sigstore", &["oci-types", "transport"]),
    ("trust", &["manifest", "oci", "oci-types", "sigstore", "transport"]),
    ("promote", &["manifest", "oci", "oci-types", "run", "sigstore", "trust"]),
    ("files", &["manifest", "oci-types", "run", "transport"]),
    ("registry", &["oci"]),
    (
        "kpromo",
        &["files", "manifest", "oci", "oci-types", "promote", "registry", "sigstore", "transport", "trust"],
    ),
    ("testkit", &["oci", "registry"]),
    ("bench", &["oci", "registry"]),
    ("xtask", &[]),
];

/// Crates whose tests must follow the directions, too, because they check the other crates.
const STRICT: &[&str] = &["xtask"];

/// Pure crates. They need no runtime and no HTTP, and they compile quickly.
const PURE: &[&str] = &["oci-types", "manifest"];

/// Crates that no pure crate may depend on, not even indirectly.
const IMPURE: &[&str] = &["futures-core", "http", "hyper", "reqwest", "rustls", "tokio", "transport"];

/// The maximum number of packages that a pure crate may need, itself included. It makes an additional dependency visible.
const PURE_PACKAGES_MAX: usize = 90;

/// HTTP clients. Only `transport` may depend on one, and tests, which act as clients of a server.
const HTTP_CLIENTS: &[&str] = &["attohttpc", "curl", "isahc", "reqwest", "ureq"];

/// A dependency of one crate on another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    /// Whether the dependency is only for building or running tests.
    tests_only: bool,
}

fn workspace() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

fn members(metadata: &Metadata) -> BTreeSet<String> {
    metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect()
}

/// Returns every dependency that a crate of the workspace declares, for every platform and feature.
fn edges(metadata: &Metadata) -> Vec<Edge> {
    let of_package = |package: &&cargo_metadata::Package| -> Vec<Edge> {
        let edge = |dependency: &cargo_metadata::Dependency| Edge {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            tests_only: dependency.kind == DependencyKind::Development,
        };
        package.dependencies.iter().map(edge).collect()
    };
    metadata.workspace_packages().iter().flat_map(of_package).collect()
}

/// Returns the dependencies within the workspace that the table above does not allow.
fn violations(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let table: BTreeMap<_, _> = MAY_DEPEND_ON.iter().copied().collect();
    let unknown = members
        .iter()
        .filter(|member| !table.contains_key(member.as_str()))
        .map(|member| format!("{member} is not in the table of directions"));
    let forbidden = edges
        .iter()
        .filter(|edge| members.contains(&edge.to))
        .filter(|edge| !edge.tests_only || STRICT.contains(&edge.from.as_str()))
        .filter(|edge| {
            !table.get(edge.from.as_str()).is_some_and(|allowed| allowed.contains(&edge.to.as_str()))
        })
        .map(|edge| format!("{} may not depend on {}", edge.from, edge.to));
    unknown.chain(forbidden).collect()
}

/// Returns the crates besides `transport` that depend on an HTTP client.
fn other_http_users(edges: &[Edge]) -> Vec<String> {
    edges
        .iter()
        .filter(|edge| edge.from != "transport" && !edge.tests_only)
        .filter(|edge| HTTP_CLIENTS.contains(&edge.to.as_str()))
        .map(|edge| format!("{} depends on {}", edge.from, edge.to))
        .collect()
}

fn edge(from: &str, to: &str, tests_only: bool) -> Edge {
    Edge { from: from.into(), to: to.into(), tests_only }
}

/// Returns whether `text` contains `word` as a whole word.
fn names(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Returns all Rust sources below `directory`.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Returns the sources of crates other than `transport` that name `reqwest`.
fn sources_that_name_the_client(crates: &Path) -> Vec<PathBuf> {
    let directories = fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path());
    directories
        .filter(|directory| !directory.ends_with("transport") && directory.join("src").is_dir())
        .flat_map(|directory| sources(&directory.join("src")))
        .filter(|source| names(&fs::read_to_string(source).unwrap(), "reqwest"))
        .collect()
}

#[test]
fn the_crates_depend_on_one_another_in_the_allowed_directions_only() {
    let metadata = workspace();
    let edges = edges(&metadata);
    assert!(edges.contains(&edge("oci", "transport", false)), "the dependencies have been read");
    assert_eq!(violations(&members(&metadata), &edges), [""; 0]);
}

#[test]
fn only_transport_depends_on_an_http_client() {
    let edges = edges(&workspace());
    assert!(edges.contains(&edge("transport", "reqwest", false)), "the dependencies have been read");
    assert_eq!(other_http_users(&edges), [""; 0]);
}

#[test]
fn only_transport_names_the_http_client() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    assert_eq!(sources_that_name_the_client(&crates), Vec::<PathBuf>::new());
}

/// Returns the packages that a crate is built from, itself included, without those that only its tests need.
fn packages_of(metadata: &Metadata, crate_name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let root = metadata.workspace_packages().into_iter().find(|package| package.name == crate_name).unwrap();
    let (mut reached, mut open) = (BTreeSet::from([&root.id]), vec![&root.id]);
    while let Some(id) = open.pop() {
        let built = nodes[id].deps.iter().filter(|dependency| {
            dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
        });
        open.extend(built.map(|dependency| &dependency.pkg).filter(|package| reached.insert(package)));
    }
    reached.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn pure_crates_are_built_of_few_packages_and_without_http() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let platform = vec!["--filter-platform".to_owned(), "x86_64-unknown-linux-gnu".to_owned()];
    let metadata = MetadataCommand::new().manifest_path(manifest).other_options(platform).exec().unwrap();
    for pure in PURE {
        let packages = packages_of(&metadata, pure);
        let impure: Vec<_> = packages.iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(impure.is_empty(), "{pure} needs {impure:?}");
        assert!(
            packages.len() <= PURE_PACKAGES_MAX,
            "{pure} needs {} packages: {packages:?}",
            packages.len()
        );
    }
    assert!(packages_of(&metadata, "oci").contains("tokio"), "indirect dependencies are found");
}

/// The maximum number of lines of a source file. A longer file usually has more than one topic.
const LINES_MAX: usize = 500;

/// `.ci/run` deletes what was compiled of the workspace by the names of its targets, and keeps the dependencies.
#[test]
fn no_test_program_has_the_name_of_a_dependency() {
    let metadata = workspace();
    let tests = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
    let names: BTreeSet<_> =
        tests.filter(|target| target.is_test()).map(|target| target.name.clone()).collect();
    assert!(names.contains("suite"), "the targets have been read");
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    // A dependency has a source, which the crates of the workspace lack.
    let dependencies = lock.split("[[package]]").filter(|package| package.contains("\nsource = "));
    let dependencies: BTreeSet<_> = dependencies
        .filter_map(|package| package.split("name = \"").nth(1)?.split('"').next())
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(dependencies.contains("http"), "the dependencies have been read");
    assert_eq!(names.intersection(&dependencies).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_source_file_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let directories = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let all = directories.chain([root.join("xtask")]).flat_map(|directory| sources(&directory));
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<_> = all.filter(|path| lines(path) > LINES_MAX).collect();
    assert_eq!(long, Vec::<PathBuf>::new());
}

/// Returns the paths of source files in backticks in a page.
fn named_sources(page: &str) -> Vec<&str> {
    page.split('`').skip(1).step_by(2).filter(|text| text.ends_with(".rs") && text.contains('/')).collect()
}

#[test]
fn the_page_of_locations_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/design/where-is.md")).unwrap();
    let named = named_sources(&page);
    assert!(named.len() > 20, "the page has been read");
    let missing: Vec<_> = named.iter().filter(|path| !root.join("crates").join(path).is_file()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn an_edge_against_the_directions_is_found() {
    let members = MAY_DEPEND_ON.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found = |from, to, tests_only| !violations(&members, &[edge(from, to, tests_only)]).is_empty();
    for (from, to) in [
        ("transport", "oci"),
        ("oci", "promote"),
        ("oci-types", "oci"),
        ("manifest", "oci"),
        ("manifest", "sigstore"),
        ("oci", "sigstore"),
        ("sigstore", "oci"),
        ("promote", "transport"),
        ("trust", "promote"),
        ("promote", "registry"),
        ("registry", "transport"),
        ("kpromo", "testkit"),
        ("testkit", "promote"),
        ("xtask", "oci"),
    ] {
        assert!(found(from, to, false), "{from} -> {to}");
    }
    assert!(found("xtask", "oci", true), "not even the tests of xtask");
    assert!(!found("oci", "registry", true), "tests may depend on any crate");
    assert!(!found("promote", "oci", false), "an allowed direction");
    assert!(!found("promote", "serde", false), "not a crate of the workspace");
}

#[test]
fn a_crate_that_is_missing_from_the_table_is_found() {
    let members = BTreeSet::from(["oci".to_owned(), "newcomer".to_owned()]);
    assert_eq!(violations(&members, &[]), ["newcomer is not in the table of directions"]);
}

#[test]
fn a_second_user_of_an_http_client_is_found() {
    assert_eq!(other_http_users(&[edge("promote", "ureq", false)]), ["promote depends on ureq"]);
    assert!(
        other_http_users(&[edge("transport", "reqwest", false), edge("registry", "reqwest", true)])
            .is_empty()
    );
    let crates = tempfile::tempdir().unwrap();
    for name in ["transport", "promote"] {
        let source = crates.path().join(name).join("src/deep");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("client.rs"), "use reqwest::Client;").unwrap();
        fs::write(source.join("other.rs"), "let reqwests = 0;").unwrap();
    }
    let found = sources_that_name_the_client(crates.path());
    assert_eq!(found, [crates.path().join("promote/src/deep/client.rs")]);
}
