//! A configuration file of docker or podman: `config.json` or `auth.json`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Credential, Host, RepositoryPath};
use serde_json::{Map, Value};
use transport::Secret;

/// The UTF-8 byte order mark, which some editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The maximum number of characters shown of a key that is not known to be a host.
const KEY_SHOWN: usize = 160;

/// The credentials in a file.
#[derive(Debug, Default)]
pub(super) struct AuthFile {
    entries: Vec<(Key, Result<Entry, String>)>,
    helpers: Vec<(Key, String)>,
    store: String,
}

/// A key: a host, optionally with a path that limits the key to some of the host's repositories.
#[derive(Debug)]
pub(super) struct Key {
    /// The key as written in the file.
    pub(super) text: String,
    /// The host in lower case. The names of Docker Hub are reduced to one.
    host: String,
    /// A repository or a namespace of the host. It is empty if the key applies to the whole host.
    path: String,
}

/// The content of a key in `auths`, or a helper's answer.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) auth: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) identitytoken: String,
    pub(super) registrytoken: String,
}

/// A matching key with its content.
pub(super) struct Match<'a> {
    pub(super) key: &'a Key,
    /// The key's specificity: the number of path components that it contains.
    pub(super) components: usize,
    entry: &'a Result<Entry, String>,
}

impl AuthFile {
    /// Reads a file. An empty file is equivalent to an empty object.
    ///
    /// # Errors
    /// Returns an error if the content is not JSON, or if a part that concerns all hosts has the wrong type. A defect in one
    /// entry of `auths` is an error of that entry only. No error quotes the content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        // Parsed to a `Value` first, which uses the last of two equal keys, as docker does. The parser's own message could quote
        // the content.
        let mut file = match serde_json::from_slice(bytes) {
            Ok(Value::Object(file)) => file,
            Ok(Value::Null) => return Ok(Self::default()),
            Ok(_) => return Err("not a docker configuration: expected a JSON object".to_owned()),
            Err(error) => {
                return Err(format!(
                    "not a docker configuration: invalid JSON at line {} column {}",
                    error.line(),
                    error.column()
                ));
            }
        };
        let entries = object(&mut file, "auths")?.into_iter().map(|(key, value)| {
            let entry = Entry::read(value);
            (Key::new(key), entry)
        });
        let entries = entries.collect();
        let helpers = object(&mut file, "credHelpers")?.into_iter().map(|(key, value)| match value {
            Value::String(helper) => Ok((Key::new(key), helper)),
            Value::Null => Ok((Key::new(key), String::new())),
            _ => {
                let key: String = key.chars().take(KEY_SHOWN).collect();
                Err(format!("credHelpers, key {}: expected a string", key.escape_debug()))
            }
        });
        let helpers = helpers.collect::<Result<_, String>>()?;
        Ok(Self { entries, helpers, store: string(&mut file, "credsStore")? })
    }

    /// Returns the helper for a host: the host's own, or else the one for all hosts (`credsStore`). If the host's own helper is
    /// empty, the host has no helper, as with docker.
    pub(super) fn helper(&self, host: &Host) -> Option<&str> {
        let own = self.helpers.iter().filter(|(key, _)| key.components_for(host, None) == Some(0));
        let own = own.min_by_key(|(key, _)| key.text != host.as_str()).map(|(_, helper)| helper);
        Some(own.unwrap_or(&self.store).as_str()).filter(|helper| !helper.is_empty())
    }

    /// Returns the entries for a repository of a host, or for the host itself if no repository is given: the most specific key
    /// first, and of equally specific keys the one with the host's exact name first.
    pub(super) fn matches(&self, host: &Host, repository: Option<&RepositoryPath>) -> Vec<Match<'_>> {
        let found =
            |(key, entry)| Some(Match { key, components: key.components_for(host, repository)?, entry });
        let mut matches: Vec<Match<'_>> =
            self.entries.iter().map(|(key, entry)| (key, entry)).filter_map(found).collect();
        matches.sort_by_key(|found| (Reverse(found.components), !found.key.text.starts_with(host.as_str())));
        matches
    }
}

impl Match<'_> {
    /// Returns the credential, or `None` if the entry has none. Logging in with a helper and logging out leave such entries.
    ///
    /// # Errors
    /// Returns an error that contains the key if the entry cannot be used.
    pub(super) fn credential(&self) -> Result<Option<Credential>, String> {
        let credential = self.entry.as_ref().map_err(Clone::clone).and_then(Entry::credential);
        credential.map_err(|why| format!("key {}: {why}", self.key.text))
    }
}

