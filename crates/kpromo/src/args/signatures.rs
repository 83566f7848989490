//! Flags about signatures: whom to trust, and as whom to sign. What is in the files that they name is looked at in
//! [`crate::trust`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use promote::SignatureFormat;

use super::BOOL;
use super::value::{go_bool, path, text};

const SIGNATURES: &str = "Signatures";
/// The account that signs Kubernetes' images, in staging and in production.
const ACCOUNT: &str = "krel-trust@k8s-releng-prod.iam.gserviceaccount.com";
/// Who vouches for it.
const ISSUER: &str = "https://accounts.google.com";

/// Whom to trust, of every command that verifies.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TrustFlags {
    /// Whose signatures count, as certificates name them: an e-mail address or a URI. By default
    /// krel-trust@k8s-releng-prod.iam.gserviceaccount.com.
    #[arg(long, help_heading = SIGNATURES, value_name = "IDENTITY")]
    certificate_identity: Option<String>,
    /// The same as a regular expression (RE2), which has to match the whole identity.
    #[arg(long, help_heading = SIGNATURES, value_name = "REGEXP")]
    certificate_identity_regexp: Option<String>,
    /// Who has to vouch for that identity. By default Google (accounts.google.com).
    #[arg(long, help_heading = SIGNATURES, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,
    /// The same as a regular expression (RE2), which has to match the whole URL.
    #[arg(long, help_heading = SIGNATURES, value_name = "REGEXP")]
    certificate_oidc_issuer_regexp: Option<String>,
    /// A public key (PEM) that signatures are verified with, instead of certificates.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    verification_key: Option<OsString>,
    /// A trusted_root.json, of an instance of Sigstore of your own. By default that of the public-good instance, through TUF.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    trusted_root: Option<OsString>,
    /// The TUF repository of an instance of your own.
    #[arg(long, help_heading = SIGNATURES, value_name = "URL")]
    tuf_mirror: Option<String>,
    /// The first root.json of the TUF repository, which is trusted as it is.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    tuf_root: Option<OsString>,
}

/// As whom to sign, of `kpromo cip`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SigningFlags {
    /// Sign what is promoted, and attach promotion records.
    #[arg(long, help_heading = SIGNATURES, default_value = "true", value_parser = go_bool(), action = Set, value_name = BOOL)]
    sign: bool,
    /// Who signs; nobody else will. Empty: whoever the token is of that is found.
    #[arg(long, help_heading = SIGNATURES, default_value = ACCOUNT, value_name = "ACCOUNT")]
    signer_account: String,
    /// A file with an ID token to sign with, or - for standard input. By default SIGSTORE_ID_TOKEN, GitHub Actions, Google or
    /// a projected file, whichever there is first.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE|-", value_parser = OsStringValueParser::new())]
    identity_token: Option<OsString>,
    /// A private key (PEM; cosign's encrypted ones with COSIGN_PASSWORD) to sign with, instead of certificates.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    signing_key: Option<OsString>,
    /// A signing_config.json: where to sign. By default with the public-good instance; a key's signatures are then not logged.
    #[arg(long, help_heading = SIGNATURES, value_name = "FILE", value_parser = OsStringValueParser::new())]
    signing_config: Option<OsString>,
    /// Form of signatures. auto: the tag form, and a bundle besides where other bundles are attached, so that every version of
    /// cosign accepts them.
    #[arg(long, help_heading = SIGNATURES, default_value = "auto", value_parser = format(), value_name = "FORM")]
    signature_format: SignatureFormat,
    /// Sign or attest so many images at once, 1 to 1000.
    #[arg(long, help_heading = SIGNATURES, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "NUMBER")]
    max_signature_ops: u16,
    /// Attach verification summaries (SLSA VSA).
    #[arg(long, help_heading = SIGNATURES, default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    verification_summaries: bool,
    /// Who signs these. By default whoever signs the images.
    #[arg(long, help_heading = SIGNATURES, default_value = "", hide_default_value = true, value_name = "ACCOUNT")]
    summary_signer_account: String,
}

