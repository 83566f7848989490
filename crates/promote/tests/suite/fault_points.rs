//! Any request may fail once. The run repeats it and has the same result.

use crate::support::google;
use crate::support::process::{Shape, check_each, complete_run, count_requests, requests_of_a_run};
use crate::support::signer::Identity;
use http::StatusCode;
use registry::{Effect, ErrorCode};
use trust::SignatureFormat;

/// Makes every request of a run fail once, each in a separate run.
fn fail_every_request(effect: &Effect) {
    let (shape, identity) = (Shape::small(google()), Identity::new(SignatureFormat::Tag));
    let requests: Vec<u64> = (1..=requests_of_a_run(&shape, &identity)).collect();
    check_each(&requests, |servers, k| {
        let world = servers.block_on(shape.world());
        count_requests(&world).strike(*k, effect.clone());
        complete_run(&world, &identity);
        servers.block_on(world.assert_complete_and_signed_once(&identity));
    });
}

#[test]
fn a_run_survives_one_500_for_any_request() {
    fail_every_request(&Effect::Status {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: ErrorCode::Unknown,
        retry_after: None,
    });
}

#[test]
fn a_run_survives_one_connection_reset_for_any_request() {
    fail_every_request(&Effect::Reset);
}

#[test]
fn a_run_survives_one_lost_answer_to_any_request() {
    fail_every_request(&Effect::LostAnswer);
}

/// Answers without a body are unaffected.
#[test]
fn a_run_survives_one_truncated_body_of_any_answer() {
    fail_every_request(&Effect::Cut { after: 10 });
}
