//! What failed in a promotion of images.

use promote::{Report, ReportedScan, UnsignedImage};

use super::super::failures::{Failed, Failures};
use super::super::markup::{Html, image};
use super::super::overview::capitalized;
use crate::render::not_done;
use crate::report::GAPS_ADVICE;

/// Adds all failures, or a note that there are none.
pub(super) fn failures(html: &mut Html, report: &Report) {
    let mut failures = Failures::new("image");
    let capital = |lines: &[String]| lines.iter().map(|line| capitalized(line)).collect::<Vec<_>>();
    failures.of_run("The report is incomplete", &capital(&report.gaps()), Some(&capitalized(GAPS_ADVICE)));
    failures.of_run("The run stopped early", report.error.as_slice(), report.advice.as_deref());
    // A run that was not stopped has asked again, and says why that failed.
    let late =
        report.plan.as_ref().filter(|_| report.outcome == "interrupted").map_or(0, |plan| plan.total.late);
    failures.of_run("Not done when the run stopped", &capital(&not_done(&report.totals, late)), None);
    let failed = report.failed.iter().map(|failed| Failed {
        item: promotion(&failed.source, &failed.destination, &failed.tags),
        error: failed.error.clone(),
        advice: failed.advice.clone(),
        cause: failed.cause.clone(),
    });
    let lacking = |list: &[UnsignedImage]| -> Vec<Failed> {
        let item = |unsigned: &UnsignedImage| Failed {
            item: named(&unsigned.image),
            error: unsigned.error.clone(),
            advice: unsigned.advice.clone(),
            cause: unsigned.cause.clone(),
        };
        list.iter().map(item).collect()
    };
    let alone = |item: Html, error: String| Failed { item, error, advice: None, cause: None };
    let refused = report.examined.iter().filter(|image| !image.passes).map(|image| {
        alone(named(&image.image), [&image.faults[..], &image.refused_signatures[..]].concat().join("\n"))
    });
    let vulnerable = report.scanned.iter().filter(|scan| !scan.passes);
    let vulnerable = vulnerable.map(|scan| alone(named(&scan.image), vulnerabilities(scan)));
    let lost = report.lost.iter();
    let lost =
        lost.map(|lost| alone(named(lost), "Neither staging nor production has the image.".to_owned()));
    let rejected = report.rejected.iter().map(|rejected| alone(Html::default(), rejected.clone()));
    for (title, all) in [
        ("Not promoted", failed.collect()),
        ("Refused by a policy", refused.collect()),
        ("Refused for vulnerabilities", vulnerable.collect()),
        ("Not signed", lacking(&report.unsigned)),
        ("Not recorded", lacking(&report.unrecorded)),
        ("Lost", lost.collect()),
        ("Invalid entries of manifests", rejected.collect::<Vec<Failed>>()),
    ] {
        failures.of_items(title, &all);
    }
    failures.write(html);
}

/// Returns an image, as the page shows it.
fn named(name: &str) -> Html {
    let mut html = Html::default();
    image(&mut html, name);
    html
}

/// Returns the promotion of an image to a repository, as the page shows it.
fn promotion(source: &str, destination: &str, tags: &[String]) -> Html {
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    let mut html = Html::default();
    html.element("<code>", &format!("{destination}{tags}"), "</code>").markup(" <span class=\"from\">from ");
    image(&mut html, source);
    html.markup("</span>");
    html
}

/// Returns why an image does not pass the vulnerability gate.
fn vulnerabilities(scan: &ReportedScan) -> String {
    if let Some(error) = &scan.error {
        return error.clone();
    }
    let mut lines = Vec::new();
    for part in scan.parts.iter().filter(|part| !part.passes) {
        let platform = part.platform.as_deref().unwrap_or(&part.digest);
        let violations = part.findings.iter().filter(|finding| finding.status == "violates");
        lines.extend(violations.map(|finding| {
            format!(
                "{platform}: {} ({}) in {} {}",
                finding.id, finding.severity, finding.package, finding.installed
            )
        }));
        if part.scanned_by.is_empty() {
            lines.push(format!("{platform}: no finished scan"));
        }
        lines.extend(part.unscanned.iter().map(|why| format!("{platform}: {why}")));
    }
    lines.join("\n")
}
