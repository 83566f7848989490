//! `kpromo lint`: formats, exit codes, fixes, and runs over a diff by `--diff-base`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Desk, Ran, google, kpromo, kpromo_with, put, run, schema};
use registry::sample::Recipe;
use serde_json::{Value, json};

const REGISTRIES: &str =
    "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/p\n- name: eu.gcr.io/p\n";

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// Returns an images file with one image.
fn images(dmap: &[(char, &str)]) -> String {
    let rows = dmap.iter().map(|(digit, tags)| format!("    \"{}\": [{tags}]\n", digest(*digit)));
    format!("- name: app\n  dmap:\n{}", rows.collect::<String>())
}

/// A git repository with thin manifests, in which kpromo runs.
struct World {
    desk: Desk,
}

impl World {
    fn new() -> Self {
        let world = Self { desk: Desk::new() };
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        world
    }

    fn thin(&self, project: &str, images: &str) {
        self.desk.write(&format!("tree/manifests/{project}/promoter-manifest.yaml"), REGISTRIES);
        self.desk.write(&format!("tree/images/{project}/images.yaml"), images);
    }

    fn images(&self, project: &str) -> String {
        fs::read_to_string(self.desk.path(&format!("tree/images/{project}/images.yaml"))).unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.desk.path(""))
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = kpromo(None);
        command.current_dir(self.desk.path("")).args(words);
        command
    }

    fn lint(&self, flags: &[&str]) -> Ran {
        run(self.command(&[&["lint"], flags].concat()))
    }

    /// A tree with one finding of each form: with a line, without one, with another place, with a fix.
    fn changed() -> (Self, String) {
        let world = Self::new();
        world.thin("one", &images(&[('a', "v1, v2")]));
        world.thin("two", &images(&[]).replace("dmap:\n", "dmap: {}\n").replace("app", "web"));
        let commit = world.commit();
        world.thin("one", &images(&[('b', "v1"), ('c', "z, y")]));
        (world, commit)
    }
}

#[test]
fn text_shows_each_finding_with_its_line_and_a_summary() {
    let (world, commit) = World::changed();
    let ran = world.lint(&["--base", "HEAD", "tree"]);
    let base = &commit[..12];
    let (a, b, c) = (digest('a'), digest('b'), digest('c'));
    let one = "tree/images/one/images.yaml";
    let under = |column: usize, length: usize| " ".repeat(column) + &"^".repeat(length);
    let expected = format!(
        "warning[edge-removed]: gcr.io/p/app:v2 ({a}) (and one more destination) is no longer listed; it was at \
         {base}:images/one/images.yaml:3:85
--> {one}
 = help: production keeps what was promoted; list it again unless this is intended

error[tag-moved]: gcr.io/p/app:v1 (and one more destination) would move to {b}, from {a} at \
         {base}:images/one/images.yaml:3:81; production tags never move
 --> {one}:3:81
  |
3 |     \"{b}\": [v1]
  | {}
  |
  = help: give the new image another tag, or restore the old digest

warning[unsorted-tags]: the tags are not sorted: `y` comes after `z`
 --> {one}:4:84
  |
4 |     \"{c}\": [z, y]
  | {}
  |
  = help: `kpromo lint --fix` corrects it

warning[suspicious]: `dmap` is empty: it names no digests to promote
 --> tree/images/two/images.yaml:2:9
  |
2 |   dmap: {{}}
  | {}

4 files checked: 1 error, 3 warnings; `--fix` corrects 1
",
        under(80, 2),
        under(83, 1),
        under(8, 1)
    );
    assert_eq!((ran.code, ran.stdout), (10, expected), "{}", ran.stderr);
    assert!(ran.stderr.contains(&commit), "the commit is logged: {}", ran.stderr);
}

