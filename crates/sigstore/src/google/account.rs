//! Access tokens of a service account that the caller may impersonate.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use transport::{Door, Secret};
use url::Url;

use super::MARGIN;
use super::impersonation::impersonate;
use super::token::Token;
use crate::identity::answer::Failure;
use crate::identity::{AccessError, AccessTokens};

/// The lifetime of the tokens, in seconds: the longest that needs no permission of its own.
const LIFE: u32 = 3_600;

/// Access tokens of a service account, by the caller's own tokens (IAM Service Account Credentials API v1,
/// *generateAccessToken*). A token is kept while it is valid.
pub struct AccountTokens {
    door: Door,
    caller: Arc<dyn AccessTokens>,
    /// The scheme and the host of Google's IAM Credentials API.
    iam_credentials: String,
    account: String,
    kept: Mutex<Option<(Secret, Instant)>>,
}

impl fmt::Debug for AccountTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountTokens").field("account", &self.account).finish_non_exhaustive()
    }
}

impl AccountTokens {
    /// Creates it. Nothing is asked yet.
    pub fn new(door: Door, caller: Arc<dyn AccessTokens>, iam_credentials: String, account: String) -> Self {
        Self { door, caller, iam_credentials, account, kept: Mutex::default() }
    }

    async fn kept_token(&self) -> Result<Option<Secret>, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some((token, renew_at)) = &*kept
            && Instant::now() < *renew_at
        {
            return Ok(Some(token.clone()));
        }
        let caller = self.caller.try_access_token().await;
        let caller = caller.map_err(|AccessError { why, is_temporary }| Failure { why, is_temporary })?;
        let Some(secret) = caller else { return Ok(None) };
        let mut url: Url =
            self.iam_credentials.parse().map_err(|_| format!("{} is not a URL", self.iam_credentials))?;
        let resource = format!("{}:generateAccessToken", self.account);
        // The account is one segment of the path, whatever is in it.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "projects", "-", "serviceAccounts", &resource]);
        }
        let source = Token { secret, life: MARGIN };
        let token = impersonate(&self.door, url, &source, &[], LIFE).await;
        let Token { secret, life } =
            token.map_err(|failure| failure.about(&format!("acting as {}", self.account)))?;
        *kept = Some((secret.clone(), Instant::now() + life.saturating_sub(MARGIN).max(life / 2)));
        Ok(Some(secret))
    }
}

impl AccessTokens for AccountTokens {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(async { self.kept_token().await.map_err(|failure| failure.why) })
    }

    fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
        Box::pin(async {
            let kept = self.kept_token().await;
            kept.map_err(|Failure { why, is_temporary }| AccessError { why, is_temporary })
        })
    }
}
