//! Impersonation of service accounts.

use transport::Door;
use url::Url;

use super::token::{Token, impersonated};
use crate::identity::answer::Failure;

/// The advice if impersonation is not permitted.
const ACTING: &str = "check that the calling account has `roles/iam.serviceAccountTokenCreator` on it, \
 and that it exists and is enabled";

/// Requests a token of a service account with a token of an account that may impersonate it. The error for a refusal contains
/// advice.
pub(super) async fn impersonate(
    door: &Door,
    url: Url,
    source: &Token,
    delegates: &[String],
    seconds: u32,
) -> Result<Token, Failure> {
    impersonated(door, url, &source.secret, delegates, seconds)
        .await
        .map_err(|refused| refused.advised(ACTING))
}
