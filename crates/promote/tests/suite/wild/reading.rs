//! *Reading*.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use oci::{MediaType, RawManifest};
use registry::quirks::{FirstPage, Head, Ranges, ReferrersList, Rejection};
use registry::sample::{Recipe, Sample};
use registry::{Canned, Effect, ErrorCode, Fault, Kind};

use crate::wild::row::{Row, SIDES, Side};
use crate::wild::table::check;

/// Creates two rows, one for staging and one for a region.
fn on_both(name: &str, row: impl Fn(Row, Side) -> Row) -> Vec<Row> {
    SIDES.map(|side| row(Row::works(format!("{name} ({side:?})")), side)).into()
}

fn rejection(status: StatusCode) -> Rejection {
    Rejection::new(status, ErrorCode::Unsupported)
}

fn json(status: StatusCode, body: &'static str) -> Canned {
    Canned::new(status).with_body("application/json", body)
}

#[tokio::test]
async fn an_invalid_tag_list_is_a_failure_and_never_an_empty_list() {
    let html = "<!DOCTYPE html><html><body>Not found</body></html>";
    let not_found = StatusCode::NOT_FOUND;
    let lists = [
        ("404 with another code", json(not_found, r#"{"errors":[{"code":"NOT_FOUND","message":"no"}]}"#)),
        ("404 with BLOB_UNKNOWN", json(not_found, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#)),
        ("404 with no errors", json(not_found, r#"{"errors":[]}"#)),
        ("404 with HTML", Canned::new(not_found).with_body("text/html", html)),
        ("404 without a body", Canned::new(not_found)),
        ("200 with {}", json(StatusCode::OK, "{}")),
        ("200 with []", json(StatusCode::OK, "[]")),
        ("200 with null", json(StatusCode::OK, "null")),
        ("200 without a body", Canned::new(StatusCode::OK)),
        ("200 with HTML", Canned::new(StatusCode::OK).with_body("text/html", html)),
        ("204", Canned::new(StatusCode::NO_CONTENT)),
    ];
    let rows = lists.into_iter().flat_map(|(name, list)| {
        SIDES.map(|side| {
            let list = list.clone();
            Row::clear(format!("{name} ({side:?})"), &["app-0"])
                .quirk(side, move |quirks| quirks.reading.tags = Some(list.clone()))
        })
    });
    let login = SIDES.map(|side| {
        let page = Canned::new(StatusCode::OK).with_body("text/html", html);
        let to = HeaderValue::from_static("/login?return=%2Fv2%2F");
        let redirect = Canned::new(StatusCode::FOUND).with_header(header::LOCATION, to);
        Row::clear(format!("a redirect to a login page ({side:?})"), &["app-0"])
            .fault(side, Fault::new(Effect::Canned(page)).path("/login"))
            .quirk(side, move |quirks| quirks.reading.tags = Some(redirect.clone()))
    });
    check(rows.chain(login)).await;
}

#[tokio::test]
async fn digests_in_a_repository_without_tags_are_looked_up_individually() {
    let rows = on_both("404 NAME_UNKNOWN where there are no tags", |row, side| {
        row.quirk(side, |quirks| quirks.reading.untagged_is_unknown = true)
    });
    let tagless = Row::works("tagless images in a region whose untagged repositories are unknown")
        .odd(sample(vec![artifact(r#"{"layers":[]}"#)]))
        .quirk(Side::Destination, |quirks| quirks.reading.untagged_is_unknown = true);
    check(rows.into_iter().chain([tagless])).await;
}

#[tokio::test]
async fn unambiguous_links_are_followed() {
    let links = [
        ("without <>", "{url}; rel=\"next\""),
        ("without rel", "<{url}>"),
        ("rel=next without quotes", "<{url}>; rel=next"),
        ("rel in upper case", "<{url}>; REL=\"NEXT\""),
        ("two relation types", "<{url}>; rel=\"next last\""),
        ("a comma in the URL", "<{path}?filter=a,b&{query}>; rel=\"next\""),
        ("another parameter first", "<{url}>; title=\"a, b; c\"; rel=\"next\""),
        ("another link first", "</v2/>; rel=\"first\", <{url}>; rel=\"next\""),
        ("only a query", "<?{query}>; rel=\"next\""),
        ("absolute", "<{base}{url}>; rel=\"next\""),
        ("absolute with another scheme", "<https://{authority}{url}>; rel=\"next\""),
        ("without spaces", "<{url}>;rel=\"next\""),
    ];
    let rows = links.into_iter().flat_map(|(name, link)| {
        on_both(name, |row, side| {
            row.pages().arranged(move |world| {
                let server = side.server(world);
                let link = link.replace("{authority}", server.host().as_str());
                server.quirks().change(|quirks| quirks.reading.link = Some(link.clone()));
            })
        })
    });
    check(rows).await;
}

#[tokio::test]
async fn a_link_that_cannot_be_followed_never_ends_the_listing() {
    let links = [
        ("no URL", "what is next"),
        ("an empty URL", "<>; rel=\"next\""),
        ("another host", "<http://registry.invalid{url}>; rel=\"next\""),
        ("not closed", "<{url}; rel=\"next\""),
        ("a loop", "<{path}?n=2>; rel=\"next\""),
    ];
    let rows = links.map(|(name, link)| {
        // Tags beyond the first page show whether a listing was read to its end.
        Row::clear(name, &["app-0"])
            .pages()
            .quirk(Side::Source, move |quirks| quirks.reading.link = Some(link.to_owned()))
    });
    check(rows).await;
}

#[tokio::test]
async fn unusual_pages_are_read() {
    let first = [FirstPage::Empty, FirstPage::Null].into_iter().flat_map(|first_page| {
        on_both(&format!("the first page is {first_page:?}"), |row, side| {
            row.pages().quirk(side, move |quirks| quirks.reading.first_page = first_page)
        })
    });
    let repeated = on_both("tags twice, on one page and on two", |row, side| {
        row.pages().quirk(side, |quirks| quirks.reading.repeated_tags = true)
    });
    let refused =
        [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::INTERNAL_SERVER_ERROR];
    let refused = refused.into_iter().flat_map(|status| {
        on_both(&format!("n refused with {status}"), |row, side| {
            row.pages().quirk(side, move |quirks| quirks.reading.page_size_refused = Some(rejection(status)))
        })
    });
    let capped = on_both("n capped", |row, _| row.pages());
    check(first.chain(repeated).chain(refused).chain(capped)).await;
}

#[tokio::test]
async fn get_follows_a_head_without_a_digest() {
    let statuses = [400, 404, 405, 501].map(|status| StatusCode::from_u16(status).unwrap());
    let refused = statuses.map(|status| Head::Refused(rejection(status)));
    let unknown = Rejection::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown);
    let heads = refused.into_iter().chain([Head::Refused(unknown), Head::WithoutDigest, Head::EmptyLength]);
    let rows = heads.flat_map(|head| {
        on_both(&format!("{head:?}"), |row, side| row.quirk(side, move |quirks| quirks.reading.head = head))
    });
    let google = on_both("HEAD without a digest, many images", |row, side| {
        row.images(20).quirk(side, |quirks| quirks.reading.head = Head::WithoutDigest)
    });
    check(rows.chain(google)).await;
}

#[tokio::test]
async fn the_media_type_of_a_manifest_comes_from_its_content() {
    let types =
        ["application/json", "text/plain", "", "{TYPE}", "{type}; charset=utf-8", "{type};charset=UTF-8"];
    let rows = types.into_iter().flat_map(|media_type| {
        on_both(&format!("`{media_type}`"), |row, side| {
            row.quirk(side, move |quirks| quirks.reading.manifest_type = Some(media_type.to_owned()))
        })
    });
    check(rows).await;
}

fn artifact(extra: &str) -> RawManifest {
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let extra = extra.trim_matches(['{', '}']);
    let comma = if extra.is_empty() { "" } else { "," };
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}}{comma}{extra}}}"#,
        MediaType::OciManifest.as_str()
    );
    RawManifest::new(MediaType::OciManifest, text.into())
}

fn index(manifests: &str) -> RawManifest {
    let media_type = MediaType::OciIndex;
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}"{manifests}}}"#, media_type.as_str());
    RawManifest::new(media_type, text.into())
}

#[tokio::test]
async fn unusual_manifests_are_copied_unchanged() {
    let child = artifact(r#"{"layers":[]}"#);
    let size = child.bytes().len();
    let entry = |more: &str| {
        let (digest, media_type) = (child.digest(), MediaType::OciManifest.as_str().to_owned());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{more}}}"#)
    };
    let odd = [
        ("layers missing", artifact("{}")),
        ("layers null", artifact(r#"{"layers":null}"#)),
        ("layers []", artifact(r#"{"layers":[]}"#)),
        ("unknown fields", artifact(r#"{"layers":[],"x-unknown":{"deep":[1,null]},"annotations":null}"#)),
        ("an empty artifactType", artifact(r#"{"layers":[],"artifactType":""}"#)),
        ("artifactType null, subject null", artifact(r#"{"layers":[],"artifactType":null,"subject":null}"#)),
        ("manifests []", index(r#","manifests":[]"#)),
        ("manifests null", index(r#","manifests":null"#)),
        ("platform {}", index(&format!(r#","manifests":[{}]"#, entry(r#","platform":{}"#)))),
        ("platform null", index(&format!(r#","manifests":[{}]"#, entry(r#","platform":null"#)))),
        (
            "platform without os",
            index(&format!(r#","manifests":[{}]"#, entry(r#","platform":{"architecture":"arm"}"#))),
        ),
        ("the same child twice", index(&format!(r#","manifests":[{0},{0}]"#, entry("")))),
    ];
    let rows = odd.map(|(name, manifest)| Row::works(name).odd(sample(vec![child.clone(), manifest])));
    check(rows).await;
}

/// Creates a sample of these manifests, with the empty configuration. The last one is promoted.
fn sample(manifests: Vec<RawManifest>) -> Sample {
    Sample { blobs: vec!["{}".into()], manifests }
}

#[tokio::test]
async fn without_a_list_of_referrers_the_fallback_tag_is_read() {
    let statuses =
        [404, 400, 405, 406, 410, 415, 422, 501].map(|status| StatusCode::from_u16(status).unwrap());
    let refused = statuses.into_iter().flat_map(|status| {
        on_both(&format!("referrers answered with {status}"), |row, side| {
            let refusal = Canned::new(status);
            row.without_referrers_api(side)
                .quirk(side, move |quirks| quirks.reading.referrers = Some(refusal.clone()))
        })
    });
    let html = on_both("referrers answered with 404 and HTML", |row, side| {
        let refusal = Canned::new(StatusCode::NOT_FOUND).with_body("text/html", "<html>");
        row.without_referrers_api(side)
            .quirk(side, move |quirks| quirks.reading.referrers = Some(refusal.clone()))
    });
    let null = on_both("manifests null, no API", |row, side| {
        row.without_referrers_api(side).quirk(side, move |quirks| {
            let body = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null}"#;
            let list = Canned::new(StatusCode::OK).with_body("application/vnd.oci.image.index.v1+json", body);
            quirks.reading.referrers = Some(list);
        })
    });
    check(refused.chain(html).chain(null)).await;
}

#[tokio::test]
async fn lists_of_referrers_in_other_shapes_are_read() {
    let shapes = [ReferrersList::WithoutArtifactType, ReferrersList::WithoutMediaType];
    let rows = shapes.into_iter().flat_map(|shape| {
        on_both(&format!("{shape:?}"), |row, side| {
            row.quirk(side, move |quirks| quirks.reading.referrers_list = shape)
        })
    });
    let null = on_both("manifests null in staging", |row, _| {
        row.quirk(Side::Source, |quirks| quirks.reading.referrers_list = ReferrersList::Null)
    });
    check(rows.chain(null)).await;
}

/// An attachment that is listed in staging but gone when it is read causes a warning, and the image is promoted.
#[tokio::test]
async fn listed_content_that_is_gone_is_a_warning() {
    let gone =
        Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::ManifestUnknown, retry_after: None };
    let subject = Recipe { seed: 0, ..Recipe::default() }.index(2);
    let without = |reference: String| Fault::new(gone.clone()).path(format!("manifests/{reference}"));
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let referrer = Recipe { seed: 50, ..Recipe::default() }.referrer(subject.root(), bundle);
    let missing = referrer.digest().to_string();
    let listed = Row::works("a listed referrer is 404")
        .holding(Side::Source, "staging/app-0", referrer, None)
        .fault(Side::Source, without(missing));
    let tags = ["sig", "att"].map(|suffix| {
        let tag = format!("{}.{suffix}", subject.digest().to_string().replace(':', "-"));
        let other = Recipe { seed: 51, ..Recipe::default() }.image();
        Row::works(format!("a .{suffix} tag is listed and 404"))
            .holding(Side::Source, "staging/app-0", other, Some(&tag))
            .fault(Side::Source, without(tag))
    });
    check(std::iter::once(listed).chain(tags)).await;
}

/// Makes bodies break off, with a registry that handles the `Range` header of the next attempt in the given way.
fn cut(row: Row, ranges: Ranges) -> Row {
    let fault = Fault::new(Effect::Cut { after: 40_000 }).on(Kind::BlobGet).times(3);
    row.layers_of(100_000)
        .fault(Side::Source, fault)
        .quirk(Side::Source, move |quirks| quirks.reading.ranges = ranges)
}

#[tokio::test]
async fn interrupted_blobs_are_read_from_the_start_where_ranges_are_not_supported() {
    let refused =
        [400, 403, 416].map(|status| Ranges::Refused(rejection(StatusCode::from_u16(status).unwrap())));
    let others = [Ranges::Honoured, Ranges::Ignored, Ranges::FromStart, Ranges::Mislabelled];
    let rows = refused.into_iter().chain(others).map(|ranges| cut(Row::works(format!("{ranges:?}")), ranges));
    let expired = cut(Row::works("a signed URL expires in the middle"), Ranges::Honoured).arranged(|world| {
        let to = Some("{base}{target}?signature=x".to_owned());
        world.staging.quirks().change(|quirks| quirks.reading.blob_location = to);
        let denied =
            Effect::Status { status: StatusCode::FORBIDDEN, code: ErrorCode::Denied, retry_after: None };
        world.staging.faults().add(Fault::new(denied).on(Kind::BlobGet).path("signature").skip(1).times(1));
    });
    let unknown =
        Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::BlobUnknown, retry_after: None };
    let once =
        Row::works("a blob is 404 once").fault(Side::Source, Fault::new(unknown).on(Kind::BlobGet).times(1));
    let encoded = ["gzip", "identity", "aws-chunked", ""].map(|encoding| {
        Row::works(format!("Content-Encoding `{encoding}` is declared but not applied"))
            .quirk(Side::Source, move |quirks| quirks.reading.content_encoding = Some(encoding))
    });
    check(rows.chain([expired, once]).chain(encoded)).await;
}

#[tokio::test]
async fn reads_may_lag_writes_by_a_second() {
    let lag = Duration::from_secs(1);
    let row = |name: &str| {
        Row::works(name).patient(lag).quirk(Side::Destination, move |quirks| quirks.reading.lag = lag)
    };
    check([
        row("with a referrers API"),
        row("without one").without_referrers_api(Side::Destination),
        row("with Google's listing").google(Side::Destination),
    ])
    .await;
}
