//! Workload identity federation: exchanges a token of another identity provider for a Google access token (AIP-4117; RFC 8693,
//! *Token Exchange*).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;
use transport::{Class, Door, Request, Secret};
use url::form_urlencoded::Serializer;

use super::impersonation::impersonate;
use super::token::{SCOPE, Token, granted, successful};
use super::urls::{google_url, subject_token_url};
use crate::identity::answer::Failure;
use crate::identity::read_file;

/// The universe of the public Google Cloud.
const UNIVERSE: &str = "googleapis.com";
/// The requested lifetime of a service account's token, in seconds, unless the file sets one.
const LIFETIME: u32 = 3600;
/// The advice for a refused exchange.
const ADVICE: &str = "check that the pool, the provider and its attribute condition accept this token";

/// A credential file of the type `external_account`.
#[derive(Deserialize)]
pub(super) struct Federation {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: Source,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: Option<Lifetime>,
    #[serde(default)]
    workforce_pool_user_project: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    universe_domain: Option<String>,
}

#[derive(Deserialize)]
struct Lifetime {
    #[serde(default)]
    token_lifetime_seconds: Option<u32>,
}

/// The source of the other provider's token.
#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    executable: Option<Value>,
    #[serde(default)]
    environment_id: Option<String>,
    #[serde(default)]
    certificate: Option<Value>,
}

/// The format of the other provider's token.
#[derive(Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    /// The token and nothing else.
    #[default]
    Text,
    /// A JSON object with the token in this field.
    Json { subject_token_field_name: String },
}

impl Federation {
    /// Returns an access token: the one that Google issues in exchange, or a service account's token obtained with it.
    pub(super) async fn token(&self, door: &Door) -> Result<Token, Failure> {
        if let Some(universe) = self.universe_domain.as_deref().filter(|universe| *universe != UNIVERSE) {
            let shown = crate::error::bounded(universe);
            return Err(format!("`universe_domain` is {shown}, and only {UNIVERSE} is supported").into());
        }
        // All URLs are checked first: nothing is sent if one of them is not acceptable.
        let token_url = google_url("token_url", &self.token_url)?;
        let account = self.service_account_impersonation_url.as_deref();
        let account = account.map(|url| google_url("service_account_impersonation_url", url)).transpose()?;
        let subject = self.credential_source.token(door).await?;
        let exchanged = granted(door, token_url, self.form(&subject), &subject, self.client()?)
            .await
            .map_err(|refused| refused.advised(ADVICE))?;
        let Some(account) = account else { return Ok(exchanged) };
        let lifetime = self.service_account_impersonation.as_ref();
        let seconds = lifetime.and_then(|lifetime| lifetime.token_lifetime_seconds).unwrap_or(LIFETIME);
        impersonate(door, account, &exchanged, &[], seconds).await
    }

    fn form(&self, subject: &Secret) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("audience", &self.audience)
            .append_pair("scope", SCOPE)
            .append_pair("subject_token_type", &self.subject_token_type)
            .append_pair("subject_token", subject.reveal());
        if let Some(project) = &self.workforce_pool_user_project {
            form.append_pair("options", &serde_json::json!({ "userProject": project }).to_string());
        }
        form.finish()
    }

    /// Returns the client authentication of the exchange if the file contains one (RFC 6749, 2.3.1).
    fn client(&self) -> Result<Option<HeaderValue>, String> {
        let (Some(id), Some(secret)) = (&self.client_id, &self.client_secret) else { return Ok(None) };
        let proof = STANDARD.encode(format!("{id}:{secret}"));
        let mut value = HeaderValue::try_from(format!("Basic {proof}"))
            .map_err(|_| "`client_id` cannot be sent in a header")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Source {
    /// Returns the other provider's token.
    async fn token(&self, door: &Door) -> Result<Secret, Failure> {
        match self {
            Self { executable: Some(_), .. } => Err("`credential_source` names a program, which kpromo \
             does not run; write its token to a file, and name the file"
                .into()),
            Self { environment_id: Some(_), .. } => {
                Err("`credential_source` uses AWS, which is not supported; name a file or a URL".into())
            }
            Self { certificate: Some(_), .. } => {
                Err("`credential_source` is a certificate, which is not supported; name a file or a URL"
                    .into())
            }
            Self { file: Some(path), .. } => Ok(self.of_file(path).await?),
            Self { url: Some(url), .. } => self.of_url(door, url).await,
            _ => Err("`credential_source` names neither a file nor a URL".into()),
        }
    }

    async fn of_file(&self, path: &Path) -> Result<Secret, String> {
        let fail = |why: String| format!("the subject token: {}: {why}", path.display());
        let text = read_file(path).await.map_err(|why| format!("the subject token: {why}"))?;
        let text = text.ok_or_else(|| fail("there is no such file".to_owned()))?;
        self.format.token(text.reveal()).map_err(fail)
    }

    async fn of_url(&self, door: &Door, url: &str) -> Result<Secret, Failure> {
        let url = subject_token_url("credential_source.url", url)?;
        let mut request = Request::new(Method::GET, url, "google-subject-token", Class::Token);
        for (name, value) in &self.headers {
            const ODD: &str = "`credential_source.headers` holds a header that cannot be sent";
            let name = HeaderName::try_from(name).map_err(|_| ODD)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| ODD)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let fail = |why: String| format!("the subject token: {why}");
        let answer = door.send(request).await?;
        let body = successful(&answer).map_err(|refused| refused.about("the subject token"))?;
        let text = std::str::from_utf8(body).map_err(|_| fail("the answer is not text".to_owned()))?;
        Ok(self.format.token(text).map_err(fail)?)
    }
}

impl Format {
    /// Reads the token from a text. Errors do not quote the text.
    fn token(&self, text: &str) -> Result<Secret, String> {
        let token = match self {
            Self::Text => text.trim().to_owned(),
            Self::Json { subject_token_field_name: name } => {
                let object: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
                let token = object.get(name).and_then(Value::as_str);
                token.ok_or("it has no text under the name that `subject_token_field_name` says")?.to_owned()
            }
        };
        if token.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(token)) }
    }
}
