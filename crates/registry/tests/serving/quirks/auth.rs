//! Challenges, tokens, and hidden repositories.

use std::time::Duration;

use http::{Method, StatusCode};
use registry::quirks::{Auth, Challenges, Rejection};
use registry::{Access, Account, Authentication, Config, ErrorCode, Tokens};

use super::rejection;
use crate::client::{Answer, World, refused};

async fn world(auth: Auth) -> World {
    let account = Account { name: "writer".to_owned(), password: "pass".to_owned(), access: Access::Full };
    let tokens = Tokens {
        accounts: vec![account],
        anonymous_pull: false,
        lifetime: Duration::from_secs(300),
        service: "registry.example".to_owned(),
    };
    let config = Config { authentication: Authentication::Token(tokens), ..Config::default() };
    let world = World::new(config).await;
    world.blob(b"content").await;
    world.server.quirks().change(|quirks| quirks.auth = auth);
    world
}

async fn ask(world: &World, target: &str) -> Answer {
    Answer::of(world.client.request(Method::GET, target).basic_auth("writer", Some("pass"))).await
}

async fn token(world: &World, scopes: &[&str]) -> String {
    let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
    let answer = ask(world, &format!("/token?service=registry.example{scopes}")).await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn status(world: &World, token: &str, target: &str) -> u16 {
    Answer::of(world.client.request(Method::GET, target).bearer_auth(token)).await.status.as_u16()
}

const TAGS: &str = "/v2/app/tags/list";

#[tokio::test]
async fn hidden_content_is_distinguished_from_absent_content_only_with_credentials() {
    let hidden = Some(Rejection::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown));
    let world = world(Auth { hidden, ..Auth::default() }).await;
    assert_eq!(world.client.get("/v2/").await.status, 401);
    assert_eq!(world.client.get(TAGS).await.refusal(), refused(404, "NAME_UNKNOWN"));
    assert_eq!(world.client.send(Method::POST, "/v2/app/blobs/uploads/", "").await.status, 401);
    let token = token(&world, &["repository:app:pull"]).await;
    assert_eq!(status(&world, &token, TAGS).await, 200);
}

#[tokio::test]
async fn public_repositories_are_read_without_credentials_and_private_ones_are_not() {
    let world = world(Auth { public: vec!["app".to_owned()], ..Auth::default() }).await;
    assert_eq!(world.client.get(TAGS).await.status, 200);
    assert_eq!(world.client.get("/v2/other/tags/list").await.status, 401);
    assert_eq!(world.client.send(Method::POST, "/v2/app/blobs/uploads/", "").await.status, 401);
}

#[tokio::test]
async fn challenges_are_those_of_the_quirk() {
    let values = ["Negotiate", "bearer  Realm=\"{base}/token/{repository}\" , SCOPE=\"{scope}\""];
    let challenges = Challenges::Said(values.map(str::to_owned).to_vec());
    let world = world(Auth { challenges, ..Auth::default() }).await;
    let answer = world.client.get(TAGS).await;
    let values: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    let host = world.server.host();
    let bearer = format!("bearer  Realm=\"http://{host}/token/app\" , SCOPE=\"repository:app:pull\"");
    assert_eq!(values, ["Negotiate", &bearer]);
    assert_eq!(
        ask(&world, "/token/app?scope=repository:app:pull").await.status,
        200,
        "the realm of the challenge issues tokens"
    );

    world.server.quirks().change(|quirks| quirks.auth.challenges = Challenges::Missing);
    let answer = world.client.get(TAGS).await;
    assert_eq!((answer.status.as_u16(), answer.headers.contains_key("www-authenticate")), (401, false));
}

#[tokio::test]
async fn the_token_response_and_the_required_query_follow_the_quirk() {
    let token_answer = Some(r#"{"token":"","access_token":"{token}","expires_in":"x"}"#.to_owned());
    let world =
        world(Auth { token_answer, token_query: Some("account=x".to_owned()), ..Auth::default() }).await;
    assert_eq!(ask(&world, "/token?scope=repository:app:pull").await.status, 400);
    let answer = ask(&world, "/token?account=x&scope=repository:app:pull").await.json();
    assert_eq!((&answer["token"], &answer["expires_in"]), (&"".into(), &"x".into()));
    assert_eq!(status(&world, answer["access_token"].as_str().unwrap(), TAGS).await, 200);
}

#[tokio::test]
async fn one_scope_can_grant_everything() {
    let world = world(Auth { token_scope: Some("aws".to_owned()), ..Auth::default() }).await;
    let without = token(&world, &["repository:app:pull"]).await;
    assert_eq!(status(&world, &without, TAGS).await, 401);
    let with = token(&world, &["repository:app:pull", "aws"]).await;
    assert_eq!(status(&world, &with, TAGS).await, 200);
    assert_eq!(status(&world, &with, "/v2/other/tags/list").await, 404);
}

#[tokio::test]
async fn a_token_to_pull_from_a_repository_that_does_not_exist_can_grant_nothing() {
    let world = world(Auth { unknown_repositories_grant_nothing: true, ..Auth::default() }).await;
    let pull = token(&world, &["repository:new:pull"]).await;
    assert_eq!(status(&world, &pull, "/v2/new/tags/list").await, 401);
    let push = token(&world, &["repository:new:pull,push"]).await;
    assert_eq!(status(&world, &push, "/v2/new/tags/list").await, 404);
    let known = token(&world, &["repository:app:pull"]).await;
    assert_eq!(status(&world, &known, TAGS).await, 200);
}

#[tokio::test]
async fn a_token_can_be_valid_for_a_limited_number_of_requests() {
    let world = world(Auth { token_uses: Some(2), ..Auth::default() }).await;
    let token = token(&world, &["repository:app:pull"]).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(status(&world, &token, TAGS).await);
    }
    assert_eq!(statuses, [200, 200, 401]);
}

#[tokio::test]
async fn the_token_post_quirk_refuses_posts() {
    let world = world(Auth { token_post: Some(rejection(StatusCode::NOT_FOUND)), ..Auth::default() }).await;
    assert_eq!(world.client.send(Method::POST, "/token", "").await.status, 404);
    world.server.quirks().clear();
    assert_eq!(world.client.send(Method::POST, "/token", "").await.status, 405);
}
