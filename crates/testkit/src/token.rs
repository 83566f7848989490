//! Identity tokens that a test requests from an issuer.

use std::fmt::Write as _;

use crate::issuer::Issuer;

/// The content of an identity token. The defaults are what Fulcio requires: the audience `sigstore`, and a validity of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    issuer: Issuer,
    claims: Vec<(String, String)>,
}

impl TokenRequest {
    /// Requests a token of [`Issuer::Usual`] with a verified e-mail address.
    pub fn email(address: &str) -> Self {
        Self { issuer: Issuer::Usual, claims: Vec::new() }.claim("email", address)
    }

    /// Requests a token of [`Issuer::Workload`] for the workload at this path in the trust domain `kpromo.test`.
    pub fn workload(path: &str) -> Self {
        let name = format!("spiffe://kpromo.test/{path}");
        Self { issuer: Issuer::Workload, claims: Vec::new() }.claim("sub", &name)
    }

    /// Requests a token of [`Issuer::Workflow`] for a run of `.github/workflows/{file}` in `repository` (`owner/name`) at
    /// `git_ref` (`refs/tags/v1`). Fulcio certifies it as
    /// `https://github.com/{repository}/.github/workflows/{file}@{git_ref}`.
    pub fn workflow(repository: &str, file: &str, git_ref: &str) -> Self {
        let owner = repository.split('/').next().unwrap_or_default();
        let workflow = format!("{repository}/.github/workflows/{file}@{git_ref}");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        [
            ("sub", format!("repo:{repository}:ref:{git_ref}").as_str()),
            ("repository", repository),
            ("repository_id", "1"),
            ("repository_owner", owner),
            ("repository_owner_id", "2"),
            ("repository_visibility", "public"),
            ("workflow", file),
            ("workflow_ref", &workflow),
            ("workflow_sha", commit),
            ("job_workflow_ref", &workflow),
            ("job_workflow_sha", commit),
            ("ref", git_ref),
            ("sha", commit),
            ("event_name", "push"),
            ("runner_environment", "github-hosted"),
            ("run_id", "3"),
            ("run_attempt", "1"),
        ]
        .into_iter()
        .fold(Self { issuer: Issuer::Workflow, claims: Vec::new() }, |request, (name, value)| {
            request.claim(name, value)
        })
    }

    /// Sets the issuer.
    #[must_use]
    pub fn by(self, issuer: Issuer) -> Self {
        Self { issuer, ..self }
    }

    /// Sets the audience.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    /// Sets the time to expiry, in seconds. With a negative number, the token has expired that long ago.
    #[must_use]
    pub fn expires_in(self, seconds: i32) -> Self {
        self.claim("exp", &seconds.to_string())
    }

    /// Marks the e-mail address as not verified.
    #[must_use]
    pub fn unverified(self) -> Self {
        self.claim("email_verified", "false")
    }

    /// Sets a claim to this text.
    #[must_use]
    pub fn claim(mut self, name: &str, value: &str) -> Self {
        self.claims.retain(|(set, _)| set != name);
        self.claims.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the issuer to request the token from.
    pub(crate) fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// Returns the claims as the query of a URL, in the form that the token endpoints of
    /// [`Sigstore::issuer`](crate::Sigstore::issuer) accept.
    pub fn query(&self) -> String {
        let pairs = self.claims.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Percent-encodes a text for a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_sent_in_the_query_and_the_last_value_of_a_name_wins() {
        let request = TokenRequest::email("a+b@c").expires_in(60).expires_in(-5).unverified();
        assert_eq!(request.query(), "email=a%2Bb%40c&exp=%2D5&email%5Fverified=false");
        assert_eq!(request.by(Issuer::Other).issuer(), Issuer::Other);
    }
}
