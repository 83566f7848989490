//! Connections to registries: the door and the client that uses it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use oci::{Client, Host};
use transport::{Door, Settings};
use trust::Production;

use crate::config::{Config, InvalidConfig, check_file};
use crate::credentials::{Keychain, metadata_host};
use crate::environment::Environment;

/// The maximum size of the file that `SSL_CERT_FILE` names, in bytes. Bundles of all public authorities have 250 KB.
const CERTIFICATES_MAX: u64 = 16 * 1024 * 1024;

/// The connection of a command to registries.
pub(crate) struct Connection {
    /// The registry client.
    pub(crate) client: Client,
    /// The door that every request goes through.
    pub(crate) door: Door,
    /// The settings of the door.
    pub(crate) settings: Settings,
    /// The credentials.
    pub(crate) keychain: Arc<Keychain>,
    /// The organization's production settings.
    pub(crate) production: Production,
}

/// Opens the door and creates the client.
///
/// # Errors
/// Returns an error if the configuration cannot be used.
pub(crate) fn connect(config: &Config, environment: &Environment) -> Result<Connection, InvalidConfig> {
    connect_with(config, environment, |_| ())
}

/// As [`connect`], for one of several processes that send requests to the same hosts at the same time. Each of them begins with
/// its part of what one process would begin with, and keeps to its part of the caps.
///
/// # Errors
/// Returns an error if the configuration cannot be used.
pub(crate) fn connect_sharing(
    config: &Config,
    environment: &Environment,
    shared: &BTreeSet<Host>,
    processes: NonZeroU32,
) -> Result<Connection, InvalidConfig> {
    connect_with(config, environment, |settings| share(settings, shared, processes))
}

/// As [`connect`], with changes of the configured settings.
///
/// # Errors
/// Returns an error if the configuration cannot be used.
pub(crate) fn connect_with(
    config: &Config,
    environment: &Environment,
    change: impl FnOnce(&mut Settings),
) -> Result<Connection, InvalidConfig> {
    if let Some(file) = &environment.certificate_file {
        // The TLS library would wait for a pipe without a limit, and would ignore an unreadable file beside other authorities.
        check_file(file, CERTIFICATES_MAX).map_err(|error| error.within("SSL_CERT_FILE"))?;
    }
    let mut settings = config.settings()?;
    change(&mut settings);
    // Google's metadata server has a link-local address and no TLS.
    let metadata_host = metadata_host(&environment.places);
    // Only requests that kpromo itself addresses to this host may go there. No answer, such as a redirect, may lead there.
    settings.metadata_hosts.push(metadata_host.clone());
    let metadata = settings.hosts.entry(metadata_host).or_default();
    metadata.plain_http = true;
    // The tokens of the metadata server are for this machine and must not go through a proxy.
    metadata.direct = true;
    let door = Door::open(settings.clone()).map_err(InvalidConfig::Connections)?;
    let keychain = Arc::new(Keychain::new(environment.places.clone(), door.clone()));
    let client = Client::new(door.clone(), Arc::<Keychain>::clone(&keychain), config.options());
    Ok(Connection { client, door, settings, keychain, production: config.production() })
}

/// Divides the limits of hosts among processes.
fn share(settings: &mut Settings, hosts: &BTreeSet<Host>, processes: NonZeroU32) {
    let part = 1.0 / f64::from(processes.get());
    for host in hosts {
        let others = &settings.other_hosts;
        let limits = settings.hosts.entry(host.api().to_owned()).or_insert_with(|| others.clone());
        limits.requests_per_second = limits.requests_per_second.map(|cap| cap * part);
        limits.writes_per_second = limits.writes_per_second.map(|cap| cap * part);
        limits.start_requests_per_second = (limits.start_requests_per_second * part).max(1.0);
        limits.start_burst = (limits.start_burst * part).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use transport::HostSettings;

    use super::*;

    #[test]
    fn processes_share_the_limits_of_a_host() {
        let capped = HostSettings { requests_per_second: Some(80.0), ..HostSettings::default() };
        let mut settings = Settings::default();
        settings.other_hosts.start_burst = 40.0;
        settings.hosts.insert("a.io".to_owned(), capped.clone());
        settings.hosts.insert("b.io".to_owned(), capped);
        let shared = ["a.io", "c.io"].map(|host| host.parse().unwrap());
        share(&mut settings, &BTreeSet::from(shared), NonZeroU32::new(4).unwrap());
        let of = |host: &str| {
            let limits = &settings.hosts[host];
            (limits.requests_per_second, limits.start_requests_per_second, limits.start_burst)
        };
        assert_eq!(of("a.io"), (Some(20.0), 20.0, 20.0));
        assert_eq!(of("b.io"), (Some(80.0), 80.0, 80.0));
        assert_eq!(of("c.io"), (None, 20.0, 10.0), "as other hosts are");
        share(&mut settings, &BTreeSet::from(["c.io".parse().unwrap()]), NonZeroU32::MAX);
        assert_eq!(settings.hosts["c.io"].start_burst, 1.0, "a request can always be sent");
    }
}
