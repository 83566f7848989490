//! Two concurrent runs. In the end, everything that each of them has signed and recorded exists.
//!
//! Registries have no locks. If two clients read a signature tag and then both write it, the later write wins. Another run of
//! the signer whose signature was overwritten restores it. Hosts that support conditional writes refuse the later write, and
//! that client then adds its signature to the other's.

use std::sync::Barrier;

use crate::support::World;
use crate::support::google;
use crate::support::process::{Shape, check_each, complete_run, complete_run_on_condition};
use crate::support::signer::Identity;
use trust::SignatureFormat;

/// Repeats three times: two runs by the given signers start together, then the runs in `more` follow one after another.
/// Afterwards, everything that each signer has signed exists.
fn run_two_at_once(signers: [usize; 2], more: &[usize], conditional: bool) {
    check_each(&[1, 2, 3], |servers, _| {
        let world = servers.block_on(Shape::small(google()).world());
        if conditional {
            world
                .servers()
                .for_each(|server| server.quirks().change(|quirks| quirks.writing.conditional = true));
        }
        let run = |world: &World, identity: &Identity| {
            if conditional {
                complete_run_on_condition(world, identity);
            } else {
                complete_run(world, identity);
            }
        };
        let identities = [(); 2].map(|()| Identity::new(SignatureFormat::Tag));
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            for signer in signers {
                let (identity, start, world) = (&identities[signer], &start, &world);
                scope.spawn(move || {
                    start.wait();
                    run(world, identity);
                });
            }
        });
        servers.block_on(world.assert_whole());
        more.iter().for_each(|signer| run(&world, &identities[*signer]));
        // Two concurrent runs of one signer may both sign and record.
        let runs = |signer| signers.iter().filter(|other| **other == signer).count();
        for signer in signers {
            servers.block_on(world.assert_complete_and_signed(&identities[signer], 1..=runs(signer)));
        }
    });
}

#[test]
fn two_runs_of_one_signer_and_one_more_leave_every_signature_and_record() {
    run_two_at_once([0, 0], &[0], false);
}

#[test]
fn two_runs_of_two_signers_and_another_of_each_leave_the_signatures_and_records_of_both() {
    run_two_at_once([0, 1], &[0, 1], false);
}

#[test]
fn with_conditional_writes_two_concurrent_signers_lose_nothing() {
    run_two_at_once([0, 1], &[], true);
}
