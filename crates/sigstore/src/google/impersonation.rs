//! Service accounts that another account acts as.

use transport::Door;
use url::Url;

use super::token::{Token, impersonated};
use crate::identity::answer::Failure;

/// The advice for an account that may not be acted as.
const ACTING: &str = "see that whoever runs this has `roles/iam.serviceAccountTokenCreator` on the account, and that it exists \
                      and is enabled";

/// Asks for a token of a service account with a token of an account that may act as it. A refusal comes with advice.
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
