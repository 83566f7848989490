//! The state that all requests of a door share: settings, HTTP clients, hosts, and requests in progress.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use url::Url;

use crate::clients::Clients;
use crate::host::{HostState, authority};
use crate::retry::Budget;
use crate::settings::{HostSettings, InvalidSettings, Settings};
use crate::under_way::UnderWay;

/// The state that all requests of a door share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    /// Indexed by [`authority`].
    hosts: RwLock<HashMap<String, Arc<HostState>>>,
    pub(crate) under_way: UnderWay,
    opened: Instant,
}

impl Shared {
    /// Sets up the HTTP clients. No host is known yet.
    ///
    /// # Errors
    /// Returns an error if a certificate authority in the settings cannot be read, or if the HTTP client rejects the settings.
    pub(crate) fn new(settings: Settings) -> Result<Self, InvalidSettings> {
        let clients = Clients::new(&settings)?;
        let (hosts, under_way) = Default::default();
        Ok(Self { settings, clients, hosts, under_way, opened: Instant::now() })
    }

    /// Returns the time since the door was opened.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Returns a retry budget according to the settings.
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.settings.retry)
    }

    /// Returns the settings that apply to a host.
    pub(crate) fn host_settings(&self, authority: &str) -> &HostSettings {
        self.settings.hosts.get(authority).unwrap_or(&self.settings.other_hosts)
    }

    /// Returns the hosts that have received requests so far, indexed by [`authority`].
    pub(crate) fn hosts(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<HostState>>> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state of the host of a URL.
    pub(crate) fn host(&self, url: &Url) -> Arc<HostState> {
        let authority = authority(url);
        let known = self.hosts();
        if let Some(state) = known.get(&authority) {
            return Arc::clone(state);
        }
        drop(known);
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let state = hosts.entry(authority).or_insert_with_key(|authority| {
            Arc::new(HostState::new(self.host_settings(authority), self.opened))
        });
        Arc::clone(state)
    }
}
