//! A server for the part of Container Analysis that lists occurrences (Container Analysis API v1,
//! *projects.occurrences.list*), with pages and with errors in the form of Google's APIs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::loopback::{Listening, locked};

/// The maximum time for each read and write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a request, in bytes.
const REQUEST_MAX: u64 = 64 << 10;

/// Serves occurrences from memory until it is dropped.
#[derive(Debug)]
pub struct Occurrences {
    listening: Listening,
    state: Arc<State>,
}

/// A request for occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrencesRequest {
    /// The path.
    pub path: String,
    /// The parameters of the query, decoded.
    pub query: BTreeMap<String, String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

/// A fault of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OccurrencesFault {
    /// No fault.
    #[default]
    None,
    /// Answers with this status and message, as Google's APIs do.
    Refuses(u16, String),
    /// Answers with this body.
    Says(String),
    /// Each page has a new token.
    EndlessPages,
    /// Each page has the same token.
    SamePage,
    /// Lists all occurrences of the project, whatever the filter is.
    IgnoresFilter,
}

#[derive(Debug, Default)]
struct State {
    /// The occurrences of each project.
    occurrences: Mutex<BTreeMap<String, Vec<Value>>>,
    page_size: Mutex<Option<usize>>,
    faults: Mutex<Vec<OccurrencesFault>>,
    always: Mutex<OccurrencesFault>,
    requests: Mutex<Vec<OccurrencesRequest>>,
}

