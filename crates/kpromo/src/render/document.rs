//! What the JSON documents of several commands have in common.

use schemars::JsonSchema;
use serde::Serialize;

/// The first fields of a document whose schema has this version.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head<const SCHEMA: u32> {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// The version of kpromo.
    version: &'static str,
    /// The exit code of the process (`docs/reference/exit-codes.md`).
    exit_code: u8,
}

impl<const SCHEMA: u32> Head<SCHEMA> {
    pub(super) fn new(exit_code: u8) -> Self {
        Self { schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), exit_code }
    }
}

/// Returns a document of strings, numbers, lists and objects as JSON.
pub(super) fn to_json(document: &impl Serialize) -> String {
    // Such values always serialize to JSON.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}
