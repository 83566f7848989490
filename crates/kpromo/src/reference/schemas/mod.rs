//! The JSON Schemas (draft 2020-12) of what kpromo reads and writes, derived from its types.

mod tidy;

use std::path::Path;
use std::{fs, io};

use files::Report as FilesReport;
use promote::{PlanFile, Report};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use tidy::{Plain, close, without_null};

use crate::config::Config;
use crate::gh::Report as ReleasesReport;
use crate::render::{AuditDocument, LintDocument, SigcheckDocument};
use crate::snapshot::DiffJson;
use crate::terminal::LogLine;
use crate::version::Version;

/// A name, and the function that makes the schema.
type Named = (&'static str, fn() -> Schema);

/// The schemas, each with the name of its file before `.schema.json`. `docs/reference/schemas.md` lists them.
const SCHEMAS: &[Named] = &[
    ("config", || read::<Config>("kpromo.yaml")),
    ("files-report", || written::<FilesReport>("Report of kpromo run files")),
    ("lint", || written::<LintDocument<'_>>("Findings of kpromo lint")),
    ("log", || written::<LogLine<'_>>("Line of the log of kpromo")),
    ("plan", || written::<PlanFile<'_>>("Plan of kpromo cip")),
    ("releases-report", || written::<ReleasesReport>("Report of kpromo gh")),
    ("report", || written::<Report>("Report of kpromo cip")),
    ("sigcheck", || written::<SigcheckDocument<'_>>("Results of kpromo sigcheck")),
    ("snapshot-diff", || written::<DiffJson<'_>>("Differences of snapshots")),
    ("verify", || written::<AuditDocument<'_>>("Results of kpromo verify")),
    ("version", || written::<Version>("Version of kpromo")),
];

/// Writes a file `NAME.schema.json` for each schema to a directory.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    SCHEMAS.iter().try_for_each(|(name, schema)| {
        let text = serde_json::to_string_pretty(&schema())?;
        fs::write(directory.join(format!("{name}.schema.json")), text + "\n")
    })
}

/// Returns the schema of a document that kpromo reads. A field without a value may be null.
fn read<T: JsonSchema>(title: &str) -> Schema {
    finished::<T>(SchemaSettings::draft2020_12().for_deserialize(), title)
}

/// Returns the schema of a document that kpromo writes. It has no fields but those that the schema knows, unless the schema allows
/// others, and a field without a value is either always or never left out.
fn written<T: JsonSchema>(title: &str) -> Schema {
    let mut schema = finished::<T>(SchemaSettings::draft2020_12().for_serialize(), title);
    without_null(&mut schema);
    close(&mut schema);
    schema
}

fn finished<T: JsonSchema>(settings: SchemaSettings, title: &str) -> Schema {
    let mut schema = settings.with_transform(Plain).into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema
}
