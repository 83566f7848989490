//! Errors of the command line: what is wrong, what was probably meant, and the usage of the command.

use std::ffi::OsString;
use std::fmt;

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use oci_types::text::nearest;

use super::obsolete::{self, descend, path};
use crate::color::Paint;

/// Why the command line runs no command.
#[derive(Debug)]
pub(crate) enum NoCommand {
    /// The command line asks for help or for the version, or is empty: a text that the parser prints.
    Text(Box<Error>),
    /// The command line is invalid.
    Invalid(UsageError),
}

/// An error of the command line.
#[derive(Debug)]
pub(crate) struct UsageError {
    /// What is wrong. A list that follows it is on lines of its own.
    text: String,
    /// What to do, each as a sentence.
    advice: Vec<String>,
    /// The usage of the command that was called, with its title.
    usage: String,
    /// The command that prints its help.
    help: String,
}

impl UsageError {
    /// An error about the command with these names.
    pub(super) fn new<'a>(grammar: Command, names: impl Iterator<Item = &'a str>, text: String) -> Self {
        let mut command = descend(grammar, names);
        let usage = command.render_usage().to_string();
        let name = command.get_bin_name().unwrap_or("kpromo").to_owned();
        Self { text, advice: Vec::new(), usage, help: format!("{name} --help") }
    }

    /// Returns the error on one line, without its advice.
    pub(crate) fn line(&self) -> String {
        self.text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// Returns the advice, if there is any.
    pub(crate) fn advice(&self) -> Option<String> {
        (!self.advice.is_empty()).then(|| self.advice.join("; "))
    }

    /// Returns the error as it is printed, in colors if `color` is set.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut text = format!("{}: {}\n", Paint::Error.on(color, "error"), self.text);
        for advice in &self.advice {
            text.push_str(&format!("{}: {advice}\n", Paint::Help.on(color, "help")));
        }
        let usage = match self.usage.strip_prefix("Usage:") {
            Some(rest) => format!("{}{rest}", Paint::Title.on(color, "Usage:")),
            None => self.usage.clone(),
        };
        format!("{text}\n{usage}\n\nFor more information, try '{}'.\n", self.help)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Display for NoCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

/// Returns whether a command line that cannot be read asks for JSON on standard error.
pub(crate) fn asks_for_json(words: &[OsString]) -> bool {
    let is_one = words.iter().any(|word| word == "--log-format=json");
    is_one || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
}

/// Returns the error of the parser with what was probably meant and the usage of the command that was called.
pub(super) fn explain(error: Error, grammar: &Command, words: &[OsString]) -> NoCommand {
    let path = path(grammar, words);
    let new = |text| UsageError::new(grammar.clone(), path.iter().copied(), text);
    let is_for_programs = asks_for_json(words);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if is_for_programs =>
        {
            let command = descend(grammar.clone(), path.iter().copied());
            let names: Vec<&str> = commands(&command).filter(|name| *name != "help").collect();
            return NoCommand::Invalid(new(format!("a command is missing: {}", names.join(", "))));
        }
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return NoCommand::Text(Box::new(error)),
        _ => {}
    }
    if let Some((text, instead)) = obsolete::find(&error, &path) {
        return NoCommand::Invalid(UsageError { advice: vec![instead], ..new(text) });
    }
    let command = descend(grammar.clone(), path.iter().copied());
    let advice = advice(&error, &command);
    NoCommand::Invalid(UsageError { advice, ..new(words_of(error, &command)) })
}

/// Returns what was probably meant.
fn advice(error: &Error, command: &Command) -> Vec<String> {
    let meant = |name: &str| format!("did you mean `{name}`?");
    if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) {
        let names: Vec<&str> = commands(command).collect();
        let part = || unknown.split('-').find_map(|part| names.iter().find(|name| **name == part).copied());
        return nearest(unknown, names.iter().copied()).or_else(part).map(meant).into_iter().collect();
    }
    let suggested = match error.get(ContextKind::SuggestedArg).or(error.get(ContextKind::SuggestedValue)) {
        Some(ContextValue::String(name)) => Some(name),
        Some(ContextValue::Strings(names)) => names.first(),
        _ => None,
    };
    if let Some(name) = suggested {
        return vec![meant(name)];
    }
    match error.get(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// Returns the names of the commands below one, without those that are for our own documentation.
fn commands(command: &Command) -> impl Iterator<Item = &str> {
    command.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name)
}

