//! Docker credential helpers: programs that store credentials (`docker-credential-…`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use oci::{Credential, Host};
use serde_json::{Deserializer, Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;
use transport::FAILURE_LIFE;

use super::auth_file::{Entry, string};

/// The maximum size of a helper's answer, in bytes.
const ANSWER_MAX: u64 = 1024 * 1024;
/// The maximum number of places in an answer at which to look for its JSON.
const PLACES_MAX: usize = 1_000;
/// The time limit of a helper.
const HELPER_TIME: Duration = Duration::from_secs(30);
/// How long a helper's answer is reused. Cloud tokens are valid for an hour.
const ANSWER_LIFE: Duration = Duration::from_secs(300);

/// The time until which an answer is reused, and the answer or the error.
type Answered = (Instant, Result<Option<Credential>, String>);
/// The slot of one answer. The task that runs the helper holds its lock while the others wait.
type Slot = Arc<Mutex<Option<Answered>>>;

/// All helpers and their answers.
#[derive(Debug)]
pub(super) struct Helpers {
    /// The search path of programs.
    path: Option<OsString>,
    /// The answers by program and host: two files may name different helpers for the same host.
    answers: std::sync::Mutex<HashMap<(String, Host), Slot>>,
    /// Locked while a helper runs: many helpers have a store that does not support concurrent access.
    turn: Mutex<()>,
    time: Duration,
}

impl Helpers {
    /// Creates the helpers of a search path. No helper has run yet.
    pub(super) fn new(path: Option<OsString>) -> Self {
        Self { path, answers: Default::default(), turn: Mutex::default(), time: HELPER_TIME }
    }

    /// Runs a helper, unless its last answer or failure is still remembered. Returns `None` if it has no credential for the
    /// host.
    ///
    /// # Errors
    /// Returns an error that contains the program and the host if the helper cannot be run, fails, takes too long or returns an
    /// invalid answer.
    pub(super) async fn ask(&self, helper: &str, host: &Host) -> Result<Option<Credential>, String> {
        let program = program(helper);
        let slot = self.slot(&program, host);
        let mut slot = slot.lock().await;
        if let Some((until, answer)) = slot.as_ref()
            && Instant::now() < *until
        {
            return answer.clone();
        }
        let answer = if is_helper(helper) {
            let _turn = self.turn.lock().await;
            self.answer_of(&program, host).await
        } else {
            Err("not a valid helper name".to_owned())
        };
        let answer = answer.map_err(|why| format!("{program} for {host}: {why}"));
        let life = if answer.is_ok() { ANSWER_LIFE } else { FAILURE_LIFE };
        *slot = Some((Instant::now() + life, answer.clone()));
        answer
    }

    /// Returns the slot for the answer of a helper for a host. Only requests for this host wait for its lock.
    fn slot(&self, program: &str, host: &Host) -> Slot {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.entry((program.to_owned(), host.clone())).or_default())
    }

    async fn answer_of(&self, program: &str, host: &Host) -> Result<Option<Credential>, String> {
        let server = if host.as_str() == "docker.io" { "https://index.docker.io/v1/" } else { host.as_str() };
        let running = run(program, server, self.path.as_deref());
        let answered = tokio::time::timeout(self.time, running)
            .await
            .map_err(|_| format!("no answer within {} s", self.time.as_secs_f64()))?;
        match answered? {
            Some(answer) => read(&answer)?.credential(),
            None => Ok(None),
        }
    }
}

/// Returns the name of a helper's program.
pub(super) fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// Returns whether a text is valid as the last part of a program's name.
fn is_helper(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Reads a helper's answer. Some helpers print warnings to the same stream, so the credential is searched for in it.
fn read(answer: &[u8]) -> Result<Entry, &'static str> {
    const NOT_A_CREDENTIAL: &str = "its answer is not a credential";
    if answer.trim_ascii() == b"{}" {
        return Ok(Entry::default());
    }
    let mut found = credential_in(answer).ok_or(NOT_A_CREDENTIAL)?;
    let mut field = |name| string(&mut found, name).map_err(|_| NOT_A_CREDENTIAL);
    Ok(Entry { username: field("Username")?, password: field("Secret")?, ..Entry::default() })
}

