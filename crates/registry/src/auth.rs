//! Authentication and authorization: Basic credentials, or bearer tokens from the server's own token endpoint.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use oci::{Digest, RepositoryPath};
use serde::Serialize;
use tokio::time::Instant;

use crate::accounts::{Access, Account, Authentication, Tokens};
use crate::error::{ErrorCode, Refusal};

/// The maximum number of tokens that are valid at once.
const TOKENS_MAX: usize = 100_000;
/// The maximum number of scopes in one token request.
const SCOPES_MAX: usize = 100;

/// The action of a request in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Pull,
    Push,
    Delete,
}

/// A set of actions in one repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Actions {
    pull: bool,
    push: bool,
    delete: bool,
}

impl Actions {
    const ALL: Self = Self { pull: true, push: true, delete: true };
    const PULL: Self = Self { pull: true, push: false, delete: false };

    fn parse(text: &str) -> Self {
        text.split(',').fold(Self::default(), |actions, word| match word {
            "pull" => Self { pull: true, ..actions },
            "push" => Self { push: true, ..actions },
            "delete" => Self { delete: true, ..actions },
            "*" => Self::ALL,
            _ => actions,
        })
    }

    fn include(self, action: Action) -> bool {
        match action {
            Action::Pull => self.pull,
            Action::Push => self.push,
            Action::Delete => self.delete,
        }
    }

    fn intersect(self, other: Self) -> Self {
        Self {
            pull: self.pull && other.pull,
            push: self.push && other.push,
            delete: self.delete && other.delete,
        }
    }

    fn unite(self, other: Self) -> Self {
        Self {
            pull: self.pull || other.pull,
            push: self.push || other.push,
            delete: self.delete || other.delete,
        }
    }
}

impl From<Access> for Actions {
    fn from(access: Access) -> Self {
        match access {
            Access::Pull => Self::PULL,
            Access::Full => Self::ALL,
        }
    }
}

/// A permission that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To use the API root.
    Ping,
    /// To list all repositories.
    Catalog,
    /// To perform an action in a repository.
    Repository(RepositoryPath, Action),
}

impl Need {
    /// Returns the repository, if the permission is for one.
    pub(crate) fn repository(&self) -> Option<&str> {
        match self {
            Self::Repository(path, _) => Some(path.as_str()),
            Self::Ping | Self::Catalog => None,
        }
    }

    /// Returns the scope of a token that grants this permission.
    pub(crate) fn scope(&self) -> Option<String> {
        match self {
            Self::Ping => None,
            Self::Catalog => Some("registry:catalog:*".to_owned()),
            Self::Repository(path, Action::Pull) => Some(format!("repository:{path}:pull")),
            Self::Repository(path, Action::Push) => Some(format!("repository:{path}:pull,push")),
            Self::Repository(path, Action::Delete) => Some(format!("repository:{path}:delete")),
        }
    }
}

/// What an authenticated caller is permitted to do.
#[derive(Clone, Debug)]
pub(crate) enum Pass {
    /// The same actions in every repository.
    Everywhere(Permitted),
    /// The actions that a token grants.
    Token(Grant),
}

/// The actions of an account in every repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permitted(Actions);

/// The actions that a token grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant {
    repositories: HashMap<RepositoryPath, Actions>,
    /// The actions in all repositories that the token does not name.
    elsewhere: Option<Actions>,
    catalog: bool,
}

impl Grant {
    fn actions(&self, repository: &RepositoryPath) -> Option<Actions> {
        self.repositories.get(repository).copied().or(self.elsewhere)
    }
}

/// What a token is requested for.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    /// These scopes, such as `repository:team/app:pull,push`.
    Scopes(Vec<&'a str>),
    /// Everything that the caller is permitted to do.
    Everything,
}

impl Pass {
    /// Returns a pass that permits reads in every repository.
    pub(crate) fn to_pull() -> Self {
        Self::Everywhere(Permitted(Actions::PULL))
    }

    /// Returns whether the content of a repository may be read.
    pub(crate) fn may_pull(&self, repository: &RepositoryPath) -> bool {
        match self {
            Self::Everywhere(Permitted(actions)) => actions.pull,
            Self::Token(grant) => grant.actions(repository).is_some_and(|actions| actions.pull),
        }
    }
}

