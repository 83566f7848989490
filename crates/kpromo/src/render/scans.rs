//! Vulnerabilities, for the user who started the run.

use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use promote::{ReportBuilder, ScannedImage};
use trust::scan::{FindingStatus, Fix, JudgedFinding, PartVerdict, Severity, Vulnerabilities, shown};

use super::human::{count, counted};
use super::plan::table;

/// The maximum number of rows without `--verbose`.
const ROWS_MAX: usize = 50;
/// The severities that have a column, the highest first.
const COLUMNS: [Severity; 6] = [
    Severity::Critical,
    Severity::High,
    Severity::Medium,
    Severity::Low,
    Severity::Minimal,
    Severity::Unknown,
];

/// Returns the summary of what was scanned: the numbers, and a row for each image that does not pass or is not scanned, with its
/// vulnerabilities by severity. Returns an empty text if nothing was scanned.
pub(crate) fn scan_summary(report: &ReportBuilder, verbose: bool) -> String {
    let totals = report.scan_totals();
    if totals.images == 0 {
        return String::new();
    }
    let scanned = report.scanned();
    let told: Vec<_> = scanned.iter().filter(|image| is_told(image)).collect();
    let mut text = String::new();
    if !told.is_empty() {
        let names = COLUMNS.map(|severity| severity.to_string());
        let header: Vec<&str> =
            ["image"].into_iter().chain(names.iter().map(String::as_str)).chain(["result"]).collect();
        let mut table = table(&header);
        let most = if verbose { told.len() } else { ROWS_MAX };
        for image in told.iter().take(most) {
            table.add_row(row(image));
        }
        text.push_str(&format!("{table}\n"));
        text.push_str(&more(told.len(), most));
    }
    let number = |number: usize| count(number as u64);
    text.push_str(&format!(
        "scanned {}: {} did not pass, {} without a finished scan; vulnerabilities: {} counted, {} \
         ignored by rules, {} excluded by VEX, {} without a fix, {} below the threshold\n",
        counted(totals.images, "image"),
        number(totals.refused),
        number(totals.unscanned + totals.failed),
        number(totals.violations),
        number(totals.ignored),
        number(totals.vex),
        number(totals.unfixed),
        number(totals.below_threshold),
    ));
    text
}

/// Returns a table with a row for each vulnerability at or above the threshold, and for each manifest that is not scanned.
pub(crate) fn scan_table(images: &[Arc<ScannedImage>], verbose: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for image in images {
        let Ok(vulnerabilities) = &image.result else { continue };
        rows.extend(rows_of(image, vulnerabilities));
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    let header =
        ["image", "platform", "vulnerability", "severity", "package", "installed", "fixed", "status"];
    table.load_style(NOTHING).set_header(header);
    let most = if verbose { rows.len() } else { ROWS_MAX };
    let all = rows.len();
    for row in rows.into_iter().take(most) {
        table.add_row(row);
    }
    format!("{table}\n{}", more(all, most))
}

fn rows_of(image: &ScannedImage, vulnerabilities: &Vulnerabilities) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for part in &vulnerabilities.parts {
        let name = image.image.to_string();
        let platform = part.platform.as_deref().map(shown).unwrap_or_default();
        if !part.is_scanned() {
            let why = part.unscanned.first().map(|why| shown(why)).unwrap_or_default();
            let cells =
                [name.clone(), platform.clone(), "-".into(), "-".into(), "-".into(), "-".into(), "-".into()];
            rows.push(cells.into_iter().chain([format!("unscanned: {why}")]).collect());
        }
        let is_told = |judged: &&JudgedFinding| judged.status != FindingStatus::BelowThreshold;
        rows.extend(part.findings.iter().filter(is_told).map(|judged| {
            let finding = &judged.finding;
            vec![
                name.clone(),
                platform.clone(),
                shown(&finding.id),
                finding.severity.to_string(),
                shown(&finding.package),
                shown(&finding.installed),
                match &finding.fix {
                    Fix::Available(versions) => shown(versions),
                    Fix::None => "-".to_owned(),
                    Fix::Unstated => "?".to_owned(),
                },
                shown(&judged.status.to_string()),
            ]
        }));
    }
    rows
}

/// Returns whether an image has something to report.
fn is_told(image: &ScannedImage) -> bool {
    let is_scanned =
        |vulnerabilities: &Vulnerabilities| vulnerabilities.parts.iter().all(PartVerdict::is_scanned);
    !image.passes() || !image.result.as_ref().is_ok_and(|vulnerabilities| is_scanned(vulnerabilities))
}

fn row(image: &ScannedImage) -> Vec<String> {
    let name = image.image.to_string();
    let Ok(vulnerabilities) = &image.result else {
        let nothing = COLUMNS.map(|_| "-".to_owned());
        return [name].into_iter().chain(nothing).chain(["unknown".to_owned()]).collect();
    };
    let violations: Vec<&JudgedFinding> =
        vulnerabilities.parts.iter().flat_map(PartVerdict::violations).collect();
    let numbers = COLUMNS.map(|severity| {
        match violations.iter().filter(|judged| judged.finding.severity == severity).count() {
            0 => "-".to_owned(),
            number => count(number as u64),
        }
    });
    let is_unscanned = vulnerabilities.parts.iter().any(|part| !part.is_scanned());
    let result = match (violations.is_empty(), is_unscanned, vulnerabilities.passes()) {
        (true, true, true) => "unscanned, allowed",
        (true, true, false) => "unscanned",
        (false, true, _) => "vulnerable, unscanned",
        _ => "vulnerable",
    };
    [name].into_iter().chain(numbers).chain([result.to_owned()]).collect()
}

fn more(all: usize, most: usize) -> String {
    match all.saturating_sub(most) {
        0 => String::new(),
        hidden => format!("  and {} more (--verbose lists them)\n", count(hidden as u64)),
    }
}