/// Returns the first JSON object in a text that has a field of a credential.
fn credential_in(text: &[u8]) -> Option<Map<String, Value>> {
    let places = text.iter().enumerate().filter(|(_, byte)| **byte == b'{').map(|(place, _)| place);
    places.take(PLACES_MAX).find_map(|place| {
        let mut values = Deserializer::from_slice(&text[place..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(object))) => {
                (object.contains_key("Username") || object.contains_key("Secret")).then_some(object)
            }
            _ => None,
        }
    })
}

/// Runs a helper (docker's credential helper protocol, `get`). Returns `None` if it has no credential for the server.
async fn run(program: &str, server: &str, path: Option<&OsStr>) -> Result<Option<Vec<u8>>, String> {
    let mut command = Command::new(find(program, path).ok_or("it is not on the PATH")?);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let asking = async {
        if let Some(mut stdin) = stdin {
            // A helper may answer without reading its input. Any other failure is detected below.
            let _ = stdin.write_all(format!("{server}\n").as_bytes()).await;
        }
    };
    let mut answer = Vec::new();
    let answering = async {
        match stdout {
            Some(stdout) => stdout.take(ANSWER_MAX).read_to_end(&mut answer).await.map(drop),
            None => Ok(()),
        }
    };
    let ((), read) = tokio::join!(asking, answering);
    read.map_err(|error| format!("its answer cannot be read: {error}"))?;
    let status = child.wait().await.map_err(|error| format!("waiting for its end failed: {error}"))?;
    let said = String::from_utf8_lossy(&answer);
    if status.success() {
        Ok(Some(answer))
    } else if said.contains("credentials not found") {
        Ok(None)
    } else {
        // The output may contain anything, so the error contains only the status.
        Err(format!("it failed: {status}"))
    }
}

