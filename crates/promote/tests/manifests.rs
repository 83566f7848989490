//! What manifests are taken, and what is said of the others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use promote::Edges;
use promote::manifest::{
    Base, Diagnostics, DiffError, Manifests, limit_to_added, load_plain, load_thin, prow_base,
};
use tempfile::TempDir;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn wishes(manifests: &Manifests) -> Vec<String> {
    let edges = Edges::new(manifests).unwrap();
    let mut wishes: Vec<String> = edges
        .all()
        .iter()
        .map(|edge| {
            let tag = edges.tag(edge).map(ToString::to_string).unwrap_or_default();
            format!("{}@{} -> {}:{tag}", edges.source(edge), edges.digest(edge), edges.destination(edge))
        })
        .collect();
    wishes.sort();
    wishes
}

/// The table that says of forty manifests what the Go tool makes of them, and where we differ.
#[test]
fn the_golden_manifests_are_taken_and_refused_as_the_table_says() {
    let table = fs::read_to_string(data("golden/manifests/expected.tsv")).unwrap();
    let mut checked = 0;
    for row in table.lines().skip(1) {
        let [file, _, ours, said] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {row}")
        };
        let loaded = load_plain(&data("golden/manifests").join(file));
        match ours.split([' ', ',']).next().unwrap() {
            "accept" => {
                let manifests = loaded.unwrap_or_else(|wrong| panic!("{file}: {wrong}"));
                let said = said.replace("gcr.io/s//a", "gcr.io/s/a").replace("gcr.io/p//a", "gcr.io/p/a");
                let expected: Option<Vec<String>> = serde_json::from_str(&said).unwrap();
                assert_eq!(wishes(&manifests), expected.unwrap_or_default(), "{file}");
            }
            "overlap" => {
                let overlaps = Edges::new(&loaded.unwrap()).unwrap_err();
                assert_eq!(overlaps.len(), 1, "{file}");
                assert!(overlaps[0].to_string().contains(&format!("{file}:8:81")), "{}", overlaps[0]);
            }
            "reject" => {
                let wrong = loaded.err().unwrap_or_else(|| panic!("{file} is taken"));
                assert!(wrong.to_string().contains(file), "{file}: {wrong}");
            }
            other => panic!("{file}: what is `{other}`?"),
        }
        checked += 1;
    }
    assert_eq!(checked, 40);
}

/// Real files of Kubernetes, as a thin pair.
#[test]
fn real_manifests_have_all_their_destinations_and_none_is_taken_for_another() {
    let images = fs::read_to_string(data("k8s/coredns-images.yaml")).unwrap();
    for (project, destinations) in [("coredns", 20), ("kubernetes", 40), ("sp-operator", 60)] {
        let manifest = fs::read_to_string(data(&format!("k8s/{project}-promoter-manifest.yaml"))).unwrap();
        let folder = thin(&[(project, &manifest, Some(&images))]);
        let manifests = load_thin(folder.path()).unwrap_or_else(|wrong| panic!("{project}: {wrong}"));
        assert_eq!(manifests.manifests[0].destinations.len(), destinations, "{project}");
        let edges = Edges::new(&manifests).unwrap();
        let tags = manifests.manifests[0].images[0].digests.iter().map(|wish| wish.tags.len()).sum::<usize>();
        assert_eq!(edges.all().len(), destinations * tags, "{project}");
        assert_eq!(edges.repeated(), 0, "{project}");
    }
}

