//! ID tokens (OpenID Connect Core 1.0, *ID Token*; RFC 7519): the parts that a client reads before it passes a token on.

use jiff::{SignedDuration, Timestamp};
use oci_types::text::printable;
use transport::Secret;

use super::claims::Claims;
use super::invalid_token::{InvalidToken, TOKEN_MAX};

/// The minimum remaining lifetime of a token, so that it does not expire in transit.
const LEAST_LIFE: SignedDuration = SignedDuration::from_secs(60);
/// How far the issuer's clock may be ahead of the local one. Fulcio allows the same.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

/// An ID token: an identity, as stated by an issuer that Fulcio trusts.
///
/// Fulcio verifies the token's signature. The checks here find errors before anything is signed, with better messages.
#[derive(Clone, Debug)]
pub struct IdentityToken {
    raw: Secret,
    issuer: String,
    connector: Option<String>,
    subject: String,
    email: Option<String>,
    email_verified: bool,
    audiences: Vec<String>,
    expires: Timestamp,
    issued: Option<Timestamp>,
    not_before: Option<Timestamp>,
    identity: String,
}

impl IdentityToken {
    /// Reads a token. Leading and trailing whitespace is ignored, since files end with a line break.
    ///
    /// # Errors
    /// Returns an error if the text is not a signed JWT (RFC 7519) of at most 16 KiB, or if a claim that every ID token has is
    /// missing.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.len() > TOKEN_MAX {
            return Err(InvalidToken::TooLarge);
        }
        let claims = Claims::of(text)?;
        let issuer = claims.required("iss")?;
        let subject = claims.required("sub")?;
        let email = claims.text("email")?;
        let identity = claims.identity(&issuer, &subject, email.as_deref())?;
        Ok(Self {
            raw: Secret::new(text),
            connector: claims.connector(),
            email_verified: claims.email_verified(),
            audiences: claims.audiences()?,
            expires: claims.time("exp")?.ok_or(InvalidToken::Claim("exp"))?,
            issued: claims.time("iat")?,
            not_before: claims.time("nbf")?,
            issuer,
            subject,
            email,
            identity,
        })
    }

    /// Checks that the token can be used for signing now.
    ///
    /// # Errors
    /// Returns an error if the token is for another audience, expires within a minute, is not valid yet, or has an e-mail
    /// address that is not verified.
    pub fn check(&self, audience: &str, now: Timestamp) -> Result<(), InvalidToken> {
        if !self.audiences.iter().any(|found| found == audience) {
            let found = self.audiences.iter().map(|audience| shown(audience)).collect();
            return Err(InvalidToken::Audience { expected: audience.to_owned(), found });
        }
        if self.left(now) < LEAST_LIFE {
            return Err(InvalidToken::Expired { expires: self.expires, issued: self.issued, now });
        }
        if let Some(not_before) = self.not_before
            && not_before.duration_since(now) > CLOCKS_APART
        {
            return Err(InvalidToken::NotYet { not_before, now });
        }
        match &self.email {
            Some(email) if !self.email_verified => {
                Err(InvalidToken::UnverifiedEmail { issuer: shown(&self.issuer), email: shown(email) })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the token is of the requested account: an e-mail address, or else the value of [`identity`](Self::identity).
    ///
    /// # Errors
    /// Returns an error that names both identities if the token is of another one.
    pub fn expect(&self, account: &str) -> Result<(), InvalidToken> {
        if self.identity == account {
            return Ok(());
        }
        let (found, issuer) = (shown(&self.identity), shown(&self.issuer));
        Err(InvalidToken::Another { asked: shown(account), found, issuer })
    }

    /// Returns the token itself, for the one request that sends it to Fulcio.
    pub fn raw(&self) -> &Secret {
        &self.raw
    }

    /// Returns the issuer (`iss`).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the issuers that Fulcio may name: the token's issuer and, if that relies on an upstream issuer (as Dex does,
    /// which the public instance uses), the upstream issuer (`federated_claims.connector_id`).
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.issuer.as_str()).chain(self.connector.as_deref())
    }

    /// Returns the identity that Fulcio is expected to name in the certificate: the e-mail address; for jobs of GitHub and
    /// GitLab the workflow; for Kubernetes the service account; else `sub`. Fulcio decides by its own configuration of the
    /// issuer, which may differ in a private instance.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Returns the subject that the proof of possession must sign (Fulcio, `CreateSigningCertificateRequest`,
    /// *proof_of_possession*): the e-mail address if there is one, else `sub`.
    pub fn proof_subject(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.subject)
    }

    /// Returns the expiration time (`exp`).
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Returns the remaining lifetime. It is negative if the token has expired.
    pub(super) fn left(&self, now: Timestamp) -> SignedDuration {
        self.expires.duration_since(now)
    }
}

