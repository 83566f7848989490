//! Exit codes: the result of a run for scripts (`docs/reference/exit-codes.md`).

use std::panic;
use std::process::ExitCode;

use crate::terminal::{ErrorLine, Stopped, is_incomplete, is_json, last_words, print_error, stopped};

/// The result of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success, nothing to do, or a dry run without findings.
    Success,
    /// A bug, an output that cannot be written, or a difference that `kpromo snapshot diff --exit-code` reports.
    Failure,
    /// The command line is invalid, or requires a feature that this build lacks.
    Usage,
    /// A manifest or a configuration is invalid. Production is unchanged.
    Invalid,
    /// The plan conflicts with production or with itself. Production is unchanged.
    Conflict,
    /// An attachment of an image, or the lack of one, violates a policy. Production is unchanged.
    Policy,
    /// A registry or credentials are unavailable. Production is unchanged.
    Unavailable,
    /// Some edges failed, and the others are promoted.
    Partial,
    /// Everything is promoted, but not everything is signed and attested.
    Unsigned,
    /// Interrupted after writing began. Production is partially changed.
    InterruptedWriting,
    /// Interrupted before writing began. Production is unchanged.
    Interrupted,
}

impl Exit {
    /// Returns the exit code of the process.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Invalid => 10,
            Self::Conflict => 11,
            Self::Policy => 12,
            Self::Unavailable => 20,
            Self::Partial => 30,
            Self::Unsigned => 31,
            Self::InterruptedWriting => 32,
            Self::Interrupted => 130,
        }
    }

    /// Returns what the exit code means, in a few words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failure => {
                "an output cannot be written, or there is a difference that the exit code reports"
            }
            Self::Usage => "the command line is invalid",
            Self::Invalid => "a manifest or the configuration is invalid; production is unchanged",
            Self::Conflict => "the plan conflicts with production or with itself; production is unchanged",
            Self::Policy => "images do not satisfy a policy; production is unchanged",
            Self::Unavailable => "a registry or credentials are unavailable; production is unchanged",
            Self::Partial => "some images or files were not promoted",
            Self::Unsigned => "some images lack a signature or a promotion record",
            Self::InterruptedWriting => "interrupted while writing; the next run completes the rest",
            Self::Interrupted => "interrupted; production is unchanged",
        }
    }

    /// Logs the end of a command that does not succeed, where programs read the log: the error that ended it, or what the exit
    /// code means. Text is for people, who see the errors.
    pub(crate) fn log_for_programs(self) {
        if !is_json() || self == Self::Success {
            return;
        }
        let last = std::mem::take(&mut *last_words());
        let stopped = stopped();
        // These are about many images or files, whose errors precede, or about the run itself.
        let is_sum = matches!(self, Self::Partial | Self::Unsigned) || stopped.is_some();
        let error = last.error.filter(|_| !is_sum).unwrap_or_else(|| self.meaning_after(stopped));
        let advice = (!last.advice.is_empty()).then(|| last.advice.join("; "));
        let exit_code = Some(self.code());
        ErrorLine { advice: advice.as_deref(), exit_code, is_part: true, ..ErrorLine::new(&error) }.print();
    }

    /// Returns what the exit code means after a run that was stopped by this.
    fn meaning_after(self, stopped: Option<Stopped>) -> String {
        match (self, stopped) {
            (Self::Interrupted, Some(why @ Stopped::TimedOut(_))) => {
                format!("{why}; production is unchanged")
            }
            (Self::InterruptedWriting, Some(why @ Stopped::TimedOut(_))) => {
                format!("{why}; the next run completes the rest")
            }
            _ => self.meaning().to_owned(),
        }
    }
}

impl Exit {
    /// Returns the result of a command that would end with this: it does not succeed if a result could not be printed.
    pub(crate) fn settled(self) -> Self {
        if self == Self::Success && is_incomplete() { Self::Failure } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Installs a panic hook that asks for a bug report and ends the process with [`Exit::Failure`]. The process ends at once,
/// whichever thread panics: a promotion must not continue after one of its tasks has panicked.
pub(crate) fn report_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let version = env!("CARGO_PKG_VERSION");
        if is_json() {
            let error = format!(
                "{info}; this is a bug in kpromo {version}: please report it, with this line and the command that was run"
            );
            ErrorLine { exit_code: Some(Exit::Failure.code()), ..ErrorLine::new(&error) }.print();
        } else {
            usual(info);
            print_error(&format!(
                "this is a bug in kpromo {version}: please report it, with the lines above and the command that was run"
            ));
        }
        std::process::exit(Exit::Failure.code().into());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the codes in the first column of the reference.
    fn documented() -> Vec<u8> {
        let reference = include_str!("../../../docs/reference/exit-codes.md");
        reference
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect()
    }

    /// Returns the next variant. A new variant does not compile before it is added here, and then the reference must list it.
    fn next(exit: Exit) -> Option<Exit> {
        match exit {
            Exit::Success => Some(Exit::Failure),
            Exit::Failure => Some(Exit::Usage),
            Exit::Usage => Some(Exit::Invalid),
            Exit::Invalid => Some(Exit::Conflict),
            Exit::Conflict => Some(Exit::Policy),
            Exit::Policy => Some(Exit::Unavailable),
            Exit::Unavailable => Some(Exit::Partial),
            Exit::Partial => Some(Exit::Unsigned),
            Exit::Unsigned => Some(Exit::InterruptedWriting),
            Exit::InterruptedWriting => Some(Exit::Interrupted),
            Exit::Interrupted => None,
        }
    }

    #[test]
    fn the_reference_lists_the_codes_that_there_are_and_no_others() {
        let all = std::iter::successors(Some(Exit::Success), |exit| next(*exit));
        assert_eq!(all.map(Exit::code).collect::<Vec<_>>(), documented());
    }
}
