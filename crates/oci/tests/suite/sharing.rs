//! Many images that share layers, copied concurrently to the same hosts, which fail occasionally: no copy waits forever, and a
//! layer is uploaded once for each host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use oci::{Anonymous, Client, Copied, Copier, Digest, Graph, Lane, Repository, SpoolSettings, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use registry::sample::{Recipe, Sample, layer};
use registry::{Config, Effect, ErrorCode, Fault, Kind, Server};
use transport::{Door, Retry, Settings};

const HOSTS: usize = 3;
/// No operation takes longer than this unless a task waits forever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// An image: the shared layers that it has, and the time in milliseconds after which its copy is dropped, if it is.
#[derive(Clone, Debug)]
struct CopyRequest {
    layers: Vec<usize>,
    dropped: Option<u64>,
}

/// A fault of a host.
#[derive(Clone, Debug)]
struct HostFault {
    host: usize,
    kind: Kind,
    reset: bool,
    skip: u64,
    times: u64,
}

/// Generates an image. If copies are dropped, this applies to about half of them.
fn copy_request(drops: bool) -> impl Strategy<Value = CopyRequest> {
    let layers = proptest::collection::btree_set(0_usize..5, 1..5);
    (layers, 0_u64..120).prop_map(move |(layers, after)| CopyRequest {
        layers: layers.into_iter().collect(),
        dropped: (drops && after < 60).then_some(after),
    })
}

prop_compose! {
    fn host_fault()(
        host in 0..HOSTS, kind in prop::sample::select(vec![Kind::Mount, Kind::UploadPut]),
        reset: bool, skip in 0_u64..8, times in 1_u64..4,
    ) -> HostFault {
        HostFault { host, kind, reset, skip, times }
    }
}

struct Scene {
    staging: Server,
    hosts: Vec<Server>,
    client: Client,
    images: Vec<Sample>,
}

impl Scene {
    async fn new(requests: &[CopyRequest], host_faults: &[HostFault]) -> Self {
        let staging = Server::start(Config::default()).await.unwrap();
        let mut hosts = Vec::new();
        for _ in 0..HOSTS {
            hosts.push(Server::start(Config { request_log: 10_000, ..Config::default() }).await.unwrap());
        }
        for HostFault { host, kind, reset, skip, times } in host_faults.iter().cloned() {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let busy = Effect::Status { status, code: ErrorCode::TooManyRequests, retry_after: None };
            let effect = if reset { Effect::Reset } else { busy };
            hosts[host].faults().add(Fault::new(effect).on(kind).skip(skip).times(times));
        }
        let mut images = Vec::new();
        for (seed, copy_request) in requests.iter().enumerate() {
            let shared_layers = copy_request.layers.iter().map(|seed| layer(*seed as u64, 20_000)).collect();
            let recipe = Recipe { seed: seed as u64, layers: 0, shared_layers, ..Recipe::default() };
            let image = recipe.image();
            image.put(staging.store(), &format!("staging/{seed}").parse().unwrap(), &[]).await.unwrap();
            images.push(image);
        }
        let retry = Retry {
            attempts: 20,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(10),
            ..Retry::default()
        };
        let door = Door::open(Settings { retry, ..Settings::default() }).unwrap();
        let client = Client::new(door, Arc::new(Anonymous), HashMap::new());
        Self { staging, hosts, client, images }
    }

    async fn copy(&self, copier: &Copier, image: usize) -> Vec<Result<Copied, oci::Error>> {
        let host = self.staging.host().clone();
        let source = Repository { host, path: format!("staging/{image}").parse().unwrap() };
        let root = source.at(self.images[image].digest());
        let graph = Graph::read(&self.client.reader(), &root).await.unwrap();
        let targets: Vec<Target> = self
            .hosts
            .iter()
            .map(|server| {
                let path = format!("prod/{image}").parse().unwrap();
                let repository = Repository { host: server.host().clone(), path };
                Target { repository, tags: vec!["v1".parse().unwrap()], present: Default::default() }
            })
            .collect();
        let results = Mutex::new(Vec::new());
        let finished = |_, result| results.lock().unwrap().push(result);
        copier.copy(&graph, &source, &targets, Lane::Common, &|_| {}, &finished).await;
        results.into_inner().unwrap()
    }

