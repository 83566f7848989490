//! `kpromo version`.

use serde::Serialize;

/// The fields of the Go tool, without `goVersion`, and more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: &'static str,
    git_commit: &'static str,
    /// Whether the sources are those of the commit: `clean` or `dirty`.
    git_tree_state: &'static str,
    /// The time of the commit, so that the same sources make the same binary.
    build_date: &'static str,
    compiler: &'static str,
    platform: String,
    version: &'static str,
    rust: &'static str,
}

/// Returns the version, as a text for a person or as JSON.
pub(crate) fn text(json: bool) -> String {
    let version = Version {
        git_version: concat!("v", env!("CARGO_PKG_VERSION")),
        git_commit: env!("KPROMO_GIT_COMMIT"),
        git_tree_state: env!("KPROMO_TREE_STATE"),
        build_date: env!("KPROMO_COMMIT_TIME"),
        compiler: "rustc",
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        version: env!("CARGO_PKG_VERSION"),
        rust: env!("KPROMO_RUSTC"),
    };
    if json {
        // A struct of strings always serializes to JSON.
        return serde_json::to_string_pretty(&version).unwrap_or_default() + "\n";
    }
    let Version { version, git_commit, git_tree_state, build_date, rust, platform, .. } = version;
    format!(
        "kpromo {version}\ncommit   {git_commit} ({git_tree_state})\ndate     {build_date}\nrust     {rust}\nplatform {platform}\n"
    )
}
