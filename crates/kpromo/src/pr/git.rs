//! Runs git: clones, commits and pushes. This uses the installed git with the user's configuration, hooks, keys and SSH.
//!
//! git gets the token from an askpass program, which reads it from a file that only the user can read and answers only for the
//! host of the forge. The token is not in a URL, an argument or an environment variable.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use manifest::GIT_REDIRECTIONS;
use oci_types::text::printable;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use transport::Secret;
use url::Url;

use crate::exit::Exit;
use crate::failure::Failure;

/// The maximum size of an output that is kept, in bytes.
const OUTPUT_MAX: u64 = 17 * 1024 * 1024;
/// The maximum length of a message of git that is shown, in characters.
const MESSAGE_MAX: usize = 2_000;
/// How long the output is still read after git has exited. A process that git has left behind may keep the pipes open.
const AFTER_END: Duration = Duration::from_secs(2);
/// The user name that GitHub documents for tokens; other forges accept any.
const USER: &str = "x-access-token";
/// The environment variable with the start of the URLs for which the askpass program answers.
const ORIGIN: &str = "KPROMO_ASKPASS_ORIGIN";
/// The environment variable with the URL of the repository for which the askpass program answers.
const REPOSITORY: &str = "KPROMO_ASKPASS_REPOSITORY";
/// git asks `Username for 'URL': ` and `Password for 'URL': `, where the URL has the host, possibly a user and, with
/// `credential.useHttpPath`, the path of the repository. A user name may have any characters except `/`, so the text before the
/// last `@` is a user name only if it has no `/`.
const ASKPASS: &str = "\
#!/bin/sh
case $1 in
\"Username for '\"*\"': \") asked=${1#\"Username for '\"} ;;
\"Password for '\"*\"': \") asked=${1#\"Password for '\"} ;;
*) exit 1 ;;
esac
asked=${asked%\"': \"}
answers() {
    [ \"$asked\" = \"$1\" ] && return 0
    case $asked in \"${1%%://*}://\"*\"@${1#*://}\") ;; *) return 1 ;; esac
    user=${asked#*://}
    user=${user%\"@${1#*://}\"}
    case $user in */*) return 1 ;; esac
}
answers \"$KPROMO_ASKPASS_ORIGIN\" || answers \"$KPROMO_ASKPASS_REPOSITORY\" || exit 1
case $1 in
U*) echo x-access-token ;;
*) cat \"${0%/*}/token\" ;;
esac
";

/// The installed git.
#[derive(Debug)]
pub(super) struct Git {
    access: Option<Access>,
}

/// The token for a forge.
#[derive(Debug)]
struct Access {
    token: Secret,
    origin: String,
    /// The directory with the askpass program and the token.
    directory: TempDir,
}

/// Whether a command of git runs the user's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hooks {
    Run,
    /// Hooks cannot change a checkout, and do not run for commands for which git has the token, except a push.
    None,
}

/// A git command that has failed.
#[derive(Debug)]
pub(super) struct GitError {
    /// The operation.
    doing: String,
    /// The message of git, without secrets.
    message: String,
}

impl GitError {
    pub(super) fn new(doing: &str, message: impl Into<String>) -> Self {
        Self { doing: doing.to_owned(), message: message.into() }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn into_failure(self, exit: Exit) -> Failure {
        Failure::new(exit, format!("git cannot {}: {}", self.doing, self.message))
    }
}

impl Git {
    /// Prepares git. With a token, git uses it for HTTPS at `git_url`.
    ///
    /// # Errors
    /// If the askpass program cannot be written.
    pub(super) fn new(token: Option<&Secret>, git_url: &Url) -> Result<Self, Failure> {
        let access = match token {
            None => None,
            Some(token) => {
                let directory = askpass(token).map_err(|error| {
                    Failure::new(Exit::Failure, format!("a temporary file cannot be written: {error}"))
                })?;
                Some(Access {
                    token: token.clone(),
                    origin: git_url.origin().ascii_serialization(),
                    directory,
                })
            }
        };
        Ok(Self { access })
    }

    /// Runs git in a directory, without hooks and without access to a remote repository.
    pub(super) async fn local<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        directory: &Path,
        arguments: &[S],
    ) -> Result<String, GitError> {
        self.run(doing, started(directory, Hooks::None).args(arguments)).await
    }

    /// Runs git in a directory, with the user's hooks and without access to a remote repository.
    pub(super) async fn with_hooks<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        directory: &Path,
        arguments: &[S],
    ) -> Result<String, GitError> {
        self.run(doing, started(directory, Hooks::Run).args(arguments)).await
    }

    /// Runs git in a directory to read the repository at `url`.
    pub(super) async fn remote<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        directory: &Path,
        url: &str,
        arguments: &[S],
    ) -> Result<String, GitError> {
        let mut command = started(directory, Hooks::None);
        self.give_access(&mut command, url);
        self.run(doing, command.args(arguments)).await
    }

    /// Runs git in a directory, with the user's hooks, to change the repository at `url`.
    pub(super) async fn push<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        directory: &Path,
        url: &str,
        arguments: &[S],
    ) -> Result<String, GitError> {
        let mut command = started(directory, Hooks::Run);
        self.give_access(&mut command, url);
        self.run(doing, command.args(arguments)).await
    }

    /// Lets git use the token for a repository, if the repository is at the forge and is accessed by HTTPS.
    fn give_access(&self, command: &mut Command, url: &str) {
        // Give up if the server sends nothing.
        command.args(["-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=120"]);
        let Some(Access { origin, directory, .. }) = &self.access else { return };
        if !url.strip_prefix(origin.as_str()).is_some_and(|path| path.starts_with('/')) {
            return;
        }
        // Use no credential helper, so that none can store the token.
        command.args(["-c", "credential.helper="]);
        // Settings for the whole URL take precedence over those of the user.
        if !url.contains('=') {
            command.args(["-c", &format!("credential.{url}.username={USER}")]);
            command.args(["-c", &format!("credential.{url}.useHttpPath=false")]);
        }
        command.env("GIT_ASKPASS", directory.path().join("askpass"));
        command.env(ORIGIN, origin).env(REPOSITORY, url);
    }

    async fn run(&self, doing: &str, command: &mut Command) -> Result<String, GitError> {
        let failed = |message: String| GitError::new(doing, message);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("the program `git` is not on the PATH".to_owned()),
            _ => failed(format!("it cannot be run: {error}")),
        })?;
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let pipes = (child.stdout.take(), child.stderr.take());
        let status = {
            // Read both pipes concurrently, because git blocks on a full pipe.
            let reading = async { tokio::join!(drain(pipes.0, &mut output), drain(pipes.1, &mut complaint)) };
            let ending = async {
                let status = child.wait().await;
                tokio::time::sleep(AFTER_END).await;
                status
            };
            tokio::pin!(reading);
            tokio::select! {
                _ = &mut reading => None,
                status = ending => Some(status),
            }
        };
        let status = match status {
            Some(status) => status,
            None => child.wait().await,
        };
        let status = status.map_err(|error| failed(error.to_string()))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&output).into_owned());
        }
        let said = [complaint, output].map(|said| self.clean(&String::from_utf8_lossy(&said)));
        let said = said.into_iter().find(|said| !said.is_empty());
        Err(failed(said.unwrap_or_else(|| format!("it ended with {status}"))))
    }

    /// Returns a message of git or of the server as printable text without the token.
    fn clean(&self, text: &str) -> String {
        let text = match &self.access {
            Some(Access { token, .. }) if !token.reveal().is_empty() => text.replace(token.reveal(), "…"),
            _ => text.to_owned(),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<String> = lines.map(|line| printable(line, MESSAGE_MAX)).collect();
        lines.join("\n").chars().take(MESSAGE_MAX).collect()
    }
}

/// Removes a worktree from a clone of the user. Blocks until git exits, because it also runs at the end of an interrupted run.
pub(super) fn remove_worktree(owner: &Path, directory: &Path) -> io::Result<()> {
    let mut command = std::process::Command::new("git");
    prepare(&mut command);
    command.arg("-C").arg(owner).args(["worktree", "remove", "--force", "--force"]).arg(directory);
    let ended = command.output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() { Ok(()) } else { Err(io::Error::other(printable(said.trim(), MESSAGE_MAX))) }
}

/// Returns a git command that runs in a directory.
fn started(directory: &Path, hooks: Hooks) -> Command {
    let mut command = std::process::Command::new("git");
    prepare(&mut command);
    command.arg("-C").arg(directory);
    if hooks == Hooks::None {
        command.args(["-c", "core.hooksPath=/dev/null"]);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command
}

fn prepare(command: &mut std::process::Command) {
    command
        .envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in GIT_REDIRECTIONS {
        command.env_remove(name);
    }
    // The tokens in the environment are for kpromo. Hooks must not get them.
    for name in ["GITHUB_TOKEN", "GH_TOKEN"] {
        command.env_remove(name);
    }
}

/// Writes the askpass program and the token to a directory that only the user can read.
fn askpass(token: &Secret) -> io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("kpromo-askpass-").tempdir()?;
    for (name, mode, content) in [("token", 0o600, token.reveal()), ("askpass", 0o700, ASKPASS)] {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(directory.path().join(name))?;
        file.write_all(content.as_bytes())?;
    }
    Ok(directory)
}

/// Reads a pipe to its end, and keeps the first bytes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // A read error is ignored: the exit status shows whether the command succeeded.
        let _ = (&mut pipe).take(OUTPUT_MAX).read_to_end(kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Output;

    use super::*;

    fn ask(question: &str) -> Output {
        let directory = askpass(&Secret::new("hush")).unwrap();
        let mut command = std::process::Command::new(directory.path().join("askpass"));
        command.arg(question).env(ORIGIN, "https://git.example.com:8443");
        command.env(REPOSITORY, "https://git.example.com:8443/me/k8s.io").output().unwrap()
    }

    #[test]
    fn the_askpass_program_answers_only_for_the_host_of_the_forge() {
        for place in ["git.example.com:8443", "git.example.com:8443/me/k8s.io"] {
            let user = ask(&format!("Username for 'https://{place}': "));
            assert_eq!(user.stdout, b"x-access-token\n", "{place}");
            for user in ["x-access-token@", "alice@", "a@b@", ""] {
                assert_eq!(
                    ask(&format!("Password for 'https://{user}{place}': ")).stdout,
                    b"hush",
                    "{user}{place}"
                );
            }
        }
        for other in [
            "Password for 'https://x-access-token@git.example.com': ",
            "Password for 'http://x-access-token@git.example.com:8443': ",
            "Password for 'https://x-access-token@evil.example': ",
            "Password for 'https://x-access-token@git.example.com:8443.evil.example': ",
            "Password for 'https://git.example.com:8443/@evil.example': ",
            "Password for 'https://git.example.com:8443/me/k8s.io@evil.example': ",
            "Password for 'https://evil.example/@git.example.com:8443': ",
            "Password for 'https://evil.example/x@git.example.com:8443/me/k8s.io': ",
            "Password for 'https://git.example.com:8443/me/other': ",
            "Username for 'https://git.example.com:8443@evil.example': ",
            "Enter passphrase for key '/home/me/.ssh/id': ",
        ] {
            let output = ask(other);
            assert!(!output.status.success() && output.stdout.is_empty(), "{other}");
        }
    }

    #[tokio::test]
    async fn the_token_is_neither_in_messages_nor_in_debug_output() {
        let url = Url::parse("https://git.example.com").unwrap();
        let git = Git::new(Some(&Secret::new("hush-hush")), &url).unwrap();
        assert_eq!(
            git.clean("remote: bad token hush-hush\n\n\u{1b}[31mfatal\n"),
            "remote: bad token …\n[31mfatal"
        );
        assert!(!format!("{git:?}").contains("hush"));
    }
}
