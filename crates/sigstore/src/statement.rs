//! Statements about artifacts (in-toto Attestation Framework, *Statement* v1 and v0.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::names_are_unique;

/// The payload type of a DSSE envelope that holds a statement.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// The supported statement types. The first one is used for new statements.
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The maximum number of subjects of a statement.
const SUBJECTS_MAX: usize = 10_000;

/// A statement about artifacts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// The artifacts that the statement is about.
    #[serde(default)]
    pub subject: Vec<Subject>,
    /// The type of the predicate: a URI.
    pub predicate_type: String,
    /// The content of the statement.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub predicate: Value,
}

/// An artifact that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The artifact's name. It proves nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The artifact's digests by algorithm, in hexadecimal.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
}

/// Why bytes are not a statement.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStatement {
    /// The bytes are not the JSON of a statement.
    #[error("not an in-toto statement: {0}")]
    Malformed(String),
    /// The statement type is not supported.
    #[error("a statement of the type `{0}` is not known")]
    Unknown(String),
}

impl Statement {
    /// Creates a statement about one artifact.
    pub fn about(name: &str, sha256: &str, predicate_type: &str, predicate: Value) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]);
        Self {
            kind: TYPES[0].to_owned(),
            subject: vec![Subject { name: name.to_owned(), digest }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a statement of a supported type, if it has no subject, too many subjects or no
    /// predicate type, or if a name occurs twice in an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidStatement> {
        let malformed = |why: String| InvalidStatement::Malformed(why);
        names_are_unique(bytes).map_err(|error| malformed(error.to_string()))?;
        let statement: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if !TYPES.contains(&statement.kind.as_str()) {
            return Err(InvalidStatement::Unknown(statement.kind.chars().take(120).collect()));
        }
        if statement.subject.is_empty() || statement.subject.len() > SUBJECTS_MAX {
            return Err(malformed(format!("it has {} subjects", statement.subject.len())));
        }
        if statement.predicate_type.is_empty() {
            return Err(malformed("it has no predicateType".to_owned()));
        }
        Ok(statement)
    }

    /// Returns the statement as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "strings and JSON values always serialize")]
        serde_json::to_vec(self).expect("a statement serializes to JSON")
    }

    /// Returns whether one of the subjects has this SHA-256 digest, in hexadecimal. Digests by other algorithms are ignored
    /// because this crate does not compute them.
    pub fn is_about(&self, sha256: &str) -> bool {
        self.subject.iter().any(|subject| subject.digest.get("sha256").is_some_and(|digest| digest == sha256))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_round_trips_through_json() {
        let statement =
            Statement::about("registry.example/app", "ab", "https://example.com/p", json!({"a": 1}));
        assert_eq!(Statement::parse(&statement.to_json()).unwrap(), statement);
        assert!(statement.is_about("ab") && !statement.is_about("a") && !statement.is_about(""));
    }

    #[test]
    fn a_statement_with_a_repeated_name_is_invalid() {
        let statement = |predicate: &str| {
            format!(
                r#"{{"_type":"{}","subject":[{{"digest":{{"sha256":"ab"}}}}],"predicateType":"p","predicate":{predicate}}}"#,
                TYPES[0]
            )
        };
        Statement::parse(statement(r#"{"builder":{"id":"good"}}"#).as_bytes()).unwrap();
        for twice in [
            r#"{"builder":{"id":"good"},"builder":{"id":"bad"}}"#,
            r#"{"builder":{"id":"good","id":"bad"}}"#,
            r#"{"materials":[{"digest":{"sha1":"a","sha1":"b"}}]}"#,
        ] {
            let error = Statement::parse(statement(twice).as_bytes()).unwrap_err().to_string();
            assert!(error.contains("is repeated"), "{twice}: {error}");
        }
    }

    #[test]
    fn json_without_a_known_type_a_subject_and_a_predicate_type_is_not_a_statement() {
        let kind = TYPES[1];
        for bad in [
            json!({"_type": kind, "predicateType": "p"}),
            json!({"_type": kind, "subject": [], "predicateType": "p"}),
            json!({"_type": kind, "subject": [{"digest": {"sha256": "ab"}}]}),
            json!({"_type": kind, "subject": [{"digest": {"sha256": "ab"}}], "predicateType": ""}),
            json!({"_type": "https://in-toto.io/Statement/v9", "subject": [{}], "predicateType": "p"}),
            json!([]),
        ] {
            assert!(Statement::parse(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }
}
