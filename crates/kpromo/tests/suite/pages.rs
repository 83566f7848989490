//! The console blocks of the documentation, run as a reader runs them: by a shell, in a new directory, one after another.
//!
//! A block has commands (`$ …`) and parts of their output. Each command must exit with 0, unless the next one is `echo $?`. The
//! lines that the page shows must be in the output in their order; `…` stands for any text in a line or, alone, for any lines.
//! A block in YAML whose first line is a comment with a name is a file. Ports are replaced by free ones, as the pages allow.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::page::blocks;
use crate::support::{Desk, google, kpromo, put, run};
use registry::sample::Recipe;

const README: &str = include_str!("../../../../README.md");
const FIRST: &str = include_str!("../../../../docs/guide/first-promotion.md");
const PROMOTE: &str = include_str!("../../../../docs/guide/promote.md");
const PICTURE: &str = include_str!("../../../../docs/images/run.console");

/// The section of the README that leads from the sources to a promoted image.
const WALK: &str = "\n## Promote your own image\n";

/// A command, with the lines that the page shows below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// Returns the commands of a transcript. A command goes on in the next line after a backslash.
fn steps(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for line in transcript.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
            (None, Some(step)) if continued => {
                step.command.push('\n');
                step.command.push_str(line);
            }
            (None, Some(step)) => step.shown.push(line.to_owned()),
            (None, None) => panic!("output without a command: {line}"),
        }
        continued = line.ends_with('\\');
    }
    steps
}

/// Returns a port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Replaces the ports of a page by free ones, the same one each time.
fn with_free_ports(text: &str, ports: &[(&str, u16)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (port, free)| text.replace(port, &free.to_string()))
}

/// Starts the next part of the output, with the number of a command.
const MARK: &str = "\u{1}";

/// Returns a script that runs the commands as an interactive shell would, and marks the output and the exit code of each.
fn script(steps: &[Step]) -> String {
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\ncode=0\n".to_owned();
    for Step { command, .. } in steps {
        // `echo $?` sees the code of the command before.
        let _ =
            write!(script, "printf '{MARK}'\n(exit $code)\n{command}\ncode=$?\nprintf '{MARK}%d\\n' $code\n");
        if let Some(port) = command.strip_suffix(" &").and_then(|command| command.rsplit(':').next()) {
            // A reader types more slowly than a server starts.
            let _ = writeln!(
                script,
                "for i in {{1..1000}}; do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.02; done"
            );
        }
    }
    script
}

/// Returns the output and the exit code of each command of [`script`].
fn outputs(text: &str) -> Vec<(String, i32)> {
    let parts: Vec<&str> = text.split(MARK).skip(1).collect();
    let codes = |rest: &str| rest.lines().next().unwrap().parse().unwrap();
    parts.chunks(2).map(|pair| (pair[0].to_owned(), codes(pair.get(1).copied().unwrap_or("-1")))).collect()
}

/// Returns the first shown line that the output lacks.
fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let lacks = |pattern: &&String| pattern.trim() != "…" && !lines.any(|line| matches(pattern, line));
    shown.iter().find(lacks).map(String::as_str)
}

