//! Flags about trusted signers and the signer. [`crate::identities`] reads the files that they name.

use std::ffi::OsString;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use trust::SignatureFormat;

use super::value::{BOOL, go_bool, path, text, whole};
use crate::choice::{
    Account, PatternText, SIGNATURE_FORMATS, SigningArgs, TokenFile, TrustArgs, signature_format,
};

const SIGNING: &str = "Signing";
const VERIFICATION: &str = "Verification";

/// The flags about trusted signers, for all commands that verify.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TrustFlags {
    /// Required identity of the signer: an e-mail address or a URI that must match exactly. Default below Kubernetes' production
    /// path: krel-trust@k8s-releng-prod.iam.gserviceaccount.com.
    #[arg(long, help_heading = VERIFICATION, value_name = "IDENTITY")]
    certificate_identity: Option<String>,
    /// Required identity of the signer, as a regular expression (RE2) that must match the whole identity.
    #[arg(long, help_heading = VERIFICATION, value_name = "REGEXP")]
    certificate_identity_regexp: Option<String>,
    /// Required issuer of the identity. Default below Kubernetes' production path: Google's (accounts.google.com).
    #[arg(long, help_heading = VERIFICATION, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,
    /// Required issuer, as a regular expression (RE2) that must match the whole URL.
    #[arg(long, help_heading = VERIFICATION, value_name = "REGEXP")]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Public key (PEM) to verify signatures with, instead of certificates.
    #[arg(long, help_heading = VERIFICATION, value_name = "FILE", value_parser = OsStringValueParser::new())]
    verification_key: Option<OsString>,
    /// Trusted root (trusted_root.json) of a private Sigstore instance. Default: that of the public-good instance, fetched by
    /// TUF.
    #[arg(long, help_heading = VERIFICATION, value_name = "FILE", value_parser = OsStringValueParser::new())]
    trusted_root: Option<OsString>,
    /// TUF repository of a private Sigstore instance.
    #[arg(long, help_heading = VERIFICATION, value_name = "URL")]
    tuf_mirror: Option<String>,
    /// Initial root.json of the TUF repository, which is trusted without verification.
    #[arg(long, help_heading = VERIFICATION, value_name = "FILE", value_parser = OsStringValueParser::new())]
    tuf_root: Option<OsString>,
}

/// The flags about signing of `kpromo cip`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SigningFlags {
    /// Sign promoted images and attach promotion records.
    #[arg(long, help_heading = SIGNING, default_value = "true", value_parser = go_bool(), action = Set, value_name = BOOL)]
    sign: bool,
    #[command(flatten)]
    signer: SignerFlags,
    /// Attach verification summaries (SLSA VSA).
    #[arg(long, help_heading = SIGNING, value_parser = go_bool(), action = Set, value_name = BOOL)]
    verification_summaries: Option<bool>,
    /// Required identity of the signer of verification summaries. Default: the signer of the images.
    #[arg(long, help_heading = SIGNING, value_name = "ACCOUNT")]
    summary_signer_account: Option<String>,
}

/// The flags about the signer and the signature format, for all commands that sign.
#[derive(Clone, Debug, Args)]
pub(crate) struct SignerFlags {
    /// Required signing identity; empty accepts any. Default below Kubernetes' production path:
    /// krel-trust@k8s-releng-prod.iam.gserviceaccount.com.
    #[arg(long, help_heading = SIGNING, value_name = "ACCOUNT")]
    signer_account: Option<String>,
    /// File with the ID token to sign with; - reads standard input. Default: the first one found in SIGSTORE_ID_TOKEN, GitHub
    /// Actions, Google credentials or a projected token.
    #[arg(long, help_heading = SIGNING, value_name = "FILE|-", value_parser = OsStringValueParser::new())]
    identity_token: Option<OsString>,
    /// Private key (PEM) to sign with, instead of certificates. COSIGN_PASSWORD has the password of a cosign key.
    #[arg(long, help_heading = SIGNING, value_name = "FILE", value_parser = OsStringValueParser::new())]
    signing_key: Option<OsString>,
    /// Services to sign with (signing_config.json). Default: those of the public-good instance. Without it, signatures by a key
    /// are not logged.
    #[arg(long, help_heading = SIGNING, value_name = "FILE", value_parser = OsStringValueParser::new())]
    signing_config: Option<OsString>,
    /// Signature format: tag, bundle, both, or auto (a tag, plus a bundle for every manifest that has other bundles, so that
    /// every version of cosign accepts the signature). Default: auto.
    #[arg(long, help_heading = SIGNING, value_parser = format(), value_name = "FORM")]
    signature_format: Option<SignatureFormat>,
    /// Number of images signed or attested at the same time, 1 to 1000. Default: 50.
    #[arg(long, help_heading = SIGNING, value_parser = whole(1_u16, 1000), value_name = "NUMBER")]
    max_signature_ops: Option<u16>,
}

