//! The machine and the program versions of a measurement.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::tools::Tools;

/// When, on which machine and with which versions a scenario was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// The date, such as `2026-01-31`.
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) memory_gibibytes: u64,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// The names of the programs with their versions.
    pub(crate) versions: Vec<(String, String)>,
}

impl Setting {
    /// Returns the current setting. A value that the system does not report is `unknown`.
    pub(crate) fn now(tools: &Tools) -> Self {
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| {
            let kibibytes: u64 = text.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes.div_ceil(1 << 20))
        });
        let mut versions = vec![
            ("rustc".to_owned(), first_line(Path::new("rustc"), &["--version"])),
            ("kpromo".to_owned(), first_line(&tools.kpromo, &["version"])),
        ];
        versions.extend(tools.peers().map(|(name, version)| (name.to_owned(), version.to_owned())));
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gibibytes: memory.unwrap_or(0),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            versions,
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Returns the first value of a name in a file of `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    read(path)?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Returns the first line of a program's output.
fn first_line(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let first = output.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(|line| line.trim().to_owned())
    });
    first.filter(|line| !line.is_empty()).unwrap_or_else(unknown)
}
