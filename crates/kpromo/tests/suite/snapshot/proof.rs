//! Answers that prove nothing: no part of them is recorded, and nothing is left out because of them.

use http::{HeaderValue, StatusCode, header};
use registry::{Canned, Effect, Fault, Kind, Server};

use crate::snapshot::scene::{Expected, fill, image, paged};
use crate::support::{Ran, cip, google, put};

const DENIED: &str = r#"{"errors":[{"code":"DENIED"}]}"#;

fn answer(status: u16, kind: &'static str, body: &str) -> Canned {
    Canned::new(StatusCode::from_u16(status).unwrap()).with_body(kind, body.to_owned())
}

fn json(status: u16, body: &str) -> Canned {
    answer(status, "application/json", body)
}

fn snapshot(server: &Server) -> Ran {
    cip(&["--snapshot", &format!("{}/prod", server.host())])
}

/// The digest of a tag is the hash of the answer to `GET` only if this is a manifest.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_not_computed_from_what_is_no_manifest() {
    for head in [Canned::new(StatusCode::OK), Canned::new(StatusCode::SERVICE_UNAVAILABLE)] {
        for page in [
            answer(200, "text/html", "<html>log in</html>"),
            answer(200, "application/vnd.oci.image.manifest.v1+json", "<html>log in</html>"),
            json(200, r#"{"errors":[{"code":"UNKNOWN"}]}"#),
            answer(200, "application/vnd.oci.image.manifest.v1+json", "{}"),
            json(200, ""),
        ] {
            let server = paged().await;
            put(&server, "prod/app", &image(1), &["v1"]).await;
            server.faults().add(Fault::new(Effect::Canned(head.clone())).on(Kind::ManifestHead));
            let watch = server.faults().add(Fault::new(Effect::Canned(page.clone())).on(Kind::ManifestGet));
            let ran = snapshot(&server);
            assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{page:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("expected a manifest"), "{page:?}: {}", ran.stderr);
            assert!(watch.struck() > 0);
        }
    }
    // With a manifest, the digest is its hash.
    let server = paged().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let head = Fault::new(Effect::Canned(Canned::new(StatusCode::OK))).on(Kind::ManifestHead);
    server.faults().add(head);
    let mut all = Expected::default();
    all.add("app", image(1).digest(), &["v1"]);
    let ran = snapshot(&server);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_page_without_repositories_is_no_empty_page() {
    for (page, code, expected) in [
        ("{}", 20, "expected a catalog"),
        (r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, 20, "expected a catalog"),
        (r#"{"repositories":null}"#, 0, ""),
    ] {
        let server = paged().await;
        put(&server, "other", &image(1), &["v1"]).await;
        server.faults().add(Fault::new(Effect::Canned(json(200, page))).on(Kind::Catalog));
        let ran = cip(&["--snapshot", server.host().as_str()]);
        let stdout = if code == 0 { "\n" } else { "" };
        assert_eq!((ran.code, ran.stdout.as_str()), (code, stdout), "{page}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{page}: {}", ran.stderr);
    }
}

/// `prod` is a repository itself, so that there is something to print.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_fails_is_not_taken_for_none() {
    for status in [400, 401, 403, 404, 405, 501] {
        let server = paged().await;
        fill(&server).await;
        let page = Fault::new(Effect::Canned(json(status, DENIED))).on(Kind::Catalog).skip(1);
        let watch = server.faults().add(page);
        let ran = snapshot(&server);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{status}: {}", ran.stderr);
        assert!(ran.stderr.contains(&status.to_string()), "{status}: {}", ran.stderr);
        assert!(!ran.stderr.contains("no catalog"), "{status}: {}", ran.stderr);
        assert!(watch.struck() > 0);
    }
    for status in [408, 425] {
        let server = paged().await;
        fill(&server).await;
        server.faults().add(Fault::new(Effect::Canned(json(status, DENIED))).on(Kind::Catalog));
        let ran = snapshot(&server);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{status}: {}", ran.stderr);
        assert!(!ran.stderr.contains("no catalog"), "{status}: {}", ran.stderr);
    }
}

/// The connection breaks after several manifests, which are deleted before the list is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_list_leaves_nothing_behind() {
    let server = google().await;
    for seed in 1..=6 {
        put(&server, "prod/app", &image(seed), &[&format!("v{seed}")]).await;
    }
    let list = |fault: Fault| fault.on(Kind::TagList).path("/prod/app/").times(1);
    let cut = server.faults().add(list(Fault::new(Effect::Cut { after: 900 })));
    let digest = image(7).digest();
    let rest = format!(
        r#"{{"child":[],"manifest":{{"{digest}":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","tag":["v1"]}}}},"tags":["v1"]}}"#
    );
    let second = server.faults().add(list(Fault::new(Effect::Canned(json(200, &rest)))));
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", digest, &["v1"]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert_eq!((cut.struck(), second.struck()), (1, 1));
}

