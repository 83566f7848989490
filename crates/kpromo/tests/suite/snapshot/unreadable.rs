//! Registries that lie, fail or change while they are read.

use std::io::Read as _;
use std::process::Stdio;

use http::{HeaderValue, StatusCode, header};
use registry::{Canned, Effect, ErrorCode, Fault, Kind, Server};

use crate::snapshot::scene::{Expected, expected, fill, image, paged};
use crate::support::{Desk, Ran, cip, google, kpromo, put};

fn answer(status: u16, body: &str) -> Canned {
    Canned::new(StatusCode::from_u16(status).unwrap()).with_body("application/json", body.to_owned())
}

fn linking(body: &str, link: &str) -> Canned {
    answer(200, body).with_header(header::LINK, HeaderValue::from_str(link).unwrap())
}

fn snapshot(server: &Server) -> Ran {
    cip(&["--snapshot", &format!("{}/prod", server.host())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_deleted_meanwhile_is_left_out_with_a_warning() {
    for server in [google().await, paged().await] {
        fill(&server).await;
        put(&server, "prod/gone", &image(9), &["v1"]).await;
        let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#;
        let gone = Fault::new(Effect::Canned(answer(404, body))).on(Kind::TagList).path("/prod/gone/");
        let watch = server.faults().add(gone);
        let ran = snapshot(&server);
        let is_google = server.tally().snapshot().requests(Kind::Catalog) == 0;
        assert_eq!((ran.code, ran.stdout), (0, expected(is_google).yaml()), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("/prod/gone is listed") && ran.stderr.contains("deleted"),
            "{}",
            ran.stderr
        );
        assert_eq!(watch.struck(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_deleted_meanwhile_is_left_out_with_a_warning() {
    let server = paged().await;
    put(&server, "prod/app", &image(1), &["v1", "v2"]).await;
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
    let gone = |kind| Fault::new(Effect::Canned(answer(404, body))).on(kind).path("/manifests/v2");
    server.faults().add(gone(Kind::ManifestHead));
    server.faults().add(gone(Kind::ManifestGet));
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", image(1).digest(), &["v1"]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert!(ran.stderr.contains("prod/app:v2 is listed"), "{}", ran.stderr);
}

/// In each row one answer is wrong. Nothing is printed, although all other repositories can be read.
#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_snapshot_is_not_printed() {
    let html = Canned::new(StatusCode::OK).with_body("text/html", "<html>log in</html>");
    let first = r#"{"repositories":["prod/app"]}"#;
    let rows: Vec<(&str, Fault, &str)> = vec![
        (
            "a 404 that proves nothing",
            Fault::new(Effect::Canned(answer(404, "{}"))).on(Kind::TagList).path("/prod/app/agent/"),
            "prod/app/agent",
        ),
        (
            "a refused repository",
            Fault::new(Effect::Canned(answer(403, r#"{"errors":[{"code":"DENIED"}]}"#)))
                .on(Kind::TagList)
                .path("/prod/app-b/"),
            "403",
        ),
        ("a web page", Fault::new(Effect::Canned(html)).on(Kind::Catalog), "expected a catalog"),
        (
            "a tag that is refused",
            Fault::new(Effect::Canned(answer(403, r#"{"errors":[{"code":"DENIED"}]}"#)))
                .on(Kind::ManifestHead)
                .on(Kind::ManifestGet)
                .path("/prod/app/manifests/v0"),
            "prod/app:v0",
        ),
        (
            "a catalog that leads to another host",
            Fault::new(Effect::Canned(linking(
                first,
                "<http://evil.example/v2/_catalog?last=x>; rel=\"next\"",
            )))
            .on(Kind::Catalog),
            "evil.example",
        ),
        (
            "a catalog that leads back to itself",
            Fault::new(Effect::Canned(linking(first, "</v2/_catalog?last=prod%2Fapp>; rel=\"next\"")))
                .on(Kind::Catalog),
            "do not end",
        ),
        (
            "a catalog that does not say where it goes on",
            Fault::new(Effect::Canned(linking(first, "<>; rel=\"next\""))).on(Kind::Catalog),
            "cannot be understood",
        ),
        ("a page without an end", Fault::new(Effect::Endless).on(Kind::Catalog), "listing the repositories"),
        (
            "a list that leads to another host",
            Fault::new(Effect::Canned(linking(r#"{"tags":["v1"]}"#, "<http://evil.example/v2/x>; rel=next")))
                .on(Kind::TagList)
                .path("/prod/app/tags"),
            "evil.example",
        ),
    ];
    for (what, fault, expected) in rows {
        let server = paged().await;
        fill(&server).await;
        let watch = server.faults().add(fault);
        let ran = snapshot(&server);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{what}: {}", ran.stderr);
        assert!(watch.struck() > 0, "{what}");
        let hosts: Vec<String> = server.tally().log().into_iter().map(|logged| logged.target).collect();
        assert!(hosts.iter().all(|target| target.starts_with("/v2/")), "{hosts:?}");
    }
}

/// Each page leads to a URL that was not asked for, and all are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_whose_pages_repeat_under_new_urls_is_given_up() {
    let server = paged().await;
    for n in 0..5 {
        let link = format!("</v2/_catalog?cursor={n}>; rel=\"next\"");
        let page = linking(r#"{"repositories":["prod/app"]}"#, &link);
        server.faults().add(Fault::new(Effect::Canned(page)).on(Kind::Catalog).times(1));
    }
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("two in a row are the same"), "{}", ran.stderr);
    assert_eq!(server.tally().snapshot().requests(Kind::Catalog), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_repository_has_are_left_out_and_counted() {
    let server = paged().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let names = r#"{"repositories":["../etc","prod/app","PROD/x","prod//y","","prod/app"]}"#;
    server.faults().add(Fault::new(Effect::Canned(answer(200, names))).on(Kind::Catalog));
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", image(1).digest(), &["v1"]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert!(ran.stderr.contains("4 names that are not valid"), "{}", ran.stderr);

    let server = google().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let list = r#"{"child":["app","..","a/b","A\u001b[31m"],"tags":[],"manifest":{}}"#;
    let root = Fault::new(Effect::Canned(answer(200, list))).on(Kind::TagList).path("/v2/prod/tags");
    server.faults().add(root);
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("not valid").count(), 3, "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}'));
}

/// A name has 255 characters at the most, so a tree of children ends. It is not complete then.
#[tokio::test(flavor = "multi_thread")]
async fn children_without_an_end_are_followed_as_deep_as_names_can_be() {
    let server = google().await;
    let list = r#"{"child":["deeper-and-deeper"],"tags":[],"manifest":{}}"#;
    let watch = server.faults().add(Fault::new(Effect::Canned(answer(200, list))).on(Kind::TagList));
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert_eq!(watch.struck(), 1 + (255 - "prod".len() as u64) / 18);
    assert!(ran.stderr.contains("longer than names may be"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_the_catalog_does_not_have_is_an_unknown_registry() {
    let server = paged().await;
    fill(&server).await;
    let ran = cip(&["--snapshot", &format!("{}/pro", server.host())]);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("lists 6 repositories, none of them there"), "{}", ran.stderr);
    let ran = cip(&["--snapshot", "127.0.0.1:1/prod"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_refuses_a_page_size_is_requested_without_one() {
    let server = paged().await;
    fill(&server).await;
    let body = r#"{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}"#;
    server.faults().add(Fault::new(Effect::Canned(answer(400, body))).on(Kind::Catalog).times(1));
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout), (0, expected(false).yaml()), "{}", ran.stderr);
    let asked: Vec<String> = server.tally().log().into_iter().map(|logged| logged.target).collect();
    assert!(asked.contains(&"/v2/_catalog?n=1000".to_owned()) && asked.contains(&"/v2/_catalog".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_tried_again() {
    let server = paged().await;
    fill(&server).await;
    for kind in [Kind::Catalog, Kind::TagList, Kind::ManifestHead] {
        let fault =
            Effect::Status { status: StatusCode::BAD_GATEWAY, code: ErrorCode::Unknown, retry_after: None };
        server.faults().add(Fault::new(fault).on(kind).skip(1).times(1));
        server.faults().add(Fault::new(Effect::Reset).on(kind).skip(2).times(1));
    }
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout), (0, expected(false).yaml()), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_is_waited_for_until_the_time_is_over() {
    let server = paged().await;
    server.faults().add(Fault::new(Effect::Hang));
    let ran = cip(&["--snapshot", &format!("{}/prod", server.host()), "--timeout=1s"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("timed out: "), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_a_snapshot_at_once() {
    let server = paged().await;
    let hanging = server.faults().add(Fault::new(Effect::Hang));
    let mut command = kpromo(None);
    command.args(["snapshot", &format!("{}/prod", server.host())]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while hanging.struck() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0), "{errors}");
    assert!(errors.contains("interrupted; the snapshot is not complete"), "{errors}");
}

/// As `| head -c 1` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_the_snapshot_quietly() {
    let (server, desk) = (google().await, Desk::new());
    let tags: Vec<String> = (0..2_000).map(|n| format!("v{n}-{}", "x".repeat(100))).collect();
    put(&server, "prod/app", &image(1), &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut command = kpromo(None);
    command.args(["snapshot", &format!("{}/prod", server.host()), "--output=csv"]);
    let errors = desk.path("stderr");
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(&errors).unwrap());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    let errors = std::fs::read_to_string(errors).unwrap();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(!errors.contains("rror") && !errors.contains("panic"), "{errors}");
}
