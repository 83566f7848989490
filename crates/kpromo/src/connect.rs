//! Connections to registries: the door and the client that uses it.

use std::sync::Arc;

use oci::Client;
use transport::{Door, Settings};
use trust::Production;

use crate::config::{Config, InvalidConfig};
use crate::credentials::{Keychain, metadata_host};
use crate::environment::Environment;

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
    let mut settings = config.settings()?;
    // Google's metadata server has a link-local address and no TLS.
    let metadata_host = metadata_host(&environment.places);
    // Only requests that kpromo itself addresses to this host may go there. No answer, such as a redirect, may lead there.
    settings.metadata_hosts.push(metadata_host.clone());
    let metadata = settings.hosts.entry(metadata_host).or_default();
    metadata.plain_http = true;
    // The tokens of the metadata server are for this machine and must not go through a proxy.
    metadata.direct = true;
    let door = Door::open(settings.clone())
        .map_err(|error| InvalidConfig::flag("the configuration", error.to_string()))?;
    let keychain = Arc::new(Keychain::new(environment.places.clone(), door.clone()));
    let client = Client::new(door.clone(), Arc::<Keychain>::clone(&keychain), config.options());
    Ok(Connection { client, door, settings, keychain, production: config.production() })
}
