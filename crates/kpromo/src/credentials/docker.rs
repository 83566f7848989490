//! The configuration files of docker and podman: their locations, and the lookup of a credential in them.

use std::path::{Path, PathBuf};

use oci::{FoundCredential, Host, RepositoryPath};
use tokio::sync::OnceCell;

use super::auth_file::{AuthFile, Match};
use super::file::{read_file, with_existence};
use super::helper::{Helpers, program};
use super::places::Places;

/// The maximum size of a configuration file, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// All configuration files, and the credential helpers that they name.
#[derive(Debug)]
pub(super) struct AuthFiles {
    /// The possible paths of files, in order of precedence.
    candidates: Vec<PathBuf>,
    files: OnceCell<Vec<(PathBuf, AuthFile)>>,
    helpers: Helpers,
}

impl AuthFiles {
    /// Creates a set of files that are read when they are first needed.
    pub(super) fn new(places: Places) -> Self {
        Self { candidates: candidates(&places), files: OnceCell::new(), helpers: Helpers::new(places.path) }
    }

    /// Returns the credential for a repository of a host, or for the host itself if no repository is given.
    ///
    /// The most specific key of all files wins, since it is meant for exactly this repository. Keys and helpers for the whole
    /// host apply in the order of the files. In each file the helper comes first.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if its content for the host cannot be used. The error contains the file,
    /// and the key or the helper.
    pub(super) async fn credential(
        &self,
        host: &Host,
        repository: Option<&RepositoryPath>,
    ) -> Result<Option<FoundCredential>, String> {
        let files = self.files.get_or_try_init(|| async { read_all(&self.candidates) }).await?;
        let matches = files.iter().map(|(path, file)| (path, file, file.matches(host, repository)));
        let matches: Vec<_> = matches.collect();
        let mut of_repository: Vec<_> = matches
            .iter()
            .flat_map(|(path, _, found)| found.iter().map(move |found| (path, found)))
            .filter(|(_, found)| found.components > 0)
            .collect();
        // The sort is stable: of equally specific keys, that of the earlier file comes first.
        of_repository.sort_by_key(|(_, found)| std::cmp::Reverse(found.components));
        for (path, found) in of_repository {
            if let Some(credential) = in_file(path, found)? {
                return Ok(Some(credential));
            }
        }
        for (path, file, found) in &matches {
            if let Some(helper) = file.helper(host) {
                let answer = self.helpers.ask(helper, host).await;
                let named = || format!("named by {}", path.display());
                if let Some(credential) = answer.map_err(|why| format!("{why} ({})", named()))? {
                    return Ok(Some(credential.from(format!("{} for {host}, {}", program(helper), named()))));
                }
            }
            for found in found.iter().filter(|found| found.components == 0) {
                if let Some(credential) = in_file(path, found)? {
                    return Ok(Some(credential));
                }
            }
        }
        Ok(None)
    }

