//! Package URLs (ECMA-427, *Package-URL*), to the extent that matching needs them.

use std::collections::BTreeMap;
use std::fmt;

/// The maximum length of a package URL, in bytes.
const PURL_MAX: usize = 4096;

/// A package URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purl {
    /// The type, in lower case: `apk`, `deb`, `npm`, `oci`…
    pub kind: String,
    /// The namespace and the name, joined by `/`.
    pub path: String,
    /// The version. For the type `oci`, the digest of the image.
    pub version: Option<String>,
    /// The qualifiers, by name in lower case.
    pub qualifiers: BTreeMap<String, String>,
    /// The package URL as it was written.
    text: String,
}

impl Purl {
    /// Parses a package URL. Returns `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > PURL_MAX {
            return None;
        }
        let rest = text.strip_prefix("pkg:")?.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(rest, _subpath)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The name of an npm package can begin with an `@`, which some tools do not encode.
        let after_name = rest.rfind('/').map_or(0, |slash| slash + 1);
        let version_at =
            rest[after_name..].rfind('@').map(|at| after_name + at).filter(|at| *at > after_name);
        let (path, version) = match version_at {
            Some(at) => (&rest[..at], Some(decoded(&rest[at + 1..])?).filter(|version| !version.is_empty())),
            None => (rest, None),
        };
        let (kind, path) = path.split_once('/')?;
        let path = decoded(path.trim_end_matches('/'))?;
        let is_type = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
        if kind.is_empty() || !kind.chars().all(is_type) || path.is_empty() {
            return None;
        }
        let mut qualifiers = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let value = decoded(value)?;
            // A qualifier without a value is ignored.
            if !value.is_empty() && qualifiers.insert(name.to_ascii_lowercase(), value).is_some() {
                return None;
            }
        }
        let kind = kind.to_ascii_lowercase();
        Some(Self { kind, path, version, qualifiers, text: text.to_owned() })
    }

    /// Whether this package URL of a statement covers that of a package: type and name must be equal, and so must be the
    /// version and each qualifier that this one has.
    pub fn covers(&self, package: &Self) -> bool {
        let is_version = self.version.is_none() || self.version == package.version;
        let has = |(name, value): (&String, &String)| package.qualifiers.get(name) == Some(value);
        self.kind == package.kind
            && self.path == package.path
            && is_version
            && self.qualifiers.iter().all(has)
    }

    /// Returns the name without its namespace.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the package URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Decodes percent-encoded text. Returns `None` if it is invalid.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_of_scanners_are_parsed() {
        for (text, kind, path, version) in [
            ("pkg:apk/alpine/git@2.35.1-r2?arch=x86_64&distro=3.16", "apk", "alpine/git", Some("2.35.1-r2")),
            ("pkg:deb/package-2@2.2.2", "deb", "package-2", Some("2.2.2")),
            ("pkg:npm/%40angular/core@1.0.0", "npm", "@angular/core", Some("1.0.0")),
            ("pkg:npm/@angular/core@1.0.0", "npm", "@angular/core", Some("1.0.0")),
            ("pkg:npm/@angular/core", "npm", "@angular/core", None),
            (
                "pkg:golang/github.com/docker/docker@v20.10.7%2Bincompatible#sub",
                "golang",
                "github.com/docker/docker",
                Some("v20.10.7+incompatible"),
            ),
            ("pkg:oci/alpine@sha256%3A12?repository_url=a%2Fb", "oci", "alpine", Some("sha256:12")),
            ("pkg:oci/alpine@sha256:12", "oci", "alpine", Some("sha256:12")),
            ("pkg:OCI/alpine@", "oci", "alpine", None),
        ] {
            let purl = Purl::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (purl.kind.as_str(), purl.path.as_str(), purl.version.as_deref()),
                (kind, path, version)
            );
        }
    }

    #[test]
    fn texts_that_are_not_package_urls_are_rejected() {
        for text in [
            "",
            "pkg:",
            "pkg:apk",
            "pkg:apk/",
            "apk/alpine/git",
            "pkg:a b/c",
            "pkg:apk/a%4",
            "pkg:apk/a%zz",
            "pkg:apk/a%ff",
            "pkg:apk/a?x",
            "pkg:apk/a?x=1&X=2",
            "https://example.com/a@1",
        ] {
            assert_eq!(Purl::parse(text), None, "{text}");
        }
        assert_eq!(Purl::parse(&format!("pkg:apk/{}", "a".repeat(PURL_MAX))), None);
    }

    #[test]
    fn a_package_url_covers_packages_that_it_does_not_contradict() {
        let covers = |statement: &str, package: &str| {
            Purl::parse(statement).unwrap().covers(&Purl::parse(package).unwrap())
        };
        let package = "pkg:apk/alpine/git@1?arch=x86_64&distro=3.16";
        for statement in
            ["pkg:apk/alpine/git@1", "pkg:apk/alpine/git", "pkg:apk/alpine/git@1?distro=3.16", package]
        {
            assert!(covers(statement, package), "{statement}");
        }
        for statement in [
            "pkg:apk/alpine/git@2",
            "pkg:apk/wolfi/git@1",
            "pkg:deb/alpine/git@1",
            "pkg:apk/alpine/git@1?arch=arm64",
            "pkg:apk/alpine/git@1?epoch=1",
        ] {
            assert!(!covers(statement, package), "{statement}");
        }
        assert!(!covers("pkg:apk/alpine/git@1", "pkg:apk/alpine/git"), "the version is not stated");
    }
}
