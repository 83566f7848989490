//! OpenVEX (v0.2.0, and the form of v0.0.1).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::input::{Input, InvalidReport, bounded, short, time};
use crate::scan::purl::Purl;
use crate::scan::vex::{Product as VexProduct, ProductName, VexStatement, VexStatus};

/// The prefix of the contexts of all versions.
pub(super) const CONTEXT: &str = "https://openvex.dev/ns";

#[derive(Deserialize)]
struct OpenVex {
    timestamp: Option<String>,
    last_updated: Option<String>,
    statements: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    vulnerability: Vulnerability,
    timestamp: Option<String>,
    last_updated: Option<String>,
    products: Option<Vec<Product>>,
    /// In v0.0.1, the packages within all products.
    subcomponents: Option<Vec<Product>>,
    status: String,
    justification: Option<String>,
    impact_statement: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    /// In v0.0.1.
    Name(String),
    Named {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    /// In v0.0.1.
    Id(String),
    Component(Box<Component>),
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "@id")]
    id: Option<String>,
    #[serde(default)]
    identifiers: BTreeMap<String, String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    subcomponents: Vec<Product>,
}

/// Reads the statements of a document.
pub(super) fn read(input: Input<'_>) -> Result<Vec<VexStatement>, InvalidReport> {
    let OpenVex { timestamp, last_updated, statements } = input.read()?;
    let made = time("last_updated", last_updated.as_deref())?.or(time("timestamp", timestamp.as_deref())?);
    bounded("statements", statements)?.into_iter().map(|statement| convert(statement, made)).collect()
}

fn convert(statement: Statement, made: Option<Timestamp>) -> Result<VexStatement, InvalidReport> {
    let ids = match statement.vulnerability {
        Vulnerability::Name(name) => vec![name],
        Vulnerability::Named { name, aliases } => std::iter::once(name).chain(aliases).collect(),
    };
    let wrong = |what: &str| {
        let id = ids.first().map(|id| short(id)).unwrap_or_default();
        InvalidReport::wrong_kind(format!("its statement about {id} {what}"))
    };
    let status = match statement.status.as_str() {
        "not_affected" => VexStatus::NotAffected,
        "fixed" => VexStatus::Fixed,
        "affected" => VexStatus::Affected,
        "under_investigation" => VexStatus::UnderInvestigation,
        other => return Err(wrong(&format!("has the unknown status `{}`", short(other)))),
    };
    let reason = [statement.justification, statement.impact_statement].into_iter().flatten();
    let why: Vec<String> = reason.filter(|text| !text.is_empty()).collect();
    if status == VexStatus::NotAffected && why.is_empty() {
        return Err(wrong(
            "says not_affected, without the justification or impact statement that OpenVEX requires",
        ));
    }
    let own = time("last_updated", statement.last_updated.as_deref())?;
    let own = own.or(time("timestamp", statement.timestamp.as_deref())?);
    let shared = statement.subcomponents.unwrap_or_default();
    let products = statement.products.into_iter().flatten().map(|product| product.convert(&shared));
    Ok(VexStatement { products: products.collect(), ids, status, at: own.or(made), why: why.join("; ") })
}

impl Product {
    fn convert(&self, shared: &[Self]) -> VexProduct {
        let own = match self {
            Self::Id(_) => &[],
            Self::Component(component) => component.subcomponents.as_slice(),
        };
        // A subcomponent without a package URL matches no package. It must not widen the statement to the whole product.
        let packages = own
            .iter()
            .chain(shared)
            .map(|package| package.texts().iter().filter_map(|text| Purl::parse(text)).collect::<Vec<_>>());
        VexProduct {
            names: self.texts().iter().filter_map(|text| ProductName::parse(text)).collect(),
            subcomponents: packages.collect(),
        }
    }

    /// Returns all texts that identify the product.
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Id(id) => vec![id.clone()],
            Self::Component(component) => {
                let purl = component.identifiers.get("purl").cloned();
                let sha256 = ["sha-256", "sha256"].iter().find_map(|name| component.hashes.get(*name));
                let digest = sha256.map(|hex| format!("sha256:{}", hex.to_ascii_lowercase()));
                component.id.iter().cloned().chain(purl).chain(digest).collect()
            }
        }
    }
}
