//! Copies over HTTP to registries of which some are slow or fail: the requests to staging, and which copies wait for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use oci::{Anonymous, Client, Copied, Copier, Digest, Graph, Lane, Repository, SpoolSettings, Target};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, ErrorCode, Fault, Kind, Server};
use tokio::sync::Notify;
use transport::{Door, HostSettings, Retry, Settings};

const MIB: usize = 1024 * 1024;

/// The delay of each request to a slow registry. It is longer than the patience of any copy.
const SLOW: Duration = Duration::from_secs(2);

/// An image in staging with one layer, and its destination registries.
struct Scene {
    staging: Server,
    regions: Vec<Server>,
    client: Client,
    image: Sample,
    layer: Digest,
}

impl Scene {
    async fn new(regions: usize, layer_size: usize) -> Self {
        let staging = Server::start(Config::default()).await.unwrap();
        let mut servers = Vec::new();
        for _ in 0..regions {
            servers.push(Server::start(Config::default()).await.unwrap());
        }
        let image = Recipe { layers: 1, layer_size, ..Recipe::default() }.image();
        image.put(staging.store(), &"staging/app".parse().unwrap(), &[]).await.unwrap();
        let layer = Digest::of(image.blobs.iter().find(|blob| blob.len() == layer_size).unwrap());
        let retry = Retry { first_pause: Duration::from_millis(5), ..Retry::default() };
        // Longer than the delay of the slow region, and far shorter than the timeout of writes elsewhere.
        let other_hosts = HostSettings { answer: Some(Duration::from_secs(10)), ..HostSettings::default() };
        let door = Door::open(Settings { retry, other_hosts, ..Settings::default() }).unwrap();
        Self {
            staging,
            regions: servers,
            client: Client::new(door, Arc::new(Anonymous), HashMap::new()),
            image,
            layer,
        }
    }

    fn copier(&self, spool: SpoolSettings) -> Copier {
        Copier::new(self.client.writer(), spool)
    }

    /// Copies the image to all regions. Returns the numbers of the regions in the order of completion, and their results.
    async fn copy(
        &self,
        copier: &Copier,
        first_done: &Notify,
    ) -> (Vec<usize>, Vec<Result<Copied, oci::Error>>) {
        let source = Repository { host: self.staging.host().clone(), path: "staging/app".parse().unwrap() };
        let graph = Graph::read(&self.client.reader(), &source.at(self.image.digest())).await.unwrap();
        let target = |region: &Server| {
            let repository = Repository { host: region.host().clone(), path: "prod/app".parse().unwrap() };
            Target { repository, tags: vec!["v1".parse().unwrap()], present: Default::default() }
        };
        let targets: Vec<Target> = self.regions.iter().map(target).collect();
        let done = Mutex::new(Vec::new());
        let finished = |index, result| {
            done.lock().unwrap().push((index, result));
            first_done.notify_one();
        };
        copier.copy(&graph, &source, &targets, Lane::Common, &|_| {}, &finished).await;
        done.into_inner().unwrap().into_iter().unzip()
    }

    async fn copy_all(&self, copier: &Copier) -> Vec<usize> {
        let (order, results) = self.copy(copier, &Notify::new()).await;
        results.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
        for region in &self.regions {
            assert!(region.store().missing_parts().await.unwrap().is_empty());
            assert!(region.store().resolve(&"prod/app".parse().unwrap(), &"v1".parse().unwrap()).is_some());
        }
        order
    }

    fn blob_reads(&self) -> (u64, u64) {
        let tally = self.staging.tally().snapshot();
        (tally.requests(Kind::BlobGet), tally.blob_bytes_out)
    }

    fn busy(&self, region: usize, kind: Kind, times: u64) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let busy = Effect::Status { status, code: ErrorCode::TooManyRequests, retry_after: None };
        self.regions[region].faults().add(Fault::new(busy).on(kind).times(times));
    }
}

