//! Choices about signing and trust, from flags or the configuration. `None` means that there is no choice, and [`Defaults`]
//! determines the value.

use std::path::PathBuf;

use trust::SignatureFormat;

/// The account that signs the images of Kubernetes, in staging and in production.
pub(crate) const ACCOUNT: &str = "krel-trust@k8s-releng-prod.iam.gserviceaccount.com";
/// The issuer of the account's identity.
pub(crate) const ISSUER: &str = "https://accounts.google.com";

/// The default values for choices that are not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defaults {
    /// Kubernetes' signer: everything to promote or verify is in Kubernetes' production.
    Kubernetes,
    /// No defaults.
    None,
}

/// A pattern, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternText {
    /// Exactly this text.
    Exact(String),
    /// A regular expression from this flag or field.
    Regex { place: &'static str, text: String },
}

/// The signers whose signatures count, and what to verify the signatures against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustArgs {
    /// The identity of the signer.
    pub(crate) identity: Option<PatternText>,
    /// The issuer of that identity.
    pub(crate) issuer: Option<PatternText>,
    pub(crate) verification_key: Option<PathBuf>,
    pub(crate) trusted_root: Option<PathBuf>,
    pub(crate) signing_config: Option<PathBuf>,
    pub(crate) tuf_mirror: Option<String>,
    pub(crate) tuf_root: Option<PathBuf>,
}

impl TrustArgs {
    /// Returns whether an identity or an issuer is chosen.
    pub(crate) fn names_signer(&self) -> bool {
        self.identity.is_some() || self.issuer.is_some()
    }

    /// Returns these choices, with those of `other` where these have none. A key and an identity cannot be used together, and
    /// so do a trusted root and a TUF repository.
    pub(crate) fn or(self, other: Self) -> Self {
        let (names_key, names_signer) = (self.verification_key.is_some(), self.names_signer());
        let names_root = self.trusted_root.is_some() || self.tuf_mirror.is_some() || self.tuf_root.is_some();
        let other_signer = if names_key { Self::default() } else { other.clone() };
        let other_root = if names_root { Self::default() } else { other.clone() };
        Self {
            identity: self.identity.or(other_signer.identity),
            issuer: self.issuer.or(other_signer.issuer),
            verification_key: self.verification_key.or(other.verification_key.filter(|_| !names_signer)),
            trusted_root: self.trusted_root.or(other_root.trusted_root),
            signing_config: self.signing_config.or(other.signing_config),
            tuf_mirror: self.tuf_mirror.or(other_root.tuf_mirror),
            tuf_root: self.tuf_root.or(other_root.tuf_root),
        }
    }
}

/// A signing account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// Any account: the one whose token is found.
    Any,
    /// Only this account.
    Named(String),
}

/// Converts a text to an account. An empty text accepts any account.
impl From<String> for Account {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::Any } else { Self::Named(text) }
    }
}

impl Account {
    /// Returns the required name, if any.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// The location of an ID token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFile {
    Input,
    File(PathBuf),
}

/// The signer, and the form of signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SigningArgs {
    pub(crate) account: Option<Account>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) token: Option<TokenFile>,
    pub(crate) format: Option<SignatureFormat>,
    pub(crate) at_once: Option<usize>,
    pub(crate) summaries: Option<bool>,
    pub(crate) summary_account: Option<Account>,
}

impl SigningArgs {
    /// Returns whether a signer is chosen.
    pub(crate) fn names_signer(&self) -> bool {
        self.account.is_some() || self.key.is_some() || self.token.is_some()
    }

    /// Returns these choices, with those of `other` where these have none. A key and an identity cannot be used together.
    pub(crate) fn or(self, other: Self) -> Self {
        let (names_key, names_identity) =
            (self.key.is_some(), self.account.is_some() || self.token.is_some());
        Self {
            account: self.account.or(other.account.filter(|_| !names_key)),
            key: self.key.or(other.key.filter(|_| !names_identity)),
            token: self.token.or(other.token.filter(|_| !names_key)),
            format: self.format.or(other.format),
            at_once: self.at_once.or(other.at_once),
            summaries: self.summaries.or(other.summaries),
            summary_account: self.summary_account.or(other.summary_account),
        }
    }
}

/// The names of signature formats.
pub(crate) const SIGNATURE_FORMATS: [&str; 4] = ["auto", "tag", "bundle", "both"];

/// Returns the signature format with this name.
pub(crate) fn signature_format(name: &str) -> Option<SignatureFormat> {
    match name {
        "auto" => Some(SignatureFormat::Auto),
        "tag" => Some(SignatureFormat::Tag),
        "bundle" => Some(SignatureFormat::Bundle),
        "both" => Some(SignatureFormat::Both),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Option<PatternText> {
        Some(PatternText::Exact(text.to_owned()))
    }

    #[test]
    fn what_the_flags_choose_displaces_what_excludes_it_in_the_file() {
        let key = TrustArgs { verification_key: Some("k".into()), ..TrustArgs::default() };
        let identity = TrustArgs { identity: exact("a"), issuer: exact("i"), ..TrustArgs::default() };
        assert_eq!(key.clone().or(identity.clone()), key);
        assert_eq!(identity.clone().or(key.clone()), identity);
        let other_issuer = TrustArgs { issuer: exact("j"), ..TrustArgs::default() };
        let both = TrustArgs { identity: exact("a"), issuer: exact("j"), ..TrustArgs::default() };
        assert_eq!(other_issuer.or(identity.clone()), both);

        let root = TrustArgs { trusted_root: Some("r".into()), ..TrustArgs::default() };
        let tuf = TrustArgs {
            tuf_mirror: Some("m".into()),
            tuf_root: Some("t".into()),
            signing_config: Some("s".into()),
            ..TrustArgs::default()
        };
        let expected = TrustArgs { signing_config: Some("s".into()), ..root.clone() };
        assert_eq!(root.clone().or(tuf.clone()), expected);
        assert_eq!(tuf.clone().or(root), tuf);
    }

    #[test]
    fn a_signer_of_the_flags_displaces_another_kind_of_signer_in_the_file() {
        let key = SigningArgs { key: Some("k".into()), ..SigningArgs::default() };
        let token = Some(TokenFile::File("t".into()));
        let account = Some(Account::Named("a".to_owned()));
        let identity = SigningArgs { account, token, ..SigningArgs::default() };
        assert_eq!(key.clone().or(identity.clone()), key);
        assert_eq!(identity.clone().or(key.clone()), identity);
        let any = SigningArgs { account: Some(Account::Any), ..SigningArgs::default() };
        assert_eq!(any.clone().or(key.clone()), any, "an empty account is a choice");
        let file = SigningArgs { at_once: Some(7), ..identity };
        let expected = SigningArgs { account: Some(Account::Any), ..file.clone() };
        assert_eq!(any.or(file), expected, "what is not chosen by flags is taken from the file");
    }
}