impl Key {
    /// Reads `host`, `host/namespace` (podman), `https://host`, `https://host/v1/` and docker's own key for Docker Hub.
    fn new(text: String) -> Self {
        let url = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let (host, path) = url.unwrap_or(&text).split_once('/').unwrap_or((url.unwrap_or(&text), ""));
        let path = path.trim_matches('/');
        let path = match path.split_once('/') {
            // The part after the API version in a URL.
            Some(("v1" | "v2", rest)) if url.is_some() => rest,
            None if matches!(path, "v1" | "v2") => "",
            _ => path,
        };
        let (host, path) = (canonical(host), path.to_owned());
        Self { text, host, path }
    }

    /// Returns the number of path components in the key, or `None` if the key does not apply to the repository.
    fn components_for(&self, host: &Host, repository: Option<&RepositoryPath>) -> Option<usize> {
        if self.host != canonical(host.as_str()) {
            return None;
        }
        if self.path.is_empty() {
            return Some(0);
        }
        let rest = repository?.as_str().strip_prefix(&self.path)?;
        let whole = rest.is_empty() || rest.starts_with('/');
        whole.then(|| self.path.split('/').count())
    }
}

/// Returns the canonical name of a host that has several names.
fn canonical(name: &str) -> String {
    match name {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        name => name.to_ascii_lowercase(),
    }
}

impl Entry {
    /// Reads an entry of `auths`. Every field may be missing or null.
    fn read(value: Value) -> Result<Self, String> {
        let mut entry = match value {
            Value::Object(entry) => entry,
            Value::Null => return Ok(Self::default()),
            _ => return Err("expected a JSON object".to_owned()),
        };
        Ok(Self {
            auth: string(&mut entry, "auth")?,
            username: string(&mut entry, "username")?,
            password: string(&mut entry, "password")?,
            identitytoken: string(&mut entry, "identitytoken")?,
            registrytoken: string(&mut entry, "registrytoken")?,
        })
    }

