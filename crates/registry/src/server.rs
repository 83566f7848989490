//! The server that accepts connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use oci::Host;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Registry;
use crate::auth::Gatekeeper;
use crate::config::Config;
use crate::connection::{Connection, Line};
use crate::faults::Faults;
use crate::quirks::SharedQuirks;
use crate::store::{Store, StoreError};
use crate::tally::Tally;

/// How long a connection may be idle, and how long the head of a request may take. This is longer than clients commonly keep
/// idle connections, so that the clients close them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long requests in flight have to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// The maximum number of open connections. Further connections wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long to wait after an accept fails, for example because there are no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running registry. It stops when it is dropped. [`Server::stop`] lets requests in flight end.
#[derive(Debug)]
pub struct Server {
    registry: Arc<Registry>,
    address: SocketAddr,
    host: Host,
    /// Stops new connections and new requests.
    closing: CancellationToken,
    /// Closes all connections. Cancelled when the server is dropped.
    gone: CancellationToken,
    tasks: TaskTracker,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server cannot listen on the address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The storage cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Server {
    /// Opens the storage, listens and serves.
    ///
    /// # Errors
    /// If the storage cannot be opened or the address is in use.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let refused = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let store = Store::of(&config.storage).await?;
        let host = host_at(address);
        let registry = Arc::new(Registry {
            store,
            faults: Faults::default(),
            quirks: SharedQuirks::default(),
            tally: Tally::new(config.request_log),
            gatekeeper: Gatekeeper::new(config.authentication),
            referrers_api: config.referrers_api,
            google_listing: config.google_listing,
            page_size: config.page_size,
            uploads: config.uploads,
            body_idle: config.body_idle,
            conditional_writes: tokio::sync::Mutex::default(),
            authority: host.to_string(),
        });
        let server = Self {
            registry,
            address,
            host,
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        server.tasks.spawn(server.acceptor().run(listener));
        Ok(server)
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor {
            registry: Arc::clone(&self.registry),
            closing: self.closing.clone(),
            gone: self.gone.clone(),
            tasks: self.tasks.clone(),
        }
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the host by which references name the server, such as `127.0.0.1:5000`.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the content of the registry.
    pub fn store(&self) -> &Store {
        &self.registry.store
    }

    /// Returns the faults of the server.
    pub fn faults(&self) -> &Faults {
        &self.registry.faults
    }

    /// Returns the quirks of the server.
    pub fn quirks(&self) -> &SharedQuirks {
        &self.registry.quirks
    }

    /// Returns the counts of the requests.
    pub fn tally(&self) -> &Tally {
        &self.registry.tally
    }

    /// Revokes every issued token before it expires.
    pub fn revoke_tokens(&self) {
        self.registry.gatekeeper.revoke();
    }

    /// Accepts no more requests, waits a short time for those in flight, and closes all connections.
    pub async fn stop(self) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.gone.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// Returns the host of an address in a form that clients can connect to.
fn host_at(address: SocketAddr) -> Host {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    #[expect(clippy::expect_used, reason = "an IP address with a port is always a valid host")]
    SocketAddr::new(ip, address.port()).to_string().parse().expect("an address is a valid host")
}

/// Accepts connections and serves each in its own task.
struct Acceptor {
    registry: Arc<Registry>,
    closing: CancellationToken,
    gone: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.gone.cancelled() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serving =
                        serve(stream, Arc::clone(&self.registry), self.closing.clone(), self.gone.clone());
                    self.tasks.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    registry: Arc<Registry>,
    closing: CancellationToken,
    gone: CancellationToken,
) {
    // With Nagle's algorithm, small responses wait for one another. If this fails, they are only slower.
    let _ = stream.set_nodelay(true);
    let line = Line::default();
    let io = TokioIo::new(Connection::new(stream, line.clone()));
    let service = service_fn(move |request| Arc::clone(&registry).answer(request, line.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = gone.cancelled() => return,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = gone.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
