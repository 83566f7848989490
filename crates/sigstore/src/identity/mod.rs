//! Identities of signers: the sources of ID tokens, and the checks before a token is used (`docs/design/identity.md`).

pub(crate) mod answer;
mod claims;
mod error;
mod found;
mod github;
mod google;
mod invalid_token;
mod local;
#[cfg(test)]
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Instant;

use answer::Failure;
pub use error::{IdentityError, TokenSource};
use found::Found;
pub use google::{AccessError, AccessTokens};
pub use invalid_token::InvalidToken;
use jiff::{SignedDuration, Timestamp};
pub use local::Given;
pub(crate) use local::file as read_file;
pub use token::IdentityToken;
use tokio::sync::Mutex;
use transport::{Door, FAILURE_LIFE, Secret};

use crate::google::Metadata;

/// The path at which cosign looks for a token that a platform projects.
pub const PROJECTED_TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";
/// The audience of tokens, unless an instance of Sigstore requires another one.
pub const AUDIENCE: &str = "sigstore";
/// The service that issues tokens of Google service accounts.
pub const IAM_CREDENTIALS: &str = "https://iamcredentials.googleapis.com";

/// A token is reused if its remaining lifetime is longer than this.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// The sources of tokens. The binary provides these values: nothing in this crate reads the environment. Sources that are `None`
/// are not asked.
pub struct Sources {
    /// The required audience of tokens.
    pub audience: String,
    /// The required identity (`--signer-account`): an e-mail address, or the identity that certificates name. For a Google
    /// service account, Google is asked to impersonate it.
    pub account: Option<String>,
    /// The location of the token that the user provides (`--identity-token`).
    pub given: Option<Given>,
    /// The token itself (`SIGSTORE_ID_TOKEN`).
    pub value: Option<Secret>,
    /// The URL at which GitHub Actions issues tokens (`ACTIONS_ID_TOKEN_REQUEST_URL`).
    pub github_url: Option<String>,
    /// The token that authorizes these requests (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`).
    pub github_token: Option<Secret>,
    /// Google access tokens of the caller.
    pub access_tokens: Option<Arc<dyn AccessTokens>>,
    /// The scheme and the host of Google's IAM Credentials API.
    pub iam_credentials: String,
    /// The host, and optionally the port, of Google's metadata server. Requests use plain HTTP, which the door's settings must
    /// allow.
    pub metadata_host: Option<String>,
    /// Whether this process is known to run on Google Cloud. If so, requests are retried even if nothing listens at the address,
    /// which can be the case when a machine has just started.
    pub is_at_google: bool,
    /// The file that a platform projects a token into and renews ([`PROJECTED_TOKEN`]). It need not exist.
    pub projected: Option<PathBuf>,
}

impl Default for Sources {
    /// No sources, and the public hosts and audience.
    fn default() -> Self {
        Self {
            audience: AUDIENCE.to_owned(),
            account: None,
            given: None,
            value: None,
            github_url: None,
            github_token: None,
            access_tokens: None,
            iam_credentials: IAM_CREDENTIALS.to_owned(),
            metadata_host: None,
            is_at_google: false,
            projected: None,
        }
    }
}

/// An identity that can sign. All its tokens are of this identity for as long as the run lasts.
pub struct Identity {
    door: Door,
    sources: Sources,
    metadata: Option<Metadata>,
    state: Mutex<State>,
    /// The last failure, and until when it is returned again.
    failed: SyncMutex<Option<(IdentityError, Instant)>>,
}

/// The state of token requests. Callers that wait for its lock get the same token.
#[derive(Default)]
struct State {
    given: Option<Given>,
    /// The source and the identity of the first token. Later tokens must match it.
    signer: Option<Signer>,
    kept: Option<IdentityToken>,
}

/// The source that applies, and the identity of its first token.
struct Signer {
    from: TokenSource,
    identity: String,
    issuer: String,
}

impl Signer {
    fn of(token: &IdentityToken, from: TokenSource) -> Self {
        Self { from, identity: token.identity().to_owned(), issuer: token.issuer().to_owned() }
    }

    fn is_of(&self, token: &IdentityToken) -> bool {
        (self.identity.as_str(), self.issuer.as_str()) == (token.identity(), token.issuer())
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", token::shown(&self.identity), token::shown(&self.issuer))
    }
}

impl Identity {
    /// Creates an identity without asking any source yet. Every request goes through `door`.
    pub fn new(mut sources: Sources, door: Door) -> Self {
        let given = sources.given.take();
        let metadata = sources
            .metadata_host
            .as_ref()
            .map(|host| Metadata::new(door.clone(), host.clone(), sources.is_at_google));
        let state = Mutex::new(State { given, ..State::default() });
        Self { door, sources, metadata, state, failed: SyncMutex::default() }
    }