/// Returns whether a line has the form of a pattern, in which `…` stands for any text. Space counts as one blank.
fn matches(pattern: &str, line: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (plain(pattern), plain(line));
    let mut parts: Vec<&str> = pattern.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() {
        return line == last;
    }
    let Some(mut rest) = line.strip_prefix(parts.remove(0)) else { return false };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A directory in which the commands of a page run.
struct Reader {
    desk: Desk,
    /// What the shell does before the commands of the page.
    prelude: String,
    ports: Vec<(&'static str, u16)>,
}

impl Reader {
    /// A reader who has these programs in addition to kpromo.
    fn new(programs: &[&str]) -> Self {
        let desk = Desk::new();
        let bin = desk.path("bin");
        fs::create_dir(&bin).unwrap();
        symlink(assert_cmd::cargo::cargo_bin!("kpromo"), bin.join("kpromo")).unwrap();
        for program in programs {
            symlink(testkit::tool(program), bin.join(program)).unwrap();
        }
        fs::create_dir(desk.path("home")).unwrap();
        fs::create_dir(desk.path("work")).unwrap();
        let ports = vec![("5001", free_port()), ("5002", free_port())];
        Self { desk, prelude: String::new(), ports }
    }

    /// Runs the page and checks what it shows. Returns the steps.
    fn follow(&self, page: &str) -> Vec<(Step, String)> {
        let work = self.desk.path("work");
        let page = with_free_ports(page, &self.ports);
        for file in blocks(&page).iter().filter(|block| block.language == "yaml") {
            if let Some(name) = file.text.lines().next().and_then(|line| line.strip_prefix("# ")) {
                fs::write(work.join(name), &file.text).unwrap();
            }
        }
        let console = blocks(&page).into_iter().filter(|block| block.language == "console");
        let steps: Vec<Step> = console.flat_map(|block| steps(&block.text)).collect();
        assert!(!steps.is_empty(), "the page has no commands");
        let text = self.shell(&format!("{}{}", self.prelude, script(&steps)), &work);
        let outputs = outputs(&text);
        assert_eq!(outputs.len(), steps.len(), "the shell has ended early:\n{text}");
        let mut followed = Vec::new();
        for (number, (step, (output, code))) in steps.iter().zip(&outputs).enumerate() {
            let expects_failure = steps.get(number + 1).is_some_and(|next| next.command == "echo $?");
            assert!(*code == 0 || expects_failure, "`{}` ended with {code}:\n{output}", step.command);
            if let Some(line) = missing(&step.shown, output) {
                panic!("`{}` does not print\n{line}\nbut\n{output}", step.command);
            }
            followed.push((step.clone(), output.clone()));
        }
        followed
    }

    /// Runs a script and returns what it prints to both streams.
    fn shell(&self, script: &str, directory: &Path) -> String {
        let path = self.desk.write("script", script);
        let both = self.desk.path("output");
        let mut command = kpromo(None);
        let settings: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command = Command::new(testkit::tool("bash"));
        command.env_clear().current_dir(directory);
        for (name, value) in settings.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            command.env(name, value);
        }
        let path_of_tests = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let search =
            format!("{}:{}", self.desk.path("bin").display(), path_of_tests.unwrap().to_string_lossy());
        command.env("PATH", search).env("HOME", self.desk.path("home"));
        let redirected = format!("exec >'{}' 2>&1; source '{}'", both.display(), path.display());
        command.args(["--norc", "-c", &redirected]);
        File::create(&both).unwrap();
        run(command);
        String::from_utf8_lossy(&fs::read(&both).unwrap()).into_owned()
    }
}

/// Returns the part of the README that a stranger follows.
fn walk() -> &'static str {
    let (_, walk) = README.split_once(WALK).unwrap();
    walk.split("\n## ").next().unwrap()
}

/// The programs that the pages use besides kpromo.
const PROGRAMS: &[&str] = &["crane", "cosign", "openssl"];

