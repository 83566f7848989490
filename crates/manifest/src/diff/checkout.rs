//! The repository and commit of the manifests, for promotion records.

use std::path::{Path, PathBuf};

use url::Url;

use super::directory_of;
use super::error::DiffError;
use super::git::Git;

/// The checked-out state of the manifests' repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The root directory of the repository.
    pub root: std::path::PathBuf,
    /// `git+https://…`. `None` if the repository has no remote on another host.
    pub uri: Option<String>,
    /// The checked-out commit.
    pub commit: String,
}

/// Returns the repository of the manifests. `path` is their directory, or a plain manifest. Returns `None` if the manifests are
/// in no repository, or if git fails: this must not prevent a promotion.
///
/// Runs `git` and blocks until it exits. `git` reads only the local repository.
pub fn checkout(path: &Path) -> Option<Checkout> {
    // A manifest belongs to the repository that contains the file itself, not a link to it.
    let path = path.canonicalize().ok()?;
    let directory = if path.is_dir() { &path } else { directory_of(&path) };
    match read(directory) {
        Ok(checkout) => Some(checkout),
        Err(DiffError::NotARepository(_) | DiffError::Git(_)) => None,
        Err(error) => {
            tracing::warn!("promotion records will not name the manifests' commit: {error}");
            None
        }
    }
}

fn read(directory: &Path) -> Result<Checkout, DiffError> {
    let git = Git::open(directory)?;
    Ok(Checkout {
        root: PathBuf::from(git.root()?),
        commit: git.head()?,
        uri: git.origin()?.and_then(|origin| uri_of(&origin)),
    })
}

/// Returns the name of a remote repository in promotion records: `git+https://`, host and path. It omits the transport and
/// the user, which should not be published. Returns `None` if the repository is not on another host.
fn uri_of(remote: &str) -> Option<String> {
    let (host, path) = match remote.split_once("://") {
        Some((scheme, _)) if ["https", "http", "ssh", "git", "git+ssh"].contains(&scheme) => {
            let url = Url::parse(remote).ok()?;
            let port = match (scheme, url.port()) {
                ("https", Some(port)) => format!(":{port}"),
                _ => String::new(),
            };
            (format!("{}{port}", url.host_str()?), url.path().to_owned())
        }
        Some(_) => return None,
        // The syntax of scp: `user@host:path`, without a slash before the colon. Two colons follow the name of a remote
        // helper.
        None => {
            let is_host = |(host, path): &(&str, &str)| !host.contains('/') && !path.starts_with(':');
            let (host, path) = remote.split_once(':').filter(is_host)?;
            (host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned(), path.to_owned())
        }
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    // The result is parsed again, because it must be a URL without a user or query that was hidden in the path.
    let mut url = Url::parse(&format!("https://{host}/{path}")).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    url.username().is_empty().then(|| format!("git+{url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_remote_repository_does_not_depend_on_the_transport() {
        for remote in [
            "https://github.com/kubernetes/k8s.io",
            "https://github.com/kubernetes/k8s.io.git",
            "https://me:hush@github.com/kubernetes/k8s.io.git/",
            "https://hush@GitHub.com/kubernetes/k8s.io?token=hush#hush",
            "http://github.com/kubernetes/k8s.io",
            "ssh://git@github.com:22/kubernetes/k8s.io.git",
            "ssh://git@github.com/kubernetes/k8s.io",
            "git://github.com/kubernetes/k8s.io.git",
            "git@github.com:kubernetes/k8s.io.git",
            "github.com:/kubernetes/k8s.io",
        ] {
            let uri = uri_of(remote);
            assert_eq!(uri.as_deref(), Some("git+https://github.com/kubernetes/k8s.io"), "{remote}");
        }
        assert_eq!(uri_of("https://git.example:8443/a").unwrap(), "git+https://git.example:8443/a");
    }

    #[test]
    fn local_repositories_have_no_name() {
        for local in [
            "",
            "/srv/git/a.git",
            "../a",
            "./a:b",
            "file:///srv/git/a",
            "https://",
            "https://host",
            "host:",
            "ext::sh -c hush",
            "helper://host/path",
        ] {
            assert_eq!(uri_of(local), None, "{local}");
        }
    }
}
