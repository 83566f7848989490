//! `kpromo reference`: the generated parts of the documentation. `cargo xtask docs` writes them to files.

mod markdown;
#[cfg(debug_assertions)]
mod schemas;

use std::io;
use std::path::Path;

use clap::CommandFactory as _;

use crate::args::{Cli, ReferenceCommand};
use crate::exit::Exit;
use crate::terminal::{self, print_error};

/// Prints or writes a part of the reference.
pub(crate) fn print(part: &ReferenceCommand) -> Exit {
    match part {
        ReferenceCommand::Commands => show(&markdown::commands(Cli::grammar(), &Cli::command())),
        ReferenceCommand::Environment => show(&markdown::environment()),
        ReferenceCommand::Man { directory } => written("man pages", directory, man(directory)),
        #[cfg(debug_assertions)]
        ReferenceCommand::Schemas { directory } => written("schemas", directory, schemas::write(directory)),
    }
}

fn show(text: &str) -> Exit {
    terminal::print(text);
    Exit::Success
}

/// Writes `kpromo.1`, and a page like `kpromo-cip.1` for each command.
fn man(directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Cli::grammar(), directory)
}

/// Returns the exit code after files were written, and prints the error if there is one.
fn written(what: &str, directory: &Path, written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            print_error(&format!("the {what} cannot be written to {}: {error}", directory.display()));
            Exit::Failure
        }
    }
}
