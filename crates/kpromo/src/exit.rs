//! Exit codes: what a script learns of a run (`docs/reference/exit-codes.md`).

use std::panic;
use std::process::ExitCode;

use crate::terminal::print_error;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do, or a clean dry run.
    Success,
    /// A bug, or a file of ours that cannot be written.
    Failure,
    /// The command line cannot be understood, or asks for what is not in this build.
    Usage,
    /// A manifest or a configuration is invalid. Production is as it was.
    Invalid,
    /// The plan contradicts production or itself. Production is as it was.
    Conflict,
    /// What is attached to an image, or lacks, forbids it. Production is as it was.
    Policy,
    /// A registry or credentials are unavailable. Production is as it was.
    Unavailable,
    /// Some edges failed, the others are promoted.
    Partial,
    /// Everything is promoted, and not all of it is signed and attested.
    Unsigned,
    /// Interrupted after writing began: production has changed in part.
    InterruptedWriting,
    /// Interrupted before writing. Production is as it was.
    Interrupted,
}

impl Exit {
    /// The number that the process ends with.
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
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Has a panic end the process as [`Exit::Failure`], with what it takes to report it. It is ended at once, whichever thread
/// it is: a promotion that has lost a part of itself must not go on.
pub(crate) fn report_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        let version = env!("CARGO_PKG_VERSION");
        print_error(&format!(
            "this is a bug in kpromo {version}: please report it, with the lines above and the command that was run"
        ));
        std::process::exit(Exit::Failure.code().into());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that the first column of the reference lists.
    fn documented() -> Vec<u8> {
        let reference = include_str!("../../../docs/reference/exit-codes.md");
        reference
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect()
    }

    /// The variant that follows; a new one does not compile until it has its place here, and then in the reference.
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
