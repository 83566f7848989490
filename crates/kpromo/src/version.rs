//! `kpromo version`.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    git_commit: &'static str,
    rust: &'static str,
    platform: String,
}

/// Returns the version, as a text for a person or as JSON.
pub(crate) fn text(json: bool) -> String {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        git_commit: env!("KPROMO_GIT_COMMIT"),
        rust: env!("KPROMO_RUSTC"),
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    };
    if json {
        // A struct of strings always serializes to JSON.
        return serde_json::to_string_pretty(&version).unwrap_or_default() + "\n";
    }
    let Version { version, git_commit, rust, platform } = version;
    format!("kpromo {version}\ncommit   {git_commit}\nrust     {rust}\nplatform {platform}\n")
}
