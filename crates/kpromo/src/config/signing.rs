//! The signer, and the signers whose signatures count, in the configuration.

use std::path::PathBuf;

use serde::Deserialize;
use trust::SignatureFormat;

use crate::choice::{
    Account, PatternText, SIGNATURE_FORMATS, SigningArgs, TokenFile, TrustArgs, signature_format,
};

/// `signing`: the signer, and the form of signatures.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SigningEntry {
    account: Option<String>,
    key: Option<PathBuf>,
    identity_token: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
    #[serde(default, deserialize_with = "format")]
    format: Option<SignatureFormat>,
    max_ops: Option<usize>,
    summaries: Option<bool>,
    summary_account: Option<String>,
}

/// `verification`: the signers whose signatures count, and what to verify the signatures against.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerificationEntry {
    identity: Option<String>,
    identity_regexp: Option<String>,
    issuer: Option<String>,
    issuer_regexp: Option<String>,
    key: Option<PathBuf>,
    trusted_root: Option<PathBuf>,
    tuf_mirror: Option<String>,
    tuf_root: Option<PathBuf>,
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
