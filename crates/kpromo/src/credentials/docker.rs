//! The configuration files of docker and podman, and the helpers they name.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Credential, Host};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use transport::Secret;

use super::{FAILURE_LIFE, Places, read_file};

/// The largest configuration file that is read, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024;
/// The most that a helper may say, in bytes.
const ANSWER_MAX: u64 = 1024 * 1024;
/// The longest that a helper may take.
const HELPER_TIME: Duration = Duration::from_secs(30);
/// How long a helper's answer is used before it is asked again: the tokens of clouds are good for an hour.
const ANSWER_LIFE: Duration = Duration::from_secs(300);

/// One file, as docker's `config.json` and podman's `auth.json` are.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

/// What a file says of one registry.
#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Until when a helper's answer is used, and the answer, or why there was none.
type Answered = (Instant, Result<Option<Credential>, String>);
/// The place of one answer, held by whoever gets it while the others who want it wait.
type Place = Arc<Mutex<Option<Answered>>>;

/// All files, and what helpers have said.
#[derive(Debug)]
pub(super) struct AuthFiles {
    places: Places,
    files: OnceCell<Vec<(PathBuf, AuthFile)>>,
    /// By program and host: two files may name different helpers for one host.
    answers: std::sync::Mutex<HashMap<(String, Host), Place>>,
    /// Held while a helper runs: many keep a store of their own that two at once would fight over.
    turn: Mutex<()>,
    helper_time: Duration,
}

impl AuthFiles {
    pub(super) fn new(places: Places) -> Self {
        let (files, answers, turn) = Default::default();
        Self { places, files, answers, turn, helper_time: HELPER_TIME }
    }

    /// What the first file that knows the host says.
    pub(super) async fn credential(&self, host: &Host) -> Result<Option<Credential>, String> {
        let files = self.files.get_or_try_init(|| async { read_all(&self.places) }).await?;
        for (path, file) in files {
            // A host's own helper that is empty takes the host out of the store, as with docker.
            let found = match of_host(&file.cred_helpers, host).next().unwrap_or(&file.creds_store).as_str() {
                "" => None,
                helper => self.ask(helper, host).await?,
            };
            if found.is_some() {
                return Ok(found);
            }
            // Logging in and out leaves empty entries, which say nothing of the same host under another key.
            for entry in of_host(&file.auths, host) {
                let found = entry.credential().map_err(|why| format!("{}: {host}: {why}", path.display()))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Asks a helper, unless it has answered a moment ago.
    async fn ask(&self, helper: &str, host: &Host) -> Result<Option<Credential>, String> {
        let program = format!("docker-credential-{helper}");
        let place = self.place(&program, host);
        let mut place = place.lock().await;
        if let Some((until, answer)) = place.as_ref()
            && Instant::now() < *until
        {
            return answer.clone();
        }
        let answer = if is_helper(helper) {
            let _turn = self.turn.lock().await;
            self.answer_of(&program, host).await
        } else {
            Err("not the name of a helper".to_owned())
        };
        let answer = answer.map_err(|why| format!("{program} for {host}: {why}"));
        let life = if answer.is_ok() { ANSWER_LIFE } else { FAILURE_LIFE };
        *place = Some((Instant::now() + life, answer.clone()));
        answer
    }

    /// Where the answer of a helper for a host is kept. Only this host's requests wait for it.
    fn place(&self, program: &str, host: &Host) -> Place {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.entry((program.to_owned(), host.clone())).or_default())
    }

    async fn answer_of(&self, program: &str, host: &Host) -> Result<Option<Credential>, String> {
        let server = if host.as_str() == "docker.io" { "https://index.docker.io/v1/" } else { host.as_str() };
        let running = run(program, server, self.places.path.as_deref());
        let answered = tokio::time::timeout(self.helper_time, running)
            .await
            .map_err(|_| format!("no answer within {} s", self.helper_time.as_secs_f64()))?;
        let Some(answer) = answered? else { return Ok(None) };
        let HelperAnswer { username, secret } =
            serde_json::from_slice(&answer).map_err(|_| "its answer is not a credential")?;
        Entry { username, password: secret, ..Entry::default() }.credential()
    }
}

/// Whether a text can only be the last part of a program's name.
fn is_helper(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What a file says of a host: first under its very name, then under other keys for it, in a stable order.
fn of_host<'a, T>(entries: &'a BTreeMap<String, T>, host: &'a Host) -> impl Iterator<Item = &'a T> {
    let other =
        |(key, entry): (&'a String, &'a T)| (key != host.as_str() && names(key, host)).then_some(entry);
    entries.get(host.as_str()).into_iter().chain(entries.iter().filter_map(other))
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(Secret::new(&self.identitytoken))));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Bearer(Secret::new(&self.registrytoken))));
        }
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| "`auth` is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "`auth` is not a user and a password")?;
            let (user, password) = text.split_once(':').ok_or("`auth` is not a user and a password")?;
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        };
        Ok(match (user.as_str(), password.is_empty()) {
            ("", true) => None,
            ("<token>", _) => Some(Credential::Identity(Secret::new(password))),
            _ => Some(Credential::Basic { user, password: Secret::new(password) }),
        })
    }
}