/// A pattern, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternText {
    /// To the letter.
    Exact(String),
    /// A regular expression, given by this flag.
    Regex { flag: &'static str, text: String },
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustArgs {
    /// Whose signatures count.
    pub(crate) identity: PatternText,
    /// Who vouches for them.
    pub(crate) issuer: PatternText,
    pub(crate) verification_key: Option<PathBuf>,
    pub(crate) trusted_root: Option<PathBuf>,
    pub(crate) signing_config: Option<PathBuf>,
    pub(crate) tuf_mirror: Option<String>,
    pub(crate) tuf_root: Option<PathBuf>,
}

impl Default for TrustArgs {
    fn default() -> Self {
        Self {
            identity: PatternText::Exact(ACCOUNT.to_owned()),
            issuer: PatternText::Exact(ISSUER.to_owned()),
            verification_key: None,
            trusted_root: None,
            signing_config: None,
            tuf_mirror: None,
            tuf_root: None,
        }
    }
}

/// As whom to sign, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningArgs {
    pub(crate) holder: HolderArgs,
    pub(crate) format: SignatureFormat,
    pub(crate) at_once: usize,
    pub(crate) summaries: Option<SummaryArgs>,
}

/// What signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HolderArgs {
    /// A private key.
    Key(PathBuf),
    /// Certificates of an account, or of whoever there is; with the token that was given.
    Identity { account: Option<String>, token: Option<TokenFile> },
}

/// Where an ID token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFile {
    Input,
    File(PathBuf),
}

/// Who signs verification summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SummaryArgs {
    /// Whoever signs the images.
    Same,
    /// Another account.
    Account(String),
}

impl TrustFlags {
    /// What the flags ask for.
    ///
    /// # Errors
    /// When they contradict one another.
    pub(super) fn resolve(self) -> Result<TrustArgs, String> {
        let named = self.certificate_identity.iter().chain(&self.certificate_identity_regexp);
        let named = named.chain(&self.certificate_oidc_issuer).chain(&self.certificate_oidc_issuer_regexp);
        let names_somebody = named.into_iter().any(|text| !text.is_empty());
        let identity = pattern(
            ("--certificate-identity", self.certificate_identity),
            ("--certificate-identity-regexp", self.certificate_identity_regexp),
            ACCOUNT,
        )?;
        let issuer = pattern(
            ("--certificate-oidc-issuer", self.certificate_oidc_issuer),
            ("--certificate-oidc-issuer-regexp", self.certificate_oidc_issuer_regexp),
            ISSUER,
        )?;
        let args = TrustArgs {
            identity,
            issuer,
            verification_key: path(self.verification_key),
            trusted_root: path(self.trusted_root),
            signing_config: None,
            tuf_mirror: text(self.tuf_mirror),
            tuf_root: path(self.tuf_root),
        };
        if args.verification_key.is_some() && names_somebody {
            return Err(
                "--verification-key is nobody's certificate: the flags --certificate-… say nothing of it"
                    .to_owned(),
            );
        }
        if args.trusted_root.is_some() && (args.tuf_mirror.is_some() || args.tuf_root.is_some()) {
            return Err(
                "--trusted-root takes the place of TUF: --tuf-mirror and --tuf-root say nothing then"
                    .to_owned(),
            );
        }
        if args.tuf_mirror.is_some() && args.tuf_root.is_none() {
            return Err("--tuf-mirror needs --tuf-root: nothing else says which root it has".to_owned());
        }
        Ok(args)
    }
}

