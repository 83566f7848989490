//! `kpromo report merge`: one report of several.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;

use oci_types::text::visible;
use promote::{Report, merge};

use super::GAPS_ADVICE;
use super::formats::{is_page, write_json, write_report};
use super::page::images_page;
use crate::args::MergeArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::check_file;

/// The maximum size of a report, in bytes. A report of a million images has about 400 MB.
const REPORT_MAX: u64 = 1 << 30;
/// The name of standard input and standard output.
const STANDARD: &str = "-";

/// Merges reports.
pub(crate) fn merge_files(args: &MergeArgs) -> Exit {
    match attempt(args) {
        Ok(()) => Exit::Success,
        Err(failure) => failure.print(),
    }
}

fn attempt(args: &MergeArgs) -> Result<(), Failure> {
    let output = (args.output.as_os_str() != STANDARD).then_some(args.output.as_path());
    if let Some(path) = output {
        check_file(path, "report").map_err(|problem| Failure::new(Exit::Invalid, problem))?;
        check_first(path, args.output_is_first)?;
    }
    let reports = args.inputs.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let merged = merge(reports).map_err(|error| Failure::new(Exit::Invalid, error.to_string()))?;
    let written = match output {
        Some(path) => write_report(path, &merged, images_page),
        None => write_standard(&merged),
    };
    written.map_err(|problem| Failure::new(Exit::Failure, problem))?;
    match &merged.gaps()[..] {
        [] => Ok(()),
        gaps => {
            Err(Failure::new(Exit::Partial, format!("the merged report is incomplete: {}", gaps.join("; ")))
                .help(GAPS_ADVICE))
        }
    }
}

/// Checks that the result, if it is the first of several files without a flag, is not one of the reports: its name may have been
/// forgotten, as in `kpromo report merge shard-*.json`.
fn check_first(path: &Path, is_first: bool) -> Result<(), Failure> {
    let may_be_report = |metadata: &Metadata| metadata.is_file() && metadata.len() > 0 && !is_page(path);
    if !is_first || !fs::metadata(path).is_ok_and(|metadata| may_be_report(&metadata)) {
        return Ok(());
    }
    let shown = visible(&path.display().to_string());
    let text = format!(
        "{shown} is the first argument and would be replaced by the merged report, but it exists already"
    );
    Err(Failure::new(Exit::Invalid, text)
        .help("name the file for the result with --output FILE, which may exist, and then all reports"))
}

fn write_standard(report: &Report) -> Result<(), String> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match write_json(&mut stdout, report).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output cannot be written: {error}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a report, with its name for the list of runs.
fn read(path: &Path) -> Result<(String, Report), Failure> {
    let is_standard = path.as_os_str() == STANDARD;
    let name = if is_standard { "standard input".to_owned() } else { visible(&path.display().to_string()) };
    let mut json = Vec::new();
    let limited = |input: &mut dyn Read, json: &mut Vec<u8>| input.take(REPORT_MAX + 1).read_to_end(json);
    let read = match is_standard {
        true => limited(&mut io::stdin().lock(), &mut json),
        false => File::open(path).and_then(|mut file| limited(&mut file, &mut json)),
    };
    read.map_err(|error| Failure::new(Exit::Invalid, format!("{name} cannot be read: {error}")))?;
    if json.len() as u64 > REPORT_MAX {
        let text = format!("{name} is larger than a report: it has more than {REPORT_MAX} bytes");
        return Err(Failure::new(Exit::Invalid, text));
    }
    let report = Report::read(&json).map_err(|error| {
        Failure::new(Exit::Invalid, format!("{name}: {}", visible(&error.to_string()))).help(
            "merge reports that `kpromo cip --report FILE.json` has written, with the same version of kpromo",
        )
    })?;
    Ok((name, report))
}
