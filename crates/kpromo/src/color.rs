//! Colors of the output.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use clap::{ColorChoice, ValueEnum};

/// When colors are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// Depends on the environment and the stream.
    #[default]
    Auto,
    Always,
    Never,
}

/// The variables about colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColorVariables {
    /// `NO_COLOR` is set and not empty: no colors.
    pub(crate) no_color: bool,
    /// `CLICOLOR_FORCE` is set and not 0: colors are used even if the output is not a terminal.
    pub(crate) force: bool,
    /// `CLICOLOR` is 0: no colors.
    pub(crate) off: bool,
    /// `TERM` is `dumb`: the terminal shows no colors.
    pub(crate) is_dumb: bool,
}

/// The streams that have colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colored {
    stdout: bool,
    stderr: bool,
}

static COLORED: OnceLock<Colored> = OnceLock::new();

/// Decides which streams have colors, once per process. Until then, none has.
pub(crate) fn decide(when: ColorWhen, variables: ColorVariables) {
    let colored = Colored {
        stdout: is_used(when, variables, io::stdout().is_terminal()),
        stderr: is_used(when, variables, io::stderr().is_terminal()),
    };
    // Only tests decide twice in one process.
    let _ = COLORED.set(colored);
}

/// Returns whether standard output has colors.
pub(crate) fn on_stdout() -> bool {
    COLORED.get().is_some_and(|colored| colored.stdout)
}

/// Returns whether standard error has colors.
pub(crate) fn on_stderr() -> bool {
    COLORED.get().is_some_and(|colored| colored.stderr)
}

/// Returns whether a stream has colors: what the flag says, else NO_COLOR, else CLICOLOR_FORCE, else whether it is a terminal that
/// can show them (<https://no-color.org>, <https://bixense.com/clicolors>).
fn is_used(when: ColorWhen, variables: ColorVariables, is_terminal: bool) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto if variables.no_color => false,
        ColorWhen::Auto if variables.force => true,
        ColorWhen::Auto => is_terminal && !variables.off && !variables.is_dumb,
    }
}

impl From<ColorWhen> for ColorChoice {
    fn from(when: ColorWhen) -> Self {
        match when {
            ColorWhen::Auto => Self::Auto,
            ColorWhen::Always => Self::Always,
            ColorWhen::Never => Self::Never,
        }
    }
}

/// Returns what a command line says about colors before it is parsed, for help and for errors of the command line.
pub(crate) fn of_words(words: &[OsString]) -> ColorWhen {
    let mut choice = ColorWhen::Auto;
    let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        if let Some(value) = value.and_then(|value| ColorWhen::from_str(value, true).ok()) {
            choice = value;
        }
    }
    choice
}

/// The meaning of a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Error,
    Help,
    Added,
    Attention,
    Title,
}

impl Paint {
    /// The parameters of the control sequence (ECMA-48, *Select Graphic Rendition*).
    const fn code(self) -> &'static str {
        match self {
            Self::Error => "1;31",
            Self::Help => "1;36",
            Self::Added => "32",
            Self::Attention => "1;33",
            Self::Title => "1",
        }
    }

    /// Returns a text in this color, if colors are used.
    pub(crate) fn on(self, is_used: bool, text: impl Display) -> String {
        if is_used { format!("\u{1b}[{}m{text}\u{1b}[0m", self.code()) } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_variables_and_variables_over_the_terminal() {
        let none = ColorVariables::default();
        let no_color = ColorVariables { no_color: true, ..none };
        let force = ColorVariables { force: true, ..none };
        let both = ColorVariables { no_color: true, force: true, ..none };
        let off = ColorVariables { off: true, ..none };
        let dumb = ColorVariables { is_dumb: true, ..none };
        for (when, variables, is_terminal, expected) in [
            (ColorWhen::Auto, none, true, true),
            (ColorWhen::Auto, none, false, false),
            (ColorWhen::Auto, no_color, true, false),
            (ColorWhen::Auto, force, false, true),
            (ColorWhen::Auto, both, true, false),
            (ColorWhen::Auto, off, true, false),
            (ColorWhen::Auto, dumb, true, false),
            (ColorWhen::Always, no_color, false, true),
            (ColorWhen::Never, force, true, false),
        ] {
            assert_eq!(
                is_used(when, variables, is_terminal),
                expected,
                "{when:?} {variables:?} {is_terminal}"
            );
        }
    }

    #[test]
    fn the_flag_is_found_before_the_command_line_is_parsed() {
        let of = |line: &str| of_words(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("kpromo cip --color never --wrong"), ColorWhen::Never);
        assert_eq!(of("kpromo --color=ALWAYS --color=never cip"), ColorWhen::Never, "the last one counts");
        for line in ["kpromo cip", "kpromo --color", "kpromo --color=blue", "kpromo -- --color=never"] {
            assert_eq!(of(line), ColorWhen::Auto, "{line}");
        }
    }

    #[test]
    fn a_text_is_painted_only_if_colors_are_used() {
        assert_eq!(Paint::Error.on(true, "x"), "\u{1b}[1;31mx\u{1b}[0m");
        assert_eq!(Paint::Error.on(false, "x"), "x");
    }
}
