//! The services of a signing configuration (Sigstore *Signing Config*).

use std::fmt;

use sigstore_trust_root::{ServiceConfiguration, ServiceEndpoint, ServiceSelector, SigningConfig};
use url::Url;

use crate::error::{Service, TrustError};

/// The form of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Only bundles: any version of Rekor is suitable.
    Bundle,
    /// Also layers of `.sig` tags. They contain a promise that only Rekor v1 makes.
    Layer,
}

/// The API version of a Rekor instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekorVersion {
    /// Version 1, with signed entry timestamps.
    V1,
    /// Version 2, with tiles and without its own timestamps.
    V2,
}

/// The services to sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// The certificate authority. `None` if there is none, and only a key can sign.
    pub fulcio: Option<Url>,
    /// The transparency logs.
    pub rekor: Vec<(Url, RekorVersion)>,
    /// The timestamp authorities.
    pub timestamp_authorities: Vec<Url>,
}

impl Services {
    /// Returns no services: a key signs, and nothing is logged.
    pub fn none() -> Self {
        Self { fulcio: None, rekor: Vec::new(), timestamp_authorities: Vec::new() }
    }

    pub(super) fn select(config: &SigningConfig, form: Form) -> Result<Self, TrustError> {
        let fulcio = config.fulcio_url().map(url).transpose()?;
        let mut logs = config.eligible_rekor_urls(None);
        if form == Form::Layer {
            logs.sort_by_key(|log| log.major_api_version);
        }
        let rekor = choose("Rekor", &config.rekor_tlog_config, &logs)?
            .into_iter()
            .map(|log| Ok((url(log)?, version(log)?)))
            .collect::<Result<Vec<_>, TrustError>>()?;
        let has = |wanted| rekor.iter().any(|(_, version)| *version == wanted);
        if form == Form::Layer && !has(RekorVersion::V1) {
            return Err(TrustError::Service(
                "no Rekor of the first version, which signatures in tags need: sign with --signature-format=bundle"
                    .to_owned(),
            ));
        }
        let authorities = config.eligible_tsa_urls();
        let needs_timestamps = has(RekorVersion::V2) && !has(RekorVersion::V1);
        let timestamp_authorities = if authorities.is_empty() && !needs_timestamps {
            Vec::new()
        } else {
            let chosen = choose("timestamp authority", &config.tsa_config, &authorities)?;
            chosen.into_iter().map(url).collect::<Result<_, _>>()?
        };
        Ok(Self { fulcio, rekor, timestamp_authorities })
    }
}

/// Lists the services and their URLs for error messages.
impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fulcio = self.fulcio.iter().map(|url| (Service::Fulcio, url));
        let logs = self.rekor.iter().map(|(url, _)| (Service::Rekor, url));
        let authorities = self.timestamp_authorities.iter().map(|url| (Service::TimestampAuthority, url));
        let all = fulcio.chain(logs).chain(authorities);
        let named: Vec<_> =
            all.map(|(service, url)| format!("{service} at {}", transport::shown(url))).collect();
        if named.is_empty() { f.write_str("no service") } else { f.write_str(&named.join(", ")) }
    }
}

pub(super) fn parse(json: &[u8]) -> Result<SigningConfig, TrustError> {
    let unusable = |why: String| TrustError::unusable("the signing configuration", why);
    let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
    SigningConfig::from_json(text).map_err(|error| unusable(error.to_string()))
}

/// Chooses the requested number of services, each of a different operator.
fn choose<'a>(
    what: &str,
    wanted: &ServiceConfiguration,
    eligible: &[&'a ServiceEndpoint],
) -> Result<Vec<&'a ServiceEndpoint>, TrustError> {
    let mut chosen: Vec<&ServiceEndpoint> = Vec::new();
    for endpoint in eligible {
        if !chosen.iter().any(|other| other.operator == endpoint.operator) {
            chosen.push(endpoint);
        }
    }
    let number = match wanted.selector {
        ServiceSelector::Any => 1,
        ServiceSelector::All => chosen.len().max(1),
        ServiceSelector::Exact => wanted.count.unwrap_or(1).max(1) as usize,
        other => return Err(TrustError::Service(format!("a choice of {what} that is not known: {other:?}"))),
    };
    if chosen.len() < number {
        return Err(TrustError::Service(format!(
            "{} {what} in use where {number} are asked for",
            chosen.len()
        )));
    }
    chosen.truncate(number);
    Ok(chosen)
}

