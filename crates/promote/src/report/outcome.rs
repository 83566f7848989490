//! The outcomes of runs and of merged reports.

/// All outcomes, each as one word.
pub(super) const OUTCOMES: [&str; 10] = [
    "done",
    "nothing-to-do",
    "dry-run",
    "failed",
    "unsigned",
    "refused",
    "unavailable",
    "interrupted",
    "scanned",
    "incomplete",
];
