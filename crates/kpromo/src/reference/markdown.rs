//! The command line and the environment, in Markdown.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::environment::variables::{Group, READ, READ_BY_LIBRARIES};

/// The first line of a generated file.
const GENERATED: &str = "<!-- Written by `cargo xtask docs`. Change the code instead. -->\n";

/// Returns the reference of all commands that are not hidden, in the order in which `declared` has them. Changing a subcommand
/// moves it to the end, so the grammar itself has another order.
pub(crate) fn commands(mut root: Command, declared: &Command) -> String {
    // Gives every command its full name and the options of the commands above it.
    root.build();
    let mut text = format!("{GENERATED}\n# Commands\n");
    let everywhere: Vec<&str> = root.get_arguments().map(|arg| arg.get_id().as_str()).collect();
    command(&mut text, &root, declared, &[]);
    below(&mut text, &root, declared, &everywhere);
    text
}

/// Writes the commands below `parent`.
fn below(text: &mut String, parent: &Command, declared: &Command, everywhere: &[&str]) {
    for (child, declared) in shown(parent, declared) {
        command(text, child, declared, everywhere);
        below(text, child, declared, everywhere);
    }
}

/// Returns the commands below `parent`, each with its declaration.
fn shown<'a>(parent: &'a Command, declared: &'a Command) -> impl Iterator<Item = (&'a Command, &'a Command)> {
    let children = declared.get_subcommands().filter(|command| !command.is_hide_set());
    children.filter_map(|child| Some((parent.find_subcommand(child.get_name())?, child)))
}

/// Writes one command, without the options in `omitted`.
fn command(text: &mut String, command: &Command, declared: &Command, omitted: &[&str]) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = write!(text, "\n## `{name}`\n\n{}\n", sentence(&about));
    let usage = command.clone().render_usage().to_string();
    let usage =
        usage.trim().trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let _ = write!(text, "\n```text\n{}\n```\n", usage.trim());
    if shown(command, declared).next().is_some() {
        text.push('\n');
        for (child, _) in shown(command, declared) {
            let name = child.get_bin_name().unwrap_or_else(|| child.get_name());
            let about = child.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "- [`{name}`](#{}): {}", anchor(name), sentence(&about));
        }
    }
    for (heading, arguments) in by_heading(command, omitted) {
        let _ = write!(text, "\n**{heading}**\n\n");
        arguments.into_iter().for_each(|arg| argument(text, arg));
    }
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        let _ = write!(text, "\n```text\n{}\n```\n", after.to_string().trim());
    }
}

/// Returns the arguments that are shown, by their headings, both in the order of the help.
fn by_heading<'a>(command: &'a Command, omitted: &[&str]) -> Vec<(&'a str, Vec<&'a Arg>)> {
    let mut groups: Vec<(&str, Vec<&Arg>)> = Vec::new();
    for arg in command.get_arguments() {
        if arg.is_hide_set() || omitted.contains(&arg.get_id().as_str()) {
            continue;
        }
        let default = if arg.is_positional() { "Arguments" } else { "Options" };
        let heading = arg.get_help_heading().unwrap_or(default);
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, arguments)) => arguments.push(arg),
            None => groups.push((heading, vec![arg])),
        }
    }
    groups
}

/// Writes one argument with its values.
fn argument(text: &mut String, arg: &Arg) {
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![format!("- {short}`{arg}`:"), sentence(&escaped(&help))];
    let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    let takes_values = arg.get_action().takes_values();
    if takes_values && !values.is_empty() && !arg.is_hide_possible_values_set() {
        let values = values.iter().map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), escaped(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        });
        parts.push(format!("Values: {}.", values.collect::<Vec<_>>().join(", ")));
    }
    let defaults = arg.get_default_values();
    if takes_values && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let defaults = defaults.iter().map(|value| format!("`{}`", value.to_string_lossy()));
        parts.push(format!("Default: {}.", defaults.collect::<Vec<_>>().join(", ")));
    }
    parts.retain(|part| !part.is_empty());
    text.push_str(&parts.join(" "));
    text.push('\n');
}

/// Returns the reference of all environment variables.
pub(crate) fn environment() -> String {
    let mut text = format!(
        "{GENERATED}\n# Environment variables\n\n\
         kpromo reads these variables when it starts. A variable with an empty value counts as not set, except for \
         `COSIGN_PASSWORD` and `SSL_CERT_FILE`.\n"
    );
    READ.iter().for_each(|group| table(&mut text, group));
    text.push_str("\nThe libraries that kpromo uses read these:\n");
    READ_BY_LIBRARIES.iter().for_each(|group| table(&mut text, group));
    text
}

fn table(text: &mut String, group: &Group) {
    let _ = write!(text, "\n## {}\n\n| variable | meaning |\n|---|---|\n", group.title);
    for (name, meaning) in group.variables {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
}

/// Returns the fragment that mdBook and GitHub give the heading of a command.
fn anchor(name: &str) -> String {
    name.replace(' ', "-")
}

/// Ends a text with a period, if it does not end with another mark. clap removes the one at the end.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with(['.', ':', '!', '?', '…']) { text } else { format!("{text}.") }
}

/// Escapes what Markdown would interpret, except in code between backticks.
fn escaped(text: &str) -> String {
    let mut in_code = false;
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        in_code ^= character == '`';
        if !in_code && matches!(character, '*' | '_' | '<' | '>' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Command {
        let inner = Command::new("inner").about("Does it").after_help("Examples:\n  tool inner a_*").args([
            Arg::new("FILE").help("Reads <this> and *that*, but `*` is code").required(true),
            Arg::new("level").short('l').long("level").value_parser(["low", "high"]).default_value("low"),
            Arg::new("secret").long("secret").hide(true),
            Arg::new("beside").long("beside").help("Where.").help_heading("Output"),
        ]);
        let hidden = Command::new("hidden").hide(true).about("Not shown");
        let log = Arg::new("log").long("log").global(true).help("Log");
        Command::new("tool").about("A tool").arg(log).subcommand(inner).subcommand(hidden)
    }

    #[test]
    fn a_command_has_its_usage_its_arguments_by_heading_and_its_examples() {
        let text = commands(sample(), &sample());
        let (_, inner) = text.split_once("## `tool inner`").unwrap();
        assert_eq!(
            inner,
            "\n\nDoes it.\n\n```text\ntool inner [OPTIONS] <FILE>\n```\n\n\
             **Arguments**\n\n- `<FILE>`: Reads \\<this\\> and \\*that\\*, but `*` is code.\n\n\
             **Options**\n\n- `-l`, `--level <level>`: Values: `low`, `high`. Default: `low`.\n\n\
             **Output**\n\n- `--beside <beside>`: Where.\n\n```text\nExamples:\n  tool inner a_*\n```\n"
        );
    }

    #[test]
    fn hidden_commands_and_flags_are_left_out_and_global_options_stand_at_the_top_alone() {
        let text = commands(sample(), &sample());
        assert!(!text.contains("hidden") && !text.contains("secret"), "{text}");
        assert_eq!(text.matches("`--log <log>`").count(), 1, "{text}");
        assert!(text.contains("- [`tool inner`](#tool-inner): Does it.\n"), "{text}");
    }

    #[test]
    fn all_variables_are_listed_once() {
        let text = environment();
        for (name, _) in READ.iter().chain(READ_BY_LIBRARIES).flat_map(|group| group.variables) {
            assert_eq!(text.matches(&format!("| `{name}` |")).count(), 1, "{name}");
        }
    }
}
