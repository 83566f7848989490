//! TUF repositories, from which clients of a Sigstore get its trust root.

mod metadata;

use std::collections::BTreeMap;

use metadata::{Key, envelope};
use oci::Digest;
use serde_json::{Map, Value, json};

use crate::loopback::FileServer;
use crate::sigstore::{Rekor, Sigstore};

/// An expiry in the far future.
const NEVER: &str = "2999-01-01T00:00:00Z";
/// An expiry in the past.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A top-level role. Each has one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TufRole {
    /// Defines the keys of the roles.
    Root,
    /// Defines the current snapshot.
    Timestamp,
    /// Defines the current metadata of targets.
    Snapshot,
    /// Defines the target files.
    Targets,
}

impl TufRole {
    const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }
}

/// The state of a role.
#[derive(Debug)]
struct RoleState {
    /// The key for the role in the next root.
    key: Key,
    /// A key that no root names. If set, it signs instead.
    forged: Option<Key>,
    version: u64,
    expires: String,
}

/// A TUF repository with consistent snapshots, as Sigstore's is, served on loopback until it is dropped.
///
/// Clients see changes when they are [published](Self::publish), all at once. Each publication has new versions of timestamp,
/// snapshot and targets, and a new root if keys or the root's expiry have changed.
#[derive(Debug)]
pub struct TufRepository {
    server: FileServer,
    states: BTreeMap<TufRole, RoleState>,
    targets: BTreeMap<String, Vec<u8>>,
    /// The root key of the last root, which must also sign the next root.
    last_root_key: Option<Key>,
    is_root_stale: bool,
    files: BTreeMap<String, Vec<u8>>,
    before: BTreeMap<String, Vec<u8>>,
}

