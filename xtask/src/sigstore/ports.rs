//! Ports for parts that cannot say which one the system has chosen.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::error::Error;

/// Below those that the system gives to whoever asks for any (from 32768 on), so that no connection and no test's server
/// takes one between our look and the part's start.
const RANGE: Range<u16> = 15000..30000;

/// As many free ports of loopback as the pattern has places.
///
/// # Errors
/// When there are not enough.
pub(super) fn free<const N: usize>() -> Result<[u16; N], Error> {
    // Two that start at one moment begin at different places.
    let size = u32::from(RANGE.end - RANGE.start);
    let first = u16::try_from(std::process::id().wrapping_mul(101) % size).unwrap_or(0) + RANGE.start;
    // Held until all are found: none is found twice.
    let mut held: Vec<TcpListener> = Vec::new();
    let mut obstacle = io::Error::from(io::ErrorKind::AddrInUse);
    for port in (first..RANGE.end).chain(RANGE.start..first) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push(listener),
            Err(error) => obstacle = error,
        }
        if held.len() == N {
            break;
        }
    }
    let numbers: Vec<u16> =
        held.iter().filter_map(|held| held.local_addr().ok()).map(|at| at.port()).collect();
    numbers.try_into().map_err(|_| Error::Ports { wanted: N, first: RANGE.start, source: obstacle })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_different_and_not_those_that_the_system_gives_away() {
        let taken = free::<1>().unwrap()[0];
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        let ports = free::<20>().unwrap();
        assert_eq!(std::collections::BTreeSet::from(ports).len(), 20);
        assert!(ports.iter().all(|port| *port != taken && RANGE.contains(port)));
    }
}