/// Entries of a later page cannot be told from those before, so the list is read again from its first page.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_later_page_starts_the_list_again() {
    let server = google().await;
    for seed in 1..=6 {
        put(&server, "prod/app", &image(seed), &[&format!("v{seed}")]).await;
    }
    let page = |seed: u64, tag: &str| {
        let digest = image(seed).digest();
        format!(
            r#"{{"manifest":{{"{digest}":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","tag":["{tag}"]}}}},"tags":["{tag}"]}}"#
        )
    };
    let link = HeaderValue::from_static("</v2/prod/app/tags/list?last=v1>; rel=\"next\"");
    let first = json(200, &page(1, "v1")).with_header(header::LINK, link);
    let list = |effect| Fault::new(effect).on(Kind::TagList).path("/prod/app/").times(1);
    server.faults().add(list(Effect::Canned(first.clone())));
    let cut = server.faults().add(list(Effect::Cut { after: 900 }));
    for canned in [json(200, &page(2, "v2")), first, json(200, &page(3, "v3"))] {
        server.faults().add(list(Effect::Canned(canned)));
    }
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", image(1).digest(), &["v1"]);
    all.add("app", image(3).digest(), &["v3"]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert_eq!(cut.struck(), 1);
    assert_eq!(
        server.tally().snapshot().requests(Kind::TagList),
        6,
        "prod, two pages, one of them again, two pages"
    );
}

/// The catalog has repositories below `prod`, and not `prod`, which exists and is hidden.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_repository_is_not_left_out() {
    let names = r#"{"repositories":["prod/app"]}"#;
    for (status, body, code) in [
        (401, DENIED, 20),
        (403, DENIED, 20),
        (404, "{}", 20),
        (404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, 0),
        (400, r#"{"errors":[{"code":"NAME_INVALID"}]}"#, 0),
    ] {
        let server = paged().await;
        put(&server, "prod", &image(1), &["root"]).await;
        put(&server, "prod/app", &image(2), &["v1"]).await;
        server.faults().add(Fault::new(Effect::Canned(json(200, names))).on(Kind::Catalog));
        let own = Fault::new(Effect::Canned(json(status, body))).on(Kind::TagList).path("/v2/prod/tags");
        server.faults().add(own);
        let ran = snapshot(&server);
        assert_eq!(ran.code, code, "{status} {body}: {}", ran.stderr);
        if code == 20 {
            assert_eq!(ran.stdout, "", "{status}");
            assert!(ran.stderr.contains("is not known"), "{}", ran.stderr);
            assert!(ran.stderr.contains(&format!("a snapshot of {}", server.host())), "{}", ran.stderr);
        } else {
            let mut all = Expected::default();
            all.add("app", image(2).digest(), &["v1"]);
            assert_eq!(ran.stdout, all.yaml(), "{}", ran.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_requested_are_reported() {
    let digest = image(1).digest();
    let server = paged().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let tags = r#"{"tags":["v1","-bad","a\u001b[31m"]}"#;
    server.faults().add(Fault::new(Effect::Canned(json(200, tags))).on(Kind::TagList).path("/prod/app/"));
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", digest, &["v1"]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert!(ran.stderr.contains("`-bad`, `a\\u{1b}[31m`"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("a\u{1b}"), "{}", ran.stderr);

    let server = google().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let list =
        format!(r#"{{"tags":[],"manifest":{{"{digest}":{{"tag":["-bad"]}},"md5:x":{{"tag":["v1"]}}}}}}"#);
    server.faults().add(Fault::new(Effect::Canned(json(200, &list))).on(Kind::TagList).path("/prod/app/"));
    let ran = snapshot(&server);
    let mut all = Expected::default();
    all.add("app", digest, &[]);
    assert_eq!((ran.code, ran.stdout), (0, all.yaml()), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("/prod/app lists names") && ran.stderr.contains("`-bad`, `md5:x`"),
        "{}",
        ran.stderr
    );
}

/// A refusal that has another cause than the page size says nothing about page sizes.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_repository_does_not_take_the_page_size_from_others() {
    let server = paged().await;
    put(&server, "prod/app", &image(1), &["v1"]).await;
    let own = Fault::new(Effect::Canned(json(403, r#"{"errors":[{"code":"NAME_INVALID"}]}"#)));
    server.faults().add(own.on(Kind::TagList).path("/v2/prod/tags"));
    let ran = snapshot(&server);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let asked: Vec<String> = server.tally().log().into_iter().map(|logged| logged.target).collect();
    assert!(asked.contains(&"/v2/prod/app/tags/list?n=1000".to_owned()), "{asked:?}");
}