/// A folder of thin manifests: project, registries, images.
fn thin(projects: &[(&str, &str, Option<&str>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for directory in ["manifests", "images"] {
        fs::create_dir(folder.path().join(directory)).unwrap();
    }
    for (project, registries, images) in projects {
        write(folder.path(), &format!("manifests/{project}/promoter-manifest.yaml"), registries);
        if let Some(images) = images {
            write(folder.path(), &format!("images/{project}/images.yaml"), images);
        }
    }
    folder
}

fn write(folder: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn registries(source: &str) -> String {
    format!("registries:\n- name: gcr.io/{source}\n  src: true\n- name: gcr.io/prod\n")
}

fn images(name: &str, digest: &str, tags: &str) -> String {
    format!("- name: {name}\n  dmap:\n    \"{digest}\": {tags}\n")
}

fn plain(text: impl AsRef<[u8]>) -> Result<Manifests, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.yaml");
    fs::write(&file, text).unwrap();
    load_plain(&file).map_err(|wrong| relative(&wrong, folder.path()))
}

/// What is said, without the folder of the test.
fn relative(wrong: &Diagnostics, folder: &Path) -> String {
    wrong.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn all_errors_of_all_files_are_told_at_once_with_line_and_column() {
    let bad = "registries:\n- name: gcr.io/staging\n  src: perhaps\n- nam: gcr.io/prod\n";
    let images = format!(
        "- name: Apple\n  dmap:\n    \"sha256:abc\": [v1, -x]\n    \"{A}\": [ok]\n    \"{A}\": [again]\n- dmap: {{}}\n"
    );
    let folder = thin(&[("one", bad, Some(&images)), ("two", &registries("s"), None)]);
    let wrong = load_thin(folder.path()).unwrap_err();
    insta::assert_snapshot!(relative(&wrong, folder.path()));
}

#[test]
fn tabs_binary_files_and_second_documents_are_named_for_what_they_are() {
    for (text, expected) in [
        ("registries:\n\t- name: x\n".as_bytes(), "manifest.yaml:2:2"),
        (b"\xff\xfe\x00".as_slice(), "not text in UTF-8: byte 1"),
        (b"registries: \0".as_slice(), "binary"),
        (b"registries: []\n---\nimages: []\n".as_slice(), "second document"),
        (b"- 1\n".as_slice(), "a mapping with"),
        (b"registries: {a: b}\n".as_slice(), "a list of registries"),
        (b"provenance: {}\n".as_slice(), "not yet in this build"),
    ] {
        let wrong = plain(text).unwrap_err();
        assert!(wrong.contains(expected), "{wrong}");
    }
}

/// Bounded in time and memory, whatever is in the file.
#[test]
fn bombs_deep_nesting_and_huge_files_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
    }
    assert!(plain(bomb).unwrap_err().contains("aliases"));
    for opening in ["[", "{a: ", "- "] {
        let wrong = plain(opening.repeat(1_000_000)).unwrap_err();
        assert!(wrong.contains("nest") || wrong.contains("recursion") || wrong.contains("depth"), "{wrong}");
    }
    assert!(plain(vec![b'#'; 50 << 20]).unwrap_err().contains("larger than 16 MiB"));
    let unknown: String = (0..200_000).map(|number| format!("field-{number}: x\n")).collect();
    let wrong = plain(unknown).unwrap_err();
    assert!(wrong.contains("more") && wrong.len() < 100_000, "{} bytes are said", wrong.len());
}

#[test]
fn a_name_that_is_too_long_together_with_its_registry_is_an_error() {
    let name = "a".repeat(251);
    let text = format!("{}images:\n{}", registries("long"), images(&name, A, "[v1]"));
    assert!(plain(text).unwrap_err().contains("255"));
}

#[test]
fn a_project_folder_without_a_manifest_is_a_warning_and_files_beside_are_ignored() {
    let folder = thin(&[("app", &registries("s"), Some(&images("app", A, "[v1]")))]);
    write(folder.path(), "manifests/README.md", "read me");
    write(folder.path(), "manifests/app/OWNERS", "me");
    fs::create_dir(folder.path().join("manifests/empty")).unwrap();
    write(folder.path(), "images/unmentioned/images.yaml", "not read");
    let manifests = load_thin(folder.path()).unwrap();
    assert_eq!(manifests.manifests.len(), 1);
    assert_eq!(manifests.warnings.len(), 1);
    assert!(manifests.warnings[0].to_string().contains("empty"));
}

#[test]
fn imagespath_is_a_leftover_of_thin_manifests_and_means_nothing() {
    let text = format!("{}imagesPath: ../elsewhere\n", registries("s"));
    let folder = thin(&[("app", &text, Some("# nothing is promoted yet\n"))]);
    assert!(load_thin(folder.path()).unwrap().manifests[0].images.is_empty());
}

#[test]
fn a_manifest_at_the_wrong_depth_is_an_error() {
    for place in ["manifests/promoter-manifest.yaml", "manifests/a/b/promoter-manifest.yaml"] {
        let folder = thin(&[("app", &registries("s"), Some(&images("app", A, "[v1]")))]);
        write(folder.path(), place, registries("s"));
        let wrong = load_thin(folder.path()).unwrap_err().to_string();
        assert!(wrong.contains("wrong depth") && wrong.contains(place), "{wrong}");
    }
}

#[test]
fn folders_that_are_missing_or_are_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load_thin(&folder.path().join("nowhere")).unwrap_err().to_string().contains("cannot be read"));
    write(folder.path(), "manifests", "a file");
    fs::create_dir(folder.path().join("images")).unwrap();
    assert!(load_thin(folder.path()).unwrap_err().to_string().contains("not a folder"));
}

