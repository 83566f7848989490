//! Google: access tokens by *Application Default Credentials* (AIP-4110), and the metadata server.
//!
//! The requests are few and simple and must go through the HTTP door, so this crate sends them itself.

mod account;
mod federation;
mod file;
mod impersonation;
mod metadata;
#[cfg(test)]
mod tests;
mod token;
mod urls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use account::AccountTokens;
use file::File;
use futures_util::future::BoxFuture;
#[cfg(test)]
pub(crate) use metadata::Times;
pub(crate) use metadata::{Metadata, MetadataAnswer};
use token::Token;
use tokio::sync::Mutex;
use transport::{Door, FAILURE_LIFE, Secret};

use crate::identity::answer::Failure;
use crate::identity::{AccessError, AccessTokens};

/// Tokens are renewed this long before they expire.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a temporary failure is remembered, instead of `FAILURE_LIFE`. Signers retry these.
const TEMPORARY_FAILURE_LIFE: Duration = Duration::from_secs(5);
/// The name of the second source of credentials, for error messages.
const METADATA_SERVER: &str = "the metadata server";

/// Where to look for Google credentials. The binary provides these values: nothing in this crate reads the environment.
#[derive(Clone, Debug, Default)]
pub struct GooglePlaces {
    /// The file that may contain credentials: `GOOGLE_APPLICATION_CREDENTIALS`, or gcloud's well-known file.
    pub file: Option<PathBuf>,
    /// Whether the user named the file. A named file must exist.
    pub is_file_named: bool,
    /// The host, and optionally the port, of the metadata server. Requests use plain HTTP, which the door's settings must allow.
    /// `None` if the server must not be asked.
    pub metadata_host: Option<String>,
    /// Whether this process is known to run on Google Cloud. If so, requests are retried even if nothing listens at the address.
    pub is_at_google: bool,
}

/// Access tokens by Google's Application Default Credentials: from a file, or else from the metadata server. The first
/// request for a token obtains it, and it is kept while it is valid.
#[derive(Debug)]
pub struct GoogleCredentials {
    door: Door,
    places: GooglePlaces,
    metadata: Option<Metadata>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// This machine and this user have no Google credentials.
    Absent,
    Token {
        token: Secret,
        /// The source of the token, for error messages.
        origin: String,
        renew_at: Instant,
    },
    /// There are credentials, and they cannot be used.
    Failed { failure: Failure, retry_at: Instant },
}

impl State {
    fn failed(failure: &Failure) -> Self {
        let life = if failure.is_temporary { TEMPORARY_FAILURE_LIFE } else { FAILURE_LIFE };
        Self::Failed { failure: failure.clone(), retry_at: Instant::now() + life }
    }
}

/// Returns the name of the first source of credentials, for error messages.
fn of_file(path: &Path, note: &str) -> String {
    format!("application default credentials in {}{note}", path.display())
}

impl GoogleCredentials {
    /// Creates credentials without reading anything yet. Every request goes through `door`.
    pub fn new(places: GooglePlaces, door: Door) -> Self {
        let metadata = places
            .metadata_host
            .as_ref()
            .map(|host| Metadata::new(door.clone(), host.clone(), places.is_at_google));
        Self { door, places, metadata, state: Mutex::default() }
    }

    /// Describes the sources of credentials, for error messages.
    pub fn looked_in(&self) -> String {
        let note = |path: &Path| if path.exists() { "" } else { " (does not exist)" };
        let file = self.places.file.as_deref().map(|path| of_file(path, note(path)));
        let metadata = self.metadata.as_ref().map(|_| METADATA_SERVER.to_owned());
        file.into_iter().chain(metadata).collect::<Vec<_>>().join(" and ")
    }

    /// Returns an access token and its source. The token is valid for at least another minute, or for half its lifetime if that
    /// is shorter. Returns `None` if there are no credentials.
    ///
    /// # Errors
    /// Returns an error if there are credentials and they cannot be used. The text is meant for a person and contains no secret.
    pub async fn token(&self) -> Result<Option<(Secret, String)>, String> {
        self.kept_token().await.map_err(|failure| failure.why)
    }

    async fn kept_token(&self) -> Result<Option<(Secret, String)>, Failure> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Absent => return Ok(None),
            State::Token { token, origin, renew_at } if Instant::now() < *renew_at => {
                return Ok(Some((token.clone(), origin.clone())));
            }
            State::Failed { failure, retry_at } if Instant::now() < *retry_at => return Err(failure.clone()),
            State::Unknown | State::Token { .. } | State::Failed { .. } => {}
        }
        // Boxed because it is rare: callers' futures should not grow by its size.
        match Box::pin(self.new_token()).await {
            // There were credentials, so this is a fault: anonymous requests would be answered with less than the truth.
            Ok(None) if !matches!(*state, State::Unknown) => {
                let why = format!(
                    "there were credentials before, and there are no longer any in {}",
                    self.looked_in()
                );
                let failure = Failure { why, is_temporary: true };
                *state = State::failed(&failure);
                Err(failure)
            }
            Ok(None) => {
                *state = State::Absent;
                Ok(None)
            }
            Ok(Some((Token { secret, life }, origin))) => {
                let renew_at = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
                *state = State::Token { token: secret.clone(), origin: origin.clone(), renew_at };
                Ok(Some((secret, origin)))
            }
            Err(failure) => {
                *state = State::failed(&failure);
                Err(failure)
            }
        }
    }

    /// Obtains a new token: from the file, or else of the machine's service account.
    async fn new_token(&self) -> Result<Option<(Token, String)>, Failure> {
        if let Some(path) = &self.places.file {
            let in_file = |failure: Failure| failure.about(&path.display().to_string());
            match File::read(path).await? {
                Some(file) => {
                    let token = file.token(&self.door).await.map_err(in_file)?;
                    return Ok(Some((token, of_file(path, ""))));
                }
                None if self.places.is_file_named => return Err(in_file("there is no such file".into())),
                None => {}
            }
        }
        Ok(self.token_of_machine().await?.map(|token| (token, METADATA_SERVER.to_owned())))
    }

    /// Obtains a token of the machine's service account. Returns `None` if there is no metadata server.
    async fn token_of_machine(&self) -> Result<Option<Token>, Failure> {
        const PATH: &str = "instance/service-accounts/default/token";
        let Some(metadata) = &self.metadata else { return Ok(None) };
        let fail = |failure: Failure| failure.about("the metadata service of this machine");
        match metadata.ask(PATH, &[]).await.map_err(fail)? {
            MetadataAnswer::Body(body) => Token::of_answer(&body).map(Some).map_err(|why| fail(why.into())),
            MetadataAnswer::Absent | MetadataAnswer::NoService(_) => Ok(None),
        }
    }
}

impl AccessTokens for GoogleCredentials {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(async { Ok(self.token().await?.map(|(token, _)| token)) })
    }

    fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
        Box::pin(async {
            let kept = self.kept_token().await;
            let kept = kept.map_err(|Failure { why, is_temporary }| AccessError { why, is_temporary })?;
            Ok(kept.map(|(token, _)| token))
        })
    }
}