    /// Forgets the last failure, so that the next request for a token asks the sources again.
    pub(crate) fn try_again(&self) {
        *self.failed() = None;
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(IdentityError, Instant)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a token for the required audience and account that is valid for at least another minute. Every token is from the
    /// same source and of the same identity as the previous one. A permanent failure is returned again for a minute, a temporary
    /// one ([`IdentityError::is_temporary`]) is not.
    ///
    /// # Errors
    /// Returns an error if no source applies, or if the first source that applies returns no token or one that cannot be used.
    pub async fn token(&self) -> Result<IdentityToken, IdentityError> {
        let mut state = self.state.lock().await;
        match &state.kept {
            Some(token) if token.left(Timestamp::now()) > FRESH => return Ok(token.clone()),
            _ => {}
        }
        match &*self.failed() {
            Some((error, until)) if Instant::now() < *until => return Err(error.clone()),
            _ => {}
        }
        // Boxed because it is rare: callers' futures should not grow by its size.
        let renewed = Box::pin(self.renew(&mut state)).await;
        if let Err(error) = &renewed
            && !error.is_temporary()
        {
            *self.failed() = Some((error.clone(), Instant::now() + FAILURE_LIFE));
        }
        renewed
    }

    async fn renew(&self, state: &mut State) -> Result<IdentityToken, IdentityError> {
        let (from, text) = match &state.signer {
            Some(signer) => self.again(signer.from, &mut state.given).await?,
            None => self.first(&mut state.given).await?,
        };
        let token = self.checked(&text).map_err(|why| IdentityError::Unusable { from, why })?;
        match &state.signer {
            Some(signer) if !signer.is_of(&token) => {
                let (before, now) = (signer.to_string(), Signer::of(&token, from).to_string());
                return Err(IdentityError::Changed { from, before, now });
            }
            Some(_) => {}
            None => {
                let signer = Signer::of(&token, from);
                tracing::info!("signing as {signer}, with tokens from {from}");
                state.signer = Some(signer);
            }
        }
        state.kept = from.is_remote().then(|| token.clone());
        Ok(token)
    }

    /// Returns the token of the first source that applies.
    async fn first(&self, given: &mut Option<Given>) -> Result<(TokenSource, Secret), IdentityError> {
        let mut asked = Vec::new();
        for from in TokenSource::ALL {
            match self.ask(from, given).await {
                Ok(Found::Token(text)) => return Ok((from, text)),
                Ok(Found::Nothing(why) | Found::NoService(why)) => asked.push((from, why)),
                Err(failure) => return Err(IdentityError::of(from, failure)),
            }
        }
        Err(IdentityError::NoSource { asked })
    }

    /// Returns another token of a source that has returned one before.
    async fn again(
        &self,
        from: TokenSource,
        given: &mut Option<Given>,
    ) -> Result<(TokenSource, Secret), IdentityError> {
        match self.ask(from, given).await {
            Ok(Found::Token(text)) => Ok((from, text)),
            Ok(Found::Nothing(why)) => Err(IdentityError::Unavailable { from, why }),
            // The service has answered before, so this failure is temporary.
            Ok(Found::NoService(why)) => Err(IdentityError::TemporarilyUnavailable { from, why }),
            Err(failure) => Err(IdentityError::of(from, failure)),
        }
    }

    async fn ask(&self, from: TokenSource, given: &mut Option<Given>) -> Result<Found, Failure> {
        let sources = &self.sources;
        match (from, given) {
            (TokenSource::Given, Some(given)) => Ok(given.read().await.map(Found::Token)?),
            (TokenSource::Given, None) => Ok(None.into()),
            (TokenSource::Value, _) => Ok(sources.value.clone().into()),
            (TokenSource::GitHub, _) => self.of_github().await,
            (TokenSource::GoogleAccount, _) => self.of_account().await,
            (TokenSource::GoogleMachine, _) => self.of_machine().await,
            (TokenSource::Projected, _) => self.of_platform().await,
        }
    }

    async fn of_github(&self) -> Result<Found, Failure> {
        let Some(url) = &self.sources.github_url else {
            let why = format!("ACTIONS_ID_TOKEN_REQUEST_URL is not set (there, {})", github::PERMISSION);
            return Ok(Found::Nothing(why));
        };
        // The tokens of this source are of workflows, which are not accounts.
        if self.sources.account.as_deref().is_some_and(google::may_be_account) {
            return Ok(Found::Nothing("it does not issue tokens for e-mail addresses".to_owned()));
        }
        let proof = self.sources.github_token.as_ref();
        github::token(&self.door, url, proof, &self.sources.audience).await.map(Found::Token)
    }

    async fn of_account(&self) -> Result<Found, Failure> {
        let Sources { account, access_tokens, iam_credentials, audience, .. } = &self.sources;
        let nothing = |why: &str| Ok(Found::Nothing(why.to_owned()));
        let Some(account) = account else { return nothing("`--signer-account` is not given") };
        if !google::may_be_account(account) {
            return nothing("`--signer-account` is not an account of Google's");
        }
        let access = match access_tokens {
            Some(tokens) => {
                let failed = |AccessError { why, is_temporary }| Failure { why, is_temporary };
                tokens.try_access_token().await.map_err(failed)?
            }
            None => None,
        };
        match access {
            Some(access) => google::impersonate(&self.door, iam_credentials, &access, account, audience)
                .await
                .map(Found::Token),
            None => nothing(
                "there are neither application default credentials (`gcloud auth application-default login`) nor a \
                 metadata service",
            ),
        }
    }

    async fn of_machine(&self) -> Result<Found, Failure> {
        match (&self.sources.account, &self.metadata) {
            // The machine's service account would be another one, or one that has to be impersonated.
            (Some(_), _) => Ok(Found::Nothing("another account is requested".to_owned())),
            (None, Some(metadata)) => google::of_machine(metadata, &self.sources.audience).await,
            (None, None) => Ok(Found::Nothing("not asked".to_owned())),
        }
    }

    async fn of_platform(&self) -> Result<Found, Failure> {
        let Some(path) = &self.sources.projected else { return Ok(None.into()) };
        let nothing = || Found::Nothing(format!("there is no {}", path.display()));
        Ok(local::file(path).await?.map_or_else(nothing, Found::Token))
    }

    /// Reads the token in a text and checks that it can be used now.
    fn checked(&self, text: &Secret) -> Result<IdentityToken, InvalidToken> {
        let token = IdentityToken::parse(text.reveal())?;
        token.check(&self.sources.audience, Timestamp::now())?;
        if let Some(account) = &self.sources.account {
            token.expect(account)?;
        }
        Ok(token)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("account", &self.sources.account).finish_non_exhaustive()
    }
}
