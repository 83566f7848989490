//! Trillian, which stores the logs of Rekor v1 and of certificate transparency, and its database MariaDB.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use super::part::{Part, isolated, listens};
use super::programs::Programs;
use crate::error::Error;
use crate::step::output;
use crate::tools::go_module;

/// The version of Trillian. Its module also has the SQL script of its tables.
pub(super) const VERSION: &str = "v1.7.2";
/// MariaDB's socket, relative to the directory that all parts run in, because the path of a socket has at most 107 bytes. MariaDB
/// itself runs in the directory of its data, where the path is `db.sock`.
const SOCKET: &str = "db/db.sock";

/// Returns the connection string of a database for a part in Go.
pub(super) fn connection(database: &str) -> String {
    format!("root@unix({SOCKET})/{database}")
}

/// Starts MariaDB on a socket without a port, then Trillian's server and its signer, which sequences the entries. The server
/// and the signer listen on the given ports.
///
/// # Errors
/// If one of them does not start.
pub(super) fn start(programs: Programs<'_>, server_port: u16, signer_port: u16) -> Result<[Part; 3], Error> {
    let database = database(programs.directory)?;
    let connection = connection("trillian");
    let part = |name, port, more| {
        // Without a second port for metrics.
        let line = format!(
            "--mysql_uri={connection} --rpc_endpoint=127.0.0.1:{port} --http_endpoint= --quota_system=noop \
             --logtostderr {more}"
        );
        programs.part(name, &line)
    };
    let mut server = part("trillian_log_server", server_port, "")?;
    // New entries wait for the next run of the signer, so its interval is short.
    let often = "--force_master --sequencer_interval=50ms --batch_size=1000";
    let mut signer = part("trillian_log_signer", signer_port, often)?;
    server.wait(|| listens(server_port))?;
    signer.wait(|| listens(signer_port))?;
    Ok([server, signer, database])
}

/// Starts MariaDB with the two databases, one of which has Trillian's tables. Root needs no password on the socket, which is
/// in a private directory.
fn database(directory: &Path) -> Result<Part, Error> {
    let user = output("querying the user", Command::new("id").arg("--user").arg("--name"))?;
    // As root, MariaDB refuses to run without an explicit user.
    let user = format!("--user={}", user.trim());
    let data = format!("--datadir={}", directory.join("db").display());
    let mut install = isolated(directory, "mariadb-install-db");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.args(["--innodb-log-file-size=8M", &data, &user]);
    output("making the database", &mut install)?;
    // The data does not have to survive a power failure.
    let options =
        ["--no-defaults", "--skip-networking", "--socket=db.sock", "--innodb-flush-log-at-trx-commit=0"];
    let options = options.into_iter().chain(["--innodb-log-file-size=8M", &data, &user]);
    let mut database = Part::start(directory, "mariadbd", Path::new("mariadbd"), options)?;
    database.wait(|| client(directory).output().is_ok_and(|answer| answer.status.success()))?;
    output(
        "making databases",
        client(directory).arg("--execute=create database trillian; create database rekor"),
    )?;
    let module = go_module("Trillian", "github.com/google/trillian", VERSION)?;
    let tables = module.join("storage/mysql/schema/storage.sql");
    let script = File::open(&tables).map_err(Error::file("opening", &tables))?;
    output("making Trillian's tables", client(directory).arg("trillian").stdin(Stdio::from(script)))?;
    Ok(database)
}

/// Returns MariaDB's client. Without a script and without commands, it only connects.
fn client(directory: &Path) -> Command {
    let mut command = isolated(directory, "mariadb");
    command.args(["--no-defaults", "--user=root"]).arg(format!("--socket={SOCKET}"));
    command
}
