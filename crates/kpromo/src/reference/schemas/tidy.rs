//! Changes of derived schemas: what the derive cannot know, and what readers do not need.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value};

/// The keywords whose schemas apply to the same value as the schema that has them.
const IN_PLACE: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Removes the formats that only Rust knows, such as `uint64`, and joins the lines of descriptions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if is_number(schema) {
            schema.remove("format");
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
            *text = paragraphs.collect::<Vec<_>>().join("\n\n");
        }
        transform_subschemas(self, schema);
    }
}

fn is_number(schema: &Schema) -> bool {
    let is = |kind: &Value| kind == "integer" || kind == "number";
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(kind) => is(kind),
        None => false,
    }
}

/// Forbids null in fields that are not required: serde leaves them out instead.
pub(super) fn without_null(schema: &mut Schema) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let optional = properties.iter_mut().filter(|(name, _)| !required.iter().any(|known| known == *name));
        optional.filter_map(|(_, field)| field.as_object_mut()).for_each(forbid_null);
    }
    transform_subschemas(&mut |schema: &mut Schema| without_null(schema), schema);
}

fn forbid_null(field: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = field.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            field.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(mut schemas)) = field.remove("anyOf") {
        schemas.retain(|schema| schema.get("type").is_none_or(|kind| kind != "null"));
        match schemas.as_mut_slice() {
            [Value::Object(only)] => field.append(only),
            _ => drop(field.insert("anyOf".to_owned(), schemas.into())),
        }
    }
}

/// Forbids unknown fields in all objects with known fields, unless they allow them explicitly.
pub(super) fn close(schema: &mut Schema) {
    close_value(schema);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        for definition in definitions.values_mut().filter_map(|value| <&mut Schema>::try_from(value).ok()) {
            close_value(definition);
        }
    }
}

/// Closes the schema of a value, and those of its parts. Schemas that apply to the same value are left as they are if this one
/// has fields, because they do not know these.
fn close_value(schema: &mut Schema) {
    let has_fields = schema.get("properties").is_some();
    if has_fields && schema.get("additionalProperties").is_none() {
        // Fields of schemas that apply to the same value are known as well.
        let others = schema.as_object().into_iter().flat_map(Map::keys);
        let sees_others = others.filter(|key| IN_PLACE.contains(&key.as_str())).count() > 0;
        let keyword = if sees_others { "unevaluatedProperties" } else { "additionalProperties" };
        schema.insert(keyword.to_owned(), false.into());
    }
    let Some(object) = schema.as_object_mut() else { return };
    let mut parts: Vec<&mut Value> = Vec::new();
    for (key, value) in object {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => parts.extend(properties.values_mut()),
            ("items" | "additionalProperties", value) => parts.push(value),
            (key, Value::Array(schemas)) if IN_PLACE.contains(&key) && !has_fields => parts.extend(schemas),
            _ => {}
        }
    }
    parts.into_iter().filter_map(|part| <&mut Schema>::try_from(part).ok()).for_each(close_value);
}

#[cfg(test)]
mod tests {
    use schemars::json_schema;

    use super::*;

    #[test]
    fn formats_of_rust_are_removed_and_lines_are_joined() {
        let mut schema = json_schema!({
            "description": "One\nline.\n\nAnother.",
            "properties": {
                "number": { "type": ["integer", "null"], "format": "uint64" },
                "time": { "type": "string", "format": "date-time" },
            },
        });
        Plain.transform(&mut schema);
        let expected = json_schema!({
            "description": "One line.\n\nAnother.",
            "properties": {
                "number": { "type": ["integer", "null"] },
                "time": { "type": "string", "format": "date-time" },
            },
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn only_required_fields_may_be_null() {
        let field = |of: &str| match of {
            "text" => json_schema!({ "type": ["string", "null"] }),
            _ => {
                json_schema!({ "anyOf": [{ "$ref": "#/$defs/A" }, { "type": "null" }], "description": "A." })
            }
        };
        let mut schema = json_schema!({
            "required": ["b"],
            "properties": {
                "a": field("text"), "b": field("text"), "c": field("other"),
                "d": { "items": { "properties": { "e": field("text") } } },
            },
        });
        without_null(&mut schema);
        let expected = json_schema!({
            "required": ["b"],
            "properties": {
                "a": { "type": "string" },
                "b": { "type": ["string", "null"] },
                "c": { "$ref": "#/$defs/A", "description": "A." },
                "d": { "items": { "properties": { "e": { "type": "string" } } } },
            },
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn objects_with_known_fields_have_no_others() {
        let object = || json_schema!({ "properties": { "a": true } });
        let closed = || json_schema!({ "properties": { "a": true }, "additionalProperties": false });
        let mut schema = json_schema!({
            "properties": {
                "list": { "items": object() },
                "map": { "additionalProperties": object() },
                "either": { "anyOf": [object(), object()] },
                "open": { "properties": { "a": true }, "additionalProperties": true },
            },
            "oneOf": [{ "properties": { "b": true } }, { "required": ["list"] }],
            "$defs": { "A": object() },
        });
        close(&mut schema);
        let expected = json_schema!({
            "properties": {
                "list": { "items": closed() },
                "map": { "additionalProperties": closed() },
                "either": { "anyOf": [closed(), closed()] },
                "open": { "properties": { "a": true }, "additionalProperties": true },
            },
            "oneOf": [{ "properties": { "b": true } }, { "required": ["list"] }],
            "$defs": { "A": closed() },
            "unevaluatedProperties": false,
        });
        assert_eq!(schema, expected);
    }
}
