//! Tokens and Basic credentials.

use std::time::Duration;

use http::Method;
use oci::Digest;
use registry::{Access, Account, Authentication, Config, Tokens};

use crate::client::{Answer, World, refused};

fn account(name: &str, access: Access) -> Account {
    Account { name: name.to_owned(), password: format!("{name}-pass"), access }
}

async fn with_tokens(anonymous_pull: bool, lifetime: Duration) -> World {
    let tokens = Tokens {
        accounts: vec![account("writer", Access::Full), account("reader", Access::Pull)],
        anonymous_pull,
        lifetime,
        service: "registry.example".to_owned(),
    };
    World::new(Config { authentication: Authentication::Token(tokens), ..Config::default() }).await
}

const LONG: Duration = Duration::from_secs(300);

async fn ask(world: &World, name: Option<&str>, query: &str) -> Answer {
    let mut request = world.client.request(Method::GET, &format!("/token?service=registry.example&{query}"));
    if let Some(name) = name {
        request = request.basic_auth(name, Some(format!("{name}-pass")));
    }
    Answer::of(request).await
}

async fn token(world: &World, name: Option<&str>, query: &str) -> String {
    ask(world, name, query).await.json()["token"].as_str().unwrap().to_owned()
}

async fn with(world: &World, token: &str, method: Method, target: &str) -> Answer {
    Answer::of(world.client.request(method, target).bearer_auth(token)).await
}

#[tokio::test]
async fn the_challenge_names_the_token_endpoint_and_the_scope() {
    let world = with_tokens(true, LONG).await;
    let host = world.server.host().clone();
    let challenge = async |method: Method, target: &str| {
        let answer = Answer::of(world.client.request(method, target)).await;
        assert_eq!(answer.status, 401, "{target}");
        answer.header("www-authenticate").to_owned()
    };
    let bearer = format!("Bearer realm=\"http://{host}/token\",service=\"registry.example\"");
    assert_eq!(challenge(Method::GET, "/v2/").await, bearer);
    let scoped = |scope: &str| format!("{bearer},scope=\"{scope}\"");
    assert_eq!(challenge(Method::GET, "/v2/app/tags/list").await, scoped("repository:app:pull"));
    assert_eq!(challenge(Method::PUT, "/v2/a/b/manifests/v1").await, scoped("repository:a/b:pull,push"));
    assert_eq!(challenge(Method::DELETE, "/v2/app/manifests/v1").await, scoped("repository:app:delete"));
    assert_eq!(challenge(Method::GET, "/v2/_catalog").await, scoped("registry:catalog:*"));
    let mount = format!("/v2/app/blobs/uploads/?mount={}&from=other", Digest::of(b""));
    assert_eq!(
        challenge(Method::POST, &mount).await,
        scoped("repository:app:pull,push repository:other:pull"),
        "mounting reads the other repository"
    );
}

#[tokio::test]
async fn a_token_permits_exactly_its_scopes() {
    let world = with_tokens(false, LONG).await;
    world.blob(b"content").await;
    let pull = token(&world, Some("writer"), "scope=repository:app:pull").await;
    assert_eq!(with(&world, &pull, Method::GET, "/v2/").await.status, 200);
    assert_eq!(with(&world, &pull, Method::GET, "/v2/app/tags/list").await.status, 200);
    let push = with(&world, &pull, Method::POST, "/v2/app/blobs/uploads/").await;
    assert_eq!(push.refusal(), refused(403, "DENIED"), "the right repository, the wrong action");
    let elsewhere = with(&world, &pull, Method::GET, "/v2/other/tags/list").await;
    assert_eq!(elsewhere.refusal(), refused(401, "UNAUTHORIZED"), "another repository");
    assert!(elsewhere.header("www-authenticate").contains("repository:other:pull"));

    let both =
        token(&world, Some("writer"), "scope=repository:app:pull,push&scope=repository:other:pull").await;
    assert_eq!(with(&world, &both, Method::POST, "/v2/app/blobs/uploads/").await.status, 202);
    assert_eq!(with(&world, &both, Method::GET, "/v2/other/tags/list").await.status, 404);
    let spaced = token(&world, Some("writer"), "scope=repository:app:pull%20repository:other:pull").await;
    assert_eq!(with(&world, &spaced, Method::GET, "/v2/other/tags/list").await.status, 404);
    let made_up = with(&world, "0123456789abcdef", Method::GET, "/v2/").await;
    assert_eq!(made_up.refusal(), refused(401, "UNAUTHORIZED"));
}

