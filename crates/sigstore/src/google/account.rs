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

/// The requested lifetime of the tokens, in seconds: the longest that needs no additional permission.
const LIFE: u32 = 3_600;

/// Access tokens of a service account, obtained with the caller's own tokens (IAM Service Account Credentials API v1,
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
    /// Creates a source of tokens without sending a request yet.
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
        // The account is encoded as one segment of the path, whatever characters it contains.
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use transport::Settings;

    use super::*;
    use crate::identity::service::Service;

    struct Caller(Option<&'static str>);

    impl AccessTokens for Caller {
        fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
            Box::pin(async { Ok(self.0.map(Secret::new)) })
        }
    }

    fn tokens(service: &Service, caller: Option<&'static str>) -> AccountTokens {
        let (door, iam) = (Door::open(Settings::default()).unwrap(), format!("http://{}", service.address));
        AccountTokens::new(door, Arc::new(Caller(caller)), iam, "p/../x@y.iam".to_owned())
    }

    #[tokio::test]
    async fn a_token_of_the_account_is_requested_with_the_callers_token_and_kept() {
        let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
        let answer = json!({"accessToken": "of-the-account", "expireTime": expires}).to_string();
        let service = Service::start(vec![("200 OK", "", answer)]).await;
        let tokens = tokens(&service, Some("of-the-caller"));
        for _ in 0..2 {
            assert_eq!(tokens.access_token().await.unwrap().unwrap().reveal(), "of-the-account");
        }
        let requests = service.asked();
        assert_eq!(requests.len(), 1);
        let first = "POST /v1/projects/-/serviceAccounts/p%2F..%2Fx@y.iam:generateAccessToken HTTP/1.1";
        assert!(requests[0].starts_with(first), "the account is one path segment: {}", requests[0]);
        assert!(requests[0].contains("authorization: Bearer of-the-caller"), "{}", requests[0]);
    }

    #[tokio::test]
    async fn a_refusal_names_the_account_and_what_to_do() {
        let refusal = json!({"error": {"status": "PERMISSION_DENIED"}}).to_string();
        let service = Service::start(vec![("403 Forbidden", "", refusal)]).await;
        let error = tokens(&service, Some("of-the-caller")).access_token().await.unwrap_err();
        for part in ["acting as p/../x@y.iam", "PERMISSION_DENIED", "serviceAccountTokenCreator"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[tokio::test]
    async fn without_credentials_of_the_caller_no_request_is_sent() {
        let service = Service::start(Vec::new()).await;
        assert!(tokens(&service, None).access_token().await.unwrap().is_none());
        assert!(service.asked().is_empty());
    }
}