impl TufRepository {
    /// Starts a repository with these targets, published once: every version is 1, and nothing expires.
    ///
    /// # Panics
    /// If no loopback port is available.
    pub fn start<'a>(targets: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let state = |role| {
            (role, RoleState { key: Key::generate(), forged: None, version: 0, expires: NEVER.to_owned() })
        };
        let mut repository = Self {
            server: FileServer::start(),
            states: TufRole::ALL.map(state).into(),
            targets: targets.into_iter().map(|(name, content)| (name.to_owned(), content)).collect(),
            last_root_key: None,
            is_root_stale: true,
            files: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        repository.publish();
        repository
    }

    /// Starts a repository with the `trusted_root.json` and the `signing_config.v0.2.json` of a Sigstore.
    ///
    /// # Panics
    /// If those files cannot be read, and as [`start`](Self::start).
    pub fn of(sigstore: &Sigstore, rekor: Rekor) -> Self {
        let read = |file| std::fs::read(file).expect("a Sigstore's files can be read");
        Self::start([
            ("trusted_root.json", read(sigstore.trusted_root())),
            ("signing_config.v0.2.json", read(sigstore.signing_config(rekor))),
        ])
    }

    /// Returns the URL of the repository, for `--tuf-mirror`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns a published root. Clients start from the first one.
    ///
    /// # Panics
    /// If there is no such version.
    pub fn root(&self, version: u64) -> Vec<u8> {
        let name = format!("{version}.root.json");
        self.files.get(&name).unwrap_or_else(|| panic!("there is no {name} yet")).clone()
    }

    /// Adds or replaces a target.
    pub fn set_target(&mut self, name: &str, content: Vec<u8>) {
        self.targets.insert(name.to_owned(), content);
    }

    /// Sets the expiry of a role's metadata to a time long ago.
    pub fn expire(&mut self, role: TufRole) {
        self.set_expiry(role, LONG_AGO);
    }

    /// Sets the expiry of a role's metadata, in RFC 3339, in UTC, to the second: `2030-01-01T00:00:00Z`.
    pub fn set_expiry(&mut self, role: TufRole, expires: &str) {
        self.state(role).expires = expires.to_owned();
        self.is_root_stale |= role == TufRole::Root;
    }

    /// Gives a role a new key. The next root has it.
    pub fn rotate(&mut self, role: TufRole) {
        self.state(role).key = Key::generate();
        self.is_root_stale = true;
    }

    /// Signs a role's metadata only with a key that no root names, from the next publication on.
    pub fn forge(&mut self, role: TufRole) {
        self.state(role).forged = Some(Key::generate());
        self.is_root_stale |= role == TufRole::Root;
    }

    /// Serves the state before the last publication again.
    pub fn roll_back(&mut self) {
        self.files = self.before.clone();
        self.server.serve(self.files.clone());
    }

    /// Serves a file with this content, whatever the metadata says, until the next publication. Examples of paths are
    /// `timestamp.json` and `targets/<hex>.trusted_root.json`.
    pub fn tamper(&mut self, path: &str, content: Vec<u8>) {
        let mut files = self.files.clone();
        files.insert(path.to_owned(), content);
        self.server.serve(files);
    }

    /// Returns the path of a published target below the repository's URL.
    ///
    /// # Panics
    /// If there is no such target.
    pub fn target_path(&self, name: &str) -> String {
        let content = self.targets.get(name).unwrap_or_else(|| panic!("there is no target {name}"));
        target_path(name, content)
    }

    /// Returns the paths requested so far, in order.
    pub fn requests(&self) -> Vec<String> {
        self.server.requests()
    }

    /// Makes new metadata and serves it.
    pub fn publish(&mut self) {
        self.before = self.files.clone();
        if self.is_root_stale {
            self.publish_root();
        }
        for (name, content) in &self.targets {
            self.files.insert(target_path(name, content), content.clone());
        }
        let listed = |(name, content): (&String, &Vec<u8>)| (name.clone(), described(content));
        let targets = self.targets.iter().map(listed).collect::<Map<_, _>>();
        let (version, targets) = self.issue(TufRole::Targets, "targets", targets.into());
        let snapshot = json!({ "targets.json": with_version(version, &targets) });
        self.files.insert(format!("{version}.targets.json"), targets);
        let (version, snapshot) = self.issue(TufRole::Snapshot, "meta", snapshot);
        let timestamp = json!({ "snapshot.json": with_version(version, &snapshot) });
        self.files.insert(format!("{version}.snapshot.json"), snapshot);
        let (_, timestamp) = self.issue(TufRole::Timestamp, "meta", timestamp);
        self.files.insert("timestamp.json".to_owned(), timestamp);
        self.server.serve(self.files.clone());
    }

    fn publish_root(&mut self) {
        let keys = self.states.values().map(|state| (state.key.id().to_owned(), state.key.description()));
        let roles = self.states.iter().map(|(role, state)| {
            (role.name().to_owned(), json!({ "keyids": [state.key.id()], "threshold": 1 }))
        });
        let mut content = Map::new();
        content.insert("consistent_snapshot".to_owned(), true.into());
        content.insert("keys".to_owned(), keys.collect::<Map<_, _>>().into());
        content.insert("roles".to_owned(), roles.collect::<Map<_, _>>().into());
        let signed = self.signed_part(TufRole::Root, content);
        let last = self.last_root_key.take();
        let root = self.state(TufRole::Root);
        let keys = match &root.forged {
            Some(forged) => vec![forged],
            None => {
                // If the key is the same, one signature suffices.
                let last = last.as_ref().filter(|last| last.id() != root.key.id());
                std::iter::once(&root.key).chain(last).collect()
            }
        };
        let bytes = envelope(&signed, keys);
        let (name, key) = (format!("{}.root.json", root.version), root.key.clone());
        self.files.insert(name, bytes);
        self.last_root_key = Some(key);
        self.is_root_stale = false;
    }

    /// Returns the next version of a role's metadata.
    fn issue(&mut self, role: TufRole, field: &str, content: Value) -> (u64, Vec<u8>) {
        let signed = self.signed_part(role, Map::from_iter([(field.to_owned(), content)]));
        let state = self.state(role);
        (state.version, envelope(&signed, [state.forged.as_ref().unwrap_or(&state.key)]))
    }

    /// Returns the signed part of metadata: the content with the fields that all metadata has.
    fn signed_part(&mut self, role: TufRole, mut content: Map<String, Value>) -> Value {
        let state = self.state(role);
        state.version += 1;
        content.insert("_type".to_owned(), role.name().into());
        content.insert("spec_version".to_owned(), "1.0.31".into());
        content.insert("version".to_owned(), state.version.into());
        content.insert("expires".to_owned(), state.expires.as_str().into());
        content.into()
    }

    fn state(&mut self, role: TufRole) -> &mut RoleState {
        self.states.get_mut(&role).expect("every role has a state")
    }
}

fn target_path(name: &str, content: &[u8]) -> String {
    format!("targets/{}.{name}", Digest::of(content).hex())
}

/// Returns the length and the hash of a file in the form that metadata uses.
fn described(content: &[u8]) -> Value {
    json!({ "length": content.len(), "hashes": { "sha256": Digest::of(content).hex() } })
}

fn with_version(version: u64, content: &[u8]) -> Value {
    let mut described = described(content);
    described["version"] = version.into();
    described
}
