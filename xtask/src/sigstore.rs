//! A whole Sigstore on loopback for the tests, of real parts and with no network: OpenID Connect issuers, Fulcio, a
//! certificate transparency log, Rekor v1 (Trillian on MariaDB), Rekor v2 (files) and a timestamp authority.
//!
//! It is started anew for every run, with new keys, and nothing of it is left behind: parts are killed when [`Sigstore`]
//! is dropped, and by the kernel when this process ends in any other way; state is in a folder of its own below `target`,
//! which is removed with it, or else by the next one. Whoever uses it is given that folder and finds everything there.

mod folder;
mod keys;
mod part;
mod ports;
mod programs;
mod stack;
mod trillian;

use std::path::Path;
use std::time::{Duration, Instant};

use folder::Folder;
use part::Part;

use crate::debian::Package;
use crate::environment;
use crate::error::Error;
use crate::step::say;
use crate::tools::{Source, Tool};
use crate::workspace::Workspace;

/// What the parts need of Debian.
pub(crate) const PACKAGES: &[Package] = &[
    Package { command: "mariadbd", package: "mariadb-server" },
    Package { command: "openssl", package: "openssl" },
    Package { command: "setpriv", package: "util-linux" },
];

/// The cosign that writes bundles by nature. It also says whom to trust, and the benchmark compares with it.
pub(crate) const COSIGN: Tool = Tool {
    name: "cosign",
    version: "v3.1.3",
    source: Source::Go("github.com/sigstore/cosign/v3/cmd/cosign"),
};

/// The parts, and the cosigns that sign with them: the one that writes `.sig` tags by nature and the one that writes
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

/// A running Sigstore. It ends, and its folder goes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Sigstore {
    // Before the folder: fields are dropped in this order.
    parts: Vec<Part>,
    folder: Folder,
}

impl Sigstore {
    /// Starts one with the programs in the folder `tools` and waits until all of it answers. The thread that starts it
    /// has to stay: the kernel ends the parts when that thread ends.
    ///
    /// # Errors
    /// When a part does not start; with the end of its log.
    pub(crate) fn start(workspace: &Workspace, tools: &Path) -> Result<Self, Error> {
        let begun = Instant::now();
        say("==> Sigstore for the tests");
        let folder = Folder::create(&workspace.target().join("xtask").join("sigstore"))?;
        let parts = stack::start(workspace, tools, folder.path())?;
        say(&format!("    Sigstore for the tests: {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(Self { parts, folder })
    }

    /// Where everything about it is written: see `testkit::Sigstore`, which reads it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until a part ends, which none does by itself.
    fn watch(&mut self) -> Error {
        loop {
            if let Some(error) = self.parts.iter_mut().find_map(Part::ended) {
                return error;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// `cargo xtask sigstore`: runs a Sigstore with the programs in the folder `tools` until this process is interrupted, for
/// single tests by hand.
///
/// # Errors
/// When a part cannot be started, or ends by itself.
pub(crate) fn run(workspace: &Workspace, tools: &Path) -> Result<(), Error> {
    let mut sigstore = Sigstore::start(workspace, tools)?;
    let folder = sigstore.folder().display();
    say(&format!(
        "It runs until you press Ctrl-C. In another terminal:\n\n\
         export {}={} {}={folder}\n\
         cargo test -- --include-ignored\n\
         curl \"$(sed -n 's/^issuer //p' {folder}/urls)/token?email=promoter@example.com\"",
        environment::TOOLS,
        tools.display(),
        environment::SIGSTORE,
    ));
    Err(sigstore.watch())
}
