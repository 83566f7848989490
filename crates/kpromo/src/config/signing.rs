//! The signer, and the signers whose signatures count, in the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use trust::SignatureFormat;

use crate::choice::{
    Account, PatternText, SIGNATURE_FORMATS, SigningArgs, TokenFile, TrustArgs, signature_format,
};

/// Who signs, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Signing", extend("allOf" = [
    { "if": is_set("key"), "then": { "properties": { "identityToken": false, "account": { "maxLength": 0 } } } },
]))]
pub(super) struct SigningEntry {
    /// The required identity of the signer. An empty text accepts any identity.
    account: Option<String>,
    /// The file with the private key to sign with. Cannot be combined with `account` and `identityToken`.
    #[schemars(length(min = 1))]
    key: Option<PathBuf>,
    /// The file with the ID token to sign with. Default: the first token that is found.
    #[schemars(length(min = 1))]
    identity_token: Option<PathBuf>,
    /// The file with the services to sign with (signing config). Default: the services of the public-good instance of Sigstore.
    #[schemars(length(min = 1))]
    pub(super) config: Option<PathBuf>,
    /// The format of signatures.
    #[serde(default, deserialize_with = "format")]
    #[schemars(with = "String", extend("enum" = SIGNATURE_FORMATS, "default" = "auto"))]
    format: Option<SignatureFormat>,
    /// The maximum number of images that are signed or attested at the same time.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 50))]
    max_ops: Option<usize>,
    /// Whether to attach verification summaries (SLSA VSA).
    #[schemars(extend("default" = false))]
    summaries: Option<bool>,
    /// The required identity of the signer of verification summaries. Default: the signer of images.
    summary_account: Option<String>,
}

/// Whose signatures count, and what they are verified against.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Verification", extend("allOf" = [
    { "if": is_set("identity"), "then": { "properties": { "identityRegexp": false } } },
    { "if": is_set("issuer"), "then": { "properties": { "issuerRegexp": false } } },
    {
        "if": is_set("key"),
        "then": {
            "properties": { "identity": false, "identityRegexp": false, "issuer": false, "issuerRegexp": false }
        }
    },
    { "if": is_set("trustedRoot"), "then": { "properties": { "tufMirror": false, "tufRoot": false } } },
    { "if": is_set("tufMirror"), "then": is_set("tufRoot") },
]))]
pub(super) struct VerificationEntry {
    /// The identity of the signer: an email address or a URI.
    #[schemars(length(min = 1))]
    identity: Option<String>,
    /// A regular expression for the identity of the signer. Cannot be combined with `identity`.
    #[schemars(length(min = 1))]
    identity_regexp: Option<String>,
    /// The issuer of the identity.
    #[schemars(length(min = 1))]
    issuer: Option<String>,
    /// A regular expression for the issuer of the identity. Cannot be combined with `issuer`.
    #[schemars(length(min = 1))]
    issuer_regexp: Option<String>,
    /// The file with the public key of the signer. Cannot be combined with an identity or an issuer.
    #[schemars(length(min = 1))]
    key: Option<PathBuf>,
    /// The file with the trusted root of a private Sigstore instance. Cannot be combined with `tufMirror` and `tufRoot`.
    #[schemars(length(min = 1))]
    trusted_root: Option<PathBuf>,
    /// The URL of the TUF repository of a private Sigstore instance. Requires `tufRoot`.
    #[schemars(length(min = 1))]
    tuf_mirror: Option<String>,
    /// The file with the first `root.json` of the TUF repository.
    #[schemars(length(min = 1))]
    tuf_root: Option<PathBuf>,
}

/// Returns the schema of an object with this field. A field without a value is not set.
fn is_set(field: &str) -> Value {
    json!({ "required": [field], "properties": { field: { "type": "string" } } })
}

fn format<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SignatureFormat>, D::Error> {
    let text = String::deserialize(from)?;
    let unknown = || {
        let names = SIGNATURE_FORMATS.join(", ");
        serde::de::Error::custom(format!("`{}` is not a signature format: {names}", text.escape_debug()))
    };
    signature_format(&text).ok_or_else(unknown).map(Some)
}

