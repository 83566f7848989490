//! Exit codes: what a script learns of a run (`docs/reference/exit-codes.md`).

use std::process::ExitCode;

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
    /// A registry or credentials are unavailable. Production is as it was.
    Unavailable,
    /// Some edges failed, the others are promoted.
    Partial,
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
            Self::Unavailable => 20,
            Self::Partial => 30,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference lists every code that the process ends with.
    #[test]
    fn every_code_is_documented() {
        let reference = include_str!("../../../docs/reference/exit-codes.md");
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Invalid,
            Exit::Conflict,
            Exit::Unavailable,
            Exit::Partial,
            Exit::InterruptedWriting,
            Exit::Interrupted,
        ];
        for exit in all {
            assert!(reference.contains(&format!("| {} |", exit.code())), "{exit:?} is missing");
        }
    }
}
