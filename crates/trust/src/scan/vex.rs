//! VEX statements: statements about a vulnerability in a product (OpenVEX v0.2.0; CycloneDX, *Vulnerability
//! Exploitability*), and whether a statement is about a finding.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use oci::Digest;

use super::finding::Finding;
use super::part::Part;
use super::purl::Purl;

/// How far the clock of an author may be ahead of the local one.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);

/// A statement about a vulnerability in products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VexStatement {
    /// The identifiers of the vulnerability.
    pub ids: Vec<String>,
    /// The products.
    pub products: Vec<Product>,
    /// The status of the products.
    pub status: VexStatus,
    /// The time of the statement, if it is stated.
    pub at: Option<Timestamp>,
    /// The justification, or another explanation. May be empty.
    pub why: String,
}

/// The status of a product (OpenVEX v0.2.0, *Status Labels*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VexStatus {
    /// The vulnerability does not affect the product.
    NotAffected,
    /// The product has a fix.
    Fixed,
    /// The vulnerability affects the product.
    Affected,
    /// The status is not known yet.
    UnderInvestigation,
}

impl VexStatus {
    /// Whether a finding with this status no longer counts.
    pub fn removes(self) -> bool {
        matches!(self, Self::NotAffected | Self::Fixed)
    }
}

impl fmt::Display for VexStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAffected => "not_affected",
            Self::Fixed => "fixed",
            Self::Affected => "affected",
            Self::UnderInvestigation => "under_investigation",
        })
    }
}

/// A product of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The names of the product. Any of them may match.
    pub names: Vec<ProductName>,
    /// The packages in the product that the statement is about, each with all its names. If there are none, the statement is
    /// about the whole product.
    pub subcomponents: Vec<Vec<Purl>>,
}

/// A package in a product: all its names.
pub(super) type Subcomponent = Vec<Purl>;

/// A name of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductName {
    /// A manifest, its configuration, or an index. With an architecture, only that platform of an index.
    Image {
        /// The digest.
        digest: Digest,
        /// The architecture, from the qualifier `arch` of a package URL.
        architecture: Option<String>,
    },
    /// A package at a version. Package URLs without a version match nothing, because a statement about all versions of a
    /// package may be meant for another image.
    Package(Purl),
}

impl ProductName {
    /// Reads a name. Returns `None` if it is neither a digest nor a package with a version, because nothing else can match.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match Purl::parse(text) {
            Some(purl) if purl.kind == "oci" => {
                let digest = purl.version.as_ref()?.parse().ok()?;
                Some(Self::Image { digest, architecture: purl.qualifiers.get("arch").cloned() })
            }
            Some(purl) => purl.version.is_some().then_some(Self::Package(purl)),
            None => {
                let digest = super::part::digest_in(text)?;
                Some(Self::Image { digest, architecture: None })
            }
        }
    }
}

impl VexStatement {
    /// Whether the statement is about a finding in an image.
    pub fn is_about(&self, finding: &Finding, part: &Part) -> bool {
        self.ids.iter().any(|id| finding.has_id(id))
            && self.products.iter().any(|product| product.is_of(finding, part))
    }

    /// Returns the time of the statement, and whether it removes findings. Returns `None` if it has no effect, because it would
    /// remove findings but is from the future.
    fn effect(&self, now: Timestamp) -> Option<(Timestamp, bool)> {
        let removes = self.status.removes();
        match self.at {
            // A statement from the future removes nothing.
            Some(at) if removes && at.duration_since(now) > CLOCKS_APART => None,
            Some(at) => Some((at, removes)),
            // Without a time, the order of two statements is unknown, and the finding counts.
            None if removes => Some((Timestamp::MIN, removes)),
            None => Some((Timestamp::MAX, removes)),
        }
    }
}

/// Returns the statement that removes a finding: the latest statement about it, if that removes it. If two statements have the
/// same time and only one of them removes the finding, the finding counts.
pub(super) fn removing<'a, T>(
    statements: impl IntoIterator<Item = (T, &'a VexStatement)>,
    finding: &Finding,
    part: &Part,
    now: Timestamp,
) -> Option<(T, &'a VexStatement)> {
    let about = statements.into_iter().filter(|(_, statement)| statement.is_about(finding, part));
    let timed = about.filter_map(|(from, statement)| Some((statement.effect(now)?, (from, statement))));
    let latest = timed.max_by_key(|((at, removes), _)| (*at, !*removes))?;
    let ((_, removes), found) = latest;
    removes.then_some(found)
}

impl Product {
    fn is_of(&self, finding: &Finding, part: &Part) -> bool {
        let is_product = |name: &ProductName| match name {
            ProductName::Image { digest, architecture } => {
                let is_platform = || match architecture {
                    None => true,
                    Some(wanted) => {
                        let own = part.platform.as_deref().and_then(|platform| platform.split('/').nth(1));
                        own == Some(wanted)
                    }
                };
                *digest == part.digest
                    || part.config == Some(*digest)
                    || (part.indexes.contains(digest) && is_platform())
            }
            ProductName::Package(purl) => finding.purl.as_ref().is_some_and(|own| purl.covers(own)),
        };
        let is_subcomponent = |names: &Subcomponent| names.iter().any(|purl| is_package(purl, finding));
        self.names.iter().any(is_product)
            && (self.subcomponents.is_empty() || self.subcomponents.iter().any(is_subcomponent))
    }
}

