//! The claims of an ID token (RFC 7519, *JWT Claims*).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::invalid_token::InvalidToken;

/// The issuer of GitHub Actions. The URLs of enterprise issuers begin with it.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// The issuer of CI/CD jobs on gitlab.com.
const GITLAB: &str = "https://gitlab.com";

/// The claims of a token. The token's signature is not verified here.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the claims of a token in compact serialization.
    ///
    /// # Errors
    /// Returns an error if the text is not a signed JWT (RFC 7519) that consists of JSON objects.
    pub(super) fn of(text: &str) -> Result<Self, InvalidToken> {
        let malformed = InvalidToken::Malformed;
        let parts: Vec<&str> = text.split('.').take(4).collect();
        let [head, claims, signature] = parts[..] else {
            return Err(malformed("it does not have the three parts of a JWT; it may be an access token"));
        };
        if signature.is_empty() {
            return Err(malformed("it is not signed"));
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("it is not base64url"));
        let json = |bytes: &[u8]| {
            serde_json::from_slice(bytes).map_err(|_| malformed("its parts are not JSON objects"))
        };
        decode(signature)?;
        let _: Map<String, Value> = json(&decode(head)?)?;
        Ok(Self(json(&decode(claims)?)?))
    }

    /// Returns the text of a claim, or `None` if the claim is missing or empty.
    ///
    /// # Errors
    /// Returns an error if the claim is not a string.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, InvalidToken> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(InvalidToken::Claim(name)),
        }
    }

    /// Returns the text of a claim that every token must have.
    ///
    /// # Errors
    /// Returns an error if the claim is missing or empty, or is not a string.
    pub(super) fn required(&self, name: &'static str) -> Result<String, InvalidToken> {
        self.text(name)?.ok_or(InvalidToken::Claim(name))
    }

    /// Returns the audiences (`aud`): one string or a list of strings.
    ///
    /// # Errors
    /// Returns an error if the claim is missing or malformed.
    pub(super) fn audiences(&self) -> Result<Vec<String>, InvalidToken> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        match self.0.get("aud") {
            Some(Value::String(one)) => Some(vec![one.clone()]),
            Some(Value::Array(many)) => many.iter().map(text).collect(),
            _ => None,
        }
        .ok_or(InvalidToken::Claim("aud"))
    }

    /// Returns the time in a claim: seconds since 1970, possibly with a fraction (RFC 7519, *NumericDate*).
    ///
    /// # Errors
    /// Returns an error if the claim is not a time.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, InvalidToken> {
        let Some(value) = self.0.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and jiff rejects values out of its range"
        )]
        let whole = |seconds: f64| seconds.floor() as i64;
        let seconds = value.as_i64().or_else(|| value.as_f64().map(whole));
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(Some).ok_or(InvalidToken::Claim(name))
    }

    /// Returns whether the issuer has verified the e-mail address. Some issuers write a string instead of a Boolean. Fulcio also
    /// reads the string.
    pub(super) fn email_verified(&self) -> bool {
        match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(word)) => word == "true",
            _ => false,
        }
    }

    /// Returns the identity that Fulcio will put into the certificate.
    ///
    /// # Errors
    /// Returns an error if a claim is missing that the issuer must set.
    pub(super) fn identity(
        &self,
        issuer: &str,
        subject: &str,
        email: Option<&str>,
    ) -> Result<String, InvalidToken> {
        let below_github =
            issuer.strip_prefix(GITHUB).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below_github {
            return Ok(format!("https://github.com/{}", self.required("job_workflow_ref")?));
        }
        if issuer == GITLAB {
            return Ok(format!("https://{}", self.required("ci_config_ref_uri")?));
        }
        if let Some(email) = email {
            return Ok(email.to_owned());
        }
        Ok(self.service_account().unwrap_or_else(|| subject.to_owned()))
    }

    /// Returns the upstream issuer that the token's issuer relied on (`federated_claims.connector_id`).
    pub(super) fn connector(&self) -> Option<String> {
        self.0.get("federated_claims")?.get("connector_id")?.as_str().map(ToOwned::to_owned)
    }

    /// Returns the service account of a Kubernetes cluster in Fulcio's notation.
    fn service_account(&self) -> Option<String> {
        let cluster = self.0.get("kubernetes.io")?;
        let namespace = cluster.get("namespace")?.as_str()?;
        let account = cluster.get("serviceaccount")?.get("name")?.as_str()?;
        Some(format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"))
    }
}
