//! Stores of tests, and the command that reaches them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use files::{
    Attributes, AwsKeys, Condition, GcsSettings, Hasher, S3Settings, Settings, Store, Stores, Upload,
};
use sha2::{Digest as _, Sha256};
use testkit::{FakeGcs, VersityGw};
use transport::{Door, Secret};

use crate::support::{Desk, kpromo};

/// The region of buckets in tests. It is not the default one.
pub(crate) const REGION: &str = "eu-west-3";

/// Returns the SHA-256 in hexadecimal digits.
pub(crate) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Returns content of a size that compresses badly.
pub(crate) fn content(size: usize, seed: u32) -> Vec<u8> {
    // Larger than the window of gzip. Blocks differ in their first bytes.
    const BLOCK: usize = 64 << 10;
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let words = (0..BLOCK.min(size.next_multiple_of(4)) / 4).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    });
    let block: Vec<u8> = words.collect();
    let mut content = Vec::with_capacity(size + BLOCK);
    while content.len() < size {
        let at = content.len();
        content.extend_from_slice(&block);
        if at > 0 {
            content[at..at + 8].copy_from_slice(&at.to_le_bytes());
        }
    }
    content.truncate(size);
    content
}

/// Returns a command that reaches stores at these hosts.
pub(crate) fn command(gcs: &str, s3: &str) -> Command {
    let mut command = kpromo(None);
    command
        .env("STORAGE_EMULATOR_HOST", gcs)
        .env("AWS_ENDPOINT_URL", format!("http://{s3}"))
        .env("AWS_ACCESS_KEY_ID", VersityGw::KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", VersityGw::SECRET)
        // Nothing answers there.
        .env("GCE_METADATA_HOST", "127.0.0.1:1");
    command
}

/// Writes a pair of manifests for these files, and returns the flags that name it.
pub(crate) fn manifests(desk: &Desk, bases: &[&str], files: &[(&str, String)]) -> Vec<String> {
    let mut stores = String::from("filestores:\n");
    for (index, base) in bases.iter().enumerate() {
        let role = if index == 0 {
            "src: true"
        } else {
            "service-account: promoter@project.iam.gserviceaccount.com"
        };
        stores.push_str(&format!("- base: {base}\n  {role}\n"));
    }
    let mut entries = String::from("files:\n");
    for (name, sha256) in files {
        entries.push_str(&format!("- name: {name}\n  sha256: \"{sha256}\"\n"));
    }
    let stores = desk.write("filestores.yaml", &stores);
    let files = desk.write("files.yaml", &entries);
    ["run".to_owned(), "files".to_owned(), "--filestores".to_owned(), stores.display().to_string()]
        .into_iter()
        .chain(["--files".to_owned(), files.display().to_string()])
        .collect()
}

/// Opens a store of a running server, as tests fill it.
pub(crate) async fn open(url: &str, gcs: Option<&FakeGcs>, s3: Option<&VersityGw>) -> Store {
    let endpoint = |host: &str| format!("http://{host}").parse().unwrap();
    let keys =
        AwsKeys { id: VersityGw::KEY_ID.to_owned(), secret: Secret::new(VersityGw::SECRET), session: None };
    let settings = Settings {
        gcs: GcsSettings { endpoint: endpoint(gcs.map_or("127.0.0.1:1", FakeGcs::host)) },
        s3: S3Settings { endpoint: s3.map(|s3| endpoint(s3.host())), region: None, keys: Some(keys) },
    };
    let door = Door::open(transport::Settings::default()).unwrap();
    Stores::new(door, settings).open(&url.parse().unwrap(), None).await.unwrap()
}

/// Writes an object of S3 as the AWS command line does, without a hash in its metadata. Large content is written in parts.
pub(crate) async fn put(s3: &VersityGw, bucket: &str, name: &str, content: &[u8], attributes: Attributes) {
    let store = open(&format!("s3://{bucket}"), None, Some(s3)).await;
    let mut hasher = Hasher::new();
    hasher.update(content);
    let hashes = hasher.finish();
    let (size, sha256) = (hashes.size, hashes.sha256);
    let there = store.reader().find(name).await.unwrap();
    let condition = there.map_or(Condition::Absent, |object| Condition::Version(object.version));
    let upload = Upload { size, sha256, crc32c: None, attributes, condition };
    let content = Bytes::copy_from_slice(content);
    if size < 5 << 20 {
        store.writer().put(name, &upload, content).await.unwrap();
        return;
    }
    let mut parts = store.writer().begin(name, &upload, 5 << 20).await.unwrap();
    let mut rest = content;
    while rest.len() > 5 << 20 {
        parts.part(rest.split_to(5 << 20)).await.unwrap();
    }
    parts.finish(rest, &hashes).await.unwrap();
}

/// Returns custom metadata.
pub(crate) fn custom(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A runtime for a test that fills stores.
pub(crate) fn runtime() -> Arc<tokio::runtime::Runtime> {
    Arc::new(tokio::runtime::Runtime::new().unwrap())
}
