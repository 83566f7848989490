//! The parts that run as separate processes: their answers, and that they exit when the driver does.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The maximum time for something that is immediate on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Part {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Part {
    fn start(name: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take(), output, child }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    /// Ends the part's input. Returns whether the part exits then.
    fn exits_with_its_input(&mut self) -> bool {
        drop(self.input.take());
        until(|| self.child.try_wait().unwrap().is_some())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only if the part has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > TIMEOUT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_running(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

#[test]
fn a_world_reports_its_hosts_and_counts_and_exits_with_its_input() {
    let conditions = json!({ "latency_milliseconds": 0, "quota": null, "refuses": false });
    let host = json!({ "storage": "Memory", "conditions": conditions });
    let content = json!({ "Promoted": { "projects": 1, "images": 2, "digests": 3 } });
    let mut world = Part::start("world");
    let started = world.ask(&json!({ "hosts": [host, host], "content": content }));
    let started = &started["Started"];
    assert_eq!(started["images"].as_array().unwrap().len(), 6);
    let address = started["hosts"][1].as_str().unwrap();
    // A request without an HTTP client, so that exactly one request is counted.
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(connection, "GET /v2/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(connection).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let reading = world.ask(&json!("Read"));
    let requests = |host: usize| reading["Reading"]["hosts"][host]["requests"].as_u64().unwrap();
    assert_eq!([requests(0), requests(1)], [0, 1]);
    assert!(world.ask(&json!("Reset"))["Done"]["seconds"].as_f64().is_some());
    let reading = world.ask(&json!("Read"));
    assert_eq!(reading["Reading"]["hosts"][1]["requests"], 0);
    assert!(world.exits_with_its_input());
}

#[test]
fn a_measured_command_is_killed_when_the_driver_exits() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo $$ > number.new; mv number.new number; while :; do sleep 1; done";
    let mut measure = Part::start("measure");
    measure.send(&json!({
        "commands": [["/bin/sh", "-c", script]],
        "parallel": 1,
        "environment": { "PATH": "/usr/bin:/bin" },
        "directory": directory.path(),
    }));
    let file = directory.path().join("number");
    assert!(until(|| file.exists()), "the command runs");
    let process = std::fs::read_to_string(file).unwrap().trim().to_owned();
    assert!(is_running(&process));
    assert!(measure.exits_with_its_input());
    assert!(until(|| !is_running(&process)), "process {process} still runs");
}
