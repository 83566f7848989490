//! What people see: errors that are said once and name what to do, colors, quiet and verbose runs, standard streams, help.

use std::process::Stdio;

use crate::support::{Desk, Ran, cip, google, kpromo, kpromo_with, put, run, scene};
use registry::sample::Recipe;
use registry::{Config, Server};

/// Runs `kpromo` with a text on its standard input.
fn with_input(words: &[&str], input: &str) -> Ran {
    let desk = Desk::new();
    let file = desk.write("input", input);
    let mut command = kpromo(None);
    command.args(words).stdin(Stdio::from(std::fs::File::open(file).unwrap()));
    run(command)
}

#[test]
fn an_error_is_called_one_once() {
    let desk = Desk::new();
    let manifest = desk.write("manifest.yaml", "registries: []\nimages: 3\n");
    let config = desk.write("kpromo.yaml", "signing:\n  acount: a@b.c\n");
    let policy = desk.write("policy.yaml", "threshold: huge\n");
    let good = desk.write(
        "good.yaml",
        "registries:\n- {name: r.example/s, src: true}\n- {name: r.example/p}\nimages: []\n",
    );
    let [manifest, config, policy, good] =
        [&manifest, &config, &policy, &good].map(|path| path.to_str().unwrap());
    for flags in [
        &["cip", "--parse-only", "--manifest", manifest][..],
        &["cip", "--parse-only", "--manifest", good, "--config", config],
        &["cip", "--parse-only", "--manifest", good, "--vuln-policy", policy, "--sign=false"],
        &["verify", "--config", config, "r.example/a:v1"],
        &["snapshot", "--config", config, "r.example"],
        &["snapshot", "--manifest", manifest, "r.example"],
        &["sigcheck", "--config", config],
        &["run", "files", "--config", config, "--filestores", manifest, "--files", manifest],
    ] {
        let ran = kpromo_with(flags);
        assert_eq!(ran.code, 10, "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("error: "), "{flags:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("error: error"), "{flags:?}: {}", ran.stderr);
    }
}

#[test]
fn a_fault_of_the_configuration_is_shown_with_its_line_and_in_words_of_the_reference() {
    let desk = Desk::new();
    let config = desk.write("kpromo.yaml", "signing:\n  acount: a@b.c\n");
    let ran = kpromo_with(&["snapshot", "--config", config.to_str().unwrap(), "r.example"]);
    assert!(ran.stderr.contains("error: unknown field `acount`; did you mean `account`?"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("kpromo.yaml:2:3") && ran.stderr.contains("  acount: a@b.c"),
        "{}",
        ran.stderr
    );
}

/// A trusted root that the configuration names is not blamed on a flag that nobody has given.
#[tokio::test(flavor = "multi_thread")]
async fn errors_in_files_of_the_configuration_do_not_name_a_flag() {
    let (_staging, _production, desk) = scene().await;
    desk.write(
        "root.json",
        include_str!(
            "../../../sigstore/tests/data/conformance/rekor2-timestamp-happy-path/trusted_root.json"
        ),
    );
    let config =
        desk.write("kpromo.yaml", "signing: { account: a@b.c }\nverification: { trustedRoot: root.json }\n");
    let manifest = desk.path("manifest.yaml");
    let ran =
        kpromo_with(&["cip", "--manifest", manifest.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("root.json: a private trusted root needs"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("--trusted-root"), "{}", ran.stderr);
}

#[test]
fn a_usage_error_shows_the_usage_of_its_command() {
    for (words, usage) in [
        (&["cip", "--manifest", "a", "--thin-manifest-dir", "b"][..], "Usage: kpromo cip [OPTIONS]"),
        (&["cip"], "Usage: kpromo cip [OPTIONS]"),
        (&["run", "files"], "Usage: kpromo run files [OPTIONS]"),
        (&["snapshot", "diff", "--tag", "x", "./no.yaml", "r.example"], "Usage: kpromo snapshot diff "),
        (&["cip", "--threads=10"], "Usage: kpromo cip [OPTIONS]"),
        (&["cip", "--quiet", "--verbose", "--manifest", "a"], "Usage: kpromo cip [OPTIONS]"),
        (&["cip", "--confirm=maybe"], "Usage: kpromo cip [OPTIONS]"),
        (&["cip", "--manifest"], "Usage: kpromo cip [OPTIONS]"),
        (&["cip", "--timeout", "abc"], "Usage: kpromo cip [OPTIONS]"),
        (&["verify", ":::"], "Usage: kpromo verify [OPTIONS] [IMAGE]..."),
        (&["completion", "tcsh"], "Usage: kpromo completion [OPTIONS] <SHELL>"),
    ] {
        let ran = kpromo_with(words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(usage) && ran.stderr.contains("--help"), "{words:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{words:?}: {}", ran.stdout);
    }
}

#[test]
fn help_is_a_command_too_and_ends_with_the_options_of_every_command() {
    for words in [&["help", "cip"][..], &["cip", "--help"], &["cip", "-h"]] {
        let ran = kpromo_with(words);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let headings: Vec<&str> =
            ran.stdout.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
        let expected = [
            "What to do:",
            "Manifests:",
            "Configuration:",
            "Registries:",
            "Output:",
            "Signing:",
            "Verification:",
            "Vulnerabilities:",
            "Snapshots:",
            "Global options:",
            "Examples:",
        ];
        let ours: Vec<&&str> = headings.iter().filter(|heading| expected.contains(heading)).collect();
        assert_eq!(ours, expected.iter().collect::<Vec<_>>(), "{words:?}: {headings:?}");
        assert!(!headings.contains(&"Options:"), "{headings:?}");
    }
    let root = kpromo_with(&["help"]);
    assert!(root.stdout.contains("Commands:") && root.stdout.contains("Global options:"), "{}", root.stdout);
    assert_eq!(kpromo_with(&["--version"]).code, 0);
    assert!(kpromo_with(&["help", "run", "files"]).stdout.contains("--filestores"));
}

/// Help is wrapped at the width of the terminal. Examples and exit codes fit into 80 columns, so that they stay as they are written.
#[test]
fn examples_and_exit_codes_fit_into_eighty_columns() {
    let commands = [
        &["cip"][..],
        &["verify"],
        &["snapshot"],
        &["snapshot", "diff"],
        &["lint"],
        &["sigcheck"],
        &["pr"],
        &["run", "files"],
        &["gh"],
        &["manifest", "add"],
        &["manifest", "validate"],
        &["report", "merge"],
    ];
    for words in commands {
        let help = kpromo_with(&[words, &["--help"]].concat()).stdout;
        let (before, codes) =
            help.split_once("\nExit codes:\n").unwrap_or_else(|| panic!("{words:?}: {help}"));
        for code in codes.lines() {
            let (number, meaning) = code.trim_start().split_once(' ').unwrap();
            assert!(number.parse::<u8>().is_ok() && !meaning.trim().is_empty(), "{words:?}: {code}");
        }
        let examples = before.split_once("\nExamples:\n").map_or("", |(_, examples)| examples);
        for line in examples.lines().chain(codes.lines()) {
            assert!(line.chars().count() <= 78, "{words:?}: {line}");
        }
    }
    let usage = kpromo_with(&["manifest", "validate"]).stdout;
    assert!(usage.contains("Usage: kpromo manifest validate [OPTIONS] [PATH]..."), "{usage}");
}

#[test]
fn colors_are_used_as_flags_and_variables_say() {
    let colored = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = kpromo(None);
        command.args(words).envs(variables.iter().copied());
        let ran = run(command);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        ran.stderr.contains("\u{1b}[")
    };
    let absent = ["snapshot", "--config", "/absent/kpromo.yaml", "r.example"];
    let with = |flag: &'static str| [&[flag][..], &absent].concat();
    assert!(!colored(&absent, &[]), "standard error is no terminal");
    assert!(colored(&absent, &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&absent, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(colored(&with("--color=always"), &[("NO_COLOR", "1")]), "a flag wins");
    assert!(!colored(&with("--color=never"), &[("CLICOLOR_FORCE", "1")]));
    let usage = kpromo_with(&["cip", "--color=always", "--wrong"]);
    assert!(usage.stderr.contains("\u{1b}["), "an error of the command line too: {}", usage.stderr);
    assert_eq!(kpromo_with(&["--color=blue", "version"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_run_prints_its_result_and_a_verbose_one_more() {
    let (_staging, _production, desk) = scene().await;
    let manifest = desk.path("manifest.yaml");
    let manifest = ["--manifest", manifest.to_str().unwrap()];
    let normal = cip(&manifest);
    assert!(normal.stderr.contains("took="), "{}", normal.stderr);
    let verbose = cip(&[&manifest[..], &["-v"]].concat());
    assert!(verbose.stderr.contains("DEBUG") && !normal.stderr.contains("DEBUG"), "{}", verbose.stderr);
    let plan = cip(&[&manifest[..], &["--quiet"]].concat());
    assert_eq!((plan.code, &*plan.stderr), (0, ""), "the plan is the result of a dry run");
    assert_eq!(plan.stdout, normal.stdout);
    let level = cip(&[&manifest[..], &["-q", "--log-level=info"]].concat());
    assert!(level.stderr.contains("took="), "a level that is given holds: {}", level.stderr);
    let done = cip(&[&manifest[..], &["--quiet", "--confirm"]].concat());
    assert_eq!((done.code, &*done.stderr), (0, ""));
    assert!(done.stdout.starts_with("promoted 2 images, wrote 2 tags: "), "{}", done.stdout);
    let mut before = kpromo(None);
    before.args(["-v", "cip", "--sign=false"]).args(manifest);
    assert!(run(before).stderr.contains("DEBUG"), "before the command too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dash_is_standard_input_and_output() {
    let (_staging, production, desk) = scene().await;
    let text = std::fs::read_to_string(desk.path("manifest.yaml")).unwrap();
    let flags = ["cip", "--sign=false", "--manifest", "-"];
    let ran = with_input(&[&flags[..], &["--output-plan", "-"]].concat(), &text);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["summary"]["total"]["edges"], 3);
    assert!(ran.stderr.contains("+ ") && ran.stderr.contains("dry run"), "what people read: {}", ran.stderr);
    let ran = with_input(&[&flags[..], &["--confirm", "--report=-"]].concat(), &text);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["outcome"], "done");
    assert!(production.tally().snapshot().writes() > 0);

    for (words, expected) in [
        (&["--output-plan=-", "--report=-"][..], "--output-plan and --report write to standard output"),
        (&["--config=-"], "--manifest and --config read standard input (-)"),
        (&["--identity-token=-"], "--manifest and --identity-token read standard input (-)"),
        (&["--diff-base", "HEAD"], "earlier commit"),
    ] {
        let ran = with_input(&[&flags[..], words].concat(), &text);
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{words:?}: {}", ran.stderr);
    }
    let wrong = with_input(&flags, "registries: 3\n");
    assert!(wrong.code == 10 && wrong.stderr.contains("standard input:1:"), "{}", wrong.stderr);
}

/// What a person has to decide comes before what the run does by itself, and changes are grouped by project.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_begins_with_what_waits_for_a_decision() {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let image = Recipe::default().image();
    put(&staging, "staging/app", &image, &[]).await;
    let lost = Recipe { seed: 9, ..Recipe::default() }.image().digest();
    for project in ["one", "two"] {
        let registries = format!(
            "registries:\n- {{name: {}/staging, src: true}}\n- {{name: {}/{project}}}\n",
            staging.host(),
            production.host()
        );
        desk.write(&format!("manifests/{project}/promoter-manifest.yaml"), &registries);
        let images = format!("- name: app\n  dmap:\n    \"{}\": [\"v1\", \"v2\"]\n", image.digest());
        desk.write(&format!("images/{project}/images.yaml"), &images);
    }
    desk.write(
        "images/two/images.yaml",
        &format!("- name: app\n  dmap:\n    \"{}\": [v1]\n    \"{lost}\": [v0]\n", image.digest()),
    );
    let ran = cip(&["--thin-manifest-dir", desk.path("").to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("lost: "), "{}", ran.stdout);
    assert!(lines[1].starts_with(&format!("? {}/two/app:v0 <- ", production.host())), "{}", ran.stdout);
    assert_eq!([lines[2], lines[5]], ["one: 2 to copy", "two: 1 to copy"], "{}", ran.stdout);
    assert!(lines[3].starts_with("+ ") && lines[4].starts_with("+ ") && lines[6].starts_with("+ "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_called_one() {
    let staging = Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap();
    let production = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = production.local_addr().unwrap();
    // It accepts connections and never answers.
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = production.accept().await {
            held.push(connection);
        }
    });
    let (desk, image) = (Desk::new(), Recipe::default().image());
    put(&staging, "staging/app", &image, &[]).await;
    let source = format!("{}/staging", staging.host());
    let manifest = desk.manifest(&source, &[format!("{address}/prod")], &[("app", image.digest(), &["v1"])]);
    let report = desk.path("report.json");
    let flags =
        ["--timeout=1s", "--report", report.to_str().unwrap(), "--manifest", manifest.to_str().unwrap()];
    let ran = cip(&flags);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    let expected = "error: timed out: the run took longer than --timeout allows (1s); nothing was promoted";
    assert!(ran.stderr.lines().any(|line| line == expected), "{}", ran.stderr);
    assert!(!ran.stderr.contains("interrupted"), "{}", ran.stderr);
    let reported = desk.json("report.json");
    assert_eq!(reported["error"], expected.trim_start_matches("error: "));
    let ran = cip(&[&flags[..], &["--log-format=json"]].concat());
    let last: serde_json::Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    let expected = "timed out: the run took longer than --timeout allows (1s); production is unchanged";
    assert_eq!(last["fields"]["error"], expected);
    silent.abort();
}
