//! Google: access tokens of whoever runs us, by *application default credentials* (AIP-4110), and the metadata service.
//!
//! The requests are few and simple, and have to go through the one HTTP door, so they are made here.

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
/// How long a temporary failure is remembered, which signers retry; others for `FAILURE_LIFE`.
const TEMPORARY_FAILURE_LIFE: Duration = Duration::from_secs(5);
/// What the second place of credentials is called.
const METADATA_SERVER: &str = "the metadata server";

/// Where Google's credentials may be, as the binary finds it; nothing here reads the environment.
#[derive(Clone, Debug, Default)]
pub struct GooglePlaces {
    /// The file that may hold credentials: `GOOGLE_APPLICATION_CREDENTIALS`, or gcloud's well-known file.
    pub file: Option<PathBuf>,
    /// Whether somebody has named the file, so that it must exist.
    pub is_file_named: bool,
    /// Host, and port where it is another, of the metadata service. It is spoken with in plain HTTP, which the door's settings
    /// have to allow. `None`: it is not asked.
    pub metadata_host: Option<String>,
    /// Whether we are known to run at Google: the metadata service is then waited for even where nothing listens at its address.
    pub is_at_google: bool,
}

/// Access tokens by Google's application default credentials: of a file, else of the machine's own account. They are got when
/// they are first needed and kept while they are good.
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
    /// This machine and this user have no credentials of Google.
    Absent,
    Token {
        token: Secret,
        /// Where it comes from, for error messages.
        origin: String,
        renew_at: Instant,
    },
    /// There are credentials, and they could not be used.
    Failed { failure: Failure, retry_at: Instant },
}

/// What the first place of credentials is called.
fn of_file(path: &Path, note: &str) -> String {
    format!("application default credentials in {}{note}", path.display())
}

impl GoogleCredentials {
    /// Credentials that have been read nowhere yet. Every request goes through `door`.
    pub fn new(places: GooglePlaces, door: Door) -> Self {
        let metadata = places
            .metadata_host
            .as_ref()
            .map(|host| Metadata::new(door.clone(), host.clone(), places.is_at_google));
        Self { door, places, metadata, state: Mutex::default() }
    }

    /// Where credentials are looked for, for error messages.
    pub fn looked_in(&self) -> String {
        let note = |path: &Path| if path.exists() { "" } else { " (does not exist)" };
        let file = self.places.file.as_deref().map(|path| of_file(path, note(path)));
        let metadata = self.metadata.as_ref().map(|_| METADATA_SERVER.to_owned());
        file.into_iter().chain(metadata).collect::<Vec<_>>().join(" and ")
    }

    /// An access token that is good for another minute, and where it comes from; `None` where there are no credentials.
    ///
    /// # Errors
    /// When there are credentials, and they cannot be used. The text is for a person, and holds no secret.
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
        // Boxed, because it is rare: no caller should have room for it.
        match Box::pin(self.new_token()).await {
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
                let life = if failure.is_temporary { TEMPORARY_FAILURE_LIFE } else { FAILURE_LIFE };
                *state = State::Failed { failure: failure.clone(), retry_at: Instant::now() + life };
                Err(failure)
            }
        }
    }

    /// A new token, the file's or else the machine's.
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

    /// The token of the machine's own account; `None` where there is no metadata service.
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
