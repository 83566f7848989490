//! fake-gcs-server, an emulator of Google Cloud Storage.

use tempfile::TempDir;

use crate::loopback::{Reply, exchange};
use crate::process::Process;

/// A running fake-gcs-server with its objects in memory. It requires no credentials. It stops when it is dropped.
///
/// It differs from the real service in resumable uploads: it appends a part that is sent twice, and it treats a status query of
/// an upload as the end of the upload. [`Relay::like_google`](crate::Relay::like_google) corrects both.
#[derive(Debug)]
pub struct FakeGcs {
    process: Process,
    host: String,
    _directory: TempDir,
}

impl FakeGcs {
    /// Starts an emulator with empty buckets and waits until it listens.
    ///
    /// # Panics
    /// If it is not installed, or if it exits before it listens.
    pub fn start(buckets: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for a log");
        let mut process = Process::spawn("fake-gcs-server", directory.path().join("log"), |command| {
            command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", "0", "-backend", "memory"]);
            command.args(["-log-level", "warn"]);
        });
        let host = process.wait_for_host(Process::listening_host).to_string();
        let store = Self { process, host, _directory: directory };
        for bucket in buckets {
            let body = format!("{{\"name\":\"{bucket}\"}}");
            let made = store.ask("POST", "/storage/v1/b?project=test", &[], body.as_bytes());
            assert_eq!(made.status, 200, "the bucket {bucket}: {}", store.log());
        }
        store
    }

    /// Returns `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends a request.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        exchange(&self.host, method, target, headers, body)
    }

    /// Writes an object with metadata: further members of the JSON resource, such as `"contentType":"text/plain"`.
    pub fn put(&self, bucket: &str, name: &str, content: &[u8], metadata: &str) {
        // The emulator uses the media type of the part as that of the object.
        let fields: serde_json::Value =
            serde_json::from_str(&format!("{{{metadata}}}")).expect("members of JSON");
        let kind = fields["contentType"].as_str().unwrap_or("application/octet-stream").to_owned();
        let comma = if metadata.is_empty() { "" } else { "," };
        let name = serde_json::Value::from(name);
        let mut body = format!(
            "--b\r\nContent-Type: application/json\r\n\r\n{{\"name\":{name}{comma}{metadata}}}\r\n--b\r\nContent-Type: {kind}\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--b--\r\n");
        let target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=multipart");
        let put = self.ask("POST", &target, &[("Content-Type", "multipart/related; boundary=b")], &body);
        assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    }

    /// Makes a composite object from others.
    pub fn compose(&self, bucket: &str, name: &str, parts: &[&str]) {
        let parts: Vec<_> = parts.iter().map(|part| serde_json::json!({"name": part})).collect();
        let body = serde_json::json!({"sourceObjects": parts, "destination": {"contentType": "text/plain"}});
        let target = format!("/storage/v1/b/{bucket}/o/{}/compose", escaped(name));
        let made =
            self.ask("POST", &target, &[("Content-Type", "application/json")], body.to_string().as_bytes());
        assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    }

    /// Returns the resource of an object, or `None` if there is none.
    pub fn resource(&self, bucket: &str, name: &str) -> Option<serde_json::Value> {
        let reply = self.ask("GET", &format!("/storage/v1/b/{bucket}/o/{}", escaped(name)), &[], b"");
        (reply.status == 200).then(|| serde_json::from_slice(&reply.body).expect("the resource of an object"))
    }

    /// Returns the stored bytes of an object, or `None` if there is none.
    pub fn get(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        let target = format!("/storage/v1/b/{bucket}/o/{}?alt=media", escaped(name));
        let reply = self.ask("GET", &target, &[("Accept-Encoding", "gzip")], b"");
        (reply.status == 200).then_some(reply.body)
    }

    /// Returns the names of all objects of a bucket.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let reply = self.ask("GET", &format!("/storage/v1/b/{bucket}/o"), &[], b"");
        let listing: serde_json::Value = serde_json::from_slice(&reply.body).expect("a listing");
        let items = listing["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
    }
}

/// Returns a name as one segment of a path.
fn escaped(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
