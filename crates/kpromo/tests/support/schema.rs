//! Reports against their JSON Schema.

use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../../../docs/reference/report.schema.json");
/// The name of the schema. Nothing is fetched from there.
const PLACE: &str = "https://kpromo.example/report.schema.json";

fn compiled() -> &'static (Schemas, SchemaIndex) {
    static COMPILED: OnceLock<(Schemas, SchemaIndex)> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        compiler.add_resource(PLACE, serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let index = compiler.compile(PLACE, &mut schemas).unwrap();
        (schemas, index)
    })
}

/// Returns why a document is not a report.
pub fn check(report: &Value) -> Result<(), String> {
    let (schemas, index) = compiled();
    schemas.validate(report, *index).map_err(|error| format!("{error:#}"))
}

/// Returns whether a document is a report of `kpromo cip`, and not one of files or a plan.
pub fn is_report(document: &Value) -> bool {
    document.get("examinedTotals").is_some()
}
