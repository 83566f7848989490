//! *Authentication*.

use std::collections::HashMap;

use http::StatusCode;
use oci::{Credential, Host, HostOptions};
use registry::quirks::{Challenges, Rejection};
use registry::{Canned, Effect, ErrorCode, Fault, Kind};
use transport::Secret;

use crate::support::World;
use crate::wild::row::{Row, SIDES, Side};
use crate::wild::table::check;

/// Creates two rows, one for staging and one for a region.
fn on_both(name: &str, row: impl Fn(Row, Side) -> Row) -> Vec<Row> {
    SIDES.map(|side| row(Row::works(format!("{name} ({side:?})")), side)).into()
}

/// Creates rows for a registry that requires tokens and sends these challenge headers.
fn challenged(name: &str, values: &[&str]) -> Vec<Row> {
    let values: Vec<String> = values.iter().map(|header| (*header).to_owned()).collect();
    on_both(name, |row, side| {
        let values = values.clone();
        row.tokens(side).quirk(side, move |quirks| quirks.auth.challenges = Challenges::Said(values.clone()))
    })
}

#[tokio::test]
async fn credentials_are_sent_from_the_first_request_on_where_anonymous_reads_are_hidden() {
    let hidden = [
        (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
        (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
        (StatusCode::FORBIDDEN, ErrorCode::Denied),
    ];
    let rows = hidden.into_iter().flat_map(|(status, code)| {
        let rejection = Rejection::new(status, code);
        let name = format!("{status} {}", code.as_str());
        let tokens = on_both(&format!("{name}, tokens"), |row, side| {
            row.tokens(side).quirk(side, move |quirks| quirks.auth.hidden = Some(rejection))
        });
        let passwords = on_both(&format!("{name}, passwords"), |row, side| {
            row.password(side).quirk(side, move |quirks| quirks.auth.hidden = Some(rejection))
        });
        tokens.into_iter().chain(passwords)
    });
    check(rows).await;
}

#[tokio::test]
async fn authentication_is_determined_for_each_repository() {
    let rows = ["app-0", "app-1"].into_iter().flat_map(|public| {
        let public = vec![public.to_owned()];
        on_both(&format!("{public:?} is public"), |row, side| {
            let public = public.clone();
            row.tokens(side).quirk(side, move |quirks| quirks.auth.public = public.clone())
        })
    });
    check(rows).await;
}

#[tokio::test]
async fn the_best_usable_challenge_is_used() {
    let bearer = "Bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\"";
    let one = format!("Basic realm=\"x, y\", {bearer}");
    let negotiate = format!("Negotiate, {bearer}");
    let after = format!("{bearer}, Basic realm=\"registry\"");
    let rows = [
        challenged("Basic before Bearer in one header", &[&one]),
        challenged("Bearer before Basic in one header", &[&after]),
        challenged("Negotiate before Bearer in one header", &[&negotiate]),
        challenged("Basic before Bearer in two headers", &["Basic realm=\"registry\"", bearer]),
        challenged(
            "Negotiate and Digest before Bearer",
            &["Negotiate", "Digest realm=\"x\", nonce=\"n\"", bearer],
        ),
        challenged("lower case", &["bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\""]),
        challenged(
            "names in upper case",
            &["BEARER REALM=\"{realm}\",SERVICE=\"{service}\",Scope=\"{scope}\""],
        ),
        challenged(
            "odd spacing",
            &["Bearer   realm = \"{realm}\" ,  service= \"{service}\",,scope =\"{scope}\" "],
        ),
        challenged("values without quotes", &["Bearer realm={realm},service={service},scope=\"{scope}\""]),
        challenged(
            "the realm last",
            &["Bearer scope=\"{scope}\",error=\"invalid_token\",realm=\"{realm}\",service=\"{service}\""],
        ),
    ];
    check(rows.into_iter().flatten()).await;

    let negotiated = on_both("Negotiate before Basic", |row, side| {
        let values = vec!["Negotiate".to_owned(), "Basic realm=\"registry\"".to_owned()];
        row.password(side)
            .quirk(side, move |quirks| quirks.auth.challenges = Challenges::Said(values.clone()))
    });
    check(negotiated).await;
}

/// Returns options that allow each registry's other name to receive its credentials.
fn other_names(world: &World) -> HashMap<Host, HostOptions> {
    let options = |host: &Host| {
        let token_hosts = vec![other_name(host)];
        (host.clone(), HostOptions { token_hosts, ..HostOptions::default() })
    };
    [options(world.staging.host()), options(world.production[0].host())].into()
}

fn other_name(host: &Host) -> Host {
    host.as_str().replace("127.0.0.1", "localhost").parse().unwrap()
}

/// Makes the realm of a registry point to another host.
fn realm_elsewhere(row: Row, side: Side) -> Row {
    row.tokens(side).arranged(move |world| {
        let server = side.server(world);
        let other = other_name(server.host());
        let values =
            format!("Bearer realm=\"http://{other}/token\",service=\"{{service}}\",scope=\"{{scope}}\"");
        server.quirks().change(|quirks| quirks.auth.challenges = Challenges::Said(vec![values.clone()]));
    })
}

#[tokio::test]
async fn realms_of_any_form_are_supported() {
    let rows = [
        challenged("a relative realm", &["Bearer realm=\"/token\",service=\"{service}\",scope=\"{scope}\""]),
        challenged(
            "a realm for each repository",
            &["Bearer realm=\"{base}/token/{repository}\",service=\"{service}\",scope=\"{scope}\""],
        ),
        on_both("a realm with a query", |row, side| {
            let values =
                "Bearer realm=\"{realm}?account=x&tenant=a%2Fb\",service=\"{service}\",scope=\"{scope}\"";
            row.tokens(side).quirk(side, move |quirks| {
                quirks.auth.token_query = Some("account=x&tenant=a%2Fb".to_owned());
                quirks.auth.challenges = Challenges::Said(vec![values.to_owned()]);
            })
        }),
        on_both("a realm on another host that may have the credentials", |row, side| {
            realm_elsewhere(row, side).options(other_names)
        }),
    ];
    check(rows.into_iter().flatten()).await;
    let foreign = Row::clear("a realm on another host", &["localhost", "tokenHosts"]);
    check([realm_elsewhere(foreign, Side::Destination)]).await;
}

#[tokio::test]
async fn the_scope_of_the_challenge_is_requested_in_addition_to_ours() {
    let rows =
        [("aws", "aws"), ("another one", "registry:everything:*")].into_iter().flat_map(|(name, scope)| {
            on_both(&format!("the scope is {name}"), |row, side| {
                let values = format!("Bearer realm=\"{{realm}}\",service=\"{{service}}\",scope=\"{scope}\"");
                row.tokens(side).quirk(side, move |quirks| {
                    quirks.auth.token_scope = Some(scope.to_owned());
                    quirks.auth.challenges = Challenges::Said(vec![values.clone()]);
                })
            })
        });
    let missing = challenged("the scope is missing", &["Bearer realm=\"{realm}\",service=\"{service}\""]);
    let narrow = challenged(
        "the scope is for less than is wanted",
        &["Bearer realm=\"{realm}\",service=\"{service}\",scope=\"repository:{repository}:pull\""],
    );
    check(rows.chain(missing).chain(narrow)).await;
}

#[tokio::test]
async fn answers_of_token_services_are_accepted_in_every_shape() {
    let answers = [
        r#"{"token":"{token}"}"#,
        r#"{"access_token":"{token}"}"#,
        r#"{"token":"","access_token":"{token}"}"#,
        r#"{"token":null,"access_token":"{token}"}"#,
        r#"{"token":"{token}","access_token":""}"#,
        r#"{"token":"{token}","access_token":null}"#,
        r#"{"token":"{token}","expires_in":null}"#,
        r#"{"token":"{token}","expires_in":0}"#,
        r#"{"token":"{token}","expires_in":-60}"#,
        r#"{"token":"{token}","expires_in":"300"}"#,
        r#"{"token":"{token}","expires_in":"soon"}"#,
        r#"{"token":"{token}","expires_in":299.5}"#,
        r#"{"token":"{token}","expires_in":1e300}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":"yesterday"}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":""}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":null}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":1700000000}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":"2099-01-01T00:00:00Z"}"#,
        r#"{"token":"{token}","expires_in":300,"issued_at":"0001-01-01T00:00:00Z"}"#,
    ];
    let rows = answers.map(|answer| {
        Row::works(answer)
            .tokens(Side::Destination)
            .quirk(Side::Destination, move |quirks| quirks.auth.token_answer = Some(answer.to_owned()))
    });
    check(rows).await;
}

#[tokio::test]
async fn tokens_for_destinations_are_requested_with_the_push_scope() {
    let row = Row::works("nothing is granted to pull from what does not exist")
        .tokens(Side::Destination)
        .quirk(Side::Destination, |quirks| quirks.auth.unknown_repositories_grant_nothing = true);
    check([row]).await;
}

#[tokio::test]
async fn tokens_that_expire_early_are_renewed() {
    // This is more than the number of concurrent requests for one repository, so one renewal at a time is enough.
    let rows = on_both("a token is good for 15 requests", |row, side| {
        row.tokens(side).quirk(side, move |quirks| quirks.auth.token_uses = Some(15))
    });
    let unchallenged = Effect::Canned(Canned::new(StatusCode::UNAUTHORIZED));
    let kinds = [Kind::ManifestPut, Kind::UploadPut, Kind::Mount];
    let once = kinds.map(|kind| {
        Row::works(format!("one 401 without a challenge, {kind:?}"))
            .tokens(Side::Destination)
            .fault(Side::Destination, Fault::new(unchallenged.clone()).on(kind).times(1))
    });
    check(rows.into_iter().chain(once)).await;
}

#[tokio::test]
async fn a_401_without_a_challenge_is_a_clear_error() {
    let row = Row::clear("no challenge at all", &["401"])
        .tokens(Side::Destination)
        .quirk(Side::Destination, |quirks| quirks.auth.challenges = Challenges::Missing);
    check([row]).await;
}

/// The target of a redirect requires credentials. They are not sent to it, and the registry is used as before.
#[tokio::test]
async fn a_401_of_a_redirect_target_does_not_affect_the_registry() {
    let rows = ["Basic realm=\"elsewhere\"", "Bearer realm=\"http://127.0.0.1:9/token\""].map(|challenge| {
        let refusal = Canned::new(StatusCode::UNAUTHORIZED)
            .with_header(http::header::WWW_AUTHENTICATE, challenge.try_into().unwrap());
        Row::works(format!("{challenge} once")).tokens(Side::Source).arranged(move |world| {
            let other = other_name(world.staging.host());
            let to = format!("http://{other}{{target}}?signature=x");
            world.staging.quirks().change(|quirks| quirks.reading.blob_location = Some(to));
            world.staging.quirks().change(|quirks| quirks.auth.public = vec!["staging".to_owned()]);
            let fault = Fault::new(Effect::Canned(refusal.clone())).on(Kind::BlobGet).path("signature");
            world.staging.faults().add(fault.times(1));
        })
    });
    check(rows).await;
}

#[tokio::test]
async fn rejected_identity_tokens_are_clear_errors() {
    let rows = [(StatusCode::NOT_FOUND, &["404"][..]), (StatusCode::METHOD_NOT_ALLOWED, &["405"][..])];
    let rows = rows.map(|(status, texts)| {
        let rejection = Rejection::new(status, ErrorCode::Unsupported);
        Row::clear(status.to_string(), texts)
            .tokens(Side::Destination)
            .with(Credential::Identity(Secret::new("identity")))
            .quirk(Side::Destination, move |quirks| quirks.auth.token_post = Some(rejection))
    });
    check(rows).await;
}