impl TrustFlags {
    /// Returns the choices.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(super) fn resolve(self) -> Result<TrustArgs, String> {
        let identity = pattern(
            ("--certificate-identity", self.certificate_identity),
            ("--certificate-identity-regexp", self.certificate_identity_regexp),
        )?;
        let issuer = pattern(
            ("--certificate-oidc-issuer", self.certificate_oidc_issuer),
            ("--certificate-oidc-issuer-regexp", self.certificate_oidc_issuer_regexp),
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
        if args.verification_key.is_some() && args.names_signer() {
            return Err("--verification-key and the flags --certificate-… cannot be used together".to_owned());
        }
        if args.trusted_root.is_some() && (args.tuf_mirror.is_some() || args.tuf_root.is_some()) {
            return Err("--trusted-root cannot be used with --tuf-mirror or --tuf-root".to_owned());
        }
        if args.tuf_mirror.is_some() && args.tuf_root.is_none() {
            return Err("--tuf-mirror needs --tuf-root, the first root.json of that repository".to_owned());
        }
        Ok(args)
    }
}

impl SigningFlags {
    /// Returns the choices, or `None` with `--sign=false`. The signing configuration is stored in `trust`.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(super) fn resolve(self, trust: &mut TrustArgs) -> Result<Option<SigningArgs>, String> {
        let args = SigningArgs {
            summaries: self.verification_summaries,
            summary_account: self.summary_signer_account.map(Account::from),
            ..self.signer.resolve(trust)?
        };
        if !self.sign {
            if args.summaries == Some(true) {
                return Err(
                    "--verification-summaries are signed, and --sign=false signs nothing: remove one of them"
                        .to_owned(),
                );
            }
            for flag in without_effect(&args) {
                tracing::warn!("{flag} has no effect with --sign=false");
            }
        }
        if args.summary_account.is_some() && args.summaries == Some(false) {
            tracing::warn!("--summary-signer-account has no effect with --verification-summaries=false");
        }
        Ok(self.sign.then_some(args))
    }
}

impl SignerFlags {
    /// Returns the choices. The signing configuration is stored in `trust`.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(super) fn resolve(self, trust: &mut TrustArgs) -> Result<SigningArgs, String> {
        trust.signing_config = path(self.signing_config);
        let token = path(self.identity_token).map(|file| match file.as_os_str() == "-" {
            true => TokenFile::Input,
            false => TokenFile::File(file),
        });
        let args = SigningArgs {
            account: self.signer_account.map(Account::from),
            key: path(self.signing_key),
            token,
            format: self.signature_format,
            at_once: self.max_signature_ops.map(usize::from),
            summaries: None,
            summary_account: None,
        };
        if args.key.is_some() && args.token.is_some() {
            return Err("--signing-key and --identity-token cannot be used together".to_owned());
        }
        match &args.account {
            Some(Account::Named(_)) if args.key.is_some() => {
                Err("--signing-key and --signer-account cannot be used together".to_owned())
            }
            // In a script this may be an unset variable.
            Some(Account::Any) if args.key.is_some() => {
                tracing::warn!("--signer-account has no effect with --signing-key: a key has no account");
                Ok(SigningArgs { account: None, ..args })
            }
            _ => Ok(args),
        }
    }
}

/// Returns the flags about the signer that are given. They have no effect if nothing is signed.
fn without_effect(args: &SigningArgs) -> impl Iterator<Item = &'static str> {
    let given = [
        // Scripts for several environments may always set the account, and turn signing off in some of them. An empty value
        // counts as not set.
        ("--signer-account", matches!(args.account, Some(Account::Named(_)))),
        ("--signing-key", args.key.is_some()),
        ("--identity-token", args.token.is_some()),
        ("--signature-format", args.format.is_some()),
        ("--summary-signer-account", args.summary_account.is_some()),
    ];
    given.into_iter().filter_map(|(flag, given)| given.then_some(flag))
}

