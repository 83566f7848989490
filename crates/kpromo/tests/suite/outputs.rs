//! The files that a run writes: they are checked before any request to a registry, and written completely or not at all.

use std::os::unix::fs::symlink;

use crate::support::{Desk, cip, kpromo_with, scene, schema};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_cannot_be_written_fails_the_run_before_any_request() {
    let (staging, production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let (file, directory) = (desk.path("no/such/directory/file"), desk.path("no/such/directory"));
    let asked = || staging.tally().snapshot().total() + production.tally().snapshot().total();
    for (flag, path) in [
        ("--report", &file),
        ("--output-plan", &file),
        ("--inventory-cache", &file),
        ("--spool-dir", &directory),
    ] {
        for confirm in ["--confirm", "--confirm=false"] {
            let path = path.to_str().unwrap();
            let ran = cip(&["--manifest", manifest.to_str().unwrap(), confirm, flag, path]);
            assert_eq!((ran.code, asked()), (10, 0), "{flag}: {}", ran.stderr);
            assert!(ran.stderr.contains(path), "{flag}: {}", ran.stderr);
        }
    }
    assert_eq!(desk.names(), ["manifest.yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_appear_as_a_whole_and_nothing_is_left_beside_them() {
    let (_staging, _production, desk) = scene().await;
    let (plan, report, cache) = (desk.path("plan.json"), desk.path("report.json"), desk.path("cache"));
    desk.write("report.json", &"x".repeat(1 << 20));
    let ran = cip(&[
        "--manifest",
        desk.path("manifest.yaml").to_str().unwrap(),
        "--output-plan",
        plan.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
        "--inventory-cache",
        cache.to_str().unwrap(),
        "--spool-dir",
        desk.path("").to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(desk.names(), ["cache", "manifest.yaml", "plan.json", "report.json"]);
    assert_eq!(desk.json("report.json")["outcome"], "dry-run");
    schema::is_strict("plan", &desk.json("plan.json"));
}

/// A mistyped path must neither change the file at that path nor replace it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_an_inventory_cache_is_refused_and_left_as_it_is() {
    let (staging, production, desk) = scene().await;
    let (manifest, other) = (desk.path("manifest.yaml"), desk.write("other.yaml", "images: []\n"));
    let [manifest, other] = [&manifest, &other].map(|path| path.to_str().unwrap());
    let ran = cip(&["--manifest", manifest, "--inventory-cache", other, "--confirm"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("other.yaml is not an inventory cache"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(other).unwrap(), "images: []\n");
    assert_eq!(desk.names(), ["manifest.yaml", "other.yaml"]);
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_inventory_cache_is_moved_aside() {
    let (_staging, _production, desk) = scene().await;
    let (manifest, cache) = (desk.path("manifest.yaml"), desk.path("cache"));
    let flags = ["--manifest", manifest.to_str().unwrap(), "--inventory-cache", cache.to_str().unwrap()];
    assert_eq!(cip(&flags).code, 0);
    let mut bytes = std::fs::read(&cache).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&cache, &bytes).unwrap();
    let ran = cip(&flags);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("cache.refused"), "{}", ran.stderr);
    assert!(std::fs::read(desk.path("cache.refused")).unwrap() == bytes);
}

/// A flag that is completed to the wrong file must not cost a private key, not even in a dry run.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_never_replaces_a_file_that_the_run_reads() {
    let (staging, production, desk) = scene().await;
    let key = desk.key_pair();
    let link = desk.path("link");
    symlink(&key, &link).unwrap();
    desk.write("config.yaml", "{}\n");
    desk.write("of-config.yaml", "signing: {key: cosign.key}\n");
    let [manifest, key, link] =
        [&desk.path("manifest.yaml"), &key, &link].map(|path| path.to_str().unwrap().to_owned());
    let [config, of_config] =
        ["config.yaml", "of-config.yaml"].map(|name| desk.path(name).display().to_string());
    let before: Vec<Vec<u8>> =
        [&manifest, &key, &config].map(|path| std::fs::read(path).unwrap()).into_iter().collect();
    let run = |flags: &[&str]| kpromo_with(&[&["cip", "--manifest", &manifest], flags].concat());
    for confirm in ["--confirm=false", "--confirm"] {
        for (flags, expected) in [
            (&["--signing-key", &key, "--report", &key][..], ["--report", "--signing-key"]),
            (&["--signing-key", &key, "--metrics", &link], ["--metrics", "--signing-key"]),
            (&["--signing-key", &key, "--report", &manifest], ["--report", "--manifest"]),
            (&["--signing-key", &key, "--output-plan", &manifest], ["--output-plan", "--manifest"]),
            (&["--signing-key", &key, "--inventory-cache", &manifest], ["--inventory-cache", "--manifest"]),
            (&["--signing-key", &key, "--config", &config, "--metrics", &config], ["--metrics", "--config"]),
            (&["--config", &of_config, "--report", &key], ["--report", "signing"]),
        ] {
            let ran = run(&[flags, &[confirm]].concat());
            assert_eq!(ran.code, 10, "{flags:?}: {}", ran.stderr);
            for part in expected.iter().chain(&["would replace"]) {
                assert!(ran.stderr.contains(part), "{flags:?}: {}", ran.stderr);
            }
        }
    }
    let after: Vec<Vec<u8>> =
        [&manifest, &key, &config].map(|path| std::fs::read(path).unwrap()).into_iter().collect();
    assert!(before == after, "all inputs stay as they were");
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_outputs_never_share_a_file() {
    let (staging, production, desk) = scene().await;
    let (manifest, one) = (desk.path("manifest.yaml"), desk.path("r.json"));
    let [manifest, one] = [&manifest, &one].map(|path| path.to_str().unwrap());
    for (flags, expected) in [
        (["--report", one, "--metrics", one], "--report and --metrics write the same file"),
        (["--report", one, "--output-plan", one], "--output-plan and --report write the same file"),
        (["--report", one, "--inventory-cache", one], "--inventory-cache and --report write the same file"),
        (["--report", one, "--report", one], "two values of --report write the same file"),
    ] {
        let ran = cip(&[&["--manifest", manifest], &flags[..]].concat());
        assert_eq!(ran.code, 10, "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{flags:?}: {}", ran.stderr);
    }
    for flag in ["--report=", "--metrics=", "--output-plan="] {
        let ran = cip(&["--manifest", manifest, flag]);
        assert_eq!(ran.code, 2, "{flag}: {}", ran.stderr);
        assert!(ran.stderr.contains("is the variable set?"), "{flag}: {}", ran.stderr);
    }
    let twice = cip(&["--manifest", manifest, "--report=-", "--report=-"]);
    assert!(twice.code == 2 && twice.stderr.contains("two values of --report write to"), "{}", twice.stderr);
    assert_eq!(desk.names(), ["manifest.yaml"]);
    assert_eq!(staging.tally().snapshot().total() + production.tally().snapshot().total(), 0);
    let null = cip(&["--manifest", manifest, "--report=/dev/null", "--metrics=/dev/null"]);
    assert_eq!(null.code, 0, "{}", null.stderr);
}

/// The check is one for all commands.
#[test]
fn outputs_of_every_command_are_checked() {
    let desk = Desk::new();
    let files = [
        ("m/manifests/a/promoter-manifest.yaml", ""),
        ("m/images/a/images.yaml", ""),
        ("f/filestores/a/filepromoter-manifest.yaml", ""),
        ("f/manifests/a/files.yaml", ""),
        ("releases.yaml", ""),
        ("reports/trivy.json", "{}"),
        ("policy.yaml", ""),
        ("src/v1/file", "x"),
    ];
    files.iter().for_each(|(name, text)| drop(desk.write(name, text)));
    let path = |name: &str| desk.path(name).display().to_string();
    let thin = path("m");
    for (words, output) in [
        (&["cip", "--thin-manifest-dir", &thin, "--report"][..], "m/images/a/images.yaml"),
        (&["cip", "--thin-manifest-dir", &thin, "--metrics"], "m/manifests/a/promoter-manifest.yaml"),
        (
            &["cip", "--thin-manifest-dir", &thin, "--vuln-policy", &path("policy.yaml"), "--output-plan"],
            "policy.yaml",
        ),
        (
            &[
                "cip",
                "--thin-manifest-dir",
                &thin,
                "--vuln-policy",
                &path("policy.yaml"),
                "--vuln-source",
                &path("reports"),
                "--report",
            ],
            "reports/trivy.json",
        ),
        (&["run", "files", "--manifests", &path("f"), "--report"], "f/manifests/a/files.yaml"),
        (
            &["run", "files", "--manifests", &path("f"), "--metrics"],
            "f/filestores/a/filepromoter-manifest.yaml",
        ),
        (&["gh", "--config", &path("releases.yaml"), "--report"], "releases.yaml"),
        (&["gh", "--config", &path("releases.yaml"), "--files-manifest"], "releases.yaml"),
        (&["manifest", "files", "--src", &path("src"), "--output"], "src/v1/file"),
        (&["lint", &thin, "--output-file"], "m/images/a/images.yaml"),
        (&["lint", &path("m/images/a/images.yaml"), "--output-file"], "m/images/a/images.yaml"),
    ] {
        let output = path(output);
        let ran = kpromo_with(&[words, &[&output]].concat());
        assert_eq!(ran.code, 10, "{words:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("would replace {output}"))
                && ran.stderr.contains(words[words.len() - 1]),
            "{words:?}: {}",
            ran.stderr
        );
    }
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(desk.path(name)).unwrap(), text, "{name}");
    }
    for words in [
        &["lint", "-"][..],
        &["manifest", "validate", "-"],
        &["manifest", "add", "app", "v1", &format!("sha256:{}", "a".repeat(64)), "-"],
        &["manifest", "files", "--src", "-"],
        &["cip", "--thin-manifest-dir", "-"],
        &["gh", "--config", "-"],
        &["snapshot", "diff", "-", "registry.example"],
    ] {
        let ran = kpromo_with(words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("does not read standard input (-)"), "{words:?}: {}", ran.stderr);
    }
}

/// /proc says that the directory above is missing, however often it is asked.
#[test]
fn a_directory_that_cannot_be_made_is_an_error_and_no_crash() {
    for (storage, at) in [("/proc/kpromo/a/b", "/proc/kpromo"), ("/dev/null/a", "/dev/null/a")] {
        let ran = kpromo_with(&["registry", "serve", "--listen=127.0.0.1:0", "--storage", storage]);
        assert_eq!(ran.code, 1, "{storage}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(at), "{}", ran.stderr);
        let json = ["--log-format=json", "registry", "serve", "--listen=127.0.0.1:0", "--storage", storage];
        let ran = kpromo_with(&json);
        assert_eq!(ran.code, 1, "{storage}: {}", ran.stderr);
        for line in ran.stderr.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["level"], "ERROR");
        }
    }
}