impl Occurrences {
    /// Starts a server without occurrences.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let answering = Arc::clone(&state);
        let listening = Listening::start(move |stream, _| drop(answering.answer(stream)));
        Self { listening, state }
    }

    /// Returns the URL of the service.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Adds an occurrence to a project.
    pub fn add(&self, project: &str, occurrence: Value) {
        locked(&self.state.occurrences).entry(project.to_owned()).or_default().push(occurrence);
    }

    /// Adds the occurrence of a vulnerability in an image (`https://registry/name@sha256:…`), with its severity and the version
    /// that fixes it.
    pub fn add_vulnerability(
        &self,
        project: &str,
        resource: &str,
        id: &str,
        severity: &str,
        fixed: Option<&str>,
    ) {
        let version = |name: &str| json!({ "name": name, "kind": "NORMAL", "fullName": name });
        let fixed_version = fixed.map_or_else(|| json!({ "kind": "MAXIMUM" }), version);
        self.add(
            project,
            json!({
                "name": format!("projects/{project}/occurrences/{id}"),
                "resourceUri": resource,
                "noteName": format!("projects/goog-vulnz/notes/{id}"),
                "kind": "VULNERABILITY",
                "vulnerability": {
                    "severity": severity,
                    "effectiveSeverity": severity,
                    "shortDescription": id,
                    "fixAvailable": fixed.is_some(),
                    "packageIssue": [{
                        "affectedPackage": "openssl",
                        "affectedVersion": version("1.1.1"),
                        "fixedPackage": "openssl",
                        "fixedVersion": fixed_version,
                        "fixAvailable": fixed.is_some(),
                        "effectiveSeverity": severity,
                    }],
                },
            }),
        );
    }

    /// Adds the state of an image's scan (`FINISHED_SUCCESS`, `SCANNING`…).
    pub fn add_scan(&self, project: &str, resource: &str, status: &str) {
        self.add(
            project,
            json!({
                "resourceUri": resource,
                "noteName": "projects/goog-analysis/notes/PACKAGE_VULNERABILITY",
                "kind": "DISCOVERY",
                "discovery": { "continuousAnalysis": "ACTIVE", "analysisStatus": status },
            }),
        );
    }

    /// Limits the number of occurrences on a page.
    pub fn limit_pages(&self, size: usize) {
        *locked(&self.state.page_size) = Some(size);
    }

    /// Applies a fault to the next request, or to the one after those that have a fault already.
    pub fn fail_next(&self, fault: OccurrencesFault) {
        locked(&self.state.faults).push(fault);
    }

    /// Applies a fault to every request that has no fault of its own.
    pub fn fail_always(&self, fault: OccurrencesFault) {
        *locked(&self.state.always) = fault;
    }

    /// Returns the requests, in order.
    pub fn requests(&self) -> Vec<OccurrencesRequest> {
        locked(&self.state.requests).clone()
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut lines = BufReader::new(stream.try_clone()?.take(REQUEST_MAX)).lines();
        let line = lines.next().transpose()?.unwrap_or_default();
        let mut authorization = None;
        for header in lines {
            let header = header?;
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.trim().to_owned());
            }
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let request = OccurrencesRequest { path: decoded(path), query, authorization };
        locked(&self.requests).push(request.clone());
        let (status, body) = self.list(&request);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        )?;
        stream.write_all(body.as_bytes())
    }

    fn fault(&self) -> OccurrencesFault {
        let mut faults = locked(&self.faults);
        if faults.is_empty() { locked(&self.always).clone() } else { faults.remove(0) }
    }

    fn list(&self, request: &OccurrencesRequest) -> (u16, String) {
        let refusal = |status: u16, message: &str| {
            (status, json!({ "error": { "code": status, "message": message } }).to_string())
        };
        let fault = self.fault();
        match &fault {
            OccurrencesFault::Refuses(status, message) => return refusal(*status, message),
            OccurrencesFault::Says(body) => return (200, body.clone()),
            _ => {}
        }
        let project =
            request.path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/occurrences"));
        let Some(project) = project else { return refusal(404, "no such method") };
        let parameter = |name: &str| request.query.get(name).map(String::as_str).unwrap_or_default();
        let Some((resource, kinds)) = parsed(parameter("filter")) else {
            return refusal(400, "the filter cannot be parsed");
        };
        let found: Vec<Value> = locked(&self.occurrences)
            .get(project)
            .into_iter()
            .flatten()
            .filter(|occurrence| {
                let is_kind = kinds.iter().any(|kind| occurrence["kind"] == *kind);
                fault == OccurrencesFault::IgnoresFilter || (occurrence["resourceUri"] == resource && is_kind)
            })
            .cloned()
            .collect();
        let Some(asked) =
            parameter("pageSize").parse::<usize>().ok().filter(|size| (1..=1000).contains(size))
        else {
            return refusal(400, "pageSize must be from 1 to 1000");
        };
        let size = locked(&self.page_size).map_or(asked, |size| size.min(asked));
        let start = match parameter("pageToken") {
            "" => 0,
            token => match token.strip_prefix("from-").and_then(|start| start.parse().ok()) {
                Some(start) => start,
                None => return refusal(400, "the page token is invalid"),
            },
        };
        let end = found.len().min(start + size);
        let page = found.get(start..end).unwrap_or_default();
        let next = match fault {
            OccurrencesFault::EndlessPages => format!("from-{}", start + 1_000_000),
            OccurrencesFault::SamePage => "from-0".to_owned(),
            _ if end < found.len() => format!("from-{end}"),
            _ => String::new(),
        };
        (200, json!({ "occurrences": page, "nextPageToken": next }).to_string())
    }
}

/// Parses a filter for one resource and several kinds.
fn parsed(filter: &str) -> Option<(String, Vec<String>)> {
    let rest = filter.strip_prefix("resourceUrl=\"")?;
    let (resource, rest) = rest.split_once('"')?;
    let kinds = rest.strip_prefix(" AND (")?.strip_suffix(')')?;
    let kind = |text: &str| Some(text.strip_prefix("kind=\"")?.strip_suffix('"')?.to_owned());
    let kinds: Option<Vec<String>> = kinds.split(" OR ").map(kind).collect();
    Some((resource.to_owned(), kinds?))
}

/// Decodes a part of a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8(digits).unwrap_or_default();
                bytes.extend(u8::from_str_radix(&digits, 16).ok());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
