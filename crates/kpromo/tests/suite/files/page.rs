//! `--report FILE.html`.

use std::fs;

use testkit::{Fault, Relay};

use super::directories::{promote, scene};
use super::stores::{command, manifests, sha256};
use crate::support::html::{HOSTILE, is_accessible, is_self_contained};
use crate::support::{Desk, run};

/// The name of a file that would be markup.
const MARKUP: &str = "v1/<img src=x onerror=alert(1)>@2 from b";

/// Returns the page of a run that promotes two files to a directory, and that a store with a hostile message refuses. A third file
/// is lost.
fn page_of_failures() -> String {
    const NOTHING: &str = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated></ListBucketResult>";
    let desk = Desk::new();
    desk.write(&format!("staging/{MARKUP}"), "alpha");
    desk.write("staging/plain", "beta");
    fs::create_dir(desk.path("prod")).unwrap();
    let refusal = format!("<Error><Code>AccessDenied</Code><Message>{HOSTILE}</Message></Error>");
    let relay = Relay::start("127.0.0.1:1", move |asked| match asked.method.as_str() {
        "HEAD" => Fault::Status(200, String::new()),
        "GET" => Fault::Status(200, NOTHING.to_owned()),
        _ => Fault::Status(403, refusal.clone()),
    });
    let base = |name: &str| format!("file://{}", desk.path(name).display());
    let files = [(MARKUP, sha256(b"alpha")), ("plain", sha256(b"beta")), ("gone<b>", sha256(b"gamma"))];
    let mut command = command("127.0.0.1:1", &relay.host());
    command.args(manifests(&desk, &[&base("staging"), &base("prod"), "s3://prod"], &files));
    command.args(["--confirm", "--report"]).arg(desk.path("files.html"));
    let ran = run(command);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let page = fs::read_to_string(desk.path("files.html")).unwrap();
    assert!(page.contains(&relay.host()), "the table of hosts has the store: {page}");
    page
}

#[test]
fn the_page_of_a_failed_run_has_each_reason_once_with_its_files() {
    let page = page_of_failures();
    let sections: Vec<&str> =
        page.split("<h2>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(sections, ["Failures", "By phase", "Hosts", "Copied files"]);
    let failures = page.split("<h2>Failures</h2>").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(
        failures.matches("the store refuses it: AccessDenied").count(),
        2,
        "a reason and the first error"
    );
    assert_eq!(failures.matches("check the permissions of the account").count(), 1, "{failures}");
    for text in [
        "Not promoted: 2",
        "<code>s3://prod/plain</code> <span class=\"from\">from <code>file://",
        "<code>s3://prod/v1/&lt;img src=x onerror=alert(1)&gt;@2 from b</code>",
        "Lost: 2",
        "gone&lt;b&gt;",
    ] {
        assert!(failures.contains(text), "{text}: {failures}");
    }
    for text in [
        ">Failed</span></h1>",
        "<dt>planned copies</dt><dd class=\"\">4</dd>",
        "<dt>copied files</dt><dd class=\"\">2</dd>",
        "<dt>sent</dt><dd class=\"\">9 B</dd>",
        "<dt>failed</dt><dd class=\"bad\">2</dd>",
        "<dt>lost files</dt><dd class=\"warning\">2</dd>",
        "<dt>not completed</dt><dd class=\"\">0</dd>",
        "2 files copied, 2 failed",
        "<h3>Over time</h3>",
        "/prod/plain</code>",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    is_accessible(&page);
}

#[test]
fn no_name_and_no_message_is_markup() {
    let page = page_of_failures();
    assert!(page.contains("&lt;script&gt;document.title="), "the message is shown: {page}");
    assert_eq!(page.matches("<script").count(), 1, "the page has its own script alone");
    for markup in ["<img", "<b>", "<!--"] {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
}

#[test]
fn several_reports_are_written_and_a_page_needs_nothing_else() {
    let (desk, flags) = scene(&[("a", b"alpha"), ("b", b"beta")]);
    fs::write(desk.path("one/a"), "older").unwrap();
    let path = |name: &str| desk.path(name).display().to_string();
    let (json, page, other) = (path("report.json"), path("report.HTML"), path("other.json"));
    let ran = promote(&flags, &["--confirm", "--report", &json, "--report", &page, "--report", &other]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(desk.json("report.json"), desk.json("other.json"));
    let page = fs::read_to_string(page).unwrap();
    is_self_contained(&page);
    for text in ["Nothing failed.", "<h2>Warnings</h2>", ">replaced</span>", ">copied</span>", "exit code 0"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn the_page_of_a_run_with_conflicts_says_why_nothing_was_written() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    fs::write(desk.path("one/a"), "older").unwrap();
    let page = desk.path("report.html").display().to_string();
    let ran = promote(&flags, &["--confirm", "--no-overwrite", "--report", &page]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    let page = fs::read_to_string(page).unwrap();
    for text in [
        "The run stopped early",
        &sha256(b"older"),
        "files.yaml:2:3",
        "<dt>conflicts</dt><dd class=\"bad\">1</dd>",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn each_report_is_checked_before_anything_is_written() {
    let (desk, flags) = scene(&[("a", b"alpha")]);
    let path = |name: &str| desk.path(name).display().to_string();
    let (page, nowhere) = (path("report.html"), path("no/such/directory/report.html"));
    for (reports, expected) in [
        ([&page, &nowhere], "no/such/directory"),
        ([&page, &page], "two values of --report write the same file"),
        ([&page, &path("files.yaml")], "which --files reads"),
    ] {
        let ran = promote(&flags, &["--confirm", "--report", reports[0], "--report", reports[1]]);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    assert!(!desk.path("report.html").exists() && !desk.path("one/a").exists());
}