/// The response to a token request (distribution's *Token Authentication Specification*).
#[derive(Serialize)]
pub(crate) struct Issued {
    token: String,
    access_token: String,
    expires_in: u64,
    issued_at: String,
}

impl Issued {
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

/// A token that was issued and has not been revoked.
struct Valid {
    expires: Instant,
    grant: Grant,
    /// How many requests have used it.
    uses: u64,
}

/// Authenticates and authorizes requests according to the configuration.
pub(crate) struct Gatekeeper {
    authentication: Authentication,
    issued: Mutex<HashMap<String, Valid>>,
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The issued tokens are secrets.
        f.debug_struct("Gatekeeper").field("authentication", &self.authentication).finish_non_exhaustive()
    }
}

impl Gatekeeper {
    pub(crate) fn new(authentication: Authentication) -> Self {
        Self { authentication, issued: Mutex::default() }
    }

    /// Revokes every issued token.
    pub(crate) fn revoke(&self) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the service that tokens are issued for.
    pub(crate) fn service(&self) -> &str {
        match &self.authentication {
            Authentication::Token(tokens) => &tokens.service,
            Authentication::Open | Authentication::Basic(_) => "registry",
        }
    }

    /// Checks whether a request may do what it needs. `realm` is the URL of the token endpoint, and `uses` is the number of
    /// requests that each token is valid for.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        needs: &[Need],
        realm: &str,
        uses: Option<u64>,
    ) -> Result<Pass, Refusal> {
        match &self.authentication {
            Authentication::Open => Ok(Pass::Everywhere(Permitted(Actions::ALL))),
            Authentication::Basic(accounts) => {
                let account =
                    basic(headers).and_then(|shown| known(accounts, &shown)).ok_or_else(basic_challenge)?;
                let actions = Actions::from(account.access);
                let permitted = needs.iter().all(|need| match need {
                    Need::Ping | Need::Catalog => true,
                    Need::Repository(_, action) => actions.include(*action),
                });
                if permitted { Ok(Pass::Everywhere(Permitted(actions))) } else { Err(denied(needs)) }
            }
            Authentication::Token(tokens) => {
                let grant =
                    self.grant(headers, uses).ok_or_else(|| bearer_challenge(realm, tokens, needs))?;
                for need in needs {
                    match coverage(&grant, need) {
                        Coverage::Full => {}
                        Coverage::NotTheAction => return Err(denied(needs)),
                        Coverage::NotTheRepository => return Err(bearer_challenge(realm, tokens, needs)),
                    }
                }
                Ok(Pass::Token(grant))
            }
        }
    }

    fn grant(&self, headers: &HeaderMap, uses: Option<u64>) -> Option<Grant> {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let token = scheme(token, "bearer")?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = issued.get_mut(token).filter(|valid| Instant::now() < valid.expires)?;
        valid.uses += 1;
        uses.is_none_or(|most| valid.uses <= most).then(|| valid.grant.clone())
    }

    /// Issues a token for the requested scopes, reduced to what the caller is permitted to do.
    pub(crate) fn issue(
        &self,
        headers: &HeaderMap,
        service: Option<&str>,
        wanted: &Wanted<'_>,
    ) -> Result<Issued, Refusal> {
        let Authentication::Token(tokens) = &self.authentication else {
            return Err(Refusal::new(ErrorCode::Unsupported, "this registry issues no tokens")
                .with_status(StatusCode::NOT_FOUND));
        };
        if service.is_some_and(|service| service != tokens.service) {
            let message = format!("this registry issues tokens only for the service `{}`", tokens.service);
            return Err(Refusal::new(ErrorCode::NameInvalid, message));
        }
        let (allowed, catalog) = if headers.contains_key(AUTHORIZATION) {
            let account = basic(headers)
                .and_then(|shown| known(&tokens.accounts, &shown))
                .ok_or_else(basic_challenge)?;
            (Actions::from(account.access), true)
        } else if tokens.anonymous_pull {
            (Actions::PULL, false)
        } else {
            return Err(basic_challenge());
        };
        let grant = match wanted {
            Wanted::Scopes(scopes) => grant_of(scopes, allowed, catalog)?,
            Wanted::Everything => Grant { elsewhere: Some(allowed), catalog, ..Grant::default() },
        };
        let token = hex::encode(rand::random::<[u8; 32]>());
        let now = Instant::now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= TOKENS_MAX {
            issued.retain(|_, valid| now < valid.expires);
        }
        if issued.len() >= TOKENS_MAX {
            return Err(Refusal::new(
                ErrorCode::TooManyRequests,
                "too many tokens are valid; try again later",
            ));
        }
        issued.insert(token.clone(), Valid { expires: now + tokens.lifetime, grant, uses: 0 });
        Ok(Issued {
            access_token: token.clone(),
            token,
            expires_in: tokens.lifetime.as_secs(),
            issued_at: Timestamp::now().to_string(),
        })
    }
}