/// Returns what the parser says is wrong, and nothing else.
fn words_of(mut error: Error, command: &Command) -> String {
    use ContextKind::{Suggested, SuggestedArg, SuggestedSubcommand, SuggestedValue, Usage, ValidSubcommand};
    for kind in [Suggested, SuggestedArg, SuggestedSubcommand, SuggestedValue, Usage] {
        error.remove(kind);
    }
    if error.get(ValidSubcommand).is_some() {
        let names = commands(command).map(str::to_owned).collect();
        error.insert(ValidSubcommand, ContextValue::Strings(names));
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.rsplit_once("\n\nFor more information").map_or(text, |(text, _)| text);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Cli;

    fn error(line: &str) -> String {
        Cli::read(line.split(' ')).unwrap_err().to_string()
    }

    #[test]
    fn what_was_probably_meant_is_named() {
        for (line, expected) in [
            ("kpromo cpi", "\nhelp: did you mean `cip`?\n"),
            ("kpromo multi-run", "\nhelp: did you mean `run`?\n"),
            ("kpromo run fiels", "\nhelp: did you mean `files`?\n"),
            ("kpromo cip --mainfest x", "\nhelp: did you mean `--manifest`?\n"),
            ("kpromo completion bsh", "\nhelp: did you mean `bash`?\n"),
        ] {
            let text = error(line);
            assert!(text.contains(expected) && !text.contains("tip:"), "{line}: {text}");
        }
        for line in ["kpromo vuln", "kpromo xyzzy", "kpromo referenc"] {
            assert!(!error(line).contains("did you mean"), "{line}: {}", error(line));
        }
    }

    #[test]
    fn the_usage_is_that_of_the_command_whatever_was_given_before() {
        for (line, usage) in [
            ("kpromo cip --log-format json --bogus", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo cip --confirm=maybe", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo cip --manifest", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo cip --timeout abc", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo cip --shard 9", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo cip --max-signature-ops 0", "Usage: kpromo cip [OPTIONS]\n"),
            ("kpromo verify :::", "Usage: kpromo verify [OPTIONS] "),
            ("kpromo completion tcsh", "Usage: kpromo completion [OPTIONS] <SHELL>\n"),
            ("kpromo --log-format json", "Usage: kpromo [OPTIONS] <COMMAND>\n"),
        ] {
            let text = error(line);
            assert_eq!(text.matches("Usage: ").count(), 1, "{line}: {text}");
            assert!(text.contains(usage), "{line}: {text}");
            let command = usage.trim_start_matches("Usage: ").split(" [").next().unwrap();
            assert!(text.ends_with(&format!("For more information, try '{command} --help'.\n")), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_wrong_is_explained_in_our_words() {
        for (line, expected) in [
            ("kpromo cip --timeout abc", "expected a duration with its unit, such as 90s or 2h 30m"),
            ("kpromo cip --timeout 0s", "expected a duration greater than zero"),
            ("kpromo cip --late-after abc", "expected a duration in seconds or with its unit"),
            ("kpromo cip --max-signature-ops 0", "expected a whole number from 1 to 1000"),
            ("kpromo cip --max-signature-ops many", "expected a whole number from 1 to 1000"),
            ("kpromo cip --vuln-severity-threshold high", "expected a whole number"),
            ("kpromo sigcheck --limit x", "expected a whole number"),
            ("kpromo registry serve --listen x", "expected an IP address and a port"),
        ] {
            let text = error(line);
            assert!(text.contains(expected), "{line}: {text}");
        }
    }

    #[test]
    fn commands_of_our_own_documentation_are_not_offered() {
        let text = error("kpromo --log-format json");
        assert!(text.contains("verify") && !text.contains("reference"), "{text}");
    }
}