#[tokio::test]
async fn mounting_requires_read_access_to_the_source() {
    let world = with_tokens(false, LONG).await;
    let digest = world.blob(b"content").await;
    let named = format!("/v2/b/blobs/uploads/?mount={digest}&from=app");
    let one = token(&world, Some("writer"), "scope=repository:b:pull,push").await;
    assert_eq!(with(&world, &one, Method::POST, &named).await.status, 401);
    let any = format!("/v2/b/blobs/uploads/?mount={digest}");
    assert_eq!(
        with(&world, &one, Method::POST, &any).await.status,
        202,
        "a repository that may not be read is not used as the source"
    );
    let both = token(&world, Some("writer"), "scope=repository:b:pull,push&scope=repository:app:pull").await;
    assert_eq!(with(&world, &both, Method::POST, &named).await.status, 201);
}

#[tokio::test]
async fn tokens_are_reduced_to_the_permissions_of_the_client() {
    let world = with_tokens(true, LONG).await;
    world.blob(b"content").await;
    for name in [Some("reader"), None] {
        let narrowed = token(&world, name, "scope=repository:app:pull,push").await;
        assert_eq!(with(&world, &narrowed, Method::GET, "/v2/app/tags/list").await.status, 200);
        let push = with(&world, &narrowed, Method::POST, "/v2/app/blobs/uploads/").await;
        assert_eq!(push.refusal(), refused(403, "DENIED"), "{name:?}");
    }
    let unknown = world.client.request(Method::GET, "/token").basic_auth("writer", Some("wrong"));
    assert_eq!(Answer::of(unknown).await.refusal(), refused(401, "UNAUTHORIZED"));
    assert_eq!(ask(&world, None, "scope=nonsense").await.status, 400);
    assert_eq!(world.client.get("/token?service=another").await.status, 400);
    let closed = with_tokens(false, LONG).await;
    assert_eq!(ask(&closed, None, "scope=repository:app:pull").await.status, 401);
    assert_eq!(World::plain().await.client.get("/token").await.status, 404, "an open registry has no tokens");
}

#[tokio::test]
async fn tokens_expire_and_can_be_revoked() {
    let world = with_tokens(false, Duration::from_millis(400)).await;
    let short = token(&world, Some("writer"), "").await;
    assert_eq!(with(&world, &short, Method::GET, "/v2/").await.status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(with(&world, &short, Method::GET, "/v2/").await.status, 401);
    let next = token(&world, Some("writer"), "").await;
    world.server.revoke_tokens();
    assert_eq!(with(&world, &next, Method::GET, "/v2/").await.status, 401);
}

#[tokio::test]
async fn basic_credentials_are_required_for_every_request() {
    let accounts = vec![account("writer", Access::Full), account("reader", Access::Pull)];
    let config = Config { authentication: Authentication::Basic(accounts), ..Config::default() };
    let world = World::new(config).await;
    let open = async |name: &str, password: &str| {
        let request = world.client.request(Method::POST, "/v2/app/blobs/uploads/");
        Answer::of(request.basic_auth(name, Some(password))).await
    };
    let anonymous = world.client.get("/v2/").await;
    assert_eq!(
        (anonymous.status.as_u16(), anonymous.header("www-authenticate")),
        (401, "Basic realm=\"registry\"")
    );
    assert_eq!(open("writer", "writer-pass").await.status, 202);
    assert_eq!(open("writer", "wrong").await.refusal(), refused(401, "UNAUTHORIZED"));
    assert_eq!(open("reader", "reader-pass").await.refusal(), refused(403, "DENIED"));
    let read = world.client.request(Method::GET, "/v2/").basic_auth("reader", Some("reader-pass"));
    assert_eq!(Answer::of(read).await.status, 200);
}

#[test]
fn an_account_does_not_show_its_password() {
    let shown = format!("{:?}", account("writer", Access::Full));
    assert!(shown.contains("writer") && !shown.contains("writer-pass"), "{shown}");
}

#[tokio::test]
async fn a_server_does_not_show_its_tokens() {
    let world = with_tokens(false, LONG).await;
    let secret = token(&world, Some("writer"), "").await;
    let shown = format!("{:?}", world.server);
    assert!(shown.contains("registry.example") && !shown.contains(&secret), "{shown}");
}
