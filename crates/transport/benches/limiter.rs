//! The cost of the limiter for each request.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::time::Instant;
use transport::limit::{Admission, Limiter, Observed};
use transport::{Class, HostSettings};

/// Simulates one second against a host that refuses every hundredth request and serves the others.
fn second(limiter: &mut Limiter, start: Instant) -> u32 {
    let mut admitted = 0;
    for millisecond in 0..1_000 {
        let now = start + Duration::from_millis(millisecond);
        for class in [Class::Token, Class::Read, Class::BulkRead, Class::Write, Class::BulkWrite] {
            if let Admission::Go(pass) = limiter.admit(now, class) {
                admitted += 1;
                let observed = if admitted % 100 == 0 { Observed::Refused(None) } else { Observed::Served };
                limiter.observe(now, pass, observed);
                limiter.leave(pass);
            }
        }
    }
    admitted
}

fn limiter(criterion: &mut Criterion) {
    criterion.bench_function("limiter: 5,000 admissions", |bencher| {
        let start = Instant::now();
        bencher.iter(|| {
            let mut limiter = Limiter::new(&HostSettings::default(), start);
            black_box(second(&mut limiter, start))
        });
    });
}

criterion_group!(benches, limiter);
criterion_main!(benches);
