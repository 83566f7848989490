//! A promotion of two images, of which the second can be made to fail.

use http::StatusCode;
use registry::{Canned, Effect, ErrorCode, Fault, Kind, Server};
use serde_json::{Value, json};

use crate::support::{Desk, Ran, kpromo, run, scene};

pub(crate) struct World {
    pub(crate) staging: Server,
    pub(crate) production: Server,
    pub(crate) desk: Desk,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (staging, production, desk) = scene().await;
        Self { staging, production, desk }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.desk.path(name).display().to_string()
    }

    /// Runs `kpromo cip` without signatures on the manifest.
    pub(crate) fn cip(&self, flags: &[&str]) -> Ran {
        let mut command = kpromo(None);
        command.args(["cip", "--sign=false", "--manifest"]).arg(self.desk.path("manifest.yaml")).args(flags);
        run(command)
    }

    /// Runs it with a report and returns both.
    pub(crate) fn report(&self, flags: &[&str]) -> (Ran, Value) {
        let path = self.path("report.json");
        let ran = self.cip(&[flags, &["--report", &path]].concat());
        (ran, self.desk.json("report.json"))
    }

    /// Makes production refuse the manifests of a repository, with this message.
    pub(crate) fn refuse(&self, repository: &str, message: &str) {
        let body = json!({ "errors": [{ "code": "DENIED", "message": message }] }).to_string();
        let answer = Canned::new(StatusCode::FORBIDDEN).with_body("application/json", body);
        let fault = Fault::new(Effect::Canned(answer)).on(Kind::ManifestPut).path(repository);
        self.production.faults().add(fault);
    }

    /// Makes a registry answer some requests with a status.
    pub(crate) fn answer(server: &Server, status: StatusCode, kind: Kind, times: u64) {
        let effect = Effect::Status { status, code: ErrorCode::Unknown, retry_after: None };
        server.faults().add(Fault::new(effect).on(kind).times(times));
    }
}
