//! Connections to registries: the door, and the client behind it.

use std::sync::Arc;

use oci::Client;
use transport::Door;
use trust::Production;

use crate::config::{Config, InvalidConfig};
use crate::credentials::{Keychain, metadata_host};
use crate::environment::Environment;

/// What a command needs to speak with registries.
pub(crate) struct Connection {
    /// Speaks with registries.
    pub(crate) client: Client,
    /// What every request goes through.
    pub(crate) door: Door,
    /// The credentials.
    pub(crate) keychain: Arc<Keychain>,
    /// What is particular to an organisation.
    pub(crate) production: Production,
}

/// Opens the door and the client behind it.
///
/// # Errors
/// When the configuration cannot be used.
pub(crate) fn connect(config: &Config, environment: &Environment) -> Result<Connection, InvalidConfig> {
    let mut settings = config.settings()?;
    // Google's metadata service is reached at a link-local address, without TLS.
    let metadata_host = metadata_host(&environment.places);
    // It is configured for requests of our own; no answer may lead there.
    settings.metadata_hosts.push(metadata_host.clone());
    let metadata = settings.hosts.entry(metadata_host).or_default();
    metadata.plain_http = true;
    // Its tokens are for this machine, not for a proxy.
    metadata.direct = true;
    let door =
        Door::open(settings).map_err(|error| InvalidConfig::flag("the configuration", error.to_string()))?;
    let keychain = Arc::new(Keychain::new(environment.places.clone(), door.clone()));
    let client = Client::new(door.clone(), Arc::<Keychain>::clone(&keychain), config.options());
    Ok(Connection { client, door, keychain, production: config.production() })
}