/// Returns the path of a program on a search path.
fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::credentials::testing::write_helper;

    fn text(credential: Option<Credential>) -> Option<String> {
        credential.map(|credential| match credential {
            Credential::Basic { user, password } => format!("{user}:{}", password.reveal()),
            Credential::Identity(token) => format!("identity {}", token.reveal()),
            Credential::Bearer(token) => format!("bearer {}", token.reveal()),
        })
    }

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    /// Returns a directory for helpers.
    fn helpers() -> (Helpers, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let helpers = Helpers::new(Some(directory.path().into()));
        (Helpers { time: Duration::from_millis(500), ..helpers }, directory)
    }

    impl Helpers {
        /// Lets all answers expire.
        async fn expire(&self) {
            let slots: Vec<Slot> = self.answers.lock().unwrap().values().cloned().collect();
            for slot in slots {
                slot.lock().await.as_mut().unwrap().0 = Instant::now();
            }
        }
    }

    #[test]
    fn a_credential_is_found_among_warnings_on_the_same_stream() {
        const JSON: &str = r#"{"ServerURL": "a.io", "Username": "u", "Secret": "s{}"}"#;
        for answer in [
            JSON.to_owned(),
            format!("\u{feff}{JSON}\n"),
            format!("WARNING: {{old}} version, {{\"code\": 1}}, {{}}\n{JSON}"),
            format!("warning {JSON} done"),
            "{\n  \"Secret\": \"s{}\",\n  \"Username\": \"u\"\n}".to_owned(),
            r#"{"Username": "x", "Username": "u", "Secret": "s{}"}"#.to_owned(),
        ] {
            let entry = read(answer.as_bytes()).unwrap();
            assert_eq!((entry.username.as_str(), entry.password.as_str()), ("u", "s{}"), "{answer}");
        }
        let nothing = read(br#"{"Username": null, "Secret": null}"#).unwrap();
        assert!(nothing.credential().unwrap().is_none());
        assert!(read(b"{}\n").unwrap().credential().unwrap().is_none());
        for rubbish in ["", "hush", "{", "[]", "warning: {}", r#"{"Username": 7}"#, &"{".repeat(100_000)] {
            assert!(read(rubbish.as_bytes()).is_err(), "{rubbish}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_warns_before_its_answer_works() {
        let (helpers, directory) = helpers();
        let script = r#"echo "WARNING: your version is old"; echo '{"Username": "u", "Secret": "s"}'"#;
        write_helper(directory.path(), "warns", script);
        assert_eq!(text(helpers.ask("warns", &host("a.io")).await.unwrap()).as_deref(), Some("u:s"));
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_not_run_again_for_every_request() {
        let (helpers, directory) = helpers();
        let runs = directory.path().join("runs");
        write_helper(directory.path(), "fails", &format!("echo run >> {}; exit 3", runs.display()));
        for _ in 0..3 {
            assert!(helpers.ask("fails", &host("a.io")).await.unwrap_err().contains("failed"));
        }
        assert_eq!(fs::read_to_string(runs).unwrap(), "run\n");
    }

    #[tokio::test]
    async fn a_helper_s_answer_is_used_until_it_is_old() {
        let (helpers, directory) = helpers();
        let runs = directory.path().join("runs");
        let script = format!(r#"echo run >> {}; echo '{{"Username": "u", "Secret": "s"}}'"#, runs.display());
        write_helper(directory.path(), "counts", &script);
        for _ in 0..3 {
            assert_eq!(text(helpers.ask("counts", &host("a.io")).await.unwrap()).as_deref(), Some("u:s"));
        }
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\n");
        helpers.expire().await;
        assert_eq!(text(helpers.ask("counts", &host("a.io")).await.unwrap()).as_deref(), Some("u:s"));
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\nrun\n");
    }

    #[tokio::test]
    async fn an_answer_that_is_known_is_given_while_another_helper_runs() {
        let (helpers, directory) = helpers();
        let helpers = Helpers { time: Duration::from_secs(20), ..helpers };
        let started = directory.path().join("started");
        write_helper(directory.path(), "quick", r#"echo '{"Username": "u", "Secret": "s"}'"#);
        write_helper(directory.path(), "slow", &format!("touch {}; exec sleep 60", started.display()));
        let (quick, slow) = (host("a.io"), host("b.io"));
        assert_eq!(text(helpers.ask("quick", &quick).await.unwrap()).as_deref(), Some("u:s"));
        let known = async {
            while !started.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            helpers.ask("quick", &quick).await
        };
        tokio::select! {
            slow = helpers.ask("slow", &slow) => panic!("the known answer waited for the slow helper: {slow:?}"),
            known = known => assert_eq!(text(known.unwrap()).as_deref(), Some("u:s")),
        }
    }

    #[tokio::test]
    async fn a_helper_that_fails_hangs_or_answers_something_else_is_named_without_what_it_said() {
        let (helpers, directory) = helpers();
        write_helper(directory.path(), "fails", "echo hush; exit 3");
        // `exec` replaces the shell, so that no child process remains after the helper is killed.
        write_helper(directory.path(), "hangs", "exec sleep 60");
        write_helper(directory.path(), "rubbish", "echo hush");
        for (helper, expected) in [
            ("fails", "failed"),
            ("hangs", "within 0.5 s"),
            ("rubbish", "not a credential"),
            ("absent", "PATH"),
            ("../x", "not a valid helper name"),
        ] {
            let error = helpers.ask(helper, &host("a.io")).await.unwrap_err();
            assert!(error.contains(&format!("docker-credential-{helper} for a.io")), "{error}");
            assert!(error.contains(expected) && !error.contains("hush"), "{error}");
        }
    }
}
