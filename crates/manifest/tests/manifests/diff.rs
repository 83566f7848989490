//! Runs over a diff between commits of real git repositories.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use manifest::{Base, DiffError, Manifests, keep_added, limit_to_added, load_plain, load_thin};
use tempfile::TempDir;

use crate::support::{REGISTRIES, image, load, promotions, write, write_thin};

/// Returns the edges that a second text adds to a first one. Both have the same registries.
fn added(before: &str, after: &str) -> Vec<String> {
    let manifests = |images: &str| load(format!("{REGISTRIES}images:\n{images}")).unwrap();
    promotions(&keep_added(manifests(after), &manifests(before).manifests))
}

#[test]
fn edges_of_the_base_are_left_out() {
    let before = image("a", &[('a', "x"), ('b', "")]);
    assert!(added(&before, &before).is_empty());
    assert_eq!(added("", &before), ["a@a:x", "a@b"]);
}

#[test]
fn a_new_tag_on_an_old_digest_is_added() {
    assert_eq!(added(&image("a", &[('a', "x")]), &image("a", &[('a', "x, y")])), ["a@a:y"]);
}

#[test]
fn a_removed_line_is_not_added() {
    assert!(added(&image("a", &[('a', "x"), ('b', "y")]), &image("a", &[('b', "y")])).is_empty());
}

#[test]
fn a_digest_that_lost_its_tags_is_added_without_a_tag() {
    assert_eq!(added(&image("a", &[('a', "x")]), &image("a", &[('a', "")])), ["a@a"]);
}

#[test]
fn a_digest_under_another_name_is_added() {
    assert_eq!(added(&image("a", &[('a', "x")]), &image("b", &[('a', "x")])), ["b@a:x"]);
}

#[test]
fn a_tag_that_moved_to_another_digest_is_added() {
    assert_eq!(added(&image("a", &[('a', "x")]), &image("a", &[('b', "x")])), ["a@b:x"]);
}

