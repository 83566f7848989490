//! Errors in the answers of stores.

use http::StatusCode;
use oci_types::text::{first_words, printable};
use transport::Answer;

use crate::error::ErrorKind;

/// The maximum length of a store's message in an error, in characters.
const WORDS_MAX: usize = 300;

/// The code and message of an error answer.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// The code of the failure, such as `NoSuchKey`.
    pub(super) code: String,
    /// The store's message.
    pub(super) message: String,
}

impl Refusal {
    /// Returns the refusal as printable text without secrets.
    pub(super) fn words(&self, answer: &Answer) -> String {
        let words = match (self.code.as_str(), self.message.as_str()) {
            ("", "") => first_words(answer.body(), WORDS_MAX),
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        printable(&answer.masked(&words), WORDS_MAX)
    }

    /// Returns the error for the status of an answer.
    pub(super) fn kind(&self, answer: &Answer) -> ErrorKind {
        let (status, words) = (answer.status(), self.words(answer));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if words.is_empty() => {
                ErrorKind::Forbidden(status.to_string())
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Forbidden(words),
            StatusCode::PRECONDITION_FAILED => ErrorKind::PreconditionFailed,
            _ => ErrorKind::Answer {
                status,
                detail: if words.is_empty() { words } else { format!(": {words}") },
            },
        }
    }
}