/// Whether a key of a file names a host: `host`, `https://host`, `https://host/v1/`, or docker's own old key.
fn names(key: &str, host: &Host) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (name, path) = key.split_once('/').unwrap_or((key, ""));
    // Podman may key by repository; what is good for one repository is not offered to all of the host.
    if !matches!(path.trim_end_matches('/'), "" | "v1" | "v2") {
        return false;
    }
    let canonical = |name: &str| {
        if name == "index.docker.io" || name == "registry-1.docker.io" {
            "docker.io".to_owned()
        } else {
            name.to_ascii_lowercase()
        }
    };
    canonical(name) == canonical(host.as_str())
}

/// Reads every file that is there, in the order in which they count.
fn read_all(places: &Places) -> Result<Vec<(PathBuf, AuthFile)>, String> {
    let home = places.home.as_deref();
    let docker = places.docker_config.clone().or_else(|| Some(home?.join(".docker")));
    let candidates = [
        places.registry_auth_file.clone(),
        docker.map(|folder| folder.join("config.json")),
        places.runtime_directory.as_ref().map(|folder| folder.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
    ];
    let mut files = Vec::new();
    for path in candidates.into_iter().flatten() {
        if let Some(file) = read(&path).map_err(|why| format!("{}: {why}", path.display()))? {
            files.push((path, file));
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Option<AuthFile>, String> {
    let Some(bytes) = read_file(path, FILE_MAX)? else { return Ok(None) };
    // The parser's message could quote what is in the file.
    let parsed = serde_json::from_slice(&bytes);
    parsed
        .map(Some)
        .map_err(|error| format!("not a configuration, at line {} column {}", error.line(), error.column()))
}

/// Runs a helper (docker's credential helper protocol, `get`); `None` where it knows nothing of the server.
async fn run(program: &str, server: &str, path: Option<&std::ffi::OsStr>) -> Result<Option<Vec<u8>>, String> {
    let mut command = Command::new(find(program, path).ok_or("it is not on the PATH")?);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let asking = async {
        if let Some(mut stdin) = stdin {
            // A helper that does not read its question answers all the same, or fails below.
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
    let status = child.wait().await.map_err(|error| format!("it is lost: {error}"))?;
    let said = String::from_utf8_lossy(&answer);
    if status.success() {
        Ok(Some(answer))
    } else if said.contains("credentials not found") {
        Ok(None)
    } else {
        // What it said may hold anything, so only that it failed is told.
        Err(format!("it failed: {status}"))
    }
}

/// A program on a search path.
fn find(program: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A home with docker's configuration, and helpers on its own path.
    struct Home {
        folder: tempfile::TempDir,
    }

    impl Home {
        fn new(config: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("config.json"), config).unwrap();
            Self { folder }
        }

        fn helper(&self, name: &str, script: &str) {
            let file = self.folder.path().join(format!("docker-credential-{name}"));
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn files(&self) -> AuthFiles {
            let folder = self.folder.path();
            let podman = Some(folder.join("podman.json"));
            let places = Places {
                docker_config: Some(folder.to_owned()),
                registry_auth_file: podman,
                path: Some(folder.into()),
                ..Places::default()
            };
            AuthFiles { helper_time: Duration::from_millis(500), ..AuthFiles::new(places) }
        }

        async fn ask(&self, host: &str) -> Result<Option<String>, String> {
            ask(&self.files(), host).await
        }
    }

    impl AuthFiles {
        /// Lets the time pass that every answer is good for.
        async fn grow_old(&self) {
            let places: Vec<Place> = self.answers.lock().unwrap().values().cloned().collect();
            for place in places {
                place.lock().await.as_mut().unwrap().0 = Instant::now();
            }
        }
    }

    async fn ask(files: &AuthFiles, host: &str) -> Result<Option<String>, String> {
        let found = files.credential(&host.parse().unwrap()).await?;
        Ok(found.map(|credential| match credential {
            Credential::Basic { user, password } => format!("{user}:{}", password.reveal()),
            Credential::Identity(token) => format!("identity {}", token.reveal()),
            Credential::Bearer(token) => format!("bearer {}", token.reveal()),
        }))
    }

    #[tokio::test]
    async fn a_file_may_say_it_in_four_ways() {
        let home = Home::new(
            r#"{"auths": {
                "a.io": {"auth": "dXNlcjpwYTpzcw=="},
                "https://b.io/v1/": {"username": "user", "password": "secret"},
                "c.io": {"auth": "eDp5", "identitytoken": "renew"},
                "d.io": {"registrytoken": "take"},
                "https://index.docker.io/v1/": {"auth": "dXNlcjpodWI="},
                "e.io/some/repository": {"auth": "dXNlcjpwYTpzcw=="},
                "f.io": {}
            }}"#,
        );
        for (host, expected) in [
            ("a.io", Some("user:pa:ss")),
            ("b.io", Some("user:secret")),
            ("c.io", Some("identity renew")),
            ("d.io", Some("bearer take")),
            ("docker.io", Some("user:hub")),
            ("e.io", None),
            ("f.io", None),
            ("io", None),
        ] {
            assert_eq!(home.ask(host).await.unwrap().as_deref(), expected, "{host}");
        }
    }

    #[tokio::test]
    async fn helpers_are_asked_for_their_hosts_and_the_store_for_all_others() {
        let home = Home::new(
            r#"{"credHelpers": {"a.io": "one"}, "credsStore": "all", "auths": {"c.io": {"auth": "dTpw"}}}"#,
        );
        home.helper("one", r#"read server; echo "{\"Username\": \"<token>\", \"Secret\": \"for $server\"}""#);
        let store = r#"read server; [ "$server" = b.io ] && echo '{"Username": "u", "Secret": "s"}' && exit; echo "credentials not found in native keychain"; exit 1"#;
        home.helper("all", store);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("identity for a.io"));
        assert_eq!(home.ask("b.io").await.unwrap().as_deref(), Some("u:s"));
        assert_eq!(
            home.ask("c.io").await.unwrap().as_deref(),
            Some("u:p"),
            "what no helper knows the file may"
        );
    }

    #[tokio::test]
    async fn a_host_s_own_key_comes_first_and_empty_entries_hide_nothing() {
        let home = Home::new(
            r#"{"auths": {
                "https://a.io/v1/": {"username": "old", "password": "p"}, "a.io": {"username": "own", "password": "p"},
                "docker.io": {}, "https://index.docker.io/v1/": {"username": "hub", "password": "p"}
            }}"#,
        );
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("own:p"));
        assert_eq!(home.ask("docker.io").await.unwrap().as_deref(), Some("hub:p"));
    }

    #[tokio::test]
    async fn what_the_helper_of_one_file_does_not_know_that_of_another_may() {
        let home = Home::new(r#"{"credHelpers": {"a.io": "knows"}}"#);
        fs::write(home.folder.path().join("podman.json"), r#"{"credsStore": "ignorant"}"#).unwrap();
        home.helper("ignorant", "echo 'credentials not found in native keychain'; exit 1");
        home.helper("knows", r#"echo '{"Username": "u", "Secret": "s"}'"#);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("u:s"));
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_not_run_again_for_every_request() {
        let home = Home::new(r#"{"credsStore": "fails"}"#);
        let runs = home.folder.path().join("runs");
        home.helper("fails", &format!("echo run >> {}; exit 3", runs.display()));
        let files = home.files();
        for _ in 0..3 {
            assert!(ask(&files, "a.io").await.unwrap_err().contains("failed"));
        }
        assert_eq!(fs::read_to_string(runs).unwrap(), "run\n");
    }

    #[tokio::test]
    async fn an_empty_helper_takes_a_host_out_of_the_store_and_leaves_it_to_the_file() {
        let home = Home::new(
            r#"{"credHelpers": {"a.io": ""}, "credsStore": "all", "auths": {"a.io": {"auth": "dTpw"}}}"#,
        );
        home.helper("all", r#"echo '{"Username": "of", "Secret": "store"}'"#);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("u:p"));
        assert_eq!(home.ask("b.io").await.unwrap().as_deref(), Some("of:store"));
    }

    #[tokio::test]
    async fn a_helper_s_answer_is_used_until_it_is_old() {
        let home = Home::new(r#"{"credsStore": "counts"}"#);
        let runs = home.folder.path().join("runs");
        let script = format!(r#"echo run >> {}; echo '{{"Username": "u", "Secret": "s"}}'"#, runs.display());
        home.helper("counts", &script);
        let files = home.files();
        for _ in 0..3 {
            assert_eq!(ask(&files, "a.io").await.unwrap().as_deref(), Some("u:s"));
        }
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\n");
        files.grow_old().await;
        assert_eq!(ask(&files, "a.io").await.unwrap().as_deref(), Some("u:s"));
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\nrun\n");
    }

    #[tokio::test]
    async fn an_answer_that_is_known_is_given_while_another_helper_runs() {
        let home = Home::new(r#"{"credHelpers": {"a.io": "quick", "b.io": "slow"}}"#);
        let started = home.folder.path().join("started");
        home.helper("quick", r#"echo '{"Username": "u", "Secret": "s"}'"#);
        home.helper("slow", &format!("touch {}; exec sleep 60", started.display()));
        let files = AuthFiles { helper_time: Duration::from_secs(20), ..home.files() };
        assert_eq!(ask(&files, "a.io").await.unwrap().as_deref(), Some("u:s"));
        let known = async {
            while !started.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ask(&files, "a.io").await
        };
        tokio::select! {
            slow = ask(&files, "b.io") => panic!("the known answer waited for the slow helper: {slow:?}"),
            known = known => assert_eq!(known.unwrap().as_deref(), Some("u:s")),
        }
    }

    #[tokio::test]
    async fn a_file_larger_than_any_configuration_and_a_folder_in_its_place_are_refused() {
        let home = Home::new(&" ".repeat(usize::try_from(FILE_MAX).unwrap() + 1));
        let error = home.ask("a.io").await.unwrap_err();
        assert!(error.contains("config.json") && error.contains("larger than"), "{error}");
        fs::remove_file(home.folder.path().join("config.json")).unwrap();
        fs::create_dir(home.folder.path().join("config.json")).unwrap();
        let error = home.ask("a.io").await.unwrap_err();
        assert!(error.contains("config.json") && error.contains("not a regular file"), "{error}");
    }

    #[tokio::test]
    async fn helpers_that_fail_hang_or_talk_rubbish_are_named_and_nothing_secret_is_said() {
        let home = Home::new(
            r#"{"credHelpers": {"a.io": "fails", "b.io": "hangs", "c.io": "rubbish", "d.io": "absent", "e.io": "../x"}}"#,
        );
        home.helper("fails", "echo hush; exit 3");
        // Replaced by what it runs, so that what is killed leaves nothing behind.
        home.helper("hangs", "exec sleep 60");
        home.helper("rubbish", "echo hush");
        for (host, expected) in [
            ("a.io", "failed"),
            ("b.io", "within 0.5 s"),
            ("c.io", "not a credential"),
            ("d.io", "PATH"),
            ("e.io", "not the name"),
        ] {
            let error = home.ask(host).await.unwrap_err();
            assert!(error.contains(expected) && error.contains(host), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_broken_is_named_without_its_content() {
        for config in [r#"{"auths": "hush"#, r#"{"auths": {"a.io": {"auth": "hush!"}}}"#] {
            let error = Home::new(config).ask("a.io").await.unwrap_err();
            assert!(error.contains("config.json") && !error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn where_there_are_no_files_there_are_no_credentials() {
        let empty = AuthFiles::new(Places::default());
        assert!(empty.credential(&"a.io".parse().unwrap()).await.unwrap().is_none());
    }
}
