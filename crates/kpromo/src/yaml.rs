//! Reads YAML files of the user, with errors in the terms of the reference and with positions.

use std::path::Path;

use manifest::{Diagnostic, Position};
use oci_types::text::{counted, nearest};
use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};

/// Parses the content of a file.
///
/// # Errors
/// Returns the first error, with its position in the file.
pub(crate) fn read<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Diagnostic> {
    serde_saphyr::from_str(text).map_err(|error| {
        let number = |number: u64| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
        let position =
            error.location().map(|at| Position { line: number(at.line()), column: number(at.column()) });
        Diagnostic::in_text(&file.display().to_string(), text, position, message(error.without_snippet()))
    })
}

/// Converts an error of the parser to a message without its internal terms and type names.
fn message(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{}`; {}", shown(field), meant(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            match nearest(variant, expected.iter().copied()) {
                Some(name) => format!("`{}` is not a known value; did you mean `{name}`?", shown(variant)),
                None => format!("`{}` is not one of {}", shown(variant), names(expected)),
            }
        }
        Error::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("expected {}, found {}", described(expected), shown(unexpected))
        }
        Error::SerdeInvalidLength { len, expected, .. } => {
            format!("expected {}, found {}", described(expected), counted(*len, "item"))
        }
        Error::InvalidScalar { ty, .. } => format!("expected {}", described(ty)),
        Error::InvalidBooleanStrict { .. } => "expected true or false".to_owned(),
        Error::Unexpected { expected, .. } => format!("expected {}", described(expected)),
        Error::NullIntoString { .. } => "expected text, found nothing".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{}` is listed twice", shown(key)),
        Error::DuplicateMappingKey { key: None, .. } => "a field is listed twice".to_owned(),
        Error::Eof { .. } => "the file ends unexpectedly".to_owned(),
        Error::MultipleDocuments { .. } => "the file has more than one document (`---`)".to_owned(),
        Error::UnknownAnchor { .. } => "this alias (`*`) has no anchor (`&`)".to_owned(),
        Error::Budget { .. } => "the file is nested too deep or has too many items".to_owned(),
        // kpromo's own types have worded these messages.
        Error::Message { msg, .. } | Error::SerdeVariantId { msg, .. } => shown(msg),
        Error::ExternalMessage { msg, .. } => format!("not valid YAML: {}", shown(msg)),
        other => format!("not valid YAML: {}", shown(&UserMessageFormatter.format_message(other))),
    }
}

/// Converts the name of a type to a phrase.
fn described(expected: &str) -> String {
    let number = |text: &str| {
        text.strip_prefix(['u', 'i']).is_some_and(|bits| bits.parse::<u8>().is_ok() || bits == "size")
    };
    match expected {
        "bool" | "boolean" | "a boolean" => "true or false".to_owned(),
        "f32" | "f64" | "float" => "a number".to_owned(),
        "string" | "a string" | "str" | "string scalar" | "path string" => "text".to_owned(),
        "mapping" | "mapping start" | "a map" => "fields (`name: value`)".to_owned(),
        "sequence" | "sequence start" | "a sequence" => "a list (`- item`)".to_owned(),
        text if number(text) => "a whole number".to_owned(),
        // serde names structs by their type in this program.
        text if text.starts_with("struct ") => "fields (`name: value`)".to_owned(),
        text => shown(text),
    }
}

/// Returns which field was probably meant, or else all.
fn meant(field: &str, expected: &[&str]) -> String {
    match nearest(field, expected.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected one of {}", names(expected)),
    }
}

fn names(expected: &[&str]) -> String {
    expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn shown(text: &str) -> String {
    oci_types::text::shown(text, 200)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[expect(dead_code, reason = "only whether it is read counts")]
        name: Option<String>,
        #[expect(dead_code, reason = "only whether it is read counts")]
        number: Option<u32>,
        #[expect(dead_code, reason = "only whether it is read counts")]
        flag: Option<bool>,
        #[expect(dead_code, reason = "only whether it is read counts")]
        map: Option<BTreeMap<String, String>>,
        #[expect(dead_code, reason = "only whether it is read counts")]
        list: Option<Vec<String>>,
    }

    fn error(text: &str) -> String {
        read::<Example>(Path::new("kpromo.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_the_words_of_the_parser() {
        for (text, expected) in [
            ("name: a\nnmae: b", "kpromo.yaml:2:1: unknown field `nmae`; did you mean `name`?"),
            ("other: b", "kpromo.yaml:1:1: unknown field `other`; expected one of `name`, `number`"),
            ("number: many", "kpromo.yaml:1:9: expected a whole number"),
            ("number: -1", "kpromo.yaml:1:9: "),
            ("flag: perhaps", "kpromo.yaml:1:7: expected true or false"),
            ("map: 3", "kpromo.yaml:1:6: expected fields"),
            ("list: x", "kpromo.yaml:1:7: expected a list"),
            ("name: a\nname: b", "kpromo.yaml:2:1: `name` is listed twice"),
            ("name: [", "kpromo.yaml:"),
            ("name: *a", "has no anchor"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}: {error}");
            for word in ["mapping start", "sequence start", "scalar", "u32", "struct", "Some", "deserializ"] {
                assert!(!error.contains(word), "{text}: {error}");
            }
        }
    }

    #[test]
    fn the_line_is_shown() {
        let fault = read::<Example>(Path::new("kpromo.yaml"), "name: a\nnmae: b").unwrap_err();
        let text = fault.render(false);
        assert!(text.contains("--> kpromo.yaml:2:1") && text.contains("nmae: b"), "{text}");
    }
}
