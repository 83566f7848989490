//! A registry in a directory: acknowledged writes survive restarts and crashes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use oci::{Algorithm, Digest, Host, Tag};
use registry::sample::Recipe;
use registry::{Config, Server, StartError, Storage, Store, StoreError};

use crate::client::{Client, World, repository};

fn in_directory(directory: &Path) -> Config {
    Config { storage: Storage::Directory(directory.to_owned()), ..Config::default() }
}

/// Opens a directory that this test has closed. A process that another test starts has its lock too, until its program begins.
async fn reopen(directory: &Path) -> Result<Store, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Store::open(directory).await {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return opened,
        }
    }
}

#[tokio::test]
async fn a_reopened_directory_has_the_same_content() {
    let directory = tempfile::tempdir().unwrap();
    let app = repository("team/app");
    let index = Recipe::default().index(2);
    let referrer = Recipe::default().referrer(index.root(), "application/vnd.example");
    let world = World::new(in_directory(directory.path())).await;
    index.put(world.server.store(), &app, &["v1".parse().unwrap(), "V1".parse().unwrap()]).await.unwrap();
    referrer.put(world.server.store(), &app, &[]).await.unwrap();
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(b"content");
    let long = hasher.finish();
    let place = format!("/v2/team/app/blobs/uploads/?digest={long}");
    assert_eq!(world.client.send(Method::POST, &place, "content").await.status, 201);
    let before = world.client.get("/v2/team/app/tags/list").await.body;
    world.client.delete("/v2/team/app/manifests/V1").await;
    world.server.stop().await;

    drop(reopen(directory.path()).await.unwrap());
    let world = World::new(in_directory(directory.path())).await;
    let store = world.server.store();
    assert_eq!(store.missing_parts().await.unwrap(), []);
    assert_eq!(store.resolve(&app, &"v1".parse().unwrap()), Some(index.digest()));
    assert_eq!(store.resolve(&app, &"V1".parse().unwrap()), None, "deletions persist");
    assert_ne!(world.client.get("/v2/team/app/tags/list").await.body, before);
    let manifest = world.client.get("/v2/team/app/manifests/v1").await;
    assert_eq!(manifest.header("content-type"), index.root().media_type().as_str());
    assert_eq!(manifest.body, index.root().bytes());
    for blob in index.blobs.iter().chain([&Bytes::from_static(b"content")]) {
        let digest = if blob == "content" { long } else { Digest::of(blob) };
        assert_eq!(world.client.get(&format!("/v2/team/app/blobs/{digest}")).await.body, blob);
    }
    let referrers = world.client.get(&format!("/v2/team/app/referrers/{}", index.digest())).await.json();
    assert_eq!(referrers["manifests"][0]["digest"], referrer.digest().to_string());
}

#[tokio::test]
async fn a_range_of_a_blob_on_disk_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(in_directory(directory.path())).await;
    let digest = world.blob(b"0123456789").await;
    let request =
        world.client.request(Method::GET, &format!("/v2/app/blobs/{digest}")).header("Range", "bytes=-4");
    let answer = crate::client::Answer::of(request).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (206, &b"6789"[..]));
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_and_never_served() {
    let directory = tempfile::tempdir().unwrap();
    let kept = {
        let store = Store::open(directory.path()).await.unwrap();
        store.put_blob(&repository("app"), Bytes::from_static(b"kept")).await.unwrap()
    };
    let half = directory.path().join("uploads/half");
    std::fs::write(&half, b"half of someth").unwrap();
    let unnamed = directory.path().join("blobs/sha256").join(Digest::of(b"unnamed").hex());
    std::fs::write(&unnamed, b"unnamed").unwrap();

    let store = reopen(directory.path()).await.unwrap();
    assert!(!half.exists() && !unnamed.exists());
    assert_eq!(store.blob(&repository("app"), &kept).await.unwrap().unwrap(), "kept");
    assert!(!store.has_blob(&repository("app"), &Digest::of(b"unnamed")));
}

#[tokio::test]
async fn a_directory_can_be_opened_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = Store::open(directory.path()).await.unwrap();
    let error = Server::start(in_directory(directory.path())).await.unwrap_err();
    assert!(matches!(error, StartError::Store(StoreError::InUse { .. })), "{error}");
    assert!(error.to_string().contains(&directory.path().display().to_string()));
    drop(first);
    reopen(directory.path()).await.unwrap();
}