#[test]
fn links_that_leave_the_folder_and_pipes_are_refused_and_links_within_are_followed() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "images.yaml", images("app", A, "[v1]"));
    let folder = thin(&[
        ("app", &registries("s"), None),
        ("pipe", &registries("s"), None),
        ("within", &registries("s"), None),
    ]);
    write(folder.path(), "images/shared/images.yaml", images("app", B, "[v2]"));
    for project in ["app", "pipe", "within"] {
        fs::create_dir_all(folder.path().join("images").join(project)).unwrap();
    }
    let link = |from: &Path, project: &str| {
        std::os::unix::fs::symlink(from, folder.path().join(format!("images/{project}/images.yaml")))
            .unwrap();
    };
    link(&outside.path().join("images.yaml"), "app");
    link(Path::new("../shared/images.yaml"), "within");
    let pipe = folder.path().join("images/pipe/images.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let wrong = load_thin(folder.path()).unwrap_err().to_string();
    assert!(wrong.contains("leads out of the folder") && wrong.contains("not a regular file"), "{wrong}");
    assert!(!wrong.contains("within"), "{wrong}");
}

/// A git repository with a folder of thin manifests below its top.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        this.git(&["init", "-q", "-b", "main"]);
        this
    }

    fn thin(&self) -> PathBuf {
        self.folder.path().join("registry.k8s.io")
    }

    fn write(&self, project: &str, source: &str, images: &str) {
        write(&self.thin(), &format!("manifests/{project}/promoter-manifest.yaml"), registries(source));
        write(&self.thin(), &format!("images/{project}/images.yaml"), images);
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    fn commit(&self, date: &str) {
        self.git(&["add", "-A"]);
        let status = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "x"])
            .env("GIT_COMMITTER_DATE", date)
            .env("GIT_AUTHOR_DATE", date)
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn added(&self, base: &Base) -> Result<Vec<String>, DiffError> {
        let manifests = load_thin(&self.thin()).unwrap_or_else(|wrong| panic!("{wrong}"));
        limit_to_added(manifests, &self.thin(), base).map(|manifests| wishes(&manifests))
    }
}

const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const LATER: &str = "2020-02-01T00:00:00Z";

#[test]
fn only_what_a_commit_has_added_is_promoted() {
    let repository = Repository::new();
    let before = format!("{}{}", images("old", A, "[v1]"), images("gone", A, "[v1]"));
    repository.write("app", "s", &before);
    repository.write("other", "s2", &images("other", A, "[v1]"));
    repository.commit(LONG_AGO);
    // A new tag on an old digest, a new image, a removed line, a project renamed without a change.
    let after = format!("{}{}", images("old", A, "[v1, v1.0]"), images("new", B, "[v2]"));
    repository.write("app", "s", &after);
    fs::rename(repository.thin().join("manifests/other"), repository.thin().join("manifests/renamed"))
        .unwrap();
    fs::rename(repository.thin().join("images/other"), repository.thin().join("images/renamed")).unwrap();
    repository.commit(LATER);
    let added = repository.added(&Base::Revision("HEAD^".to_owned())).unwrap();
    let expected = [
        format!("gcr.io/s/new@{B} -> gcr.io/prod/new:v2"),
        format!("gcr.io/s/old@{A} -> gcr.io/prod/old:v1.0"),
    ];
    assert_eq!(added, expected);
    assert!(repository.added(&Base::Revision("HEAD".to_owned())).unwrap().is_empty());
}

