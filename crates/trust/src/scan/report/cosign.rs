//! cosign's predicate for vulnerabilities (`cosign attest --type vuln`, `https://cosign.sigstore.dev/attestation/vuln/v1`): the
//! report of a scanner, with the time of the scan.

use serde::Deserialize;
use serde_json::Value;

use super::input::{Document, Input, InvalidReport, Report, time};

#[derive(Deserialize)]
struct Predicate {
    scanner: Scanner,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Scanner {
    uri: Option<String>,
    result: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    scan_started_on: Option<String>,
    scan_finished_on: Option<String>,
}

/// Reads a predicate. `read` reads the report in it.
pub(super) fn read(
    input: Input<'_>,
    read: impl FnOnce(&Value) -> Result<Document, InvalidReport>,
) -> Result<Document, InvalidReport> {
    let Predicate { scanner, metadata } = input.read()?;
    let metadata = metadata.unwrap_or_default();
    let started = time("metadata.scanStartedOn", metadata.scan_started_on.as_deref())?;
    let finished = time("metadata.scanFinishedOn", metadata.scan_finished_on.as_deref())?;
    if let (Some(started), Some(finished)) = (started, finished)
        && started > finished
    {
        let problem = format!("the scan has finished at {finished}, before it started at {started}");
        return Err(InvalidReport::Time { field: "metadata.scanFinishedOn", problem });
    }
    let Some(result) = scanner.result.filter(Value::is_object) else {
        return Err(InvalidReport::wrong_kind("the result of the scanner is missing (`scanner.result`)"));
    };
    let Document { report, vex } = read(&result)?;
    let Some(report) = report else {
        return Err(InvalidReport::wrong_kind("`scanner.result` is not the report of a scan"));
    };
    // The older of the two times counts, because attesting a report again does not make it newer.
    let finished = [finished, report.finished].into_iter().flatten().min();
    let tool = match scanner.uri {
        Some(uri) if report.tool.is_empty() => uri,
        _ => report.tool,
    };
    Ok(Document { report: Some(Report { finished, tool, ..report }), vex })
}
