//! `kpromo version`.

use schemars::JsonSchema;
use serde::Serialize;

/// The version of kpromo (`kpromo version --json`). It has the fields of the Go tool, without `goVersion`, and more.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    /// The version, such as `v0.1.0`.
    #[schemars(regex(pattern = "^v"))]
    git_version: &'static str,
    /// The commit that kpromo was built from, or `unknown`.
    git_commit: &'static str,
    /// Whether the sources are those of the commit.
    #[schemars(extend("enum" = ["clean", "dirty", "unknown"]))]
    git_tree_state: &'static str,
    /// The time of the commit. It is not the time of the build, so that the same sources make the same binary.
    build_date: &'static str,
    /// The compiler.
    compiler: &'static str,
    /// The operating system and the architecture, such as `linux/x86_64`.
    platform: String,
    /// The version, such as `0.1.0`.
    version: &'static str,
    /// The version of the compiler.
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
