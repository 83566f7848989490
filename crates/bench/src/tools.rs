//! The measured programs.

use std::path::{Path, PathBuf};

/// A program and its installed version.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// The measured programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) kpromo: PathBuf,
    pub(crate) crane: Option<Peer>,
    pub(crate) regsync: Option<Peer>,
    pub(crate) skopeo: Option<Peer>,
    pub(crate) cosign: Option<Peer>,
    pub(crate) rclone: Option<Peer>,
    /// kpromo of promo-tools, written in Go.
    pub(crate) promo_tools: Option<Peer>,
    /// The object store of the scenario `files`.
    pub(crate) versitygw: Option<Peer>,
    /// The directory that describes a running Sigstore.
    pub(crate) sigstore: Option<PathBuf>,
}

impl Tools {
    /// Returns the names and versions of the available programs besides kpromo.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = [
            ("crane", &self.crane),
            ("regsync", &self.regsync),
            ("skopeo", &self.skopeo),
            ("cosign", &self.cosign),
            ("rclone", &self.rclone),
            ("Go kpromo", &self.promo_tools),
            ("VersityGW", &self.versitygw),
        ];
        named.into_iter().filter_map(|(name, peer)| Some((name, peer.as_ref()?.version.as_str())))
    }

    /// Returns whether `kpromo cip` has a flag.
    pub(crate) fn cip_has(&self, flag: &str) -> bool {
        let help = std::process::Command::new(&self.kpromo).args(["cip", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(flag))
    }
}

/// Returns a path as an argument.
pub(crate) fn word(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Parses `VERSION=PATH`, the form in which xtask passes a program.
pub(crate) fn peer(text: &str) -> Result<Peer, String> {
    let (version, path) = text.split_once('=').ok_or("a tool has the form VERSION=PATH")?;
    Ok(Peer { path: path.into(), version: version.to_owned() })
}
