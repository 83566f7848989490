//! The questions of `--interactive`.

use std::io::{self, Write};

use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

/// The maximum number of times that a question is asked before the answer counts as no.
const TIMES: usize = 10;

/// Asks the user before each step if the run is interactive.
pub(super) struct Questions {
    input: Option<Lines<BufReader<Stdin>>>,
}

impl Questions {
    pub(super) fn new(is_interactive: bool) -> Self {
        Self { input: is_interactive.then(|| BufReader::new(tokio::io::stdin()).lines()) }
    }

    pub(super) fn is_interactive(&self) -> bool {
        self.input.is_some()
    }

    /// Asks a question. An empty line means yes; the end of the input means no.
    pub(super) async fn ask(&mut self, question: &str) -> bool {
        let Some(input) = &mut self.input else { return true };
        for time in 1..=TIMES {
            let _ = write!(io::stderr().lock(), "{question} (Y/n) ({time}/{TIMES}) ");
            let answer = input.next_line().await.ok().flatten();
            // End the line of the question: an answer from a pipe is not echoed.
            let _ = writeln!(io::stderr().lock());
            match answer.as_deref().map(meaning) {
                None => return false,
                Some(Some(answer)) => return answer,
                Some(None) => {}
            }
        }
        false
    }
}

/// Returns what an answer means, if it means anything.
fn meaning(answer: &str) -> Option<bool> {
    match answer.trim() {
        "" | "y" | "Y" | "yes" => Some(true),
        "n" | "N" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_the_same_as_in_the_go_tool_and_others_have_no_meaning() {
        for (answer, expected) in [
            ("", Some(true)),
            (" Y ", Some(true)),
            ("yes", Some(true)),
            ("N", Some(false)),
            ("no", Some(false)),
            ("YES", None),
            ("maybe", None),
        ] {
            assert_eq!(meaning(answer), expected, "{answer}");
        }
    }
}
