//! Tokens for Google Cloud Storage: those of the caller, or those of a service account.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use files::GoogleTokens;
use futures_util::future::BoxFuture;
use sigstore::{AccessTokens, AccountTokens};
use tokio::process::Command;
use tokio::sync::Mutex;
use transport::{Door, Secret};

/// The time limit of gcloud.
const GCLOUD_TIME: Duration = Duration::from_secs(60);
/// How long a token of gcloud is reused. It is valid for up to an hour, and gcloud may have cached it.
const GCLOUD_LIFE: Duration = Duration::from_secs(300);
/// The maximum length of a token, in bytes.
const TOKEN_MAX: usize = 16 * 1024;

/// The tokens for a store.
pub(crate) struct StorageTokens {
    tokens: Arc<dyn AccessTokens>,
    /// The account to impersonate, and gcloud as a fallback. `None` for the caller's own tokens.
    gcloud: Option<Gcloud>,
}

struct Gcloud {
    /// `None` for gcloud's active account.
    account: Option<String>,
    /// The search path of programs.
    path: Option<OsString>,
    kept: Mutex<Option<(Secret, Instant)>>,
}

impl fmt::Debug for StorageTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageTokens")
            .field("account", &self.gcloud.as_ref().and_then(|gcloud| gcloud.account.as_ref()))
            .finish_non_exhaustive()
    }
}

impl StorageTokens {
    /// The caller's own tokens.
    pub(crate) fn of_caller(caller: Arc<dyn AccessTokens>) -> Self {
        Self { tokens: caller, gcloud: None }
    }

    /// The caller's own tokens, which are required: from Google's default credentials, or else from gcloud.
    pub(crate) fn of_caller_or_gcloud(caller: Arc<dyn AccessTokens>, path: Option<OsString>) -> Self {
        Self { tokens: caller, gcloud: Some(Gcloud { account: None, path, kept: Mutex::default() }) }
    }

    /// The tokens of a service account: impersonated with Google's default credentials, or else from gcloud.
    pub(crate) fn of_account(
        door: Door,
        caller: Arc<dyn AccessTokens>,
        iam_credentials: &str,
        account: &str,
        path: Option<OsString>,
    ) -> Self {
        let tokens = AccountTokens::new(door, caller, iam_credentials.to_owned(), account.to_owned());
        let gcloud = Gcloud { account: Some(account.to_owned()), path, kept: Mutex::default() };
        Self { tokens: Arc::new(tokens), gcloud: Some(gcloud) }
    }
}

impl GoogleTokens for StorageTokens {
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(async move {
            let found = self.tokens.access_token().await;
            let Some(gcloud) = &self.gcloud else { return found };
            let why = match found {
                Ok(Some(token)) => return Ok(Some(token)),
                Ok(None) => match &gcloud.account {
                    Some(account) => format!("no credentials can impersonate {account}"),
                    None => "there are no credentials for Google Cloud".to_owned(),
                },
                Err(why) => why,
            };
            match gcloud.token().await {
                Ok(token) => Ok(Some(token)),
                Err(other) => Err(format!("{why}; and gcloud: {other}")),
            }
        })
    }
}

impl Gcloud {
    async fn token(&self) -> Result<Secret, String> {
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let token = self.ask().await?;
        *kept = Some((token.clone(), Instant::now() + GCLOUD_LIFE));
        Ok(token)
    }

    async fn ask(&self) -> Result<Secret, String> {
        let program = find(self.path.as_ref()).ok_or("it is not on the PATH")?;
        let mut command = Command::new(program);
        command
            .args(["auth", "print-access-token"])
            .args(self.account.as_ref().map(|account| format!("--account={account}")))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let answered = tokio::time::timeout(GCLOUD_TIME, command.output()).await;
        let output = answered.map_err(|_| format!("no answer within {} s", GCLOUD_TIME.as_secs()))?;
        let output = output.map_err(|error| format!("cannot be run: {error}"))?;
        // The output may contain anything, so the error contains only the status.
        let token = String::from_utf8(output.stdout).unwrap_or_default();
        let token = token.trim();
        let is_token =
            !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(|c| c.is_ascii_graphic());
        match output.status.success() {
            true if is_token => Ok(Secret::new(token)),
            true => Err("it printed no token".to_owned()),
            false => Err(format!("it failed: {}", output.status)),
        }
    }
}

