//! Commands and flags that earlier versions of the Go tool had. An error about one of them says what to use instead.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// A removed command or flag.
struct Gone {
    /// The names of the command that had it, such as `["run", "files"]`. Of a command: the names above it.
    at: &'static [&'static str],
    /// The name, with the dashes of a flag.
    name: &'static str,
    /// What to use instead, as a sentence.
    instead: &'static str,
}

const fn gone(at: &'static [&'static str], name: &'static str, instead: &'static str) -> Gone {
    Gone { at, name, instead }
}

const CREDENTIALS: &str = "Credentials are found without a flag: those of Docker's config.json and its credential helpers, and \
                           Google's (GOOGLE_APPLICATION_CREDENTIALS, gcloud, the metadata server).";
const CONCURRENCY: &str = "The number of concurrent requests follows from what each registry admits. To limit it, set \
                           `concurrency` of a host in the configuration (--config).";
const AUDIT: &str = "To check images that were promoted, use `kpromo verify IMAGE` or `kpromo sigcheck`.";
const ADD: &str =
    "To add images to a manifest, use `kpromo manifest add`, or `kpromo pr` to propose the change too.";
const DRY_RUN: &str = "Use `--confirm` to promote. A run without it is a dry run.";
const IMAGES: &str = "To promote images, use `kpromo cip`.";

const GONE: &[Gone] = &[
    gone(&["cip"], "--key-files", CREDENTIALS),
    gone(&["cip"], "--use-service-account", CREDENTIALS),
    gone(&["cip"], "--no-service-account", CREDENTIALS),
    gone(&["cip"], "--threads", CONCURRENCY),
    gone(
        &["cip"],
        "--json-log-summary",
        "For a summary that programs read, use `--report FILE`; for a log as JSON, `--log-format json`.",
    ),
    gone(
        &["cip"],
        "--max-signature-copies",
        "Signatures are written to the canonical registry only and are not copied: remove the flag. `--max-signature-ops` \
         limits the images that are signed at the same time.",
    ),
    gone(&["cip"], "--dry-run", DRY_RUN),
    gone(
        &["cip"],
        "--snapshot-service-account",
        "`--snapshot` reads the registry with the credentials that are found for its host: remove the flag, and see the \
         credentials of Docker's config.json and of Google (GOOGLE_APPLICATION_CREDENTIALS).",
    ),
    gone(&["cip"], "--version", "Use `kpromo version`."),
    gone(&["cip"], "audit", AUDIT),
    gone(&["cip"], "mm", ADD),
    gone(&["cip"], "run", "`kpromo cip` promotes by itself: remove the word."),
    gone(&["cip"], "version", "Use `kpromo version`."),
    gone(&["run", "files"], "--dry-run", DRY_RUN),
    gone(&["run", "files"], "--threads", CONCURRENCY),
    gone(&["run"], "imagepromotion", IMAGES),
    gone(&["run"], "images", IMAGES),
    gone(&["run"], "image", IMAGES),
    gone(&["manifest"], "images", ADD),
    gone(&["manifest"], "image", ADD),
    gone(&["manifest"], "mm", ADD),
    gone(&[], "imagepromotion", IMAGES),
    gone(&[], "cip-mm", ADD),
    gone(&[], "mm", ADD),
    gone(&[], "audit", AUDIT),
    gone(&[], "cip-auditor", AUDIT),
    gone(&[], "gh2gcs", "To copy the assets of GitHub releases to a bucket, use `kpromo gh`."),
    gone(&[], "promobot-files", "To promote files, use `kpromo run files`."),
    gone(&[], "promobot-generate-manifest", "To make a manifest of files, use `kpromo manifest files`."),
    gone(
        &[],
        "promobot-hash-release",
        "To make a manifest of files with their hashes, use `kpromo manifest files`.",
    ),
];

/// Returns the command with these names, as far as there is one. Its usage begins with the names above it.
pub(super) fn descend<'a>(mut root: Command, names: impl Iterator<Item = &'a str>) -> Command {
    root.build();
    names.fold(&root, |command, name| command.find_subcommand(name).unwrap_or(command)).clone()
}