/// A digest that loses its tags is wished without a tag now.
#[test]
fn a_digest_that_has_lost_its_tags_is_a_new_wish() {
    let repository = Repository::new();
    repository.write("app", "s", &images("app", A, "[v1]"));
    repository.commit(LONG_AGO);
    repository.write("app", "s", &images("app", A, "[]"));
    assert_eq!(
        repository.added(&Base::Revision("HEAD".to_owned())).unwrap(),
        [format!("gcr.io/s/app@{A} -> gcr.io/prod/app:")]
    );
}

#[test]
fn a_file_that_could_not_be_read_then_counts_as_absent_with_a_warning() {
    let repository = Repository::new();
    repository.write("app", "s", "not: [a manifest");
    repository.commit(LONG_AGO);
    repository.write("app", "s", &images("app", A, "[v1]"));
    let manifests = load_thin(&repository.thin()).unwrap();
    let limited = limit_to_added(manifests, &repository.thin(), &Base::Revision("HEAD".to_owned())).unwrap();
    assert_eq!(wishes(&limited).len(), 1);
    assert_eq!(limited.warnings.len(), 1);
}

#[test]
fn since_a_date_is_since_the_parent_of_the_oldest_commit_after_it() {
    let repository = Repository::new();
    repository.write("app", "s", &images("first", A, "[v1]"));
    repository.commit(LONG_AGO);
    repository.write("app", "s", &format!("{}{}", images("first", A, "[v1]"), images("second", A, "[v1]")));
    repository.commit(LATER);
    let since = |when: &str| repository.added(&Base::Since(when.to_owned())).unwrap();
    assert_eq!(since("2020-01-15"), [format!("gcr.io/s/second@{A} -> gcr.io/prod/second:v1")]);
    assert_eq!(since("2019-12-01").len(), 1, "the first commit has no parent, and is the base itself");
    assert!(since("2020-03-01").is_empty(), "nothing has happened since");
}

#[test]
fn git_that_cannot_tell_is_an_error() {
    let repository = Repository::new();
    repository.write("app", "s", &images("app", A, "[v1]"));
    repository.commit(LONG_AGO);
    for revision in ["no-such-revision", "--output=x", "HEAD^"] {
        let error = repository.added(&Base::Revision(revision.to_owned())).unwrap_err();
        assert!(matches!(error, DiffError::Failed { .. }), "{revision}: {error}");
    }
    let nowhere = thin(&[("app", &registries("s"), Some(&images("app", A, "[v1]")))]);
    let manifests = load_thin(nowhere.path()).unwrap();
    let error = limit_to_added(manifests, nowhere.path(), &Base::Revision("HEAD".to_owned())).unwrap_err();
    assert!(error.to_string().contains("not a git repository"), "{error}");
}

#[test]
fn a_plain_manifest_is_compared_too() {
    let repository = Repository::new();
    let text = |tags: &str| format!("{}images:\n{}", registries("s"), images("app", A, tags));
    write(repository.folder.path(), "manifest.yaml", text("[v1]"));
    repository.commit(LONG_AGO);
    write(repository.folder.path(), "manifest.yaml", text("[v1, v2]"));
    let file = repository.folder.path().join("manifest.yaml");
    let added =
        limit_to_added(load_plain(&file).unwrap(), &file, &Base::Revision("HEAD".to_owned())).unwrap();
    assert_eq!(wishes(&added), [format!("gcr.io/s/app@{A} -> gcr.io/prod/app:v2")]);
}

#[test]
fn a_prow_job_says_what_to_compare_with() {
    let revision = |text: &str| Base::Revision(text.to_owned());
    assert_eq!(prow_base(Some("postsubmit"), None).unwrap(), revision("HEAD^"));
    assert_eq!(prow_base(Some("presubmit"), Some("abc")).unwrap(), revision("abc"));
    assert_eq!(prow_base(Some("batch"), Some("abc")).unwrap(), revision("abc"));
    assert!(matches!(prow_base(Some("presubmit"), None), Err(DiffError::NoBase)));
    assert!(matches!(prow_base(Some("periodic"), Some("abc")), Err(DiffError::JobType(_))));
    assert!(matches!(prow_base(None, None), Err(DiffError::JobType(_))));
}