#[tokio::test]
async fn removed_content_is_detected_when_the_directory_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let image = Recipe::default().image();
    image.put(&Store::open(directory.path()).await.unwrap(), &repository("app"), &[]).await.unwrap();
    let lost = directory.path().join("blobs/sha256").join(image.digest().hex());
    std::fs::remove_file(&lost).unwrap();
    let error = reopen(directory.path()).await.unwrap_err();
    assert!(error.to_string().contains(&lost.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_directory_with_foreign_content_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).await.unwrap());
    let tags = directory.path().join("repositories/app/_tags");
    std::fs::create_dir_all(&tags).unwrap();
    std::fs::write(tags.join("v1"), "not a digest").unwrap();
    let error = reopen(directory.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }) && error.to_string().contains("_tags/v1"), "{error}");
}

/// The file in a directory that makes [`serve_until_killed`] serve it.
const MARKER: &str = "serve-until-killed";

/// Not a test: the process that [`a_killed_registry_has_everything_it_acknowledged_and_nothing_half_written`] starts and kills.
/// It serves its working directory if that has the file [`MARKER`]. Otherwise it does nothing.
#[tokio::test]
#[ignore = "not a test; another test starts it"]
async fn serve_until_killed() {
    let directory = std::env::current_dir().unwrap();
    if !directory.join(MARKER).exists() {
        return;
    }
    let server = Server::start(in_directory(&directory)).await.unwrap();
    std::fs::write(directory.join("address.new"), server.host().as_str()).unwrap();
    std::fs::rename(directory.join("address.new"), directory.join("address")).unwrap();
    std::future::pending::<()>().await;
}

/// A registry in a separate process, which is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(directory: &Path) -> (Self, Client) {
        let address = directory.join("address");
        let _ = std::fs::remove_file(&address);
        std::fs::write(directory.join(MARKER), "").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk::serve_until_killed", "--ignored"])
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let host: Host = loop {
            if let Ok(text) = std::fs::read_to_string(&address) {
                break text.parse().unwrap();
            }
            assert!(Instant::now() < deadline, "the registry did not start");
            std::thread::sleep(Duration::from_millis(10));
        };
        (Self(child), Client::of_host(&host))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // On Unix this is SIGKILL, so the process cannot clean up.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The content that a registry has acknowledged.
#[derive(Default)]
struct Acknowledged {
    blobs: Vec<Digest>,
    tags: Vec<(Tag, Digest)>,
}

/// Pushes one image after the other until the registry is killed.
async fn push_until_killed(client: &Client, first_seed: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for seed in first_seed.. {
        let image = Recipe { seed, layer_size: 50_000, ..Recipe::default() }.image();
        for blob in &image.blobs {
            let digest = Digest::of(blob);
            let target = format!("/v2/app/blobs/uploads/?digest={digest}");
            let Ok(response) = client.request(Method::POST, &target).body(blob.clone()).send().await else {
                return acknowledged;
            };
            assert_eq!(response.status(), 201);
            acknowledged.blobs.push(digest);
        }
        let target = format!("/v2/app/manifests/t{seed}");
        let request = client
            .request(Method::PUT, &target)
            .header("Content-Type", image.root().media_type().as_str())
            .body(image.root().bytes().clone());
        let Ok(response) = request.send().await else { return acknowledged };
        assert_eq!(response.status(), 201);
        acknowledged.tags.push((format!("t{seed}").parse().unwrap(), image.digest()));
    }
    unreachable!("the registry is killed before the seeds run out")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_registry_has_everything_it_acknowledged_and_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let app = repository("app");
    let mut acknowledged = Acknowledged::default();
    for round in 0..3 {
        let (process, client) = Process::start(directory.path());
        let pushes = (0..4).map(|pusher| push_until_killed(&client, (round * 4 + pusher) * 1_000_000));
        let pushes = futures_util::future::join_all(pushes);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300 + 137 * round)).await;
            drop(process);
        };
        for pushed in tokio::join!(pushes, kill).0 {
            acknowledged.blobs.extend(pushed.blobs);
            acknowledged.tags.extend(pushed.tags);
        }
        let store = reopen(directory.path()).await.unwrap();
        assert_eq!(store.missing_parts().await.unwrap(), [], "nothing is incomplete");
        for (tag, digest) in &acknowledged.tags {
            assert_eq!(store.resolve(&app, tag), Some(*digest), "{tag}");
        }
        for digest in &acknowledged.blobs {
            let bytes = store.blob(&app, digest).await.unwrap().expect("an acknowledged blob exists");
            assert!(digest.names(&bytes), "{digest}");
        }
    }
    assert!(
        acknowledged.tags.len() >= 3,
        "the registries acknowledged too few images before they were killed"
    );
}
