//! The log: it goes to standard error, above the progress bars, if any.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Global, LogFormat, LogLevel};
use crate::color;

/// Standard error, shared with progress bars: they are hidden while a line is written.
#[derive(Clone, Debug)]
struct Screen(MultiProgress);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A promotion must not stop because standard error is closed.
        let _ = self.0.suspend(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Initializes the log. kpromo's own crates log at the chosen level, other crates log warnings and errors only.
pub(crate) fn begin(global: &Global, screen: &MultiProgress) {
    let level = match global.log_level {
        LogLevel::Panic | LogLevel::Fatal | LogLevel::Error => "error",
        LogLevel::Warning => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let others = if level == "error" { "error" } else { "warn" };
    let ours =
        ["kpromo", "promote", "manifest", "trust", "oci", "sigstore", "transport", "registry", "files"];
    let ours = ours.map(|name| format!(",{name}={level}")).concat();
    let filter = EnvFilter::new(format!("{others}{ours}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(Screen(screen.clone()))
        .with_ansi(color::on_stderr())
        .with_target(false);
    // Only tests initialize the log twice in one process. The first log remains in use.
    let _ = match global.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