/// Rejects a text that is present and empty, which is more likely a mistake than a choice.
fn not_empty<'a>(texts: impl IntoIterator<Item = (&'static str, Option<&'a str>)>) -> Result<(), String> {
    let empty = texts.into_iter().find(|(_, text)| *text == Some(""));
    empty.map_or(Ok(()), |(name, _)| Err(format!("`{name}` is empty")))
}

fn text(path: Option<&PathBuf>) -> Option<&str> {
    path.and_then(|path| path.to_str())
}

impl SigningEntry {
    /// Returns the paths of the files in the entry.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.key, &mut self.identity_token, &mut self.config].into_iter().flatten()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        not_empty([
            ("key", text(self.key.as_ref())),
            ("identityToken", text(self.identity_token.as_ref())),
            ("config", text(self.config.as_ref())),
        ])?;
        if self.key.is_some() && self.identity_token.is_some() {
            return Err("`key` and `identityToken` cannot be used together".to_owned());
        }
        if self.key.is_some() && self.account.as_ref().is_some_and(|account| !account.is_empty()) {
            return Err("`key` and `account` cannot be used together".to_owned());
        }
        if self.max_ops.is_some_and(|number| !(1..=1_000).contains(&number)) {
            return Err("`maxOps` must be from 1 to 1000".to_owned());
        }
        Ok(())
    }

    pub(super) fn choice(&self) -> SigningArgs {
        SigningArgs {
            account: self.account.clone().map(Account::from),
            key: self.key.clone(),
            token: self.identity_token.clone().map(TokenFile::File),
            format: self.format,
            at_once: self.max_ops,
            summaries: self.summaries,
            summary_account: self.summary_account.clone().map(Account::from),
        }
    }
}

impl VerificationEntry {
    /// Returns the paths of the files in the entry.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.key, &mut self.trusted_root, &mut self.tuf_root].into_iter().flatten()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        not_empty([
            ("identity", self.identity.as_deref()),
            ("identityRegexp", self.identity_regexp.as_deref()),
            ("issuer", self.issuer.as_deref()),
            ("issuerRegexp", self.issuer_regexp.as_deref()),
            ("key", text(self.key.as_ref())),
            ("trustedRoot", text(self.trusted_root.as_ref())),
            ("tufMirror", self.tuf_mirror.as_deref()),
            ("tufRoot", text(self.tuf_root.as_ref())),
        ])?;
        if self.identity.is_some() && self.identity_regexp.is_some() {
            return Err("`identity` and `identityRegexp` cannot be used together".to_owned());
        }
        if self.issuer.is_some() && self.issuer_regexp.is_some() {
            return Err("`issuer` and `issuerRegexp` cannot be used together".to_owned());
        }
        let choice = self.choice();
        if choice.verification_key.is_some() && choice.names_signer() {
            return Err("`key` cannot be used with `identity` or `issuer`".to_owned());
        }
        if choice.trusted_root.is_some() && (choice.tuf_mirror.is_some() || choice.tuf_root.is_some()) {
            return Err("`trustedRoot` cannot be used with `tufMirror` or `tufRoot`".to_owned());
        }
        if choice.tuf_mirror.is_some() && choice.tuf_root.is_none() {
            return Err("`tufMirror` needs `tufRoot`".to_owned());
        }
        Ok(())
    }

    pub(super) fn choice(&self) -> TrustArgs {
        let pattern = |exact: &Option<String>, regexp: &Option<String>, place: &'static str| {
            let regexp = regexp.clone().map(|text| PatternText::Regex { place, text });
            exact.clone().map(PatternText::Exact).or(regexp)
        };
        TrustArgs {
            identity: pattern(&self.identity, &self.identity_regexp, "verification.identityRegexp"),
            issuer: pattern(&self.issuer, &self.issuer_regexp, "verification.issuerRegexp"),
            verification_key: self.key.clone(),
            trusted_root: self.trusted_root.clone(),
            signing_config: None,
            tuf_mirror: self.tuf_mirror.clone(),
            tuf_root: self.tuf_root.clone(),
        }
    }
}