    /// Copies all images concurrently. Copies that were dropped are repeated.
    async fn copy_all(&self, requests: &[CopyRequest], spool: SpoolSettings) {
        let copier = &Copier::new(self.client.writer(), spool);
        let copies = requests.iter().enumerate().map(|(image, copy_request)| async move {
            let within = copy_request.dropped.map_or(FOR_EVER, Duration::from_millis);
            let copied = tokio::time::timeout(within, self.copy(copier, image)).await;
            let results = match copied {
                Err(_) if copy_request.dropped.is_some() => {
                    tokio::time::timeout(FOR_EVER, self.copy(copier, image)).await
                }
                copied => copied,
            };
            let results = results.unwrap_or_else(|_| panic!("image {image} waits forever"));
            assert_eq!(results.len(), HOSTS);
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        });
        join_all(copies).await;
        for host in &self.hosts {
            assert!(host.store().missing_parts().await.unwrap().is_empty());
            for (number, image) in self.images.iter().enumerate() {
                let path = format!("prod/{number}").parse().unwrap();
                assert_eq!(host.store().resolve(&path, &"v1".parse().unwrap()), Some(image.digest()));
            }
        }
    }

    /// Returns how often each blob was uploaded to a host.
    fn uploads(&self, host: usize) -> BTreeMap<Digest, usize> {
        let mut uploads = BTreeMap::new();
        let log = self.hosts[host].tally().log();
        let done = |status| status == Some(StatusCode::CREATED);
        for put in log.iter().filter(|request| request.method == Method::PUT && done(request.status)) {
            let digest = put.target.split("digest=").nth(1).map(|digest| digest.replace("%3A", ":"));
            if let Some(digest) = digest {
                *uploads.entry(digest.parse().unwrap()).or_default() += 1;
            }
        }
        uploads
    }
}

fn holds<T: std::fmt::Debug>(cases: u32, what: impl Strategy<Value = T>, test: impl AsyncFn(T)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Cases { cases, failure_persistence: None, ..Cases::default() });
    runner
        .run(&what, |what| {
            runtime.block_on(test(what));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// For any sharing of layers and any temporary fault of a host, each layer is uploaded to each host exactly once.
#[test]
fn a_layer_is_uploaded_once_for_each_host_and_mounted_by_all_others() {
    let world = (
        proptest::collection::vec(copy_request(false), 2..12),
        proptest::collection::vec(host_fault(), 0..4),
    );
    holds(12, world, async |(requests, host_faults)| {
        let scene = Scene::new(&requests, &host_faults).await;
        scene.copy_all(&requests, SpoolSettings::default()).await;
        for host in 0..HOSTS {
            let uploads = scene.uploads(host);
            let layers: BTreeSet<usize> =
                requests.iter().flat_map(|copy_request| copy_request.layers.iter().copied()).collect();
            assert_eq!(
                uploads.len(),
                layers.len() + requests.len(),
                "the layers, and one configuration for each image"
            );
            assert!(uploads.values().all(|times| *times == 1), "{uploads:?}");
        }
    });
}

/// Copies that are dropped do not block copies that wait for their blobs, with or without a spool.
#[test]
fn dropped_copies_do_not_block_other_copies() {
    let world = (
        proptest::collection::vec(copy_request(true), 2..12),
        proptest::collection::vec(host_fault(), 0..3),
        any::<bool>(),
    );
    holds(12, world, async |(requests, host_faults, spools)| {
        let limit = if spools { 1 << 20 } else { 0 };
        let scene = Scene::new(&requests, &host_faults).await;
        scene.copy_all(&requests, SpoolSettings { limit, ..SpoolSettings::default() }).await;
    });
}
