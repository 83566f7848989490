//! A complete Sigstore on loopback for the tests, with its real programs and without a network: OpenID Connect issuers,
//! Fulcio, a certificate transparency log, Rekor v1 (Trillian on MariaDB), Rekor v2 (files) and a timestamp authority.
//!
//! Each run starts a new one with new keys, and nothing of it remains. The parts are killed when [`Sigstore`] is dropped, and
//! by the kernel if this process ends in any other way. The state is in a separate directory below `target`, which is removed
//! with the Sigstore, or else by the next run. Users of the Sigstore get the path of that directory, which has everything that
//! they need.

mod directory;
mod keys;
mod part;
mod ports;
mod programs;
mod stack;
mod trillian;

use std::path::Path;
use std::time::{Duration, Instant};

use directory::Directory;
use part::Part;

use crate::debian::Package;
use crate::environment;
use crate::error::Error;
use crate::step::say;
use crate::tools::{Source, Tool};
use crate::workspace::Workspace;

/// The Debian packages that the parts need.
pub(crate) const PACKAGES: &[Package] = &[
    Package { command: "mariadbd", package: "mariadb-server" },
    Package { command: "openssl", package: "openssl" },
    Package { command: "setpriv", package: "util-linux" },
];

/// The cosign whose default form is bundles. It also creates the trust root, and the benchmark compares kpromo with it.
pub(crate) const COSIGN: Tool = Tool {
    name: "cosign",
    version: "v3.1.3",
    source: Source::Go("github.com/sigstore/cosign/v3/cmd/cosign"),
};

/// The parts, and two versions of cosign that sign with them: the default form of one is `.sig` tags, that of the other
/// bundles.
pub(crate) const TOOLS: &[Tool] = &[
    Tool { name: "fulcio", version: "v1.8.8", source: Source::Go("github.com/sigstore/fulcio") },
    Tool {
        name: "timestamp-server-without-metrics",
        version: "v2.0.6",
        source: Source::GoModule {
            module: "github.com/sigstore/timestamp-authority/v2",
            package: "cmd/timestamp-server",
            replaced: &[(
                "pkg/server/prometheus.go",
                include_str!("../sigstore/timestamp-server/prometheus.go"),
            )],
        },
    },
    Tool {
        name: "trillian_log_server",
        version: trillian::VERSION,
        source: Source::Go("github.com/google/trillian/cmd/trillian_log_server"),
    },
    Tool {
        name: "trillian_log_signer",
        version: trillian::VERSION,
        source: Source::Go("github.com/google/trillian/cmd/trillian_log_signer"),
    },
    Tool {
        name: "createtree",
        version: trillian::VERSION,
        source: Source::Go("github.com/google/trillian/cmd/createtree"),
    },
    Tool {
        name: "rekor-server",
        version: "v1.5.0",
        source: Source::Go("github.com/sigstore/rekor/cmd/rekor-server"),
    },
    Tool {
        name: "rekor-server-posix",
        version: "v2.3.0",
        source: Source::Go("github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix"),
    },
    Tool {
        name: "ct_server",
        version: "v1.3.2",
        source: Source::Go("github.com/google/certificate-transparency-go/trillian/ctfe/ct_server"),
    },
    COSIGN,
    Tool {
        name: "cosign2",
        version: "v2.6.5",
        source: Source::Go("github.com/sigstore/cosign/v2/cmd/cosign"),
    },
];

/// A running Sigstore. When it is dropped, its parts end and its directory is removed.
#[derive(Debug)]
pub(crate) struct Sigstore {
    // Before the directory, because fields are dropped in the order of declaration.
    parts: Vec<Part>,
    directory: Directory,
}

impl Sigstore {
    /// Starts a Sigstore with the programs in the directory `tools` and waits until all its parts respond. The calling thread
    /// must not end before the parts: the kernel ends them with that thread.
    ///
    /// # Errors
    /// If a part does not start. The error has the end of its log.
    pub(crate) fn start(workspace: &Workspace, tools: &Path) -> Result<Self, Error> {
        let begun = Instant::now();
        say("==> Sigstore for the tests");
        let directory = Directory::create(&workspace.target().join("xtask").join("sigstore"))?;
        let parts = stack::start(workspace, tools, directory.path())?;
        say(&format!("    Sigstore for the tests: {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(Self { parts, directory })
    }

    /// Returns the directory that describes the Sigstore. `testkit::Sigstore` reads it.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until a part exits, which is always an error, and returns that error.
    fn watch(&mut self) -> Error {
        loop {
            if let Some(error) = self.parts.iter_mut().find_map(Part::ended) {
                return error;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// `cargo xtask sigstore`: runs a Sigstore with the programs in the directory `tools` until this process is interrupted, for
/// running single tests manually.
///
/// # Errors
/// If a part cannot be started, or if it exits.
pub(crate) fn run(workspace: &Workspace, tools: &Path) -> Result<(), Error> {
    let mut sigstore = Sigstore::start(workspace, tools)?;
    let directory = sigstore.directory().display();
    say(&format!(
        "It runs until you press Ctrl-C. In another terminal:\n\n\
         export {}={} {}={directory}\n\
         cargo test -- --include-ignored\n\
         curl \"$(sed -n 's/^issuer //p' {directory}/urls)/token?email=promoter@example.com\"",
        environment::TOOLS,
        tools.display(),
        environment::SIGSTORE,
    ));
    Err(sigstore.watch())
}
