//! Targets, and notes about failed commands, that several scenarios share.

use crate::record::{Run, Target};
use crate::show::{percent, seconds};

/// Returns the targets of a run under a quota.
pub(super) fn by_quota(run: &Run) -> Vec<Target> {
    let least = run.least_seconds.unwrap_or_default();
    let mut wall = Target::at_most("wall", run.wall_seconds, 1.2 * least, seconds);
    wall.target.push_str(" (1.2 × minimum by quota)");
    vec![wall, Target::at_most("refused", run.refused_share(), 0.01, percent)]
}

/// Returns a note for the page about each run with failed commands.
pub(super) fn failure_notes(runs: &[Run]) -> Vec<String> {
    let failed = runs.iter().filter(|run| run.failures > 0);
    let messages = failed.map(|run| {
        let words = run.errors.first().map_or("", String::as_str).replace('`', "'");
        format!("{} ended with {}; the first failed command printed `{words}`.", run.label, exits(run))
    });
    messages.collect()
}

/// Returns the exit codes of a run as text.
fn exits(run: &Run) -> String {
    let code = |(code, times): (&i32, &usize)| {
        let name = if *code < 0 { "a signal".to_owned() } else { format!("exit code {code}") };
        if run.commands > 1 { format!("{name} ({times} of {})", run.commands) } else { name }
    };
    run.exits.iter().map(code).collect::<Vec<_>>().join(", ")
}
