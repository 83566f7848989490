//! The log: to standard error, above the progress bars where there are any.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Global, LogFormat, LogLevel};

/// Standard error, shared with progress bars: a line is written while they step aside.
#[derive(Clone, Debug)]
struct Screen(MultiProgress);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever closes our standard error must not stop a promotion by it.
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

/// Begins to log. Our own crates at the level that is asked for, those below us from warnings on.
pub(crate) fn begin(global: &Global, no_color: bool, screen: &MultiProgress) {
    let level = match global.log_level {
        LogLevel::Panic | LogLevel::Fatal | LogLevel::Error => "error",
        LogLevel::Warning => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let others = if level == "error" { "error" } else { "warn" };
    let ours = ["kpromo", "promote", "oci", "sigstore", "transport", "registry"]
        .map(|name| format!(",{name}={level}"))
        .concat();
    let filter = EnvFilter::new(format!("{others}{ours}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(Screen(screen.clone()))
        .with_ansi(!no_color && io::stderr().is_terminal())
        .with_target(false);
    // A second log in one process is a matter of tests, where the first one does.
    let _ = match global.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