/// How far a grant covers a need.
enum Coverage {
    Full,
    /// It covers the repository, but not the action.
    NotTheAction,
    /// It covers only other repositories.
    NotTheRepository,
}

fn coverage(grant: &Grant, need: &Need) -> Coverage {
    match need {
        Need::Ping => Coverage::Full,
        Need::Catalog if grant.catalog => Coverage::Full,
        Need::Catalog => Coverage::NotTheRepository,
        Need::Repository(path, action) => match grant.actions(path) {
            None => Coverage::NotTheRepository,
            Some(actions) if actions.include(*action) => Coverage::Full,
            Some(_) => Coverage::NotTheAction,
        },
    }
}

fn grant_of(scopes: &[&str], allowed: Actions, catalog: bool) -> Result<Grant, Refusal> {
    let invalid = |scope: &str| {
        let shown: String = scope.chars().take(300).collect();
        Refusal::new(
            ErrorCode::NameInvalid,
            format!("`{shown}` is not a scope such as `repository:team/app:pull`"),
        )
    };
    let mut grant = Grant::default();
    for (number, scope) in scopes.iter().enumerate() {
        if number >= SCOPES_MAX {
            let message = format!("more than {SCOPES_MAX} scopes are requested at once");
            return Err(Refusal::new(ErrorCode::SizeInvalid, message));
        }
        if *scope == "registry:catalog:*" {
            grant.catalog = catalog;
            continue;
        }
        let rest = scope.strip_prefix("repository:").ok_or_else(|| invalid(scope))?;
        let (path, actions) = rest.rsplit_once(':').ok_or_else(|| invalid(scope))?;
        let path: RepositoryPath = path.parse().map_err(|_| invalid(scope))?;
        let granted = grant.repositories.entry(path).or_default();
        *granted = granted.unite(Actions::parse(actions).intersect(allowed));
    }
    Ok(grant)
}

/// The name and the password of a request.
struct Shown {
    name: String,
    password: String,
}

fn basic(headers: &HeaderMap) -> Option<Shown> {
    let encoded = scheme(headers.get(AUTHORIZATION)?.to_str().ok()?, "basic")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some(Shown { name: name.to_owned(), password: password.to_owned() })
}

/// Returns the text after the name of an authentication scheme. The name is case-insensitive.
fn scheme<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

fn known<'a>(accounts: &'a [Account], shown: &Shown) -> Option<&'a Account> {
    // Digests are compared, so that the duration reveals nothing about the password.
    let same = |a: &str, b: &str| Digest::of(a.as_bytes()) == Digest::of(b.as_bytes());
    accounts.iter().find(|account| account.name == shown.name && same(&account.password, &shown.password))
}

fn basic_challenge() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "a valid user name and password are required")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"registry\""))
}

fn bearer_challenge(realm: &str, tokens: &Tokens, needs: &[Need]) -> Refusal {
    let scopes: Vec<String> = needs.iter().filter_map(Need::scope).collect();
    let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{}\"", tokens.service);
    if !scopes.is_empty() {
        challenge.push_str(&format!(",scope=\"{}\"", scopes.join(" ")));
    }
    let refusal = Refusal::new(ErrorCode::Unauthorized, "a valid token for this request is required");
    match HeaderValue::from_str(&challenge) {
        Ok(value) => refusal.with_header(WWW_AUTHENTICATE, value),
        // The configured service name is not a valid header value: refuse without a challenge.
        Err(_) => refusal,
    }
}

fn denied(needs: &[Need]) -> Refusal {
    let scopes: Vec<String> = needs.iter().filter_map(Need::scope).collect();
    Refusal::new(ErrorCode::Denied, format!("the credentials do not permit `{}`", scopes.join(" ")))
}
