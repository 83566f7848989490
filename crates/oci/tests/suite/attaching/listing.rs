//! Lists of referrers: pages, filters, old registries, and answers that are wrong or endless.

use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, StatusCode, header};
use oci::{Digest, ErrorKind, Known, MediaType, Referrer};
use registry::sample::Recipe;
use registry::{Canned, Config, Effect, Fault, Kind};

use super::{BUNDLE, INDEX, Scene, entry, list, referrer};

#[tokio::test]
async fn all_pages_of_referrers_are_read() {
    let scene = Scene::of(Config { page_size: 2.try_into().unwrap(), ..Config::default() }).await;
    for number in 0..5 {
        let new = scene.referrer(&number.to_string());
        scene.writer().attach(&scene.app, &new, Known::Unknown).await.unwrap();
    }
    scene.requests();
    assert_eq!(scene.referrers(Some(BUNDLE)).await.unwrap().len(), 5);
    assert_eq!(scene.requests(), [(Kind::Referrers, 3)]);
}

#[tokio::test]
async fn an_unfiltered_list_is_filtered_by_the_client() {
    let scene = Scene::new(true).await;
    let entries = [entry(b"one", BUNDLE), entry(b"two", "a/b"), entry(b"one", BUNDLE)].join(",");
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], list(&entries));
    assert_eq!(
        scene.referrers(Some(BUNDLE)).await.unwrap(),
        [Digest::of(b"one")],
        "each entry is listed once"
    );
    assert_eq!(scene.referrers(None).await.unwrap(), [Digest::of(b"one"), Digest::of(b"two")]);
}