fn url(endpoint: &ServiceEndpoint) -> Result<Url, TrustError> {
    Url::parse(&endpoint.url).map_err(|error| {
        TrustError::unusable("the signing configuration", format!("{}: {error}", endpoint.url))
    })
}

fn version(endpoint: &ServiceEndpoint) -> Result<RekorVersion, TrustError> {
    match endpoint.major_api_version {
        1 => Ok(RekorVersion::V1),
        2 => Ok(RekorVersion::V2),
        other => Err(TrustError::Service(format!("a Rekor of version {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(url: &str, version: u32, operator: &str) -> Value {
        json!({
            "url": url, "majorApiVersion": version, "operator": operator,
            "validFor": { "start": "2024-01-01T00:00:00Z" },
        })
    }

    fn config(logs: &[Value], log_choice: &Value, authorities: &[Value]) -> SigningConfig {
        let json = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service("https://fulcio.example", 1, "a")],
            "rekorTlogUrls": logs, "rekorTlogConfig": log_choice,
            "tsaUrls": authorities, "tsaConfig": { "selector": "ANY" },
        });
        parse(json.to_string().as_bytes()).unwrap()
    }

    fn logs(config: &SigningConfig, form: Form) -> Result<Vec<String>, String> {
        let services = Services::select(config, form).map_err(|error| error.to_string())?;
        Ok(services.rekor.iter().map(|(url, _)| url.host_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn tags_use_rekor_v1_and_bundles_the_newest_version() {
        let both = [service("https://one.example", 1, "a"), service("https://two.example", 2, "a")];
        let authority = [service("https://tsa.example", 1, "a")];
        let config = config(&both, &json!({ "selector": "ANY" }), &authority);
        assert_eq!(logs(&config, Form::Layer).unwrap(), ["one.example"]);
        assert_eq!(logs(&config, Form::Bundle).unwrap(), ["two.example"]);
    }

    #[test]
    fn rekor_v2_needs_a_timestamp_authority_and_is_not_used_for_tags() {
        let second = [service("https://two.example", 2, "a")];
        let authority = [service("https://tsa.example", 1, "a")];
        let any = json!({ "selector": "ANY" });
        assert!(logs(&config(&second, &any, &[]), Form::Bundle).is_err());
        assert!(logs(&config(&second, &any, &authority), Form::Bundle).is_ok());
        assert!(
            logs(&config(&second, &any, &authority), Form::Layer).unwrap_err().contains("signature-format")
        );
    }

    #[test]
    fn an_instance_without_fulcio_is_usable_with_keys() {
        let json = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "rekorTlogUrls": [service("https://one.example", 1, "a")], "rekorTlogConfig": { "selector": "ANY" },
        });
        let config = parse(json.to_string().as_bytes()).unwrap();
        let services = Services::select(&config, Form::Layer).unwrap();
        assert_eq!(services.fulcio, None);
        assert_eq!(services.to_string(), "Rekor at https://one.example/");
        assert_eq!(Services::none().to_string(), "no service");
    }

    #[test]
    fn the_requested_number_of_operators_is_chosen() {
        let two = [service("https://a.example", 1, "a"), service("https://b.example", 1, "b")];
        let same = [service("https://a.example", 1, "a"), service("https://b.example", 1, "a")];
        let exactly = |count| json!({ "selector": "EXACT", "count": count });
        assert_eq!(logs(&config(&two, &exactly(2), &[]), Form::Layer).unwrap(), ["a.example", "b.example"]);
        assert_eq!(logs(&config(&two, &json!({ "selector": "ALL" }), &[]), Form::Layer).unwrap().len(), 2);
        assert!(logs(&config(&same, &exactly(2), &[]), Form::Layer).is_err(), "two services of one operator");
        assert!(logs(&config(&[], &json!({ "selector": "ANY" }), &[]), Form::Layer).is_err());
    }
}
