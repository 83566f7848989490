//! The numbers of a run in Prometheus' text format 0.0.4, for the textfile collector of its node exporter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use promote::{HostTraffic, Report};

use crate::output::write_file;

/// The metrics of one run. All are gauges: they say what the last run did, and do not grow from run to run.
pub(crate) struct Metrics {
    text: String,
    /// The command, which distinguishes the metrics of several files.
    command: &'static str,
}

/// Writes metrics to a file.
///
/// # Errors
/// Returns the reason with the file's name if it cannot be written.
pub(crate) fn write_metrics(path: &Path, metrics: &Metrics) -> Result<(), String> {
    write_file(path, "metrics", |to| to.write_all(metrics.text.as_bytes()))
}

/// The end of a run, as each command has it.
pub(crate) struct RunEnd<'a> {
    /// The version of kpromo.
    pub(crate) version: &'a str,
    /// The outcome as one word.
    pub(crate) outcome: &'a str,
    /// The exit code of the process.
    pub(crate) exit_code: u8,
    /// Whether `--confirm` was given.
    pub(crate) confirmed: bool,
    /// When the run ended, in seconds since 1970.
    pub(crate) ended: f64,
    /// The duration of the run, in seconds.
    pub(crate) seconds: f64,
}

impl Metrics {
    /// Begins the metrics of a run.
    pub(crate) fn new(command: &'static str, end: &RunEnd<'_>) -> Self {
        let mut metrics = Self { text: String::new(), command };
        let confirmed = if end.confirmed { "true" } else { "false" };
        let labels = [("version", end.version), ("outcome", end.outcome), ("confirmed", confirmed)];
        metrics.family("run_info", "The last run: 1, with what it was as labels.");
        metrics.sample("run_info", &labels, 1.0);
        metrics.single("run_end_timestamp_seconds", "The time at which the last run ended.", end.ended);
        metrics.single("run_duration_seconds", "The duration of the last run.", end.seconds);
        metrics.single("run_exit_code", "The exit code of the last run.", f64::from(end.exit_code));
        metrics
    }

    /// Returns the metrics of a promotion of images.
    pub(crate) fn of_report(report: &Report) -> Self {
        let started = report.started.as_millisecond() as f64 / 1000.0;
        let mut metrics = Self::new(
            "cip",
            &RunEnd {
                version: &report.version,
                outcome: &report.outcome,
                exit_code: report.exit_code,
                confirmed: report.confirmed,
                ended: started + report.elapsed_seconds,
                seconds: report.elapsed_seconds,
            },
        );
        if let Some(plan) = &report.plan {
            let total = plan.total;
            let edges = [
                ("copy", total.copy),
                ("tag", total.tag),
                ("done", total.done),
                ("lost", total.lost),
                ("conflict", total.conflicts),
                ("failed", total.failed),
                ("late", total.late),
            ];
            metrics.family("edges", "Edges of the plan by verdict.");
            for (verdict, number) in edges {
                metrics.sample("edges", &[("verdict", verdict)], number as f64);
            }
        }
        let totals = report.totals;
        let blobs_sent = totals.blobs_sent as f64;
        for (name, help, value) in [
            ("images_promoted", "Images that were promoted to a repository.", totals.promoted as f64),
            ("tags_written", "Tags that were written.", totals.tagged as f64),
            ("images_failed", "Images that could not be promoted to a repository.", totals.failed as f64),
            ("images_signed", "Images and parts of images that received signatures.", totals.signed as f64),
            (
                "images_unsigned",
                "Images and parts of images that could not be signed.",
                totals.unsigned as f64,
            ),
            ("images_recorded", "Images that received a promotion record.", totals.recorded as f64),
            ("images_unrecorded", "Images that could not be recorded.", totals.unrecorded as f64),
            ("images_refused", "Images that did not pass a policy.", refused(report) as f64),
            ("blobs_sent", "Blobs that were uploaded.", blobs_sent),
            ("blobs_there", "Blobs that were already there or were mounted.", totals.blobs_there as f64),
            ("blobs_sent_bytes", "Bytes of uploaded blobs.", totals.bytes_sent as f64),
        ] {
            metrics.single(name, help, value);
        }
        metrics.phases(&report.phase_seconds);
        metrics.hosts(&report.registries);
        metrics
    }

    /// Adds the durations of phases.
    pub(crate) fn phases(&mut self, seconds: &BTreeMap<String, f64>) {
        if seconds.is_empty() {
            return;
        }
        self.family("phase_duration_seconds", "The duration of each phase that ran.");
        for (phase, seconds) in seconds {
            self.sample("phase_duration_seconds", &[("phase", phase)], *seconds);
        }
    }

    /// Adds the requests to hosts.
    pub(crate) fn hosts(&mut self, hosts: &BTreeMap<String, HostTraffic>) {
        type Number = fn(&HostTraffic) -> u64;
        if hosts.is_empty() {
            return;
        }
        self.family("requests", "Requests by host and kind, with retries and redirects.");
        for (host, traffic) in hosts {
            for (kind, number) in &traffic.requests {
                self.sample("requests", &[("host", host), ("kind", kind)], *number as f64);
            }
        }
        let families: [(&str, &str, Number); 6] = [
            ("requests_refused", "Requests that the host refused for their rate.", |host| host.refused),
            ("requests_faults", "Requests that failed at the host.", |host| host.faults),
            ("requests_retried", "Requests that repeated a failed one.", |host| host.retried),
            ("requests_unanswered", "Requests without an answer.", |host| host.unanswered),
            ("received_bytes", "Bytes of received bodies.", |host| host.received),
            ("sent_bytes", "Bytes of sent bodies.", |host| host.sent),
        ];
        for (name, help, number) in families {
            self.family(name, help);
            for (host, traffic) in hosts {
                self.sample(name, &[("host", host)], number(traffic) as f64);
            }
        }
        self.family("host_duration_seconds", "The time from the first request to the last answer.");
        for (host, traffic) in hosts {
            self.sample("host_duration_seconds", &[("host", host)], traffic.milliseconds as f64 / 1000.0);
        }
    }

    /// Adds a metric with one value.
    pub(crate) fn single(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP kpromo_{name} {help}\n# TYPE kpromo_{name} gauge\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "kpromo_{name}{{command=\"{}\"", self.command);
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

/// Returns the number of images that a policy refuses.
fn refused(report: &Report) -> usize {
    report.examined_totals.blocked.saturating_add(report.scan_totals.refused)
}

/// Escapes the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let end = RunEnd {
            version: "a\"b\\c\nd",
            outcome: "done",
            exit_code: 0,
            confirmed: true,
            ended: 1.5,
            seconds: 0.0,
        };
        let text = Metrics::new("cip", &end).text;
        let expected = "kpromo_run_info{command=\"cip\",version=\"a\\\"b\\\\c\\nd\",outcome=\"done\",confirmed=\"true\"} 1\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("kpromo_run_end_timestamp_seconds{command=\"cip\"} 1.5\n"), "{text}");
    }
}