    /// Returns the credential in the entry, if any.
    ///
    /// # Errors
    /// Returns an error if `auth` cannot be decoded.
    pub(super) fn credential(&self) -> Result<Option<Credential>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(Secret::new(&self.identitytoken))));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Bearer(Secret::new(&self.registrytoken))));
        }
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| "`auth` is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "`auth` is not a user name and a password")?;
            let (user, password) = text.split_once(':').ok_or("`auth` is not a user name and a password")?;
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        };
        Ok(match (user.as_str(), password.is_empty()) {
            ("", true) => None,
            ("<token>", _) => Some(Credential::Identity(Secret::new(password))),
            _ => Some(Credential::Basic { user, password: Secret::new(password) }),
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Removes an object from another one. A missing or null object is empty. The result is sorted by key, so that of two equivalent
/// keys the same one always takes effect.
fn object(from: &mut Map<String, Value>, name: &str) -> Result<BTreeMap<String, Value>, String> {
    match from.remove(name) {
        Some(Value::Object(object)) => Ok(object.into_iter().collect()),
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(_) => Err(format!("{name}: expected a JSON object")),
    }
}

/// Removes a string from an object. A missing or null string is empty.
pub(super) fn string(from: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match from.remove(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Ok(String::new()),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the entries of a file for a name such as `host/path` or `host`, as `key: credential`, or the error.
    fn found(file: &[u8], name: &str) -> Result<Vec<String>, String> {
        let file = AuthFile::parse(file)?;
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let path = Some(path).filter(|path| !path.is_empty()).map(|path| path.parse().unwrap());
        let matches = file.matches(&host.parse().unwrap(), path.as_ref());
        let each = matches.iter().map(|found| {
            let user = match found.credential()? {
                Some(Credential::Basic { user, .. }) => user,
                Some(_) => "a token".to_owned(),
                None => "none".to_owned(),
            };
            Ok(format!("{}: {user}", found.key.text))
        });
        each.collect()
    }

    #[test]
    fn the_most_specific_key_comes_first_and_names_whole_components_only() {
        let file = br#"{"auths": {
            "a.io": {"username": "host", "password": "p"},
            "a.io/team": {"username": "team", "password": "p"},
            "a.io/team/app": {"username": "app", "password": "p"},
            "a.io/te": {"username": "te", "password": "p"}
        }}"#;
        for (name, expected) in [
            ("a.io/team/app", vec!["a.io/team/app: app", "a.io/team: team", "a.io: host"]),
            ("a.io/team/app/part", vec!["a.io/team/app: app", "a.io/team: team", "a.io: host"]),
            ("a.io/team/application", vec!["a.io/team: team", "a.io: host"]),
            ("a.io/teams", vec!["a.io: host"]),
            ("a.io", vec!["a.io: host"]),
            ("b.io/team/app", vec![]),
        ] {
            assert_eq!(found(file, name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn keys_may_be_urls_of_the_api_or_of_a_namespace() {
        for (key, name) in [
            ("a.io", "a.io"),
            ("A.io", "a.io"),
            ("http://a.io", "a.io"),
            ("https://a.io/", "a.io"),
            ("https://a.io/v1/", "a.io"),
            ("https://a.io/v2/", "a.io"),
            ("a.io/v2", "a.io"),
            ("a.io:5000/team/", "a.io:5000/team/app"),
            ("https://a.io/team", "a.io/team/app"),
            ("https://a.io/v2/team/", "a.io/team/app"),
            ("[::1]:5000/team", "[::1]:5000/team/app"),
            ("https://index.docker.io/v1/", "docker.io/library/app"),
            ("docker.io/library", "index.docker.io/library/app"),
        ] {
            let file = format!(r#"{{"auths": {{"{key}": {{"username": "u", "password": "p"}}}}}}"#);
            assert_eq!(found(file.as_bytes(), name).unwrap(), [format!("{key}: u")], "{name}");
        }
    }

    #[test]
    fn a_key_of_a_namespace_is_not_for_the_host_itself() {
        let file = br#"{"auths": {"a.io/team": {"username": "u", "password": "p"}}}"#;
        assert_eq!(found(file, "a.io").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_null_or_missing_says_nothing() {
        for file in [
            "",
            " \n\t ",
            "null",
            "{}",
            r#"{"auths": null, "credHelpers": null, "credsStore": null}"#,
            r#"{"auths": {}, "credHelpers": {"a.io": null}}"#,
            "\u{feff}",
            "\u{feff}{}",
        ] {
            let parsed = AuthFile::parse(file.as_bytes()).unwrap();
            assert_eq!(parsed.helper(&"a.io".parse().unwrap()), None, "{file:?}");
            assert_eq!(found(file.as_bytes(), "a.io").unwrap(), Vec::<String>::new(), "{file:?}");
        }
        for entry in [
            "null",
            "{}",
            r#"{"auth": null}"#,
            r#"{"auth": "", "username": null, "password": null, "identitytoken": null, "registrytoken": null}"#,
        ] {
            let file = format!(r#"{{"auths": {{"a.io": {entry}}}}}"#);
            assert_eq!(found(file.as_bytes(), "a.io").unwrap(), ["a.io: none"], "{entry}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let file = "\u{feff}{\"auths\": {\"a.io\": {\"auth\": \"dTpw\"}}}";
        assert_eq!(found(file.as_bytes(), "a.io").unwrap(), ["a.io: u"]);
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let file = br#"{"auths": {"a.io": {"auth": 7}}, "auths": {"a.io": {"auth": "eDp5"}, "a.io": {"auth": "x", "auth": "dTpw"}}}"#;
        assert_eq!(found(file, "a.io").unwrap(), ["a.io: u"]);
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_named_by_its_key_and_breaks_no_other() {
        for entry in
            [r#""hush""#, r#"["hush"]"#, r#"{"auth": 7}"#, r#"{"auth": "hush!"}"#, r#"{"auth": "aHVzaA=="}"#]
        {
            let file = format!(r#"{{"auths": {{"a.io/team": {entry}, "b.io": {{"auth": "dTpw"}}}}}}"#);
            let error = found(file.as_bytes(), "a.io/team").unwrap_err();
            assert!(error.contains("key a.io/team: ") && !error.contains("hush"), "{entry}: {error}");
            assert_eq!(found(file.as_bytes(), "b.io").unwrap(), ["b.io: u"], "{entry}");
        }
    }

    #[test]
    fn a_file_of_another_shape_is_told_by_its_part_without_its_content() {
        for (file, part) in [
            ("hush", "line 1 column 1"),
            ("[\"hush\"]", "object"),
            (r#"{"auths": ["hush"]}"#, "auths"),
            (r#"{"credHelpers": "hush"}"#, "credHelpers"),
            (r#"{"credHelpers": {"a.io": 7}}"#, "credHelpers, key a.io"),
            ("{\"credHelpers\": {\"a\u{7f}\": 7}}", "credHelpers, key a\\u{7f}: "),
            (r#"{"credsStore": {"hush": 7}}"#, "credsStore"),
            ("\u{0}\u{0}", "line 1"),
        ] {
            let error = AuthFile::parse(file.as_bytes()).unwrap_err();
            assert!(error.contains(part) && !error.contains("hush"), "{file}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(AuthFile::parse(deep.as_bytes()).is_err(), "depth is bounded");
    }
}
