//! The Kubernetes image promoter.

mod args;
mod choice;
mod cip;
mod config;
mod connect;
mod credentials;
mod defaults;
#[cfg(feature = "embedded-registry")]
mod demo;
mod environment;
mod exit;
mod failure;
mod file_manifests;
mod file_promotion;
mod gh;
mod github;
mod identities;
mod image_audit;
mod images_edit;
mod lint;
mod log;
mod manifest_add;
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
mod telemetry;
mod terminal;
mod verify;
mod version;
mod watchdog;

use std::io::IsTerminal;
use std::process::ExitCode;

#[cfg(feature = "embedded-registry")]
use args::RegistryCommand;
use args::{Cli, Command, ManifestCommand, ReportCommand, RunCommand, SnapshotTask};
use environment::Environment;
use exit::Exit;
use indicatif::{MultiProgress, ProgressDrawTarget};
use terminal::ErrorLine;

fn main() -> ExitCode {
    exit::report_panics();
    let words = std::env::args_os();
    #[cfg_attr(
        not(feature = "embedded-registry"),
        expect(unused_variables, reason = "only the demo looks at it")
    )]
    let (cli, matches) = match Cli::read(words) {
        Ok(read) => read,
        Err(error) => {
            // The error is in the command line, and so is the wish for JSON.
            if args::asks_for_json(std::env::args_os()) {
                terminal::use_json();
            }
            return usage(&error);
        }
    };
    let mut environment = Environment::read();
    if cli.global.log_format == args::LogFormat::Json {
        terminal::use_json();
        environment.no_color = true;
    }
    // Progress bars are not JSON.
    let screen = if std::io::stderr().is_terminal() && !terminal::is_json() {
        MultiProgress::new()
    } else {
        MultiProgress::with_draw_target(ProgressDrawTarget::hidden())
    };
    let global = match cli.command {
        // The demo is read as a text; its log speaks up where something is wrong.
        #[cfg(feature = "embedded-registry")]
        Command::Demo(_) if !has_log_level(&matches) => {
            args::Global { log_level: args::LogLevel::Warning, ..cli.global }
        }
        _ => cli.global,
    };
    log::begin(&global, environment.no_color, &screen);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::print_error(&format!("cannot start: {error}"));
            return Exit::Failure.into();
        }
    };
    let exit = match cli.command {
        Command::Cip(flags) => match flags.snapshot() {
            Ok(Some(args)) => runtime.block_on(snapshot::print(args, &environment)),
            Ok(None) => match flags.resolve().and_then(|args| args.or_shard_of(&environment.shard)) {
                Ok(args) => runtime.block_on(cip::run(&args, &environment, &screen)),
                Err(text) => return usage(&Cli::conflict(text)),
            },
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Verify(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(verify::run(&args, &environment)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Snapshot(flags) => match flags.resolve() {
            Ok(SnapshotTask::Print(args)) => runtime.block_on(snapshot::print(args, &environment)),
            Ok(SnapshotTask::Diff(args)) => runtime.block_on(snapshot::diff(args, &environment)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Lint(flags) => lint::run(&flags.resolve(), &environment),
        Command::Sigcheck(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(sigcheck::run(&args, &environment, &screen)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Run(RunCommand::Files(flags)) => match flags.resolve() {
            Ok(args) => runtime.block_on(file_promotion::run(&args, &environment, &screen)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Manifest(ManifestCommand::Files(args)) => file_manifests::describe(&args, &environment),
        Command::Manifest(ManifestCommand::Validate(args)) => file_manifests::validate(&args, &environment),
        Command::Pr(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(pr::run(&args, &environment)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Gh(flags) => match flags.resolve() {
            Ok(args) => runtime.block_on(gh::run(&args, &environment, &screen)),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        Command::Manifest(ManifestCommand::Add(flags)) => match flags.resolve() {
            Ok(args) => manifest_add::run(&args),
            Err(text) => return usage(&Cli::conflict(text)),
        },
        #[cfg(feature = "embedded-registry")]
        Command::Demo(args) => runtime.block_on(demo::run(args, &screen)),
        Command::Report(ReportCommand::Merge(args)) => report::merge_files(&args),
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
    // Requests that were abandoned are not waited for.
    runtime.shutdown_background();
    exit.log_for_programs();
    exit.into()
}

/// Returns whether the command line sets the level of the log.
#[cfg(feature = "embedded-registry")]
fn has_log_level(matches: &clap::ArgMatches) -> bool {
    matches.value_source("log_level") == Some(clap::parser::ValueSource::CommandLine)
}

/// Shows help, or says what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    // Where even this cannot be printed, the exit code says it.
    if error.use_stderr() && terminal::is_json() {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        ErrorLine { exit_code: Some(Exit::Usage.code()), ..ErrorLine::new(text) }.print();
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}
