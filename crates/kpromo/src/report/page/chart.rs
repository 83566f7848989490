//! Drawings: the share of a phase, and the requests to hosts over time.
//!
//! Sizes are attributes of SVG elements: the page's policy allows no style but that of the page.

use promote::{HostTimeline, ReportTimeline};

use super::markup::{Html, note};
use super::overview::seconds;
use crate::render::{count, counted};

/// The maximum number of hosts with a drawing.
const HOSTS_MAX: usize = 100;
/// The smallest number of buckets of a drawing, so that those of a short run are not wide blocks.
const BUCKETS_MIN: usize = 40;
/// The width of a bucket in the drawing.
const BUCKET: usize = 10;
/// The lanes of a drawing: the class, the baseline and the greatest height.
const LANES: [(&str, f64, f64); 3] =
    [("requests", 34.0, 33.0), ("refused", 48.0, 12.0), ("faults", 62.0, 12.0)];
/// The smallest height of a bar, so that a single fault is seen.
const BAR_MIN: f64 = 2.5;

/// Returns a bar for the share of a phase.
pub(super) fn phase_bar(seconds: f64, longest: f64) -> Html {
    let mut html = Html::default();
    let share = if longest > 0.0 { (100.0 * seconds / longest).clamp(0.0, 100.0) } else { 0.0 };
    html.markup("<svg class=\"bar\" aria-hidden=\"true\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\"><rect class=\"requests\"");
    html.attribute("width", &format!("{share:.1}")).markup(" height=\"10\"/></svg>");
    html
}

/// Adds a drawing of each host. `many` is what the page calls hosts.
pub(super) fn timeline(html: &mut Html, timeline: &ReportTimeline, many: &str) {
    html.markup(
        "<h3>Over time</h3>\n<p class=\"legend\"><span class=\"key requests\"></span> requests \
         <span class=\"key refused\"></span> refused (429) <span class=\"key faults\"></span> faults and no answer. ",
    );
    let width = timeline.bucket_milliseconds as f64 / 1000.0;
    html.text(&format!(
        "Each bar covers {}. Each row of bars has its own scale; heights grow with the square root.",
        if width < 60.0 { format!("{width} s") } else { seconds(width) }
    ));
    html.markup("</p>\n");
    let buckets = timeline.hosts.values().map(HostTimeline::buckets).max().unwrap_or(0).max(BUCKETS_MIN);
    let mut hosts: Vec<(&String, &HostTimeline)> = timeline.hosts.iter().collect();
    hosts.sort_by_key(|(name, host)| {
        let has_faults = !host.faults.is_empty() || !host.unanswered.is_empty();
        (!has_faults, host.refused.is_empty(), *name)
    });
    for (host, numbers) in hosts.into_iter().take(HOSTS_MAX) {
        drawing(html, host, numbers, buckets, width);
    }
    note(html, timeline.hosts.len(), HOSTS_MAX, many);
}

/// Adds the drawing of one host.
fn drawing(html: &mut Html, host: &str, numbers: &HostTimeline, buckets: usize, width: f64) {
    let faults = sums(&numbers.faults, &numbers.unanswered);
    let lanes = [&numbers.requests, &numbers.refused, &faults];
    let [requests, refused, failed] =
        lanes.map(|lane| lane.iter().fold(0_u64, |sum, number| sum.saturating_add(*number)));
    let text = format!(
        "{}, {} refused, {} failed or unanswered",
        counted(requests, "request"),
        count(refused),
        count(failed)
    );
    html.markup("<figure class=\"timeline\" data-row><figcaption><code>").text(host).markup("</code> ");
    html.element("<span>", &text, "</span></figcaption>");
    html.markup("<svg role=\"img\" preserveAspectRatio=\"none\"");
    html.attribute("aria-label", &format!("{host} over time: {text}"));
    html.attribute("viewBox", &format!("0 0 {} 63", buckets * BUCKET)).markup(">");
    for ((class, baseline, height), lane) in LANES.into_iter().zip(lanes) {
        html.markup("<line class=\"base\" x1=\"0\"").attribute("x2", &(buckets * BUCKET).to_string());
        html.attribute("y1", &baseline.to_string()).attribute("y2", &baseline.to_string()).markup("/>");
        bars(html, class, baseline, height, lane, width);
    }
    html.markup("</svg><div class=\"axis\" aria-hidden=\"true\"><span>0 s</span>");
    html.element("<span>", &seconds(width * buckets as f64), "</span></div></figure>\n");
}

/// Adds the bars of one lane.
fn bars(html: &mut Html, class: &'static str, baseline: f64, height: f64, lane: &[u64], width: f64) {
    let most = lane.iter().copied().max().unwrap_or(0) as f64;
    for (index, number) in lane.iter().enumerate().filter(|(_, number)| **number > 0) {
        let tall = (height * (*number as f64 / most).sqrt()).max(BAR_MIN);
        html.markup("<rect class=\"")
            .markup(class)
            .markup("\"")
            .attribute("x", &(index * BUCKET).to_string());
        html.attribute("y", &format!("{:.1}", baseline - tall));
        html.attribute("width", &(BUCKET - 1).to_string()).attribute("height", &format!("{tall:.1}"));
        let what = match class {
            "requests" => counted(*number, "request"),
            "faults" => counted(*number, "fault"),
            _ => format!("{} {class}", count(*number)),
        };
        let title = format!("after {}: {what}", seconds(width * index as f64));
        html.element("><title>", &title, "</title></rect>");
    }
}

fn sums(one: &[u64], other: &[u64]) -> Vec<u64> {
    let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or(0);
    (0..one.len().max(other.len())).map(|index| at(one, index).saturating_add(at(other, index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_fault_is_seen_beside_many_requests() {
        let host = HostTimeline {
            requests: vec![1_000_000, 0, 4],
            unanswered: vec![0, 0, 1],
            ..HostTimeline::default()
        };
        let mut html = Html::default();
        drawing(&mut html, "r.example", &host, 40, 0.1);
        let text = html.into_text();
        assert_eq!(text.matches("class=\"requests\"").count(), 2, "empty buckets have no bar: {text}");
        assert!(
            text.contains("<rect class=\"faults\" x=\"20\" y=\"50.0\" width=\"9\" height=\"12.0\">"),
            "{text}"
        );
        assert!(text.contains(": 4 requests</title>") && text.contains(": 1 fault</title>"), "{text}");
        assert!(text.contains("1,000,004 requests, 0 refused, 1 failed or unanswered"), "{text}");
    }
}
