//! The Kubernetes image promoter.

mod args;
mod choice;
mod cip;
mod color;
mod config;
mod connect;
mod credentials;
mod defaults;
#[cfg(feature = "embedded-registry")]
mod demo;
mod environment;
mod exit;
mod failure;
mod faults;
mod file_manifests;
mod file_promotion;
mod gh;
mod github;
mod identities;
mod image_audit;
mod images_edit;
mod input;
mod lint;
mod log;
mod manifest_add;
mod named_files;
mod output;
mod pr;
mod reference;
mod render;
mod report;
mod scans;
#[cfg(feature = "embedded-registry")]
mod serve;
mod sigcheck;
mod snapshot;
mod store_outputs;
mod telemetry;
mod terminal;
mod verify;
mod version;
mod watchdog;
mod yaml;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

#[cfg(feature = "embedded-registry")]
use args::RegistryCommand;
use args::{Cli, Command, ManifestCommand, NoCommand, ReportCommand, RunCommand, SnapshotTask, UsageError};
use environment::Environment;
use exit::Exit;
use indicatif::{MultiProgress, ProgressDrawTarget};
use named_files::Clash;
use terminal::ErrorLine;

fn main() -> ExitCode {
    exit::report_panics();
    let words = std::env::args_os();
    let (cli, matches) = match Cli::read(words) {
        Ok(read) => read,
        Err(error) => {
            // The error is in the command line, and so are the requests for JSON and for colors.
            let words: Vec<_> = std::env::args_os().collect();
            if args::asks_for_json(&words) {
                terminal::use_json();
            }
            color::decide(color::of_words(&words), Environment::read().color);
            return match error {
                NoCommand::Text(text) => show(&text),
                NoCommand::Invalid(error) => usage(&error),
            };
        }
    };
    let environment = Environment::read();
    let is_json = cli.global.log_format == args::LogFormat::Json;
    if is_json {
        terminal::use_json();
    }
    // Control sequences are not JSON.
    color::decide(if is_json { color::ColorWhen::Never } else { cli.global.color }, environment.color);
    let conflict = |text: String| usage(&Cli::conflict(&matches, text));
    let is_drawn = !is_json && !environment.color.is_dumb && std::io::stderr().is_terminal();
    let global = match cli.global.resolve(&matches, is_drawn && cli.command.prints_results()) {
        Ok(global) => global,
        Err(text) => return conflict(text),
    };
    let screen = if is_drawn && !global.quiet {
        render::screen()
    } else {
        MultiProgress::with_draw_target(ProgressDrawTarget::hidden())
    };
    let global = match cli.command {
        // The demo is a text for people, so it logs only warnings and errors.
        #[cfg(feature = "embedded-registry")]
        Command::Demo(_) if !has_log_level(&matches) && !global.quiet && !global.verbose => {
            args::Global { log_level: args::LogLevel::Warning, ..global }
        }
        _ => global,
    };
    log::begin(&global, &screen);
    let files = args::named_files(&matches, environment.config.as_deref()).map_err(Clash::Usage);
    match files.and_then(|files| files.check()) {
        Ok(()) => {}
        Err(Clash::Usage(text)) => return conflict(text),
        Err(Clash::Output(text)) => {
            let exit = Exit::Invalid;
            ErrorLine { exit_code: Some(exit.code()), ..ErrorLine::new(&text) }.print();
            return exit.into();
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::print_error(&format!("cannot start: {error}"));
            return Exit::Failure.into();
        }
    };
    let exit = match cli.command {
        Command::Cip(flags) => match flags.snapshot() {
            Ok(Some(args)) => runtime.block_on(snapshot::print(args, &environment, &screen)),
            Ok(None) => match flags.resolve().and_then(|args| args.or_shard_of(&environment.shard)) {
                Ok(args) => {
                    let args = args::CipArgs { quiet: global.quiet, ..args };
                    runtime.block_on(cip::run(&args, &environment, &screen))
                }
                Err(text) => return conflict(text),
            },
            Err(text) => return conflict(text),
        },
        Command::Verify(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(verify::run(&args, &environment, &screen)),
            Err(text) => return conflict(text),
        },
        Command::Snapshot(flags) => match flags.resolve() {
            Ok(SnapshotTask::Print(args)) => runtime.block_on(snapshot::print(args, &environment, &screen)),
            Ok(SnapshotTask::Diff(args)) => runtime.block_on(snapshot::diff(args, &environment, &screen)),
            Err(text) => return conflict(text),
        },
        Command::Lint(flags) => lint::run(&flags.resolve()),
        Command::Sigcheck(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(sigcheck::run(&args, &environment, &screen)),
            Err(text) => return conflict(text),
        },
        Command::Run(RunCommand::Files(flags)) => match flags.resolve() {
            Ok(args) => runtime.block_on(file_promotion::run(&args, &environment, &screen)),
            Err(text) => return conflict(text),
        },
        Command::Manifest(ManifestCommand::Files(args)) => file_manifests::describe(&args),
        Command::Manifest(ManifestCommand::Validate(args)) => file_manifests::validate(&args),
        Command::Pr(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(pr::run(&args, &environment)),
            Err(text) => return conflict(text),
        },
        Command::Gh(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(gh::run(&args, &environment, &screen)),
            Err(text) => return conflict(text),
        },
        Command::Manifest(ManifestCommand::Add(flags)) => match flags.resolve() {
            Ok(args) => manifest_add::run(&args),
            Err(text) => return conflict(text),
        },
        #[cfg(feature = "embedded-registry")]
        Command::Demo(args) => runtime.block_on(demo::run(args, &screen)),
        Command::Report(ReportCommand::Merge(flags)) => match flags.resolve() {
            Ok(args) => report::merge_files(&args),
            Err(text) => return conflict(text),
        },
        #[cfg(feature = "embedded-registry")]
        Command::Registry(RegistryCommand::Serve(args)) => runtime.block_on(serve::run(args)),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::grammar(), "kpromo", &mut script);
            terminal::print(&String::from_utf8_lossy(&script));
            Exit::Success
        }
        Command::Reference(part) => reference::print(&part),
        Command::Version { json } => {
            terminal::print(&version::text(json));
            Exit::Success
        }
    };
    // Do not wait for abandoned requests.
    runtime.shutdown_background();
    let exit = exit.settled();
    exit.log_for_programs();
    exit.into()
}

/// Returns whether the command line sets the level of the log.
#[cfg(feature = "embedded-registry")]
fn has_log_level(matches: &clap::ArgMatches) -> bool {
    matches.value_source("log_level") == Some(clap::parser::ValueSource::CommandLine)
}

/// Says what is wrong with the command line.
fn usage(error: &UsageError) -> ExitCode {
    if terminal::is_json() {
        let (line, advice) = (error.line(), error.advice());
        let exit_code = Some(Exit::Usage.code());
        ErrorLine { exit_code, advice: advice.as_deref(), ..ErrorLine::new(&line) }.print();
    } else {
        // Where even this cannot be printed, the exit code says it.
        let _ = std::io::stderr().lock().write_all(error.render(color::on_stderr()).as_bytes());
    }
    Exit::Usage.into()
}

/// Shows help or the version. Without a command, help goes to standard error.
fn show(text: &clap::Error) -> ExitCode {
    match text.print() {
        _ if text.use_stderr() => Exit::Usage.into(),
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failure.into(),
        Ok(()) | Err(_) => Exit::Success.into(),
    }
}