/// Returns a text from outside in a form that is safe in an error message.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    printable(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::service::jwt;

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// Returns a valid token for an e-mail address, with these claims replaced. `null` removes a claim.
    fn token(overrides: &Value) -> Result<IdentityToken, InvalidToken> {
        let mut claims = json!({
            "iss": "https://accounts.google.com", "sub": "1234", "aud": "sigstore", "exp": NOW + 3600,
            "email": "signer@example.com", "email_verified": true,
        });
        for (name, value) in overrides.as_object().unwrap() {
            claims[name] = value.clone();
        }
        IdentityToken::parse(&jwt(&claims))
    }

    fn checked(overrides: &Value) -> Result<(), InvalidToken> {
        token(overrides).unwrap().check("sigstore", now())
    }

    #[test]
    fn a_token_exposes_its_claims_and_its_debug_output_hides_it() {
        let token = token(&json!({})).unwrap();
        assert_eq!(token.identity(), "signer@example.com");
        assert_eq!(token.proof_subject(), "signer@example.com");
        assert_eq!(token.issuer(), "https://accounts.google.com");
        assert_eq!(token.expires().as_second(), NOW + 3600);
        token.check("sigstore", now()).unwrap();
        assert!(!format!("{token:?}").contains(token.raw().reveal()));
    }

    #[test]
    fn the_certificate_identity_depends_on_the_issuer_and_the_proof_subject_does_not() {
        let github = "https://token.actions.githubusercontent.com";
        let workflow = "org/repo/.github/workflows/promote.yml@refs/heads/main";
        let cluster = json!({"namespace": "ci", "serviceaccount": {"name": "promoter", "uid": "1"}});
        for (claims, identity) in [
            (json!({"iss": github, "job_workflow_ref": workflow}), format!("https://github.com/{workflow}")),
            (
                json!({"iss": format!("{github}/org"), "job_workflow_ref": workflow}),
                format!("https://github.com/{workflow}"),
            ),
            (
                json!({"iss": "https://gitlab.com", "ci_config_ref_uri": "gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main"}),
                "https://gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main".to_owned(),
            ),
            (
                json!({"iss": "https://kubernetes.default.svc", "kubernetes.io": cluster}),
                "https://kubernetes.io/namespaces/ci/serviceaccounts/promoter".to_owned(),
            ),
            (json!({"iss": "https://spire.example"}), "spiffe://example/sa".to_owned()),
            // Resembles GitHub's issuer, but is another one.
            (json!({"iss": format!("{github}.evil.example")}), "spiffe://example/sa".to_owned()),
        ] {
            let mut claims = claims;
            claims["sub"] = json!("spiffe://example/sa");
            claims["email"] = Value::Null;
            let token = token(&claims).unwrap();
            assert_eq!(token.identity(), identity);
            assert_eq!(token.proof_subject(), "spiffe://example/sa");
        }
        let lacking = token(&json!({"iss": github})).unwrap_err();
        assert_eq!(lacking, InvalidToken::Claim("job_workflow_ref"), "Fulcio would reject the token");
    }

    #[test]
    fn a_wrong_audience_is_reported_with_the_expected_one() {
        for (audience, named) in [
            (json!("https://gcr.io"), "`https://gcr.io`"),
            (json!(["a", "b"]), "`a`, `b`"),
            (json!([]), "(none)"),
        ] {
            let error = checked(&json!({"aud": audience})).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("audience `sigstore`"), "{error}");
        }
        checked(&json!({"aud": ["other", "sigstore"]})).unwrap();
        token(&json!({"aud": "private"})).unwrap().check("private", now()).unwrap();
    }

    #[test]
    fn a_token_must_be_valid_for_another_minute() {
        for (left, good) in [(60, true), (59, false), (0, false), (-1, false), (i64::from(i32::MIN), false)] {
            let checked = checked(&json!({"exp": NOW + left, "iat": NOW - 3600}));
            assert_eq!(checked.is_ok(), good, "{left}");
            if let Err(error) = checked {
                let word = if left > 0 { "it expires at" } else { "it expired at" };
                let error = error.to_string();
                assert!(error.contains(word) && error.contains("get a new token"), "{error}");
                assert!(error.contains("issued at 2027-01-15T07:00:00Z"), "{error}");
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "the value fits in the 52 bits of the mantissa")]
        let fraction = NOW as f64 + 60.5;
        checked(&json!({"exp": fraction})).unwrap();
    }

    #[test]
    fn clocks_may_differ_slightly() {
        checked(&json!({"nbf": NOW + 300})).unwrap();
        let error = checked(&json!({"nbf": NOW + 301})).unwrap_err();
        assert!(error.to_string().contains("correct the clock"), "{error}");
    }

    #[test]
    fn an_unverified_email_address_is_rejected() {
        for verified in [json!(false), json!("false"), json!(1), Value::Null] {
            let error = checked(&json!({"email_verified": verified})).unwrap_err().to_string();
            assert!(error.contains("signer@example.com") && error.contains("accounts.google.com"), "{error}");
        }
        checked(&json!({"email_verified": "true"})).unwrap();
        checked(&json!({"email_verified": false, "email": null})).unwrap();
    }

    #[test]
    fn a_token_of_another_account_is_rejected() {
        let token = token(&json!({})).unwrap();
        token.expect("signer@example.com").unwrap();
        for other in ["signer@example.co", "Signer@example.com", "1234", ""] {
            let error = token.expect(other).unwrap_err().to_string();
            assert!(
                error.contains("`signer@example.com`") && error.contains(&format!("`{other}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn missing_and_malformed_claims_are_named() {
        for (name, odd) in [
            ("iss", json!(1)),
            ("iss", json!("")),
            ("sub", json!(null)),
            ("aud", json!(null)),
            ("aud", json!([1])),
            ("exp", json!("soon")),
            ("exp", json!(null)),
            ("exp", json!(1e300)),
            ("iat", json!(i64::MAX)),
            ("email", json!(["a@b.c"])),
        ] {
            assert_eq!(token(&json!({ name: odd })).unwrap_err(), InvalidToken::Claim(name), "{odd}");
        }
    }

    #[test]
    fn malformed_tokens_are_rejected_and_not_quoted() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let good = token(&json!({})).unwrap().raw().reveal().to_owned();
        for bad in [
            String::new(),
            "hush".to_owned(),
            "ya29.hush".to_owned(),
            "hush.hush.hush".to_owned(),
            good.rsplit_once('.').unwrap().0.to_owned(),
            format!("{}.", good.rsplit_once('.').unwrap().0),
            format!("{}.{}.hush", part("[]"), part("{}")),
            format!("{}.{}.hush", part("{}"), part("hush")),
            format!("{}.{}.hush", part("{}"), part(&"[".repeat(10_000))),
            format!("{good}.hush"),
            good.replace('.', "=."),
            format!("{good}{}", "A".repeat(TOKEN_MAX)),
        ] {
            let error = IdentityToken::parse(&bad).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        IdentityToken::parse(&format!("\n {good}\r\n")).unwrap();
    }

    #[test]
    fn claims_in_errors_are_short_and_without_control_characters() {
        let token = token(&json!({"email": format!("\u{1b}[2J{}", "x".repeat(1000))})).unwrap();
        let error = token.expect("a@b.c").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && error.len() < 500, "{error}");
    }
}
