//! Restrictions on hosts that were named by an answer rather than by the user.
//!
//! A registry under an attacker's control could direct its clients to the metadata service of their cloud, or to another machine
//! that trusts them. A host that an answer names must therefore be configured or have a public address, and must never be a
//! metadata service. The check is part of name resolution, so that a name cannot change its address between check and use. If a
//! proxy resolves the names, the addresses of the local resolver are checked, if it returns any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Names under which clouds serve the metadata of a machine.
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];
/// Addresses of metadata services outside of the link-local networks: those of Alibaba, Azure and Oracle.
const METADATA_V4: &[Ipv4Addr] =
    &[Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// IPv6 addresses of the metadata services of AWS and Google.
const METADATA_V6: &[Ipv6Addr] =
    &[Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Returns `true` if an address belongs to the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || is_site_local(v6)
                || is_local_nat64(v6)
                || v6.is_unicast_link_local())
        }
    }
}

/// Returns `true` if a metadata service may use the address. Link-local addresses are only used by direct neighbours of a
/// machine.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || METADATA_V6.contains(&v6),
    }
}

/// Returns the IPv4 address that is embedded in an IPv6 address, if there is one: mapped, compatible, NAT64 (RFC 6052)
/// or 6to4 (RFC 3056).
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d).into()
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        _ => v6.to_ipv4().map_or(address, IpAddr::V4),
    }
}

/// Returns `true` for an address of `fec0::/10`, which networks still use although it is deprecated (RFC 3879).
fn is_site_local(v6: Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfec0
}

/// Returns `true` for an address that a NAT64 of the local network translates to any IPv4 address (RFC 8215).
fn is_local_nat64(v6: Ipv6Addr) -> bool {
    v6.segments()[..3] == [0x64, 0xff9b, 1]
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [first, second, third, _] = v4.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let assignments = (first, second, third) == (192, 0, 0);
    let benchmarks = first == 198 && (18..20).contains(&second);
    let reserved = first >= 240;
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_multicast()
        || first == 0
        || shared
        || assignments
        || benchmarks
        || reserved
        || METADATA_V4.contains(&v4))
}

/// Returns `true` if the host of a URL is a loopback name or address, which always means this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    }
}

/// Returns `true` if the host of a URL is a literal non-public address or a loopback name. Other names are checked when they
/// are resolved. A loopback name must be checked here, since a proxy would resolve it to itself; the local resolver may not know
/// the name if it ends with a dot.
pub(crate) fn has_private_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name.trim_end_matches('.')),
        _ => literal_address(url).is_some_and(|address| !is_public(address)),
    }
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Returns `true` if the host of a URL is a literal name or address of a metadata service.
pub(crate) fn has_metadata_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => METADATA_NAMES.contains(&name.trim_end_matches('.')),
        _ => literal_address(url).is_some_and(is_metadata),
    }
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

/// A resolver that only returns allowed addresses.
#[derive(Debug)]
pub(crate) struct Allowed {
    allows: fn(IpAddr) -> bool,
    pub(crate) refusal: &'static str,
}

/// A host has no allowed address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAllowed(pub(crate) &'static str);

impl Allowed {
    /// Allows public addresses only.
    pub(crate) const PUBLIC: Self =
        Self { allows: is_public, refusal: "an answer named this host, but its address is not public" };
    /// Allows all addresses except those of metadata services.
    pub(crate) const NO_METADATA: Self = Self {
        allows: |address| !is_metadata(address),
        refusal: "an answer named this host, and its address is one of metadata services",
    };

    /// Returns `true` if all addresses of a host are allowed, according to the local resolver. An unknown host is allowed: only
    /// the proxy can reach it.
    pub(crate) async fn allows_all_of(&self, url: &Url) -> bool {
        let Some(Host::Domain(name)) = url.host() else {
            return literal_address(url).is_none_or(self.allows);
        };
        let Ok(mut found) = tokio::net::lookup_host((name, 0)).await else { return true };
        found.all(|address| (self.allows)(address.ip()))
    }
}

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allows, refusal } = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotAllowed(refusal).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_metadata_addresses_are_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "168.63.129.16",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "::1",
            "::",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::8.8.8.8",
            "2002:a9fe:a9fe::1",
            "2002:a00:1::1",
            "fec0::1",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.255",
            "240.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "8.8.8.8",
            "100.63.255.255",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn loopback_names_are_recognized() {
        for url in
            ["https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://a.localhost./"]
        {
            assert!(has_private_host(&Url::parse(url).unwrap()), "{url}");
        }
        for url in ["https://localhost.example/", "https://notlocalhost/"] {
            assert!(!has_private_host(&Url::parse(url).unwrap()), "{url}");
        }
    }

    #[test]
    fn metadata_services_are_recognized_by_name_and_address() {
        for url in [
            "http://169.254.169.254/computeMetadata/v1/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
            "http://[fd00:ec2::254]/latest/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://0xa9fea9fe/",
            "http://100.100.100.200/",
        ] {
            assert!(has_metadata_host(&Url::parse(url).unwrap()), "{url}");
        }
        for url in ["http://10.0.0.1/", "https://registry.example/", "http://127.0.0.1/"] {
            assert!(!has_metadata_host(&Url::parse(url).unwrap()), "{url}");
        }
    }

    #[tokio::test]
    async fn localhost_has_no_public_address_and_is_not_a_metadata_service() {
        let name = || "localhost".parse().unwrap();
        assert!(Allowed::PUBLIC.resolve(name()).await.is_err());
        assert!(Allowed::NO_METADATA.resolve(name()).await.is_ok());
        let url = Url::parse("http://localhost/").unwrap();
        assert!(!Allowed::PUBLIC.allows_all_of(&url).await);
        assert!(Allowed::PUBLIC.allows_all_of(&Url::parse("http://unknown.invalid/").unwrap()).await);
    }
}