#[tokio::test]
async fn old_registries_are_supported_and_a_missing_repository_is_not_a_missing_api() {
    for (status, body, remembered) in [
        (404, "404 page not found", true),
        (400, "{}", true),
        (405, r#"{"errors":[{"code":"UNSUPPORTED"}]}"#, true),
        (404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, false),
        (400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#, false),
    ] {
        let scene = Scene::new(true).await;
        scene.put_list(&entry(b"one", BUNDLE)).await;
        let watch = scene.answer(Kind::Referrers, status, &[], body);
        for _ in 0..3 {
            assert_eq!(scene.referrers(None).await.unwrap(), [Digest::of(b"one")], "{status} {body}");
        }
        // The list of the image, and that of content that no manifest has.
        assert_eq!(watch.struck(), if remembered { 2 } else { 3 }, "{status} {body}");
    }
}

#[tokio::test]
async fn a_refused_list_of_one_image_does_not_mean_that_the_host_has_no_api() {
    let scene = Scene::new(true).await;
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    let attached = Recipe::default().referrer(scene.image.root(), BUNDLE);
    for image in [&other, &attached] {
        image.put(scene.server.store(), &scene.app.path, &[]).await.unwrap();
    }
    let page = Canned { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body: "not found".into() };
    let refused = Fault::new(Effect::Canned(page)).on(Kind::Referrers).path(other.digest().to_string());
    scene.server.faults().add(refused);
    let reader = scene.reader();
    let found = reader.referrers_of(&scene.app, other.digest(), None, Known::Unknown).await.unwrap();
    assert!(found.listed.is_empty());
    assert_eq!(found.refused.and_then(|error| error.status()), Some(StatusCode::NOT_FOUND), "not proven");
    let listed = reader.referrers(&scene.app, scene.image.digest(), None, Known::Unknown).await.unwrap();
    assert_eq!(listed.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [attached.digest()]);
    assert_eq!(scene.requests(), [(Kind::ManifestGet, 1), (Kind::Referrers, 3)]);
}

/// The first list of a host decides for all, and an odd answer to the look for the API breaks no image.
#[tokio::test]
async fn images_that_are_listed_at_the_same_time_look_for_the_api_once() {
    for (status, requests) in [(404, 2), (302, 6)] {
        let scene = Scene::new(true).await;
        scene.put_list(&entry(b"one", BUNDLE)).await;
        // The answer that is added first applies to the digest that no manifest has.
        let odd = Canned::new(StatusCode::from_u16(status).unwrap());
        let look = Fault::new(Effect::Canned(odd)).on(Kind::Referrers).path(Digest::of(b"").to_string());
        scene.server.faults().add(look);
        scene.answer(Kind::Referrers, 404, &[], "not found");
        scene.requests();
        let (reader, image) = (scene.reader(), scene.image.digest());
        let lists = (0..5).map(|_| reader.referrers(&scene.app, image, None, Known::Unknown));
        for list in try_join_all(lists).await.unwrap() {
            assert_eq!(list.len(), 1, "{status}");
        }
        assert_eq!(scene.requests(), [(Kind::ManifestGet, 5), (Kind::Referrers, requests)], "{status}");
    }
}

#[tokio::test]
async fn an_error_is_not_mistaken_for_an_image_without_referrers() {
    let scene = Scene::new(true).await;
    scene.answer(Kind::Referrers, 403, &[], "");
    assert_eq!(scene.referrers(None).await.unwrap_err().status(), Some(StatusCode::FORBIDDEN));
    assert_eq!(scene.requests(), [(Kind::Referrers, 1)]);

    let scene = Scene::new(false).await;
    scene.answer(Kind::ManifestGet, 401, &[], "");
    assert_eq!(scene.referrers(None).await.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_list_of_the_wrong_kind_is_refused() {
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{0}","config":{1},"layers":[]}}"#,
        MediaType::OciManifest,
        entry(b"config", "a/b"),
    );
    let bad_digest = entry(b"one", "a/b").replace("sha256:", "md5:");
    for (content_type, body) in [
        ("text/html", "<html>Welcome!</html>".to_owned()),
        ("text/html", list("")),
        (INDEX, image.clone()),
        (INDEX, "[]".to_owned()),
        (INDEX, r#"{"schemaVersion":2,"manifests":{}}"#.to_owned()),
        // No index: nothing says that there are no referrers.
        ("application/json", r#"{"errors":[{"code":"DENIED","message":"log in"}]}"#.to_owned()),
        ("application/json", "{}".to_owned()),
        (INDEX, r#"{"manifests":null}"#.to_owned()),
        (INDEX, r#"{"schemaVersion":"2","manifests":null}"#.to_owned()),
        (INDEX, r#"{"schemaVersion":2,"errors":[{"code":"DENIED"}]}"#.to_owned()),
        (INDEX, r#"{"errors":[{"code":"DENIED"}],"manifests":[]}"#.to_owned()),
        (INDEX, list(&bad_digest)),
        (MediaType::OciManifest.as_str(), image),
    ] {
        let scene = Scene::new(true).await;
        scene.answer(Kind::Referrers, 200, &[("content-type", content_type)], body.clone());
        let error = scene.referrers(None).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Malformed(_) | ErrorKind::Manifest(_)),
            "{content_type} {body}: {error}"
        );
        assert!(
            error.to_string().contains(&scene.image.digest().to_string()),
            "the error names the image: {error}"
        );
    }
}

#[tokio::test]
async fn an_endless_list_is_refused() {
    let many = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| entry(&n.to_be_bytes(), "a/b")).collect();
        list(&entries.join(","))
    };
    let scene = Scene::new(true).await;
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], many(1000));
    assert_eq!(scene.referrers(None).await.unwrap().len(), 1000);

    // Referrers of other types are counted too, so that the client does not have to read all of them.
    let scene = Scene::new(true).await;
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], many(1001));
    let error = scene.referrers(Some(BUNDLE)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");

    let scene = Scene::new(true).await;
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], many(1_000_000));
    let error = scene.referrers(None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Transport(_)), "the list exceeds the size limit: {error}");

    let scene = Scene::new(true).await;
    scene.server.faults().add(Fault::new(Effect::Endless).on(Kind::Referrers));
    scene.referrers(None).await.unwrap_err();
}

#[tokio::test]
async fn huge_annotations_are_bounded_by_the_size_of_the_list() {
    let scene = Scene::new(true).await;
    let huge = |size: usize| {
        let text = entry(b"one", "a/b");
        let annotated =
            format!(r#"{},"annotations":{{"a":"{}"}}}}"#, &text[..text.len() - 1], "x".repeat(size));
        list(&annotated)
    };
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], huge(oci::MANIFEST_MAX));
    let error = scene.referrers(None).await.unwrap_err();
    assert!(error.to_string().len() < 1000, "the annotation is not displayed: {error}");
    scene.server.faults().clear();
    scene.answer(Kind::Referrers, 200, &[("content-type", INDEX)], huge(100_000));
    assert_eq!(scene.referrers(None).await.unwrap(), [Digest::of(b"one")]);
}