    /// Lists the paths of files, and whether each file exists.
    pub(super) fn looked_in(&self) -> String {
        if self.candidates.is_empty() {
            return "no file, since neither HOME nor DOCKER_CONFIG is set".to_owned();
        }
        self.candidates.iter().map(|path| with_existence(path)).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the credential of a key in a file, with its origin. Returns `None` for an entry without a credential: logging in with
/// a helper and logging out leave such entries.
fn in_file(path: &Path, found: &Match<'_>) -> Result<Option<FoundCredential>, String> {
    let path = path.display();
    let credential = found.credential().map_err(|why| format!("{path}, {why}"))?;
    Ok(credential.map(|credential| credential.from(format!("{path}, key {}", found.key.text))))
}

/// Returns the possible paths of files, in order of precedence.
fn candidates(places: &Places) -> Vec<PathBuf> {
    let home = places.home.as_deref();
    let docker = places.docker_config.clone().or_else(|| Some(home?.join(".docker")));
    let candidates = [
        places.registry_auth_file.clone(),
        docker.map(|directory| directory.join("config.json")),
        places.runtime_directory.as_ref().map(|directory| directory.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
    ];
    candidates.into_iter().flatten().collect()
}

/// Reads every file that exists.
fn read_all(candidates: &[PathBuf]) -> Result<Vec<(PathBuf, AuthFile)>, String> {
    let mut files = Vec::new();
    for path in candidates {
        let bytes = read_file(path, FILE_MAX);
        let parsed = bytes.and_then(|bytes| bytes.as_deref().map(AuthFile::parse).transpose());
        if let Some(file) = parsed.map_err(|why| format!("{}: {why}", path.display()))? {
            files.push((path.clone(), file));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use oci::Credential;

    use super::*;
    use crate::credentials::testing::write_helper;

    /// A home directory with docker's configuration, and a search path with helpers.
    struct Home {
        directory: tempfile::TempDir,
    }

    impl Home {
        fn new(config: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("config.json"), config).unwrap();
            Self { directory }
        }

        /// Adds a podman file, which takes precedence over docker's.
        fn with_podman(self, config: &str) -> Self {
            fs::write(self.directory.path().join("podman.json"), config).unwrap();
            self
        }

        fn helper(&self, name: &str, script: &str) {
            write_helper(self.directory.path(), name, script);
        }

        fn files(&self) -> AuthFiles {
            let directory = self.directory.path();
            AuthFiles::new(Places {
                docker_config: Some(directory.to_owned()),
                registry_auth_file: Some(directory.join("podman.json")),
                path: Some(directory.into()),
                ..Places::default()
            })
        }

        /// Returns the credential for `host` or `host/repository`.
        async fn find(&self, name: &str) -> Result<Option<FoundCredential>, String> {
            let (host, path) = name.split_once('/').unwrap_or((name, ""));
            let path = Some(path).filter(|path| !path.is_empty()).map(|path| path.parse().unwrap());
            self.files().credential(&host.parse().unwrap(), path.as_ref()).await
        }

        async fn ask(&self, name: &str) -> Result<Option<String>, String> {
            Ok(self.find(name).await?.map(|found| match found.credential {
                Credential::Basic { user, password } => format!("{user}:{}", password.reveal()),
                Credential::Identity(token) => format!("identity {}", token.reveal()),
                Credential::Bearer(token) => format!("bearer {}", token.reveal()),
            }))
        }

        /// Returns the origin of the credential for a name, without the directory.
        async fn origin(&self, name: &str) -> String {
            let origin = self.find(name).await.unwrap().unwrap().origin;
            origin.replace(&format!("{}/", self.directory.path().display()), "")
        }
    }

    #[tokio::test]
    async fn a_file_may_hold_a_credential_in_four_ways() {
        let home = Home::new(
            r#"{"auths": {
                "a.io": {"auth": "dXNlcjpwYTpzcw=="},
                "https://b.io/v1/": {"username": "user", "password": "secret"},
                "c.io": {"auth": "eDp5", "identitytoken": "renew"},
                "d.io": {"registrytoken": "take"},
                "https://index.docker.io/v1/": {"auth": "dXNlcjpodWI="},
                "e.io/some/repository": {"auth": "dXNlcjpwYTpzcw=="},
                "f.io": {}
            }}"#,
        );
        for (name, expected) in [
            ("a.io", Some("user:pa:ss")),
            ("a.io/any/app", Some("user:pa:ss")),
            ("b.io", Some("user:secret")),
            ("c.io", Some("identity renew")),
            ("d.io", Some("bearer take")),
            ("docker.io", Some("user:hub")),
            ("e.io", None),
            ("e.io/some/repository", Some("user:pa:ss")),
            ("e.io/some/other", None),
            ("f.io", None),
            ("io", None),
        ] {
            assert_eq!(home.ask(name).await.unwrap().as_deref(), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_key_of_a_namespace_wins_over_the_host_s_in_any_file_and_over_its_helper() {
        let docker =
            r#"{"auths": {"a.io/team": {"username": "team", "password": "p"}, "a.io/team/app": {}}}"#;
        let podman =
            r#"{"auths": {"a.io": {"username": "host", "password": "p"}}, "credHelpers": {"b.io": "all"}}"#;
        let home = Home::new(docker).with_podman(podman);
        assert_eq!(home.ask("a.io/team/app").await.unwrap().as_deref(), Some("team:p"));
        assert_eq!(home.ask("a.io/teams/app").await.unwrap().as_deref(), Some("host:p"));
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("host:p"));

        let home = Home::new(r#"{"auths": {"a.io/team": {"auth": "dTpw"}}, "credsStore": "all"}"#);
        home.helper("all", r#"echo '{"Username": "of", "Secret": "store"}'"#);
        assert_eq!(home.ask("a.io/team/app").await.unwrap().as_deref(), Some("u:p"));
        assert_eq!(home.ask("a.io/other").await.unwrap().as_deref(), Some("of:store"));
    }

    #[tokio::test]
    async fn of_equal_keys_the_earlier_file_s_counts() {
        let file = |user: &str| {
            let entry = format!(r#"{{"username": "{user}", "password": "p"}}"#);
            format!(r#"{{"auths": {{"a.io/team": {entry}, "a.io": {entry}}}}}"#)
        };
        let home = Home::new(&file("docker")).with_podman(&file("podman"));
        for name in ["a.io", "a.io/team/app"] {
            assert_eq!(home.ask(name).await.unwrap().as_deref(), Some("podman:p"), "{name}");
        }
    }

    #[tokio::test]
    async fn the_origin_names_the_file_and_the_key_or_the_helper_and_the_host() {
        let home = Home::new(
            r#"{"auths": {"a.io/team": {"auth": "dTpw"}, "https://a.io/v1/": {"auth": "dTpw"}},
                "credHelpers": {"b.io": "one"}}"#,
        );
        home.helper("one", r#"echo '{"Username": "u", "Secret": "s"}'"#);
        assert_eq!(home.origin("a.io/team/app").await, "config.json, key a.io/team");
        assert_eq!(home.origin("a.io/app").await, "config.json, key https://a.io/v1/");
        assert_eq!(home.origin("b.io/app").await, "docker-credential-one for b.io, named by config.json");
    }

    #[tokio::test]
    async fn helpers_are_asked_for_their_hosts_and_the_store_for_all_others() {
        let home = Home::new(
            r#"{"credHelpers": {"a.io": "one"}, "credsStore": "all", "auths": {"c.io": {"auth": "dTpw"}}}"#,
        );
        home.helper("one", r#"read server; echo "{\"Username\": \"<token>\", \"Secret\": \"for $server\"}""#);
        let store = r#"read server; [ "$server" = b.io ] && echo '{"Username": "u", "Secret": "s"}' && exit; echo "credentials not found in native keychain"; exit 1"#;
        home.helper("all", store);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("identity for a.io"));
        assert_eq!(home.ask("b.io").await.unwrap().as_deref(), Some("u:s"));
        assert_eq!(
            home.ask("c.io").await.unwrap().as_deref(),
            Some("u:p"),
            "what no helper knows the file may"
        );
    }

    #[tokio::test]
    async fn a_host_s_own_key_comes_first_and_empty_entries_hide_nothing() {
        let home = Home::new(
            r#"{"auths": {
                "https://a.io/v1/": {"username": "old", "password": "p"}, "a.io": {"username": "own", "password": "p"},
                "docker.io": {}, "https://index.docker.io/v1/": {"username": "hub", "password": "p"}
            }}"#,
        );
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("own:p"));
        assert_eq!(home.ask("docker.io").await.unwrap().as_deref(), Some("hub:p"));
    }

    #[tokio::test]
    async fn what_the_helper_of_one_file_does_not_know_that_of_another_may() {
        let home =
            Home::new(r#"{"credHelpers": {"a.io": "knows"}}"#).with_podman(r#"{"credsStore": "ignorant"}"#);
        home.helper("ignorant", "echo 'credentials not found in native keychain'; exit 1");
        home.helper("knows", r#"echo '{"Username": "u", "Secret": "s"}'"#);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("u:s"));
    }

    #[tokio::test]
    async fn an_empty_helper_takes_a_host_out_of_the_store_and_leaves_it_to_the_file() {
        let home = Home::new(
            r#"{"credHelpers": {"a.io": ""}, "credsStore": "all", "auths": {"a.io": {"auth": "dTpw"}}}"#,
        );
        home.helper("all", r#"echo '{"Username": "of", "Secret": "store"}'"#);
        assert_eq!(home.ask("a.io").await.unwrap().as_deref(), Some("u:p"));
        assert_eq!(home.ask("b.io").await.unwrap().as_deref(), Some("of:store"));
    }

    #[tokio::test]
    async fn a_file_larger_than_any_configuration_and_a_directory_in_its_place_are_refused() {
        let home = Home::new(&" ".repeat(usize::try_from(FILE_MAX).unwrap() + 1));
        let error = home.ask("a.io").await.unwrap_err();
        assert!(error.contains("config.json") && error.contains("larger than"), "{error}");
        fs::remove_file(home.directory.path().join("config.json")).unwrap();
        fs::create_dir(home.directory.path().join("config.json")).unwrap();
        let error = home.ask("a.io").await.unwrap_err();
        assert!(error.contains("config.json") && error.contains("not a regular file"), "{error}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_or_a_helper_names_the_file_and_the_key_and_no_secret() {
        let entry = r#"{"auths": {"a.io": {"auth": "hush!"}, "a.io/hush": {"auth": "hush!"}}}"#;
        for (config, expected) in [
            (r#"{"auths": "hush"#, "config.json: not a docker configuration"),
            (entry, "config.json, key a.io: `auth`"),
            (
                r#"{"credsStore": "absent"}"#,
                "docker-credential-absent for a.io: it is not on the PATH (named by",
            ),
        ] {
            let error = Home::new(config).ask("a.io").await.unwrap_err();
            assert!(error.contains(expected) && error.contains("config.json"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_empty_file_is_no_error_and_holds_nothing() {
        for content in ["", " \n", "\u{feff}"] {
            assert_eq!(Home::new(content).ask("a.io/app").await.unwrap(), None, "{content:?}");
        }
    }

    #[tokio::test]
    async fn files_that_do_not_exist_are_no_error_and_are_listed_as_such() {
        let empty = AuthFiles::new(Places::default());
        assert!(empty.credential(&"a.io".parse().unwrap(), None).await.unwrap().is_none());
        assert!(empty.looked_in().contains("HOME"));
        let home = Home::new("{}");
        let directory = home.directory.path().display();
        let expected = format!("{directory}/podman.json (does not exist), {directory}/config.json");
        assert_eq!(home.files().looked_in(), expected);
        // The user `nobody` has this home directory.
        let nowhere = Places { home: Some("/dev/null".into()), ..Places::default() };
        let found = AuthFiles::new(nowhere).credential(&"a.io".parse().unwrap(), None).await;
        assert!(found.unwrap().is_none());
    }
}
