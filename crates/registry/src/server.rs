//! A registry that listens.

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

/// How long a connection may be idle, or a request's head may take. Longer than clients commonly keep idle connections, so
/// that they are the ones who close.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long requests in flight have to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// The most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long to wait when no connection can be accepted, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running registry. It stops when it is dropped; [`Server::stop`] lets requests in flight end.
#[derive(Debug)]
pub struct Server {
    registry: Arc<Registry>,
    address: SocketAddr,
    host: Host,
    /// No new connections, no new requests.
    closing: CancellationToken,
    /// No connections at all. Cancelled when the server is dropped.
    gone: CancellationToken,
    tasks: TaskTracker,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What came back.
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
    /// When the storage cannot be opened or the address is taken.
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

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The host by which references name it: `127.0.0.1:5000`.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What it holds.
    pub fn store(&self) -> &Store {
        &self.registry.store
    }

    /// What happens to its requests.
    pub fn faults(&self) -> &Faults {
        &self.registry.faults
    }

    /// How it always behaves.
    pub fn quirks(&self) -> &SharedQuirks {
        &self.registry.quirks
    }

    /// What it was asked.
    pub fn tally(&self) -> &Tally {
        &self.registry.tally
    }

    /// Makes every token that was given out worthless, though its time has not come.
    pub fn revoke_tokens(&self) {
        self.registry.gatekeeper.revoke();
    }

    /// Takes no more requests, gives those in flight a short time to end, and closes everything.
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

/// The host of an address, in a form that can be connected to.
fn host_at(address: SocketAddr) -> Host {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    #[expect(
        clippy::expect_used,
        reason = "an address that is listened on has a port, and its text is a host's"
    )]
    SocketAddr::new(ip, address.port()).to_string().parse().expect("an address names a host")
}

/// Takes connections and serves each in its own task.
struct Acceptor {
    registry: Arc<Registry>,
    closing: CancellationToken,
    gone: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
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
    // Small answers must not wait for one another; where the system refuses, they are only slower.
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
