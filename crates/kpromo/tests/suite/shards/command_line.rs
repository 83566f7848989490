//! How shards are named, and what a run says about its shard.

use std::process::Command;

use crate::shards::scene::{REGIONS, SHARDS, Scene, succeeded};
use crate::support::{Desk, kpromo, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_shard_is_a_usage_error_before_any_request() {
    let scene = Scene::new().await;
    let confirm = &["--confirm"][..];
    for (flags, index, count, code, expected) in [
        (&["--shard", "4/4"][..], None, None, 2, "no shard 4 of 4"),
        (&["--shard", "1"], None, None, 2, "INDEX/COUNT"),
        (&["--shard="], None, None, 2, "INDEX/COUNT"),
        (&["--shard", "0/0"], None, None, 2, "at least 1"),
        (&[], None, Some("4"), 2, "completionMode: Indexed"),
        (&[], Some("4"), Some("4"), 2, "no shard 4 of 4"),
        (&[], Some("x"), Some("4"), 2, "JOB_COMPLETION_INDEX is \"x\""),
    ] {
        let mut command = scene.command(&[confirm, flags].concat());
        command.envs(index.map(|index| ("JOB_COMPLETION_INDEX", index)));
        command.envs(count.map(|count| ("KPROMO_SHARDS", count)));
        let ran = run(command);
        assert_eq!(ran.code, code, "{flags:?} {index:?} {count:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{expected} is missing: {}", ran.stderr);
    }
    let all = scene.regions.iter().chain([&scene.staging]);
    assert!(all.into_iter().all(|server| server.tally().snapshot().total() == 0));
}

/// A Job may be indexed for other reasons. The flag wins over both variables.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_alone_is_no_shard_and_the_flag_wins() {
    let scene = Scene::new().await;
    let hosts = |flags: &[&str], count: Option<&str>| {
        let mut command = scene.command(&[&["--parse-only"], flags].concat());
        command.env("JOB_COMPLETION_INDEX", "1").envs(count.map(|count| ("KPROMO_SHARDS", count)));
        let ran = succeeded(run(command));
        let lines = ran.stdout.lines().filter(|line| line.starts_with("shard "));
        (lines.map(str::to_owned).collect::<Vec<_>>(), ran.stdout)
    };
    let (lines, stdout) = hosts(&[], None);
    assert!(lines.is_empty() && stdout.contains("1 manifest, 25 edges: valid"), "{stdout}");
    let (lines, stdout) = hosts(&[], Some("5"));
    assert!(lines[0].starts_with("shard 1/5: 1 of 5 hosts: 127.0.0.1:"), "{lines:?}");
    assert!(stdout.contains("1 manifest, 5 edges in shard 1/5: valid"), "{stdout}");
    let (lines, _) = hosts(&["--shard", "0/1"], Some("5"));
    assert!(lines[0].starts_with("shard 0/1: 5 of 5 hosts: "), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_hosts_says_so_and_succeeds() {
    let scene = Scene::new().await;
    for flags in [&[][..], &["--confirm"], &["--strict", "--confirm"]] {
        let report = scene.desk.path("report.json");
        let flags = [flags, &["--shard", "5/6", "--report", report.to_str().unwrap()]].concat();
        let ran = succeeded(run(scene.command(&flags)));
        assert!(ran.stdout.contains("shard 5/6: 0 of 5 hosts\n"), "{}", ran.stdout);
        assert!(ran.stdout.contains("at a host of shard 5/6"), "{}", ran.stdout);
        let report = scene.desk.json("report.json");
        assert_eq!((report["shard"].as_str(), report["exitCode"].as_u64()), (Some("5/6"), Some(0)));
    }
    let all = scene.regions.iter().chain([&scene.staging]);
    assert!(all.into_iter().all(|server| server.tally().snapshot().total() == 0));
}

/// A dry run of a shard shows and plans the edges of its hosts.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_shard_plans_its_edges() {
    let scene = Scene::new().await;
    let mut edges = 0;
    for index in 0..SHARDS {
        let plan = scene.desk.path("plan.json");
        let shard = format!("{index}/{SHARDS}");
        let flags = ["--shard", &shard, "--output-plan", plan.to_str().unwrap()];
        succeeded(run(scene.command(&flags)));
        let listed = scene.desk.json("plan.json")["edges"].as_array().unwrap().len();
        assert_eq!(listed, 5 * scene.regions_of(index).len());
        edges += listed;
    }
    assert_eq!(edges, 5 * REGIONS);
    assert!(scene.regions.iter().all(|region| region.tally().snapshot().writes() == 0));
}

/// All manifests decide who owns a host, not the change that limits a run: shards that start at different times may compare with
/// different commits.
#[test]
fn the_owner_of_a_host_does_not_depend_on_the_commit_of_a_diff() {
    let desk = Desk::new();
    let registries = |hosts: &[&str]| {
        let names = hosts.iter().map(|host| format!("- name: {host}/prod\n")).collect::<String>();
        format!("registries:\n- name: s.example/staging\n  src: true\n{names}")
    };
    let image = |digit: char, tag: &str| {
        format!("- name: i{digit}\n  dmap:\n    \"sha256:{}\": [{tag}]\n", digit.to_string().repeat(64))
    };
    let project = |name: &str, hosts: &[&str], images: &str| {
        desk.write(&format!("manifests/{name}/promoter-manifest.yaml"), &registries(hosts));
        desk.write(&format!("images/{name}/images.yaml"), images);
    };
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(desk.path("")).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
        assert!(git.args(words).output().unwrap().status.success(), "git {words:?}");
    };
    project("a", &["a.example", "b.example", "c.example"], &image('a', "v1"));
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "first"]);
    // The change alone would give c.example the most work, and the first shard.
    let many: String = ('0'..='9').map(|digit| image(digit, "v1")).collect();
    project("b", &["c.example"], &image('b', "v1"));
    project("a", &["a.example", "b.example", "c.example"], &(image('a', "v1") + &many));
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "second"]);
    project("c", &["b.example", "b2.example"], &(many + &image('c', "v1")));
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "third"]);
    let directory = desk.path("");
    let hosts = |shard: &str, flags: &[&str]| {
        let mut command = kpromo(None);
        command.args(["cip", "--sign=false", "--parse-only", "--shard", shard, "--thin-manifest-dir"]);
        let ran = succeeded(run({
            command.arg(&directory).args(flags);
            command
        }));
        ran.stdout.lines().find(|line| line.starts_with("shard ")).unwrap().to_owned()
    };
    for shard in ["0/3", "1/3", "2/3"] {
        let whole = hosts(shard, &[]);
        for base in ["HEAD^", "HEAD^^"] {
            assert_eq!(hosts(shard, &["--diff-base", base]), whole);
        }
    }
}