/// Returns what is wrong and what to use instead, if an error is about a command or a flag that is gone. `path` has the names of the
/// command that was called.
pub(super) fn find(error: &Error, path: &[&str]) -> Option<(String, String)> {
    let unknown = match error.kind() {
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => error.get(ContextKind::InvalidSubcommand),
        _ => None,
    };
    let Some(ContextValue::String(unknown)) = unknown else { return None };
    let name = unknown.split('=').next().unwrap_or_default();
    let gone = GONE.iter().find(|gone| gone.name == name && gone.at == path)?;
    let what = if name.starts_with('-') { "flag" } else { "command" };
    let command = ["kpromo"].into_iter().chain(path.iter().copied()).collect::<Vec<_>>().join(" ");
    Some((format!("`{command}` has no {what} `{name}` any more"), gone.instead.to_owned()))
}

/// Returns the names of the command that is called. Flags before the command may have values, which are passed over as long as no
/// command has their name.
pub(super) fn path<'a>(grammar: &'a Command, words: &[OsString]) -> Vec<&'a str> {
    let mut path = Vec::new();
    let mut command = grammar;
    for word in words.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(next) = command.find_subcommand(word) {
            path.push(next.get_name());
            command = next;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;

    fn error(line: &str) -> String {
        Cli::read(line.split(' ')).unwrap_err().to_string()
    }

    #[test]
    fn a_flag_that_is_gone_says_what_to_use_instead() {
        for (line, expected) in [
            ("kpromo cip --key-files=a,b", "GOOGLE_APPLICATION_CREDENTIALS"),
            ("kpromo cip --manifest m.yaml --json-log-summary", "--report FILE"),
            ("kpromo --log-level info cip --threads 10", "`concurrency` of a host"),
            ("kpromo cip --max-signature-copies 5", "--max-signature-ops"),
            ("kpromo cip --use-service-account", "Docker's config.json"),
            ("kpromo cip --dry-run=false", "help: Use `--confirm` to promote."),
            ("kpromo run files --dry-run=false", "--confirm"),
            ("kpromo cip --snapshot-service-account=a.json", "GOOGLE_APPLICATION_CREDENTIALS"),
        ] {
            let text = error(line);
            assert!(text.contains("any more") && text.contains(expected), "{line}: {text}");
            assert!(text.contains("Usage: kpromo ") && text.contains("[OPTIONS]"), "{line}: {text}");
        }
        assert!(error("kpromo cip --threads 10").contains("Usage: kpromo cip [OPTIONS]"));
        assert!(!error("kpromo pr --threads 10 --tag v1").contains("any more"), "a flag of another command");
    }

    #[test]
    fn a_command_that_is_gone_says_what_to_use_instead() {
        for (line, expected) in [
            ("kpromo cip audit", "kpromo verify IMAGE"),
            ("kpromo cip-mm", "kpromo manifest add"),
            ("kpromo mm --staging_repo x", "kpromo manifest add"),
            ("kpromo run imagepromotion", "kpromo cip"),
            ("kpromo gh2gcs --org kubernetes", "kpromo gh"),
            ("kpromo promobot-files", "kpromo run files"),
        ] {
            let text = error(line);
            assert!(text.contains("any more") && text.contains(expected), "{line}: {text}");
        }
    }

    #[test]
    fn nothing_is_called_gone_that_there_is() {
        for Gone { at, name, .. } in GONE {
            let command = descend(Cli::grammar(), at.iter().copied());
            assert_eq!(command.get_name(), at.last().copied().unwrap_or("kpromo"), "{at:?}");
            let flag = name.strip_prefix("--");
            let has_flag =
                command.get_arguments().any(|arg| arg.get_long().is_some() && arg.get_long() == flag);
            assert!(!has_flag && command.find_subcommand(name).is_none(), "{at:?} {name}");
        }
    }
}
