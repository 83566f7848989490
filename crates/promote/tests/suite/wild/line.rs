//! *The line*.

use std::collections::HashMap;

use http::{HeaderValue, StatusCode, header};
use oci::HostOptions;
use registry::{Canned, Effect, ErrorCode, Fault, Kind};

use crate::wild::row::{Row, SIDES, Side};
use crate::wild::table::check;

/// The kinds of requests in a run with signatures, records and tokens.
const KINDS: [Kind; 11] = [
    Kind::Ping,
    Kind::Token,
    Kind::TagList,
    Kind::ManifestHead,
    Kind::ManifestGet,
    Kind::ManifestPut,
    Kind::BlobGet,
    Kind::Mount,
    Kind::UploadOpen,
    Kind::UploadPut,
    Kind::Referrers,
];

/// Applies the effect to the first `times` requests of every kind.
fn everywhere(mut row: Row, effect: &Effect, times: u64) -> Row {
    for side in SIDES {
        row = row.tokens(side);
        for kind in KINDS {
            row = row.fault(side, Fault::new(effect.clone()).on(kind).times(times));
        }
    }
    row
}

#[tokio::test]
async fn a_temporary_failure_of_any_request_is_retried() {
    let statuses = [500, 502, 503, 504, 507].into_iter().chain(520..=530);
    let rows = statuses.map(|status| {
        let effect = Effect::Canned(Canned::new(StatusCode::from_u16(status).unwrap()));
        everywhere(Row::works(format!("{status} once")), &effect, 1)
    });
    let html = Canned::new(StatusCode::BAD_GATEWAY).with_body("text/html", "<html>bad gateway</html>");
    let html = everywhere(Row::works("502 with HTML once"), &Effect::Canned(html), 1);
    let reset = everywhere(Row::works("a reset once"), &Effect::Reset, 1);
    let lost = everywhere(Row::works("a lost answer once"), &Effect::LostAnswer, 1);
    let cut = everywhere(Row::works("a cut body once"), &Effect::Cut { after: 1 }, 1);
    check(rows.chain([html, reset, lost, cut])).await;
}

fn at_random(name: &str, effect: &Effect, share: f64) -> Row {
    let mut row = Row::works(name).images(20).patient(std::time::Duration::ZERO);
    for (seed, side) in SIDES.into_iter().enumerate() {
        row = row.fault(side, Fault::new(effect.clone()).share(share, seed as u64));
    }
    row
}

/// The simulation in the crate `transport` covers the duration. This test shows that nothing is lost.
#[tokio::test]
async fn random_failures_lose_nothing() {
    let status = |status, code| Effect::Status { status, code, retry_after: None };
    let busy = status(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable);
    let broken = status(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown);
    check([
        at_random("5 % of all requests are answered with 503", &busy, 0.05),
        at_random("5 % of all requests are answered with 500", &broken, 0.05),
        at_random("3 % of all requests are reset", &Effect::Reset, 0.03),
        at_random("3 % of all answers are lost", &Effect::LostAnswer, 0.03),
        at_random("5 % of all bodies are cut", &Effect::Cut { after: 100 }, 0.05),
    ])
    .await;
}

#[tokio::test]
async fn every_form_of_429_is_respected() {
    let refusal = || Canned::new(StatusCode::TOO_MANY_REQUESTS);
    let reported =
        ["1", "0", "0.5", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"];
    let rows = reported.map(|reported| {
        let refusal = refusal().with_header(header::RETRY_AFTER, HeaderValue::from_static(reported));
        // The client would wait for a `Retry-After` of two days within the patience of the host, so the header is sent only
        // once per kind.
        let side = Side::Destination;
        let effect = Effect::Canned(refusal);
        Row::works(format!("Retry-After: {reported}"))
            .tokens(side)
            .fault(side, Fault::new(effect.clone()).on(Kind::ManifestPut).times(1))
            .fault(side, Fault::new(effect).on(Kind::Token).times(1))
    });
    let nothing = everywhere(Row::works("no Retry-After"), &Effect::Canned(refusal()), 2);
    let html = refusal().with_body("text/html", "<html>slow down</html>");
    let html = everywhere(Row::works("HTML"), &Effect::Canned(html), 2);
    check(rows.into_iter().chain([nothing, html])).await;
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_names_the_setting() {
    let row = Row::clear("TLS with a plain HTTP registry", &["plainHttp"]).options(|world| {
        let options = HostOptions { plain_http: Some(false), ..HostOptions::default() };
        HashMap::from([(world.production[0].host().clone(), options)])
    });
    check([row]).await;
}
