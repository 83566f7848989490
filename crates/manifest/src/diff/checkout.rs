//! Which state of which repository manifests are of: what promotion records say of them.

use std::path::{Path, PathBuf};

use url::Url;

use super::error::DiffError;
use super::folder_of;
use super::git::Git;

/// The state of the repository of the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its folder.
    pub root: std::path::PathBuf,
    /// `git+https://…`, where it has a remote repository.
    pub uri: Option<String>,
    /// The commit that is checked out.
    pub commit: String,
}

/// The repository that manifests are in: `path` is their folder, or a plain manifest. `None` where they are in none, or git
/// cannot say; that is no reason not to promote.
///
/// Runs `git` and waits for it: it reads the local repository alone.
pub fn checkout(path: &Path) -> Option<Checkout> {
    // A manifest is of the repository that it is in, wherever links to it are.
    let path = path.canonicalize().ok()?;
    let folder = if path.is_dir() { &path } else { folder_of(&path) };
    match read(folder) {
        Ok(checkout) => Some(checkout),
        Err(DiffError::NotARepository(_) | DiffError::Git(_)) => None,
        Err(error) => {
            tracing::warn!("promotion records will not name the manifests' commit: {error}");
            None
        }
    }
}

fn read(folder: &Path) -> Result<Checkout, DiffError> {
    let git = Git::open(folder)?;
    Ok(Checkout {
        root: PathBuf::from(git.root()?),
        commit: git.head()?,
        uri: git.origin()?.and_then(|origin| uri_of(&origin)),
    })
}

/// A remote repository as records name it: `git+https://`, host and path. Over what it was fetched, and as whom, is nobody
/// else's matter; what is not on another host has no such name.
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
        // As scp has it: `user@host:path`, where no slash stands before the colon. Two colons follow the name of a program.
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
    // Once more as a whole: what comes of it has to be a URL, with no user or query that was hidden in the path.
    let mut url = Url::parse(&format!("https://{host}/{path}")).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    url.username().is_empty().then(|| format!("git+{url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_repository_is_named_the_same_however_it_is_fetched() {
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
    fn what_is_on_no_other_host_has_no_such_name() {
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