#[tokio::test]
async fn with_equally_fast_hosts_the_spool_is_unused_and_staging_is_read_once() {
    let scene = Scene::new(3, 30 * MIB).await;
    let copier = scene.copier(SpoolSettings::default());
    scene.copy_all(&copier).await;
    assert_eq!(scene.blob_reads(), (2, scene.image.blob_bytes()), "the layer and the configuration");
    assert_eq!(copier.spooled(), 0);
}

/// The fast regions complete before the slow one has its layer, which it then receives from the spool.
#[tokio::test]
async fn a_slow_region_does_not_delay_others_and_staging_is_read_once() {
    let scene = Scene::new(3, 30 * MIB).await;
    scene.regions[0].faults().set_latency(SLOW);
    let copier = scene.copier(SpoolSettings::default());
    let has_layer = || scene.regions[0].store().has_blob(&"prod/app".parse().unwrap(), &scene.layer);
    let first = Notify::new();
    let copying = scene.copy(&copier, &first);
    let watching = async {
        first.notified().await;
        has_layer()
    };
    let ((order, results), slow_had_it) = tokio::join!(copying, watching);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(order.last(), Some(&0));
    assert!(!slow_had_it && has_layer());
    assert_eq!(scene.blob_reads(), (2, scene.image.blob_bytes()));
    assert!(copier.spooled() > 0);
}

/// A failed upload starts over from the spool if the spool has the blob from the first byte on.
#[tokio::test]
async fn a_retry_is_served_from_the_spool() {
    let scene = Scene::new(2, 30 * MIB).await;
    scene.regions[0].faults().set_latency(SLOW);
    scene.busy(0, Kind::UploadPut, 2);
    let copier = scene.copier(SpoolSettings::default());
    scene.copy_all(&copier).await;
    assert_eq!(scene.blob_reads(), (2, scene.image.blob_bytes()));
}

/// The cost of a slow region without disk space: it is dropped, and staging is read again for it.
async fn assert_second_read(spool: SpoolSettings) {
    let scene = Scene::new(2, 30 * MIB).await;
    scene.regions[0].faults().set_latency(2 * SLOW);
    let copier = scene.copier(spool);
    assert_eq!(scene.copy_all(&copier).await, [1, 0]);
    let (reads, bytes) = scene.blob_reads();
    assert_eq!(reads, 3, "the layer twice, the configuration once");
    assert!(bytes <= 2 * scene.image.blob_bytes());
    assert_eq!(copier.spooled(), 0);
}

#[tokio::test]
async fn without_a_spool_a_slow_region_is_served_by_a_second_read() {
    assert_second_read(SpoolSettings { limit: 0, ..SpoolSettings::default() }).await;
}

#[tokio::test]
async fn if_the_disk_fails_a_slow_region_is_served_by_a_second_read() {
    assert_second_read(SpoolSettings { directory: Some("/nonexistent/directory".into()), limit: 1 << 30 })
        .await;
}

/// Small blobs are also moved from memory to the spool when only slow regions are left, and are not read again.
#[tokio::test]
async fn small_blobs_of_slow_regions_wait_in_the_spool() {
    let scene = Scene::new(2, 100_000).await;
    scene.regions[0].faults().set_latency(SLOW);
    scene.busy(0, Kind::UploadPut, 1);
    let copier = scene.copier(SpoolSettings::default());
    scene.copy_all(&copier).await;
    assert_eq!(scene.blob_reads(), (2, scene.image.blob_bytes()));
    assert_eq!(copier.spooled(), scene.image.blob_bytes());
}

/// An upload that a region never answers ends with a timeout, long after the other regions have completed.
#[tokio::test]
async fn an_upload_that_hangs_is_restarted() {
    let scene = Scene::new(2, 30 * MIB).await;
    scene.regions[0].faults().add(Fault::new(Effect::Hang).on(Kind::UploadPut).times(1));
    let order = scene.copy_all(&scene.copier(SpoolSettings::default())).await;
    assert_eq!(order, [1, 0]);
}