impl SigningFlags {
    /// What the flags ask for: nothing where signing was declined. The signing configuration goes to `trust`. `asked` tells
    /// whether somebody has written the name of an account.
    ///
    /// # Errors
    /// When they contradict one another.
    pub(super) fn resolve(self, trust: &mut TrustArgs, asked: bool) -> Result<Option<SigningArgs>, String> {
        trust.signing_config = path(self.signing_config);
        let account = text(Some(self.signer_account));
        let holder = match (path(self.signing_key), path(self.identity_token)) {
            (Some(_), Some(_)) => {
                return Err("--signing-key and --identity-token exclude each other".to_owned());
            }
            (Some(_), None) if asked && account.is_some() => {
                return Err("--signing-key and --signer-account exclude each other".to_owned());
            }
            (Some(key), None) => HolderArgs::Key(key),
            (None, token) => HolderArgs::Identity {
                account: account.clone(),
                token: token.map(|file| {
                    if file.as_os_str() == "-" { TokenFile::Input } else { TokenFile::File(file) }
                }),
            },
        };
        if !self.sign {
            return Ok(None);
        }
        let summaries = self.verification_summaries.then(|| match text(Some(self.summary_signer_account)) {
            Some(other) if account.as_ref() != Some(&other) || matches!(holder, HolderArgs::Key(_)) => {
                SummaryArgs::Account(other)
            }
            _ => SummaryArgs::Same,
        });
        let with_certificates = matches!(holder, HolderArgs::Identity { .. })
            || matches!(summaries, Some(SummaryArgs::Account(_)));
        if with_certificates && trust.trusted_root.is_some() && trust.signing_config.is_none() {
            return Err(
                "--trusted-root needs --signing-config, to say where to sign; or --sign=false".to_owned()
            );
        }
        let at_once = self.max_signature_ops.into();
        Ok(Some(SigningArgs { holder, format: self.signature_format, at_once, summaries }))
    }
}