/// Without the first page, an index without a list would say that the registry has no list.
#[tokio::test]
async fn a_further_page_without_a_list_is_refused() {
    for last in [r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":null}"#] {
        let scene = Scene::new(true).await;
        let link =
            format!("</v2/{}/referrers/{}?page=b>; rel=\"next\"", scene.app.path, scene.image.digest());
        let headers = [(header::CONTENT_TYPE, INDEX.parse().unwrap())].into_iter().collect();
        let canned = Canned { status: StatusCode::OK, headers, body: last.into() };
        // The answer that is added first applies to the second request.
        scene.server.faults().add(Fault::new(Effect::Canned(canned)).on(Kind::Referrers).path("page=b"));
        scene.answer(Kind::Referrers, 200, &[("content-type", INDEX), ("link", &link)], list(""));
        let error = scene.referrers(None).await.unwrap_err();
        assert!(error.to_string().contains("further page"), "{last}: {error}");
    }
}

#[tokio::test]
async fn a_fallback_tag_without_a_list_is_refused() {
    for (body, is_list) in [("{}", false), (r#"{"schemaVersion":2,"manifests":null}"#, true)] {
        let scene = Scene::new(false).await;
        scene.answer(Kind::ManifestGet, 200, &[("content-type", INDEX)], body);
        assert_eq!(scene.referrers(None).await.is_ok(), is_list, "{body}");
    }
}

#[tokio::test]
async fn pages_that_repeat_or_leave_the_host_are_refused() {
    let scene = Scene::new(true).await;
    for next in ["a", "b"] {
        // Two pages that refer to each other. The answer that is added first applies to the second request.
        let other = if next == "a" { "b" } else { "a" };
        let link =
            format!("</v2/{}/referrers/{}?page={next}>; rel=\"next\"", scene.app.path, scene.image.digest());
        let headers: HeaderMap = [("content-type", INDEX), ("link", &link)]
            .into_iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let canned =
            Canned { status: StatusCode::OK, headers, body: list(&entry(other.as_bytes(), "a/b")).into() };
        let fault = Fault::new(Effect::Canned(canned)).on(Kind::Referrers);
        scene.server.faults().add(if next == "a" { fault.path("page=b") } else { fault });
    }
    let error = scene.referrers(None).await.unwrap_err();
    assert!(error.to_string().contains("do not end"), "{error}");
    assert_eq!(scene.requests(), [(Kind::Referrers, 3)]);

    let scene = Scene::new(true).await;
    let elsewhere = [("content-type", INDEX), ("link", "<https://registry.example/next>; rel=\"next\"")];
    scene.answer(Kind::Referrers, 200, &elsewhere, list(&entry(b"one", "a/b")));
    let error = scene.referrers(None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignHost { .. }), "{error}");
}

#[tokio::test]
async fn wrong_entries_of_a_list_are_not_trusted() {
    let scene = Scene::new(false).await;
    let other = Recipe { seed: 9, ..Recipe::default() }.image();
    other.put(scene.server.store(), &scene.app.path, &[]).await.unwrap();
    let about_other = referrer(other.root(), "about another");
    let digest = scene.writer().attach(&scene.app, &about_other, Known::Unknown).await.unwrap();
    let honest = scene.listed(other.digest(), None, Known::Unknown).await.unwrap().remove(0);
    let subject = scene.image.digest();
    let size = honest.size;
    scene
        .put_list(&format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{size}}}"#,
            MediaType::OciManifest
        ))
        .await;
    let listed = scene.listed(subject, None, Known::Unknown).await.unwrap().remove(0);
    let error = scene.reader().referrer(&scene.app, subject, &listed).await.unwrap_err();
    assert!(
        error.to_string().contains(&other.digest().to_string()),
        "the error names the actual subject: {error}"
    );

    let read = async |listed: Referrer| scene.reader().referrer(&scene.app, other.digest(), &listed).await;
    assert!(read(honest.clone()).await.is_ok());
    let error = read(Referrer { size: size + 1, ..honest.clone() }).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongSize { .. }), "{error}");
    scene.requests();
    let error = read(Referrer { size: 1 << 40, ..honest.clone() }).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
    assert_eq!(scene.requests(), [], "a manifest beyond the size limit is not requested");
    scene.server.faults().add(Fault::new(Effect::Corrupt).on(Kind::ManifestGet));
    let error = read(honest).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongDigest { .. }), "{error}");
}