fn find(path: Option<&OsString>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|directory| directory.join("gcloud")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sigstore::AccessError;

    use super::*;

    /// The caller's tokens.
    struct Caller(Result<Option<&'static str>, &'static str>);

    impl AccessTokens for Caller {
        fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
            let token = self.0.map(|token| token.map(Secret::new)).map_err(str::to_owned);
            Box::pin(async { token })
        }

        fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
            let token = self.0.map(|token| token.map(Secret::new));
            let token = token.map_err(|why| AccessError { why: why.to_owned(), is_temporary: false });
            Box::pin(async { token })
        }
    }

    /// Returns a directory with a gcloud that does what a script says.
    fn gcloud(script: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        testkit::write_script(&directory.path().join("gcloud"), script);
        directory
    }

    fn tokens(caller: Caller, path: Option<&tempfile::TempDir>) -> StorageTokens {
        let door = Door::open(transport::Settings::default()).unwrap();
        let path = path.map(|directory| directory.path().into());
        // Nothing answers there.
        StorageTokens::of_account(door, Arc::new(caller), "http://127.0.0.1:1", "p@x.iam", path)
    }

    #[tokio::test]
    async fn without_default_credentials_gcloud_is_asked_for_the_account_once() {
        let directory = gcloud(r#"echo "$@" >> "$(dirname "$0")/asked"; echo token-of-gcloud"#);
        let tokens = tokens(Caller(Ok(None)), Some(&directory));
        for _ in 0..2 {
            assert_eq!(tokens.token().await.unwrap().unwrap().reveal(), "token-of-gcloud");
        }
        let asked = fs::read_to_string(directory.path().join("asked")).unwrap();
        assert_eq!(asked, "auth print-access-token --account=p@x.iam\n");
    }

    #[tokio::test]
    async fn an_account_that_no_one_can_act_as_is_never_replaced_by_someone_else() {
        let failing = gcloud("echo hush; exit 3");
        for (caller, directory, expected) in [
            (
                Caller(Ok(None)),
                None,
                "no credentials can impersonate p@x.iam; and gcloud: it is not on the PATH",
            ),
            (Caller(Ok(None)), Some(&failing), "and gcloud: it failed: exit status: 3"),
            (Caller(Err("the file is broken")), None, "the file is broken; and gcloud"),
        ] {
            let error = tokens(caller, directory).token().await.unwrap_err();
            assert!(error.contains(expected) && !error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn the_account_of_gcloud_is_the_caller_s_where_nothing_else_is() {
        let directory = gcloud(r#"echo "$@" >> "$(dirname "$0")/asked"; echo token-of-gcloud"#);
        let own = |caller, directory: Option<&tempfile::TempDir>| {
            StorageTokens::of_caller_or_gcloud(
                Arc::new(Caller(caller)),
                directory.map(|directory| directory.path().into()),
            )
        };
        assert_eq!(own(Ok(Some("own")), Some(&directory)).token().await.unwrap().unwrap().reveal(), "own");
        assert!(!directory.path().join("asked").exists(), "gcloud is not asked");
        assert_eq!(
            own(Ok(None), Some(&directory)).token().await.unwrap().unwrap().reveal(),
            "token-of-gcloud"
        );
        assert_eq!(fs::read_to_string(directory.path().join("asked")).unwrap(), "auth print-access-token\n");
        let error = own(Ok(None), None).token().await.unwrap_err();
        assert!(
            error.contains("no credentials for Google Cloud; and gcloud: it is not on the PATH"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_caller_s_own_tokens_need_no_gcloud_and_may_be_absent() {
        let own = |caller| StorageTokens::of_caller(Arc::new(Caller(caller)));
        assert_eq!(own(Ok(Some("own"))).token().await.unwrap().unwrap().reveal(), "own");
        assert!(own(Ok(None)).token().await.unwrap().is_none());
        assert!(own(Err("broken")).token().await.is_err());
    }
}