#[test]
fn json_has_everything_that_is_known() {
    let (world, commit) = World::changed();
    let ran = world.lint(&["--base", "HEAD", "--output", "json", "tree"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    schema::is_strict("lint", &found);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    let (a, b, base) = (digest('a'), digest('b'), &commit[..12]);
    let one = "tree/images/one/images.yaml";
    assert_eq!(
        found,
        json!({
            "schema": 1, "version": env!("CARGO_PKG_VERSION"), "exitCode": 10, "bases": [commit],
            "summary": {"files": 4, "errors": 1, "warnings": 3, "fixable": 1},
            "findings": [
                {
                    "rule": "edge-removed", "severity": "warning", "file": one,
                    "message": format!("gcr.io/p/app:v2 ({a}) (and one more destination) is no longer listed; it was at {base}:images/one/images.yaml:3:85"),
                    "help": "production keeps what was promoted; list it again unless this is intended",
                },
                {
                    "rule": "tag-moved", "severity": "error", "file": one, "line": 3, "column": 81,
                    "message": format!("gcr.io/p/app:v1 (and one more destination) would move to {b}, from {a} at {base}:images/one/images.yaml:3:81; production tags never move"),
                    "help": "give the new image another tag, or restore the old digest",
                },
                {
                    "rule": "unsorted-tags", "severity": "warning", "file": one, "line": 4, "column": 84,
                    "message": "the tags are not sorted: `y` comes after `z`",
                    "help": "`kpromo lint --fix` corrects it",
                    "fix": [
                        {"start": {"line": 4, "column": 81}, "end": {"line": 4, "column": 82}, "text": "y"},
                        {"start": {"line": 4, "column": 84}, "end": {"line": 4, "column": 85}, "text": "z"},
                    ],
                },
                {
                    "rule": "suspicious", "severity": "warning", "file": "tree/images/two/images.yaml", "line": 2, "column": 9,
                    "message": "`dmap` is empty: it names no digests to promote",
                },
            ],
            "fixed": [],
        })
    );
    // An overlap names the other place, and a fixed file is listed.
    world.thin("two", &images(&[('d', "v1"), ('a', "b, a")]));
    let ran = world.lint(&["--fix", "--output", "json", "tree"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    schema::is_strict("lint", &found);
    let two = "tree/images/two/images.yaml";
    assert_eq!(found["fixed"], json!([{"file": one, "corrections": 1}, {"file": two, "corrections": 2}]));
    let other = json!([{"file": one, "line": 3, "column": 81, "message": "the other digest"}]);
    assert_eq!(
        (&found["findings"][0]["rule"], &found["findings"][0]["related"]),
        (&json!("overlap"), &other)
    );
}

#[test]
fn sarif_has_what_its_readers_require() {
    let (world, _) = World::changed();
    world.thin("three", &images(&[('d', "v1")]));
    let ran = world.lint(&["--base", "HEAD", "--output", "sarif", "--output-file", "lint.sarif", "tree"]);
    assert_eq!((ran.code, &*ran.stdout), (10, ""), "{}", ran.stderr);
    let log = world.desk.json("lint.sarif");
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("/sarif-schema-2.1.0.json"));
    let [run] = &log["runs"].as_array().unwrap()[..] else { panic!("one run") };
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let driver = &run["tool"]["driver"];
    assert_eq!(
        (&driver["name"], &driver["version"]),
        (&json!("kpromo lint"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        assert!(rule["shortDescription"]["text"].as_str().unwrap().ends_with('.'), "{rule}");
        assert!(
            ["error", "warning"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap()),
            "{rule}"
        );
    }
    let results = run["results"].as_array().unwrap();
    let mut told = Vec::new();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        for place in std::iter::once(&result["locations"][0])
            .chain(result["relatedLocations"].as_array().into_iter().flatten())
        {
            let place = &place["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(world.desk.path(uri).is_file(), "{uri} is relative to the directory of the repository");
            assert!(place["region"]["startLine"].as_u64().unwrap() > 0);
        }
        told.push(format!("{} {}", result["level"].as_str().unwrap(), result["ruleId"].as_str().unwrap()));
    }
    told.sort();
    assert_eq!(
        told,
        ["error overlap", "warning edge-removed", "warning suspicious", "warning unsorted-tags"]
    );
    let overlap = results.iter().find(|result| result["ruleId"] == "overlap").unwrap();
    assert_eq!(overlap["relatedLocations"][0]["id"], 1);
    let fixed = results.iter().find(|result| result["ruleId"] == "unsorted-tags").unwrap();
    assert_eq!(
        fixed["fixes"],
        json!([{"artifactChanges": [{
            "artifactLocation": {"uri": "tree/images/one/images.yaml"},
            "replacements": [
                {"deletedRegion": {"startLine": 4, "startColumn": 81, "endLine": 4, "endColumn": 82}, "insertedContent": {"text": "y"}},
                {"deletedRegion": {"startLine": 4, "startColumn": 84, "endLine": 4, "endColumn": 85}, "insertedContent": {"text": "z"}},
            ],
        }]}])
    );
}

#[test]
fn github_gets_one_annotation_a_finding_with_a_path_of_the_repository() {
    let (world, commit) = World::changed();
    let (a, b, base, one) = (digest('a'), digest('b'), &commit[..12], "tree/images/one/images.yaml");
    let expected = format!(
        "::warning file={one},title=kpromo lint%3A edge-removed::gcr.io/p/app:v2 ({a}) (and one more \
         destination) is no longer listed; it was at {base}:images/one/images.yaml:3:85%0Aproduction \
         keeps what was promoted; list it again unless this is intended\n::error \
         file={one},line=3,col=81,title=kpromo lint%3A tag-moved::gcr.io/p/app:v1 (and one more \
         destination) would move to {b}, from {a} at {base}:images/one/images.yaml:3:81; production \
         tags never move%0Agive the new image another tag, or restore the old digest\n::warning \
         file={one},line=4,col=84,title=kpromo lint%3A unsorted-tags::the tags are not sorted: `y` \
         comes after `z`%0A`kpromo lint --fix` corrects it\n::warning \
         file=tree/images/two/images.yaml,line=2,col=9,title=kpromo lint%3A suspicious::`dmap` is \
         empty: it names no digests to promote\n"
    );
    // The path may also be absolute.
    let absolute = world.desk.path("tree").canonicalize().unwrap();
    for tree in ["tree", "./tree", absolute.to_str().unwrap()] {
        let ran = world.lint(&["--base", "HEAD", "--output", "github", tree]);
        assert_eq!((ran.code, ran.stdout), (10, expected.clone()), "{}", ran.stderr);
    }
}

#[test]
fn a_clean_tree_exits_with_0_warnings_too_unless_they_are_denied_and_errors_with_10() {
    let world = World::new();
    world.thin("one", &images(&[('a', "v1")]));
    let ran = world.lint(&["tree"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "2 files checked: no findings\n"));
    assert_eq!(world.lint(&["--strict", "tree"]).code, 0);
    world.thin("one", &images(&[('a', "v2, v1")]));
    assert_eq!(world.lint(&["tree"]).code, 0);
    assert_eq!(world.lint(&["--strict", "tree"]).code, 10);
    assert_eq!(world.lint(&["--strict", "--allow", "unsorted-tags", "tree"]).code, 0);
    world.thin("one", &images(&[('a', "v1"), ('b', "v1")]));
    assert_eq!(world.lint(&["tree"]).code, 10);
    // One result over all arguments.
    world.desk.write("plain.yaml", &format!("{REGISTRIES}images:\n{}", images(&[('a', "v2, v1")])));
    let ran = world.lint(&["plain.yaml", "tree", "tree/images/one/images.yaml"]);
    assert_eq!(ran.code, 10);
    assert!(
        ran.stdout.ends_with("3 files checked: 1 error, 1 warning; `--fix` corrects 1\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn everything_that_parse_only_finds_is_found() {
    let world = World::new();
    world.thin("one", &images(&[('a', "v1")]).replace(&digest('a'), "sha256:a"));
    world.desk.write("tree/manifests/two/promoter-manifest.yaml", REGISTRIES);
    let parse_only = run(world.command(&["cip", "--thin-manifest-dir", "tree", "--parse-only"]));
    let lint = world.lint(&["tree"]);
    assert_eq!((parse_only.code, lint.code), (10, 10));
    for place in ["tree/images/one/images.yaml:3:5", "tree/images/two/images.yaml"] {
        assert!(parse_only.stderr.contains(place), "{}", parse_only.stderr);
        assert!(lint.stdout.contains(place), "{}", lint.stdout);
    }
    for missing in ["nowhere", "nowhere.yaml", "tree/images"] {
        let ran = world.lint(&[missing]);
        assert_eq!(ran.code, 10, "{}", ran.stdout);
        assert!(ran.stdout.contains("error[invalid]") && ran.stdout.contains(missing), "{}", ran.stdout);
    }
}

#[test]
fn a_fix_replaces_the_file_as_a_whole_and_keeps_its_mode_and_what_it_promotes() {
    let world = World::new();
    let before = format!("# kept\n\n{}", images(&[('b', "v2,  'v1' "), ('a', "v0")])).replace('\n', "\r\n");
    world.thin("one", &before);
    let path = world.desk.path("tree/images/one/images.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = world.lint(&["--fix", "tree"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (0, "fixed tree/images/one/images.yaml (2 corrections)\n2 files checked: no findings\n"),
        "{}",
        ran.stderr
    );
    let after = format!("# kept\n\n{}", images(&[('a', "v0"), ('b', "'v1',  v2 ")])).replace('\n', "\r\n");
    assert_eq!(world.images("one"), after);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    // A second run changes nothing.
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let old = inode(&path);
    assert_eq!(world.lint(&["--fix", "tree"]).code, 0);
    assert_eq!(inode(&path), old);
}

#[test]
fn a_fix_that_cannot_be_written_leaves_the_file_and_exits_with_1() {
    let world = World::new();
    let before = images(&[('a', "v2, v1")]);
    world.thin("one", &before);
    // The shell lets kpromo write to pipes and not to files. This limit also holds for the superuser.
    let script = "(trap '' XFSZ; ulimit -f 0; \"$0\" lint --fix tree; echo \"exit code $?\") 2>&1 | cat";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(kpromo(None).get_program()).current_dir(world.desk.path(""));
    let ran = run(command);
    assert!(ran.stdout.contains("the fixed manifest cannot be written to "), "{}", ran.stdout);
    assert!(ran.stdout.contains("warning[unsorted-tags]"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("exit code 1\n"), "{}", ran.stdout);
    assert_eq!(world.images("one"), before);
    let directory = world.desk.path("tree/images/one");
    assert_eq!(fs::read_dir(directory).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn git_errors_exit_with_10_and_nothing_is_written() {
    let world = World::new();
    world.thin("one", &images(&[('a', "v2, v1")]));
    let outside = Desk::new();
    outside.write("manifests/one/promoter-manifest.yaml", REGISTRIES);
    outside.write("images/one/images.yaml", "[]\n");
    let clone = Desk::new();
    world.commit();
    let parent = world.git(&["rev-parse", "HEAD"]);
    world.thin("one", &images(&[('a', "v2, v1, v0")]));
    world.commit();
    let url = format!("file://{}", world.desk.path("").display());
    world.git(&["clone", "--quiet", "--depth=1", &url, clone.path("clone").to_str().unwrap()]);
    let no_git = |mut command: Command| {
        command.env("PATH", "/nonexistent");
        run(command)
    };
    let before = world.images("one");
    let shallow = clone.path("clone/tree");
    let cases = [
        (world.lint(&["--fix", "--base", "no-such", "tree"]), "has no commit `no-such`"),
        (world.lint(&["--base", "HEAD", outside.path("").to_str().unwrap()]), "is not in a git repository"),
        (world.lint(&["--base", &parent, shallow.to_str().unwrap()]), "the clone is shallow"),
        (no_git(world.command(&["lint", "--fix", "--base", "HEAD", "tree"])), "cannot run `git`"),
    ];
    for (ran, expected) in cases {
        assert_eq!((ran.code, &*ran.stdout), (10, ""), "{expected}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    assert_eq!(world.images("one"), before);
    assert_eq!(world.lint(&["--base=", "tree"]).code, 2);
    assert_eq!(world.lint(&["--output-file", "no/such/directory", "tree"]).code, 10);
}

#[test]
fn a_run_is_limited_to_what_was_added_since_a_revision() {
    let world = World::new();
    world.thin("one", &images(&[('a', "v1")]));
    world.commit();
    world.thin("one", &images(&[('a', "v1"), ('b', "v2")]));
    let edges = |flags: &[&str]| {
        let words = ["cip", "--thin-manifest-dir", "tree", "--parse-only", "--sign=false"];
        run(world.command(&[&words, flags].concat()))
    };
    let ran = edges(&[]);
    assert_eq!((ran.code, &*ran.stdout), (0, "1 manifest, 4 edges: valid\n"), "{}", ran.stderr);
    let ran = edges(&["--diff-base", "HEAD"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "1 manifest, 2 edges: valid\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&world.git(&["rev-parse", "HEAD"])), "{}", ran.stderr);
    let ran = edges(&["--diff-base", "no-such"]);
    assert!(ran.code == 10 && ran.stderr.contains("has no commit `no-such`"), "{}", ran.stderr);
    assert_eq!(edges(&["--diff-base", "HEAD", "--manifest-diff-since", "7 days"]).code, 2);
    assert_eq!(edges(&["--diff-base", "HEAD", "--use-prow-manifest-diff"]).code, 2);
}

/// What kpromo itself writes has no findings: a snapshot, whose digests are sorted as text, and additions to a sorted list.
#[tokio::test(flavor = "multi_thread")]
async fn what_kpromo_writes_is_clean() {
    let (server, desk) = (google().await, Desk::new());
    for name in ["pause", "app"] {
        for seed in 1..=4 {
            let (version, image) = (format!("v1.{seed}"), Recipe { seed, ..Recipe::default() }.image());
            let tags = [version.as_str(), &*format!("{version}.0")];
            put(&server, &format!("prod/{name}"), &image, &tags).await;
        }
    }
    let snapshot = kpromo_with(&["snapshot", &format!("{}/prod", server.host())]);
    assert_eq!(snapshot.code, 0, "{}", snapshot.stderr);
    let digests: Vec<&str> = snapshot.stdout.lines().filter(|line| line.contains("sha256:")).collect();
    let manifest = desk.write("manifest.yaml", &format!("{REGISTRIES}images:\n{}", snapshot.stdout));
    let sorted =
        desk.write("sorted.yaml", &format!("{REGISTRIES}images:\n{}", images(&[('c', "v1"), ('a', "v2")])));
    let clean = |file: &std::path::Path| {
        let ran = kpromo_with(&["lint", "--strict", file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, fs::read_to_string(file).unwrap());
    };
    clean(&manifest);
    let pause = digests[6].split('"').nth(1).unwrap();
    let (a, b) = (digest('a'), digest('b'));
    for (file, image, tag, digest) in [
        (&manifest, "pause", "latest", pause),
        (&manifest, "pause", "v0.1", &b),
        (&manifest, "app", "v9", &a),
        (&sorted, "app", "latest", &a),
        (&sorted, "app", "v1.5", &b),
        (&sorted, "app", "beta", &b),
    ] {
        let ran = kpromo_with(&["manifest", "add", image, tag, digest, file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        clean(file);
    }
}
