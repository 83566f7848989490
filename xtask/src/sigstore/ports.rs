//! Ports for parts that cannot report a port chosen by the system.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::error::Error;

/// Below the ports that the system assigns (from 32768 on), so that no connection and no server of a test takes a port between
/// the check here and the start of the part.
const RANGE: Range<u16> = 15000..30000;

/// Returns `N` free loopback ports.
///
/// # Errors
/// If there are not enough.
pub(super) fn free<const N: usize>() -> Result<[u16; N], Error> {
    hold().map(|(ports, _)| ports)
}

/// Returns `N` loopback ports, and the listeners that hold them.
fn hold<const N: usize>() -> Result<([u16; N], Vec<TcpListener>), Error> {
    // Two processes that start at the same moment begin the search at different ports.
    let size = u32::from(RANGE.end - RANGE.start);
    let first = u16::try_from(std::process::id().wrapping_mul(101) % size).unwrap_or(0) + RANGE.start;
    // All ports are held until the end of the search, so that none is found twice.
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
    let ports =
        numbers.try_into().map_err(|_| Error::Ports { wanted: N, first: RANGE.start, source: obstacle })?;
    Ok((ports, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_distinct_and_not_assigned_by_the_system() {
        let ([taken], _held) = hold().unwrap();
        let ports = free::<20>().unwrap();
        assert_eq!(std::collections::BTreeSet::from(ports).len(), 20);
        assert!(ports.iter().all(|port| *port != taken && RANGE.contains(port)));
    }
}
