//! `kpromo registry serve`: the embedded registry as a separate process.

use registry::{Config, Server, Storage};

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::terminal::{Interrupts, print, print_error};

/// Serves until an interrupt.
pub(crate) async fn run(args: ServeArgs) -> Exit {
    let config = Config {
        listen: args.listen,
        storage: args.storage.map_or(Storage::Memory, Storage::Directory),
        google_listing: args.google_listing,
        referrers_api: !args.no_referrers,
        ..Config::default()
    };
    let mut interrupts = Interrupts::new();
    match Server::start(config).await {
        Ok(server) => {
            print(&format!("{}\n", server.host()));
            interrupts.next().await;
            server.stop().await;
            Exit::Success
        }
        Err(error) => {
            print_error(&error.to_string());
            Exit::Failure
        }
    }
}
