//! The steps of a recipe's file, run as its CI system runs them.

use serde_json::Value;

/// Returns a text of a parsed file.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        other => panic!("{other} is no text"),
    }
}

/// Returns the entries of a map, or nothing.
pub(crate) fn entries(map: &Value) -> impl Iterator<Item = (String, Value)> {
    map.as_object().cloned().unwrap_or_default().into_iter()
}

/// Returns the texts of a list, or nothing.
pub(crate) fn list(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

/// Replaces what stands between `open` and `close`. `value` panics where it does not know a name.
pub(crate) fn expand(text: &str, open: &str, close: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(open);
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) =
            part.split_once(close).unwrap_or_else(|| panic!("{text}: `{open}` without `{close}`"));
        expanded += &value(name.trim());
        expanded += rest;
    }
    expanded
}