/// Returns the pattern of the exact flag or of the `-regexp` flag.
fn pattern(
    (exact_flag, exact): (&'static str, Option<String>),
    (place, regex): (&'static str, Option<String>),
) -> Result<Option<PatternText>, String> {
    match (text(exact), text(regex)) {
        (Some(_), Some(_)) => Err(format!("{exact_flag} and {place} cannot be used together")),
        (Some(exact), None) => Ok(Some(PatternText::Exact(exact))),
        (None, Some(text)) => Ok(Some(PatternText::Regex { place, text })),
        (None, None) => Ok(None),
    }
}

fn format() -> impl TypedValueParser<Value = SignatureFormat> {
    // clap accepts only known names, so the default is never used.
    PossibleValuesParser::new(SIGNATURE_FORMATS).map(|name| signature_format(&name).unwrap_or_default())
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

    fn regex(place: &'static str, text: &str) -> Option<PatternText> {
        Some(PatternText::Regex { place, text: text.to_owned() })
    }

    #[test]
    fn without_flags_nothing_is_chosen_and_signing_can_be_declined() {
        assert_eq!(with(""), Ok((TrustArgs::default(), Some(SigningArgs::default()))));
        assert_eq!(with("--sign=false").unwrap().1, None);
    }

    #[test]
    fn an_identity_is_a_text_or_an_expression() {
        let (trust, _) =
            with("--certificate-identity-regexp .*@x --certificate-oidc-issuer-regexp=h.*").unwrap();
        assert_eq!(trust.identity, regex("--certificate-identity-regexp", ".*@x"));
        assert_eq!(trust.issuer, regex("--certificate-oidc-issuer-regexp", "h.*"));
        let (trust, _) = with("--certificate-identity= --certificate-identity-regexp x").unwrap();
        assert_eq!(trust.identity, regex("--certificate-identity-regexp", "x"), "an empty text is none");
        let (trust, _) = with("--certificate-identity a@b.c --certificate-identity-regexp=").unwrap();
        assert_eq!(trust.identity, Some(PatternText::Exact("a@b.c".to_owned())));
        for kind in ["identity", "oidc-issuer"] {
            let both = format!("--certificate-{kind} a --certificate-{kind}-regexp b");
            assert!(with(&both).unwrap_err().contains("cannot be used together"), "{kind}");
        }
    }

    #[test]
    fn flags_that_contradict_or_lack_one_another_are_usage_errors() {
        for (flags, expected) in [
            ("--signing-key k --identity-token t", "cannot be used together"),
            ("--signing-key k --signer-account a@b.c", "cannot be used together"),
            ("--sign=false --verification-summaries", "--sign=false signs nothing"),
            ("--verification-key k --certificate-identity a", "--verification-key"),
            ("--trusted-root r --signing-config s --tuf-mirror https://x --tuf-root y", "--trusted-root"),
            ("--tuf-mirror https://x", "--tuf-mirror needs --tuf-root"),
            ("--max-signature-ops 0", "from 1 to 1000"),
            ("--max-signature-ops 1001", "from 1 to 1000"),
            ("--signature-format x", "auto, tag, bundle, both"),
        ] {
            let error = with(flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }

    #[test]
    fn the_signer_is_a_named_account_any_account_a_token_or_a_key() {
        let named = Some(Account::Named("a@b.c".to_owned()));
        assert_eq!(signing("--signer-account a@b.c").account, named);
        assert_eq!(signing("--signer-account=").account, Some(Account::Any));
        assert_eq!(signing("--identity-token -").token, Some(TokenFile::Input));
        assert_eq!(signing("--identity-token t").token, Some(TokenFile::File("t".into())));
        let args = signing("--signing-key k --signer-account=");
        assert_eq!((args.key, args.account), (Some("k".into()), None), "a key has no account");
        assert!(!signing("--signing-key= --identity-token=").names_signer(), "empty paths are none");
    }

    #[test]
    fn flags_of_a_signer_have_no_effect_where_nothing_is_signed() {
        let flags = |flags: &str| without_effect(&signing(flags)).collect::<Vec<_>>();
        assert_eq!(flags("--signing-key k --signature-format tag"), ["--signing-key", "--signature-format"]);
        assert_eq!(flags("--signer-account a@b.c --summary-signer-account x").len(), 2);
        assert!(flags("--max-signature-ops 50 --signer-account= --signing-key=").is_empty());
        assert_eq!(with("--sign=false --verification-summaries=false").unwrap().1, None);
    }

    #[test]
    fn forms_numbers_and_summaries_are_taken_as_given() {
        let args = signing("--signature-format both --max-signature-ops 7 --verification-summaries");
        assert_eq!((args.format, args.at_once), (Some(SignatureFormat::Both), Some(7)));
        assert_eq!((args.summaries, args.summary_account), (Some(true), None));
        assert_eq!(signing("--signature-format=bundle").format, Some(SignatureFormat::Bundle));
        assert_eq!(signing("--verification-summaries=false").summaries, Some(false));
        let named = Some(Account::Named("x".to_owned()));
        assert_eq!(signing("--summary-signer-account x").summary_account, named);
        assert_eq!(signing("--summary-signer-account=").summary_account, Some(Account::Any));
    }
}
