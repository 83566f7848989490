//! A run may be killed at any request. Production is never incomplete, and the next run completes it.

use crate::support::google;
use crate::support::process::{
    Shape, check_each, complete_run, count_requests, requests_of_a_run, run_until,
};
use crate::support::signer::Identity;
use registry::{Config, Effect};
use trust::SignatureFormat;

/// The moment at which a run is killed, by the number of a request.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The request has arrived but is never carried out.
    Before(u64),
    /// The request has been carried out, but its answer never arrives.
    After(u64),
}

/// Kills a run at every request, and completes it with another run.
fn kill_at_every_request(shape: &Shape, format: SignatureFormat) {
    let identity = Identity::new(format);
    let requests = requests_of_a_run(shape, &identity);
    let moments: Vec<_> = (1..=requests).flat_map(|k| [Moment::Before(k), Moment::After(k)]).collect();
    check_each(&moments, |servers, moment| {
        let world = servers.block_on(shape.world());
        let sequence = count_requests(&world);
        // The number of requests depends slightly on the order of answers. If the run does not reach the last numbers, it ends
        // normally.
        let _ = match *moment {
            Moment::Before(k) => {
                sequence.strike(k, Effect::Hang);
                run_until(&world, &identity, sequence.arrived(k))
            }
            Moment::After(k) => {
                sequence.strike(k, Effect::HangAnswer);
                run_until(&world, &identity, sequence.served(k))
            }
        };
        servers.block_on(world.assert_whole());
        complete_run(&world, &identity);
        servers.block_on(world.assert_complete_and_signed_once(&identity));
    });
}

#[test]
fn a_run_killed_at_any_request_leaves_production_whole_and_the_next_run_completes_it() {
    kill_at_every_request(&Shape::small(google()), SignatureFormat::Tag);
}

/// The record is written first and listed by a second write, and signatures are written both as tags and as bundles.
#[test]
fn a_run_killed_without_a_referrers_api_leaves_production_whole_too() {
    let config = Config { referrers_api: false, ..Config::default() };
    kill_at_every_request(&Shape { config, images: 1, regions: 1 }, SignatureFormat::Both);
}