/// Whether a package URL is that of the finding's package. If the scanner states no package URL, name and version must be
/// equal.
fn is_package(purl: &Purl, finding: &Finding) -> bool {
    match &finding.purl {
        Some(own) => purl.covers(own),
        None => {
            let is_name = [purl.name(), purl.path.as_str()].contains(&finding.package.as_str());
            is_name && !finding.installed.is_empty() && purl.version.as_deref() == Some(&finding.installed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Fix;
    use super::super::severity::Severity;
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn finding() -> Finding {
        Finding {
            id: "GHSA-xxxx".to_owned(),
            aliases: vec!["CVE-2024-1".to_owned()],
            severity: Severity::High,
            package: "git".to_owned(),
            installed: "1".to_owned(),
            purl: Purl::parse("pkg:apk/alpine/git@1?arch=x86_64"),
            fix: Fix::None,
        }
    }

    fn part() -> Part {
        Part {
            digest: digest("part"),
            config: None,
            platform: Some("linux/amd64".to_owned()),
            indexes: vec![digest("index")],
            is_only_of_platform: true,
        }
    }

    fn statement(id: &str, product: &str, subcomponents: &[&str], status: VexStatus) -> VexStatement {
        let subcomponents = subcomponents.iter().map(|text| Purl::parse(text).into_iter().collect());
        let names = ProductName::parse(product).into_iter().collect();
        let product = Product { names, subcomponents: subcomponents.collect() };
        VexStatement {
            ids: vec![id.to_owned()],
            products: vec![product],
            status,
            at: None,
            why: String::new(),
        }
    }

    fn is_about(id: &str, product: &str, subcomponents: &[&str]) -> bool {
        statement(id, product, subcomponents, VexStatus::Fixed).is_about(&finding(), &part())
    }

    #[test]
    fn a_statement_is_about_the_image_that_its_product_names_by_digest() {
        let (part, index, other) = (digest("part"), digest("index"), digest("other"));
        for product in [
            format!("pkg:oci/app@{part}"),
            format!("pkg:oci/another-name@sha256%3A{}", part.hex()),
            format!("pkg:oci/app@{index}"),
            format!("pkg:oci/app@{index}?arch=amd64"),
            format!("registry.example/app@{part}"),
            part.to_string(),
            "pkg:apk/alpine/git@1".to_owned(),
        ] {
            assert!(is_about("CVE-2024-1", &product, &[]), "{product}");
            assert!(!is_about("CVE-2024-2", &product, &[]), "{product}");
        }
        for product in [
            format!("pkg:oci/app@{other}"),
            format!("pkg:oci/app@{index}?arch=arm64"),
            "pkg:oci/app".to_owned(),
            "pkg:oci/app?tag=v1".to_owned(),
            "registry.example/app:v1".to_owned(),
            "app".to_owned(),
            "pkg:apk/alpine/git@2".to_owned(),
            "pkg:apk/alpine/git".to_owned(),
            "pkg:apk/wolfi/git@1".to_owned(),
        ] {
            assert!(!is_about("CVE-2024-1", &product, &[]), "{product}");
        }
    }

    #[test]
    fn subcomponents_limit_a_statement_to_packages() {
        let image = digest("part").to_string();
        for package in ["pkg:apk/alpine/git@1", "pkg:apk/alpine/git", "pkg:apk/alpine/git@1?arch=x86_64"] {
            assert!(is_about("cve-2024-1", &image, &["pkg:apk/alpine/curl@1", package]), "{package}");
        }
        for package in ["pkg:apk/alpine/curl@1", "pkg:apk/alpine/git@2", "pkg:deb/debian/git@1", "git"] {
            assert!(!is_about("cve-2024-1", &image, &[package]), "{package}");
        }
    }

    #[test]
    fn a_finding_without_a_package_url_is_matched_by_name_and_version() {
        let finding = Finding { purl: None, ..finding() };
        let image = digest("part").to_string();
        let about = |package| {
            statement("CVE-2024-1", &image, &[package], VexStatus::Fixed).is_about(&finding, &part())
        };
        assert!(about("pkg:apk/alpine/git@1"));
        assert!(
            !about("pkg:apk/alpine/git") && !about("pkg:apk/alpine/git@2") && !about("pkg:apk/alpine/curl@1")
        );
    }

    #[test]
    fn the_latest_statement_decides_and_in_doubt_the_finding_counts() {
        use VexStatus::{Affected, Fixed, NotAffected, UnderInvestigation};
        let (early, late) = (Some("2024-01-01T00:00:00Z"), Some("2024-02-01T00:00:00Z"));
        let image = digest("part").to_string();
        for (statements, removed) in [
            (vec![], false),
            (vec![(NotAffected, early)], true),
            (vec![(Fixed, None)], true),
            (vec![(Affected, early)], false),
            (vec![(UnderInvestigation, None)], false),
            (vec![(Affected, early), (NotAffected, late)], true),
            (vec![(NotAffected, late), (Affected, early)], true),
            (vec![(NotAffected, early), (Affected, late)], false),
            (vec![(NotAffected, early), (Affected, early)], false),
            (vec![(Affected, early), (NotAffected, early)], false),
            (vec![(NotAffected, None), (Affected, early)], false),
            (vec![(NotAffected, late), (Affected, None)], false),
            (vec![(NotAffected, Some("2030-01-01T00:00:00Z"))], false),
            (vec![(Affected, Some("2030-01-01T00:00:00Z")), (Fixed, late)], false),
        ] {
            let made: Vec<VexStatement> = statements
                .iter()
                .map(|(status, time)| VexStatement {
                    at: time.map(at),
                    ..statement("CVE-2024-1", &image, &[], *status)
                })
                .collect();
            let all = made.iter().enumerate();
            let found = removing(all, &finding(), &part(), at("2024-06-01T00:00:00Z"));
            assert_eq!(found.is_some(), removed, "{statements:?}");
        }
    }
}