/// A pattern from the flag with the text and the flag with the expression; the default yields to either.
fn pattern(
    (exact_flag, exact): (&'static str, Option<String>),
    (flag, regex): (&'static str, Option<String>),
    default: &str,
) -> Result<PatternText, String> {
    match (text(exact), text(regex)) {
        (Some(_), Some(_)) => Err(format!("{exact_flag} and {flag} exclude each other")),
        (Some(exact), None) => Ok(PatternText::Exact(exact)),
        (None, Some(text)) => Ok(PatternText::Regex { flag, text }),
        (None, None) => Ok(PatternText::Exact(default.to_owned())),
    }
}

fn format() -> impl TypedValueParser<Value = SignatureFormat> {
    PossibleValuesParser::new(["auto", "tag", "bundle", "both"]).map(|text| match text.as_str() {
        "tag" => SignatureFormat::Tag,
        "bundle" => SignatureFormat::Bundle,
        "both" => SignatureFormat::Both,
        _ => SignatureFormat::Auto,
    })
}

#[cfg(test)]
mod tests {
    use super::super::cip::tests::cip;
    use super::*;

    fn with(flags: &str) -> Result<(TrustArgs, Option<SigningArgs>), String> {
        cip(&format!("--manifest m.yaml {flags}")).map(|args| (args.trust, args.signing))
    }

    fn signing(flags: &str) -> SigningArgs {
        with(flags).unwrap().1.unwrap()
    }

    fn regex(flag: &'static str, text: &str) -> PatternText {
        PatternText::Regex { flag, text: text.to_owned() }
    }

    #[test]
    fn without_flags_kubernetes_own_account_signs_and_is_believed() {
        let (trust, signing) = with("").unwrap();
        assert_eq!(trust, TrustArgs::default());
        let expected = SigningArgs {
            holder: HolderArgs::Identity { account: Some(ACCOUNT.to_owned()), token: None },
            format: SignatureFormat::Auto,
            at_once: 50,
            summaries: None,
        };
        assert_eq!(signing, Some(expected));
        assert_eq!(with("--sign=false").unwrap().1, None);
    }

    #[test]
    fn an_expression_displaces_the_default_text_and_contradicts_a_given_one() {
        let (trust, _) =
            with("--certificate-identity-regexp .*@x --certificate-oidc-issuer-regexp=h.*").unwrap();
        assert_eq!(trust.identity, regex("--certificate-identity-regexp", ".*@x"));
        assert_eq!(trust.issuer, regex("--certificate-oidc-issuer-regexp", "h.*"));
        let (trust, _) = with("--certificate-identity= --certificate-identity-regexp x").unwrap();
        assert_eq!(trust.identity, regex("--certificate-identity-regexp", "x"), "an empty text is none");
        let (trust, _) = with("--certificate-identity a@b.c --certificate-identity-regexp=").unwrap();
        assert_eq!(trust.identity, PatternText::Exact("a@b.c".to_owned()));
        for kind in ["identity", "oidc-issuer"] {
            let both = format!("--certificate-{kind} a --certificate-{kind}-regexp b");
            assert!(with(&both).unwrap_err().contains("exclude each other"), "{kind}");
        }
    }

    #[test]
    fn what_contradicts_or_lacks_another_flag_is_a_usage_error() {
        for (flags, expected) in [
            ("--signing-key k --identity-token t", "exclude each other"),
            ("--signing-key k --signer-account a@b.c", "exclude each other"),
            ("--verification-key k --certificate-identity a", "--verification-key"),
            ("--trusted-root r --signing-config s --tuf-mirror https://x --tuf-root y", "--trusted-root"),
            ("--tuf-mirror https://x", "--tuf-mirror needs --tuf-root"),
            ("--trusted-root r", "needs --signing-config"),
            (
                "--signing-key k --trusted-root r --verification-summaries --summary-signer-account a",
                "needs --signing-config",
            ),
            ("--max-signature-ops 0", "1..=1000"),
            ("--max-signature-ops 1001", "1..=1000"),
            ("--signature-format x", "auto, tag, bundle, both"),
        ] {
            let error = with(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }

    #[test]
    fn who_signs_is_an_account_whoever_there_is_or_the_holder_of_a_key() {
        let identity = |account: Option<&str>, token| HolderArgs::Identity {
            account: account.map(str::to_owned),
            token,
        };
        assert_eq!(signing("--signer-account=").holder, identity(None, None));
        assert_eq!(signing("--signer-account a@b.c").holder, identity(Some("a@b.c"), None));
        let token = Some(TokenFile::Input);
        assert_eq!(signing("--identity-token - --signer-account=").holder, identity(None, token));
        let token = Some(TokenFile::File("t".into()));
        assert_eq!(signing("--identity-token t").holder, identity(Some(ACCOUNT), token));
        assert_eq!(signing("--signing-key k --signer-account=").holder, HolderArgs::Key("k".into()));
        assert_eq!(signing("--signing-key k --trusted-root r").holder, HolderArgs::Key("k".into()));
        assert_eq!(signing("--signing-key=").holder, identity(Some(ACCOUNT), None));
    }

    #[test]
    fn summaries_are_signed_by_another_only_where_another_is_named() {
        assert_eq!(signing("--summary-signer-account x").summaries, None, "there are none");
        let with = |flags: &str| signing(&format!("--verification-summaries {flags}")).summaries;
        assert_eq!(with(""), Some(SummaryArgs::Same));
        assert_eq!(with("--summary-signer-account="), Some(SummaryArgs::Same));
        assert_eq!(with("--summary-signer-account a --signer-account a"), Some(SummaryArgs::Same));
        assert_eq!(with("--summary-signer-account a"), Some(SummaryArgs::Account("a".to_owned())));
        let key = with(&format!("--signing-key k --summary-signer-account {ACCOUNT}"));
        assert_eq!(
            key,
            Some(SummaryArgs::Account(ACCOUNT.to_owned())),
            "who holds the key is nobody's account"
        );
    }

    #[test]
    fn forms_and_numbers_are_taken_as_given() {
        let args = signing("--signature-format both --max-signature-ops 7");
        assert_eq!((args.format, args.at_once), (SignatureFormat::Both, 7));
        assert_eq!(signing("--signature-format=bundle").format, SignatureFormat::Bundle);
    }
}