/// Checks that the picture shows what the commands of the README print, except for numbers and digests.
fn is_pictured(followed: &[(Step, String)], ports: &[(&'static str, u16)]) {
    for step in steps(&with_free_ports(PICTURE, ports)) {
        let (_, output) = followed.iter().find(|(done, _)| done.command == step.command).unwrap();
        let shown: Vec<String> = step.shown.iter().map(|line| without_numbers(line)).collect();
        assert_eq!(missing(&shown, output), None, "{output}");
    }
}

/// Replaces words that have digits, such as sizes and digests, by `…`.
fn without_numbers(line: &str) -> String {
    let words = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let replaced = words.map(|word| {
        let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
        let (word, rest) = word.split_at(end);
        let word = if word.bytes().any(|byte| byte.is_ascii_digit()) { "…" } else { word };
        format!("{word}{rest}")
    });
    replaced.collect()
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_stranger_comes_from_the_readme_to_an_own_image_that_is_promoted_signed_and_verified() {
    let reader = Reader::new(PROGRAMS);
    let followed = reader.follow(walk());
    is_pictured(&followed, &reader.ports);
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_first_promotion_works_as_it_is_written() {
    Reader::new(PROGRAMS).follow(FIRST);
}

/// The other programs are replaced: the image comes from a registry of the test by kpromo itself, and the keys from the
/// library.
#[tokio::test(flavor = "multi_thread")]
async fn the_walk_of_the_readme_works_with_kpromo_alone() {
    let mut reader = Reader::new(&[]);
    let origin = google().await;
    let image = Recipe::default().index(2);
    put(&origin, "hello", &image, &[]).await;
    reader.desk.key_pair();
    let sample = reader.desk.manifest(
        &origin.host().to_string(),
        &[format!("localhost:{}/staging", reader.ports[0].1)],
        &[("hello", image.digest(), &["v1.0"])],
    );
    reader.prelude = format!(
        "crane() {{ kpromo cip --manifest '{}' --sign=false --confirm; }}\n\
         openssl() {{ cp '{}' signing.key && cp '{}' signing.pub; }}\n",
        sample.display(),
        reader.desk.path("cosign.key").display(),
        reader.desk.path("cosign.pub").display(),
    );
    tokio::task::spawn_blocking(move || reader.follow(walk())).await.unwrap();
}

const DIGEST: &str = "sha256:e8ca4f9ff069d6a35f444832097e6650f6594b3ec0de129109d53a1b760884e9";

/// Embedded registries replace the hosts of the page, and a sample replaces its image. Everything else is unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_promoting_work_as_they_are_written() {
    let (staging, mut regions, desk) = (google().await, [google().await, google().await], Desk::new());
    regions.sort_by_key(|region| region.host().to_string());
    let image = Recipe::default().index(2);
    put(&staging, "myproject-staging/apple", &image, &[]).await;
    let names = [
        ("gcr.io", staging.host().to_string()),
        ("us-central1-docker.pkg.dev", regions[0].host().to_string()),
        ("europe-west1-docker.pkg.dev", regions[1].host().to_string()),
        (DIGEST, image.digest().to_string()),
    ];
    let here = |text: &str| names.iter().fold(text.to_owned(), |text, (name, ours)| text.replace(name, ours));
    desk.key_pair();
    let blocks = blocks(PROMOTE);
    for file in blocks.iter().filter(|block| block.language == "yaml") {
        let name = file.text.lines().next().unwrap().strip_prefix("# ").unwrap();
        desk.write(name, &here(&file.text));
    }

    let mut config = None;
    let mut codes = Vec::new();
    let console = blocks.iter().filter(|block| block.language == "console");
    for Step { command: line, .. } in console.flat_map(|block| steps(&block.text)) {
        let line = here(line.split(" #").next().unwrap());
        if let Some(path) = line.strip_prefix("export KPROMO_CONFIG=") {
            config = Some(path.trim().to_owned());
        }
        let Some(words) = line.strip_prefix("kpromo ") else { continue };
        let mut command = kpromo(None);
        command.current_dir(desk.path("")).args(words.split_whitespace());
        command.envs(config.iter().map(|config| ("KPROMO_CONFIG", config)));
        let ran = run(command);
        // The tests have no identity to sign with. kpromo reports that only after all other checks have passed.
        let expected = if words.contains("--signer-account") { 20 } else { 0 };
        assert_eq!(ran.code, expected, "{line}\n{}\n{}", ran.stdout, ran.stderr);
        codes.push(ran.code);
    }
    assert_eq!(codes, [0, 0, 0, 0, 20, 20, 0, 0], "every command was tried");
}

#[test]
fn numbers_in_the_picture_stand_for_any() {
    assert_eq!(without_numbers("took 0.5 s: sha256:cb7bf9… app:v1"), "took ….… s: …:…… app:…");
}

#[test]
fn shown_lines_are_looked_for_in_their_order() {
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let output = "one\n  two   words\nthree: sha256:abc (5 s)\nfour\n";
    for found in
        [&["one", "four"][..], &["…", "two words"], &["three: … (… s)"], &["t…", "f…"], &["one", "…", "four"]]
    {
        assert_eq!(missing(&shown(found), output), None, "{found:?}");
    }
    for lacking in [&["four", "one"][..], &["two"], &["three: …x"], &["…words too"]] {
        assert!(missing(&shown(lacking), output).is_some(), "{lacking:?}");
    }
}

#[test]
fn a_command_that_fails_fails_the_page_unless_the_page_shows_its_code() {
    let page = |text: &str| format!("```console\n{text}```\n");
    let reader = Reader::new(&[]);
    reader.follow(&page("$ false\n$ echo $?\n1\n$ echo one \\\n  two\none two\n"));
    for wrong in ["$ false\n$ true\n", "$ echo one\ntwo\n", "$ (exit 3)\n$ echo $?\n4\n"] {
        let followed = std::panic::catch_unwind(|| Reader::new(&[]).follow(&page(wrong)));
        assert!(followed.is_err(), "{wrong}");
    }
}
