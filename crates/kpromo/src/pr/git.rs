//! Runs git: clones, commits and pushes. It is the installed git, with the user's configuration, hooks, keys and SSH.
//!
//! The token reaches git through an askpass program, which reads it from git's environment and answers only for the host of the
//! forge. It is in no URL and in no argument.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

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
const OUTPUT_MAX: u64 = 4 * 1024 * 1024;
/// The maximum length of a message of git that is shown, in characters.
const MESSAGE_MAX: usize = 2_000;
/// The variable with the token, for the askpass program.
const TOKEN: &str = "KPROMO_ASKPASS_TOKEN";
/// The variable with the beginning of the URLs for which the askpass program answers.
const ORIGIN: &str = "KPROMO_ASKPASS_ORIGIN";
/// git asks `Username for 'https://HOST': ` and `Password for 'https://USER@HOST': `. The user is the one that GitHub names for
/// tokens; other forges take any.
const ASKPASS: &str = "\
#!/bin/sh
case \"$1\" in
\"Username for '$KPROMO_ASKPASS_ORIGIN': \") echo x-access-token ;;
\"Password for '${KPROMO_ASKPASS_ORIGIN%%://*}://x-access-token@${KPROMO_ASKPASS_ORIGIN#*://}': \") printf '%s\\n' \"$KPROMO_ASKPASS_TOKEN\" ;;
*) exit 1 ;;
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
    /// Has the askpass program.
    folder: TempDir,
}

/// A command of git that has failed.
#[derive(Debug)]
pub(super) struct GitError {
    /// What git was asked to do.
    doing: String,
    /// What git has said. No secret is in it.
    message: String,
}

impl GitError {
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
                let folder = askpass().map_err(|error| {
                    Failure::new(Exit::Failure, format!("a temporary file cannot be written: {error}"))
                })?;
                Some(Access { token: token.clone(), origin: git_url.origin().ascii_serialization(), folder })
            }
        };
        Ok(Self { access })
    }

    /// Runs git in a folder, without access to a remote repository.
    pub(super) async fn local<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        folder: &Path,
        arguments: &[S],
    ) -> Result<String, GitError> {
        let mut command = command();
        command.arg("-C").arg(folder).args(arguments);
        self.run(doing, command).await
    }

    /// Runs git in a folder, with access to the forge.
    pub(super) async fn remote<S: AsRef<OsStr>>(
        &self,
        doing: &str,
        folder: &Path,
        arguments: &[S],
    ) -> Result<String, GitError> {
        let mut command = command();
        command.arg("-C").arg(folder);
        // A server that sends nothing is given up.
        command.args(["-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=120"]);
        if let Some(Access { token, origin, folder }) = &self.access {
            // No credential helper is asked, and none is given the token to store.
            command.args(["-c", "credential.helper="]);
            command.env("GIT_ASKPASS", folder.path().join("askpass"));
            command.env(TOKEN, token.reveal()).env(ORIGIN, origin);
        }
        command.args(arguments);
        self.run(doing, command).await
    }

    async fn run(&self, doing: &str, mut command: Command) -> Result<String, GitError> {
        let failed = |message: String| GitError { doing: doing.to_owned(), message };
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("the program `git` is not on the PATH".to_owned()),
            _ => failed(format!("it cannot be run: {error}")),
        })?;
        // Both pipes are read together, because git blocks on one that is full.
        let (output, complaint) = tokio::join!(drain(child.stdout.take()), drain(child.stderr.take()));
        let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&output).into_owned());
        }
        let said = self.clean(&String::from_utf8_lossy(&complaint));
        Err(failed(if said.is_empty() { format!("it ended with {status}") } else { said }))
    }

    /// Returns a message of git, or of the server behind it, as it may be shown.
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

fn command() -> Command {
    let mut command = Command::new("git");
    command
        .envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in GIT_REDIRECTIONS {
        command.env_remove(name);
    }
    // The tokens of the environment are for kpromo. A hook of the repository gets none.
    for name in ["GITHUB_TOKEN", "GH_TOKEN"] {
        command.env_remove(name);
    }
    command
}

/// Writes the askpass program to a folder that only the user may read.
fn askpass() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("kpromo-askpass-").tempdir()?;
    let path = folder.path().join("askpass");
    fs::write(&path, ASKPASS)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

/// Reads a pipe to its end, and keeps the first bytes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        // A read error is ignored: the exit status shows whether the command succeeded.
        let _ = (&mut pipe).take(OUTPUT_MAX).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::process::Output;

    use super::*;

    fn ask(question: &str) -> Output {
        let folder = askpass().unwrap();
        let mut command = std::process::Command::new(folder.path().join("askpass"));
        command.arg(question).env(TOKEN, "hush").env(ORIGIN, "https://git.example.com:8443");
        command.output().unwrap()
    }

    #[test]
    fn the_token_is_told_for_the_host_of_the_forge_and_no_other() {
        assert_eq!(ask("Username for 'https://git.example.com:8443': ").stdout, b"x-access-token\n");
        assert_eq!(ask("Password for 'https://x-access-token@git.example.com:8443': ").stdout, b"hush\n");
        for other in [
            "Password for 'https://x-access-token@git.example.com': ",
            "Password for 'http://x-access-token@git.example.com:8443': ",
            "Password for 'https://x-access-token@evil.example': ",
            "Password for 'https://x-access-token@git.example.com:8443.evil.example': ",
            "Enter passphrase for key '/home/me/.ssh/id': ",
        ] {
            let output = ask(other);
            assert!(!output.status.success() && output.stdout.is_empty(), "{other}");
        }
    }

    #[tokio::test]
    async fn the_token_is_neither_in_what_git_is_given_nor_in_what_is_shown() {
        let url = Url::parse("https://git.example.com").unwrap();
        let git = Git::new(Some(&Secret::new("hush-hush")), &url).unwrap();
        assert_eq!(
            git.clean("remote: bad token hush-hush\n\n\u{1b}[31mfatal\n"),
            "remote: bad token …\n[31mfatal"
        );
        assert!(!format!("{git:?}").contains("hush"));
    }
}