/// A git repository with a directory of thin manifests below its root.
pub(crate) struct Repository {
    pub(crate) directory: TempDir,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let this = Self { directory: TempDir::new().unwrap() };
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this
    }

    /// The name has characters that git quotes in its output.
    fn manifests(&self) -> PathBuf {
        self.directory.path().join("odd \"näme\"\n*")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_at("2026-01-01T00:00:00Z", arguments)
    }

    fn git_at(&self, date: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.directory.path())
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn thin(&self, project: &str, images: &str) {
        write_thin(&self.manifests(), project, REGISTRIES, images);
    }

    pub(crate) fn commit(&self) -> String {
        self.commit_at("2026-01-01T00:00:00Z")
    }

    fn commit_at(&self, date: &str) -> String {
        self.git(&["add", "--all"]);
        self.git_at(date, &["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn limited(&self, base: &Base) -> Result<Manifests, DiffError> {
        let directory = self.manifests();
        limit_to_added(load_thin(&directory).unwrap_or_else(|wrong| panic!("{wrong}")), &directory, base)
    }

    fn added(&self, base: &Base) -> Vec<String> {
        promotions(&self.limited(base).unwrap_or_else(|error| panic!("{error}")))
    }
}

fn revision(text: &str) -> Base {
    Base::Revision(text.to_owned())
}

fn since(text: &str) -> Base {
    Base::Since(text.to_owned())
}

#[test]
fn thin_manifests_are_compared_with_those_of_a_commit() {
    let repository = Repository::new();
    repository.thin("one", &image("a", &[('a', "x")]));
    let first = repository.commit();
    repository.thin("one", &image("a", &[('a', "x, y")]));
    repository.commit();
    repository.thin("two", &image("b", &[('b', "")]));
    repository.commit();
    assert_eq!(repository.added(&revision("HEAD^")), ["b@b"]);
    assert_eq!(repository.added(&revision(&first)), ["a@a:y", "b@b"]);
    assert!(repository.added(&revision("HEAD")).is_empty());
}

#[test]
fn uncommitted_changes_count_too() {
    let repository = Repository::new();
    repository.thin("one", &image("a", &[('a', "x")]));
    repository.commit();
    repository.thin("one", &image("a", &[('a', "x, y")]));
    assert_eq!(repository.added(&revision("HEAD")), ["a@a:y"]);
}

#[test]
fn an_image_that_moved_between_files_is_not_added() {
    let repository = Repository::new();
    repository.thin("one", &(image("a", &[('a', "x")]) + &image("b", &[('b', "y")])));
    repository.commit();
    repository.thin("one", &image("b", &[('b', "y")]));
    repository.thin("two", &image("a", &[('a', "x")]));
    repository.commit();
    assert!(repository.added(&revision("HEAD^")).is_empty());
}

#[test]
fn a_plain_manifest_is_compared_by_its_own_name() {
    let repository = Repository::new();
    let file = repository.manifests().join("*.yaml");
    let text = |tags| format!("{REGISTRIES}images:\n{}", image("a", &[('a', tags)]));
    write(&file, text("x"));
    write(&repository.manifests().join("other.yaml"), "{ no manifest");
    repository.commit();
    write(&file, text("x, y"));
    let link = repository.directory.path().join("link.yaml");
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let added = limit_to_added(load_plain(path).unwrap(), path, &revision("HEAD")).unwrap();
        assert_eq!(
            (promotions(&added), added.warnings.len()),
            (vec!["a@a:y".to_owned()], 0),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_manifest_that_the_base_does_not_have_is_entirely_new() {
    let repository = Repository::new();
    repository.commit();
    repository.thin("one", &image("a", &[('a', "x")]));
    let limited = repository.limited(&revision("HEAD")).unwrap();
    assert_eq!((promotions(&limited), limited.warnings.len()), (vec!["a@a:x".to_owned()], 0));
}

#[test]
fn since_a_time_means_since_the_parent_of_the_oldest_commit_after_it() {
    let repository = Repository::new();
    for (date, digit) in [("2020-01-01", 'a'), ("2020-02-01", 'b'), ("2020-03-01", 'c')] {
        repository.thin(&digit.to_string(), &image("a", &[(digit, "")]));
        repository.commit_at(&format!("{date}T12:00:00Z"));
    }
    assert_eq!(repository.added(&since("2020-02-15")), ["a@c"]);
    assert_eq!(repository.added(&since("2020-01-15")), ["a@b", "a@c"]);
    assert_eq!(repository.added(&since("2019-01-01")), ["a@b", "a@c"], "the first commit is its own base");
    assert!(repository.added(&since("2020-03-15")).is_empty(), "there are no commits since then");
    assert!(repository.added(&since("7 days")).is_empty());
}

#[test]
fn an_invalid_time_is_refused_and_not_taken_for_the_present() {
    let repository = Repository::new();
    repository.thin("one", &image("a", &[('a', "x")]));
    repository.commit();
    for when in ["", "whenever", "now", "2099-01-01"] {
        let result = repository.limited(&since(when));
        assert!(matches!(&result, Err(DiffError::NotPast(text)) if text == when), "{when}: {result:?}");
    }
}

#[test]
fn a_missing_commit_is_named_in_the_error() {
    let repository = Repository::new();
    repository.thin("one", &image("a", &[('a', "x")]));
    repository.commit();
    let absent = "0123456789".repeat(4);
    for text in ["HEAD^", "nobody", "", "--output=stolen", "HEAD:manifests", "a..b", "-1", &absent] {
        let result = repository.limited(&revision(text));
        let Err(DiffError::UnknownRevision { revision, is_shallow: false, .. }) = result else {
            panic!("{text}: {result:?}")
        };
        assert_eq!(revision, text);
    }
    assert!(!repository.directory.path().join("stolen").exists());
}

#[test]
fn the_error_for_a_shallow_clone_says_how_to_deepen_it() {
    let origin = Repository::new();
    for (date, digit) in [("2020-01-01", 'a'), ("2020-02-01", 'b')] {
        origin.thin("one", &image("a", &[(digit, "")]));
        origin.commit_at(&format!("{date}T12:00:00Z"));
    }
    let clone = Repository { directory: TempDir::new().unwrap() };
    let url = format!("file://{}", origin.directory.path().display());
    clone.git(&["clone", "--quiet", "--depth=1", &url, "."]);
    let messages = |base| clone.limited(&base).unwrap_err();
    let parent = messages(revision("HEAD^"));
    assert!(matches!(parent, DiffError::UnknownRevision { is_shallow: true, .. }), "{parent:?}");
    assert!(parent.to_string().contains("git fetch --deepen"), "{parent}");
    let before = messages(since("2019-01-01"));
    assert!(matches!(before, DiffError::NoParent { .. }), "{before:?}");
    assert!(before.to_string().contains("git fetch --deepen"), "{before}");
}

#[test]
fn a_directory_outside_of_a_repository_is_an_error() {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "one", REGISTRIES, "[]");
    let error = limit_to_added(load_thin(directory.path()).unwrap(), directory.path(), &revision("HEAD"))
        .unwrap_err();
    assert!(matches!(error, DiffError::NotARepository(ref path) if path == directory.path()), "{error:?}");
}

#[test]
fn no_command_of_a_repository_configuration_is_run() {
    let repository = Repository::new();
    repository.thin("one", &image("a", &[('a', "x")]));
    repository.commit();
    let [script, trace] = ["script", "trace"].map(|name| repository.directory.path().join(name));
    write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", trace.display()));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.display().to_string();
    let hooks = repository.directory.path().join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-index-change", "reference-transaction", "post-checkout"] {
        fs::copy(&script, hooks.join(hook)).unwrap();
    }
    for name in
        ["core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "gpg.program", "alias.rev-parse"]
    {
        repository.git(&["config", name, &script]);
    }
    repository.git(&["config", "core.hooksPath", &hooks.display().to_string()]);
    repository.git(&["config", "extensions.partialClone", "origin"]);
    repository.git(&["config", "remote.origin.promisor", "true"]);
    repository.git(&["config", "remote.origin.url", &format!("ext::{script}")]);
    repository.git(&["config", "protocol.ext.allow", "always"]);
    // An object of the commit is missing, so that git would fetch it.
    let blob =
        repository.git(&["rev-parse", &format!("HEAD:{}", "./odd \"näme\"\n*/images/one/images.yaml")]);
    fs::remove_file(repository.directory.path().join(".git/objects").join(&blob[..2]).join(&blob[2..]))
        .unwrap();
    let _ = fs::remove_file(&trace);
    let result = repository.limited(&revision("HEAD"));
    assert!(matches!(result, Err(DiffError::Failed { .. } | DiffError::Unexpected { .. })), "{result:?}");
    assert!(!trace.exists(), "{}", fs::read_to_string(trace).unwrap());
}
