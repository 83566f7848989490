//! The Sigstore for measuring signatures: a directory with the URLs of its parts and its trust root.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::tools::word;

/// The identity of the signer.
pub(crate) const SIGNER: &str = "promoter@bench.example";
/// The maximum duration of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum size of one response, in bytes.
const RESPONSE_MAX: u64 = 1 << 20;
/// A log reports all its entries after this time: it integrates new entries twenty times a second.
const SETTLED: Duration = Duration::from_millis(500);

/// The unit in which Linux reports processor time to programs, on nearly every architecture.
const TICKS_A_SECOND: f64 = 100.0;

/// A running Sigstore without other users, so that its logs grow only by the measured entries.
#[derive(Clone, Debug)]
pub(crate) struct Sigstore {
    directory: PathBuf,
    urls: BTreeMap<String, String>,
}

/// The sizes of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    /// The entries of the certificate transparency log.
    pub(crate) certificates: u64,
    /// The entries of the transparency log, for signatures and records.
    pub(crate) entries: u64,
}

impl Logged {
    /// Returns the growth since an earlier reading.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            certificates: self.certificates.saturating_sub(before.certificates),
            entries: self.entries.saturating_sub(before.entries),
        }
    }
}

impl Sigstore {
    /// Opens the Sigstore that a directory describes.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let file = directory.join("urls");
        let text = fs::read_to_string(&file).map_err(Error::file("reading", file))?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let urls = lines.map(|(name, url)| (name.to_owned(), url.to_owned())).collect();
        Ok(Self { directory: directory.to_owned(), urls })
    }

    /// Returns the path of one of its files, as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        word(&self.directory.join(name))
    }

    /// Returns the URL of a part.
    pub(crate) fn url(&self, part: &str) -> Result<&str, Error> {
        let url = self.urls.get(part).map(String::as_str);
        url.ok_or_else(|| self.error(format!("its file `urls` has no URL for {part}")))
    }

    /// Requests a token for [`SIGNER`], valid for an hour. The token is passed in a file, because error messages show arguments.
    pub(crate) async fn token(&self, directory: &Path) -> Result<String, Error> {
        let token = self.get(&format!("{}/token?email={SIGNER}", self.url("issuer")?)).await?;
        let file = directory.join("token");
        fs::write(&file, token).map_err(Error::file("writing", &file))?;
        Ok(word(&file))
    }

    /// Returns the sizes of the logs after a pause for pending entries.
    pub(crate) async fn logged(&self) -> Result<Logged, Error> {
        sleep(SETTLED).await;
        let certificates = format!("{}/ct/v1/get-sth", self.url("certificates")?);
        let entries = format!("{}/api/v1/log", self.url("rekor1")?);
        Ok(Logged {
            certificates: self.number(&certificates, "tree_size").await?,
            entries: self.number(&entries, "treeSize").await?,
        })
    }

    /// Returns the processor time of its parts so far. A process in its directory is a part. Exited processes do not count.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Error> {
        let processes = fs::read_dir("/proc").map_err(Error::file("listing", "/proc"))?;
        let ours = processes.filter_map(Result::ok).map(|process| process.path()).filter(|process| {
            fs::read_link(process.join("cwd")).is_ok_and(|directory| directory.starts_with(&self.directory))
        });
        let ticks: u64 =
            ours.filter_map(|process| ticks(&fs::read_to_string(process.join("stat")).ok()?)).sum();
        #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
        let seconds = ticks as f64 / TICKS_A_SECOND;
        Ok(seconds)
    }

    async fn number(&self, url: &str, name: &str) -> Result<u64, Error> {
        let answer: Value = serde_json::from_slice(&self.get(url).await?).unwrap_or_default();
        let number = answer[name].as_u64();
        number.ok_or_else(|| self.error(format!("the response of {url} has no number `{name}`: {answer}")))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Error> {
        let asked = timeout(REQUEST_TIMEOUT, get(url)).await;
        let answer = asked.map_err(|_| format!("no answer after {} s", REQUEST_TIMEOUT.as_secs()));
        answer.and_then(|answer| answer).map_err(|why| self.error(format!("requesting {url}: {why}")))
    }

    fn error(&self, why: String) -> Error {
        Error::Sigstore { directory: self.directory.clone(), why }
    }
}

/// Returns user and system time of a process, in ticks, from its `stat`. The process name, in parentheses, may have spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The third field of the file is the first here. The times are the 14th and the 15th field.
    let mut times = fields.split_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

/// Returns the content at a loopback URL. A response in HTTP/1.0 is not chunked, and it ends with the connection.
async fn get(url: &str) -> Result<Vec<u8>, String> {
    let rest = url.strip_prefix("http://").ok_or("not an http:// URL")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let ask = async {
        let mut stream = TcpStream::connect(authority).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(RESPONSE_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let mut answer = ask.await.map_err(|error| error.to_string())?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let good = answer.split(|byte| *byte == b' ').nth(1) == Some(b"200");
    match end {
        Some(end) if good => Ok(answer.split_off(end + 4)),
        _ => Err(format!("the answer is `{}`", String::from_utf8_lossy(&answer).trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers the given number of requests with the same text, and returns the requests.
    fn answers(text: &'static str, times: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let one = |_| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 1000];
                let length = stream.read(&mut asked).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                String::from_utf8_lossy(&asked[..length]).into_owned()
            };
            (0..times).map(one).collect()
        });
        (url, thread)
    }

    fn directory(urls: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("urls"), urls).unwrap();
        directory
    }

    #[tokio::test]
    async fn a_token_from_the_issuer_is_stored_in_a_file() {
        let (url, asked) = answers("HTTP/1.0 200 OK\r\nA: b\r\n\r\na.b.c", 1);
        let directory = directory(&format!("issuer {url}\n"));
        let file = Sigstore::open(directory.path()).unwrap().token(directory.path()).await.unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "a.b.c");
        let asked = asked.join().unwrap();
        assert!(asked[0].starts_with(&format!("GET /token?email={SIGNER} ")), "{asked:?}");
    }

    #[tokio::test]
    async fn the_sizes_of_both_logs_are_read() {
        let (url, asked) = answers("HTTP/1.0 200 OK\r\n\r\n{\"tree_size\":3,\"treeSize\":7}", 2);
        let directory = directory(&format!("certificates {url}/ct\nrekor1 {url}\n"));
        let logged = Sigstore::open(directory.path()).unwrap().logged().await.unwrap();
        assert_eq!(logged, Logged { certificates: 3, entries: 7 });
        assert_eq!(
            logged.since(Logged { certificates: 1, entries: 7 }),
            Logged { certificates: 2, entries: 0 }
        );
        let asked = asked.join().unwrap();
        assert!(asked[0].starts_with("GET /ct/ct/v1/get-sth ") && asked[1].starts_with("GET /api/v1/log "));
    }

    #[test]
    fn the_times_of_a_process_follow_its_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[tokio::test]
    async fn errors_name_what_refuses_or_is_missing() {
        let (url, asked) = answers("HTTP/1.0 403 no\r\n\r\nwho are you", 1);
        let directory = directory(&format!("issuer {url}\n"));
        let sigstore = Sigstore::open(directory.path()).unwrap();
        let refused = sigstore.token(directory.path()).await.unwrap_err().to_string();
        assert!(refused.contains("/token") && refused.contains("who are you"), "{refused}");
        asked.join().unwrap();
        assert!(sigstore.logged().await.unwrap_err().to_string().contains("certificates"));
        assert!(Sigstore::open(Path::new("/no/such/directory")).is_err());
    }
}
