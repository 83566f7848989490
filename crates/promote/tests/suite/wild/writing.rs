//! *Writing*.

use std::time::Duration;

use http::StatusCode;
use registry::quirks::{DigestHeader, LostUploads, PartsUnknown, Redirect, Rejection};
use registry::sample::Recipe;
use registry::{Canned, Effect, ErrorCode, Fault, Kind};

use crate::support::path;
use crate::wild::row::{Row, Side};
use crate::wild::table::check;

const THERE: Side = Side::Destination;

fn rejection(status: u16, code: ErrorCode) -> Rejection {
    Rejection::new(StatusCode::from_u16(status).unwrap(), code)
}

#[tokio::test]
async fn refused_mounts_become_plain_uploads() {
    let statuses = [400, 401, 403, 404, 405, 409, 410, 415, 422, 500, 501, 502, 503];
    let rows = statuses.map(|status| {
        let row = Row::works(format!("mounts refused with {status}")).signed();
        // On a slow machine, all answers of some seconds may be refused mounts.
        row.patient(std::time::Duration::ZERO).quirk(THERE, move |quirks| {
            quirks.writing.mounts = Some(rejection(status, ErrorCode::Unsupported));
        })
    });
    check(rows).await;
}

/// After one refusal, no further mount is requested from the host.
#[tokio::test]
async fn a_refused_mount_is_remembered_for_the_host() {
    let row = Row::works("remembered").images(10).quirk(THERE, |quirks| {
        quirks.writing.mounts = Some(rejection(405, ErrorCode::Unsupported));
    });
    let mut world = row.world().await;
    row.arrange(&world);
    for seed in 0..10 {
        world.stage(&format!("app-{seed}"), &Recipe { seed, ..Recipe::default() }.index(2), &["v1"]).await;
    }
    world.production.truncate(1);
    world.promote().await;
    world.assert_complete().await;
    let asked = world.production[0].tally().snapshot();
    let (mounts, blobs) = (asked.requests(Kind::Mount), asked.requests(Kind::UploadPut));
    // Requests in flight at the time of the first refusal are refused too.
    assert!(mounts <= 40 && mounts < blobs, "{mounts} mounts for {blobs} blobs");
}

#[tokio::test]
async fn any_successful_status_is_accepted() {
    let status = |status| StatusCode::from_u16(status).unwrap();
    let patched = [200, 201, 204].map(|code| {
        Row::works(format!("PATCH answered {code}"))
            .options(|world| {
                let options = oci::HostOptions { upload_chunk: Some(700), ..oci::HostOptions::default() };
                [(world.production[0].host().clone(), options)].into()
            })
            .quirk(THERE, move |quirks| quirks.writing.patch_status = Some(status(code)))
    });
    let blobs = [200, 202, 203, 204].map(|code| {
        Row::works(format!("PUT of a blob answered {code}"))
            .quirk(THERE, move |quirks| quirks.writing.blob_status = Some(status(code)))
    });
    let manifests = [200, 202, 203, 204].map(|code| {
        Row::works(format!("PUT of a manifest answered {code}"))
            .quirk(THERE, move |quirks| quirks.writing.manifest_status = Some(status(code)))
    });
    let undigested = Row::works("PUT answered without a digest")
        .quirk(THERE, |quirks| quirks.writing.digest_header = DigestHeader::Missing);
    let wrong = Row::clear("PUT answered with another digest", &["wrong content"])
        .quirk(THERE, |quirks| quirks.writing.digest_header = DigestHeader::Wrong);
    check(patched.into_iter().chain(blobs).chain(manifests).chain([undigested, wrong])).await;
}

#[tokio::test]
async fn a_lost_upload_is_restarted() {
    let lost = [
        (404, ErrorCode::BlobUploadUnknown),
        (404, ErrorCode::BlobUploadInvalid),
        (416, ErrorCode::BlobUploadInvalid),
        (400, ErrorCode::BlobUploadInvalid),
        (400, ErrorCode::BlobUploadUnknown),
        (409, ErrorCode::BlobUploadInvalid),
        (409, ErrorCode::BlobUploadUnknown),
    ];
    // Every second upload is lost, including those of signatures, records and carried attachments.
    let rows = lost.map(|(status, code)| {
        Row::works(format!("{status} {}", code.as_str())).signed().quirk(THERE, move |quirks| {
            quirks.writing.lost_uploads = Some(LostUploads { every: 2, rejection: rejection(status, code) });
        })
    });
    let bare = Row::works("404 without a body, once an upload").fault(
        THERE,
        Fault::new(Effect::Canned(Canned::new(StatusCode::NOT_FOUND))).on(Kind::UploadPut).times(3),
    );
    // The blob is stored and the answer is lost. When the client repeats the request, the upload is already closed.
    let answers = [Kind::UploadPut, Kind::ManifestPut, Kind::UploadOpen, Kind::Mount].map(|kind| {
        Row::works(format!("lost answers, {kind:?}"))
            .fault(THERE, Fault::new(Effect::LostAnswer).on(kind).times(4))
    });
    check(rows.into_iter().chain([bare]).chain(answers)).await;
}

#[tokio::test]
async fn parts_that_are_unknown_for_a_short_time_are_waited_for() {
    let refusals = [
        (404, ErrorCode::ManifestUnknown),
        (404, ErrorCode::ManifestBlobUnknown),
        (400, ErrorCode::ManifestBlobUnknown),
        (400, ErrorCode::ManifestUnknown),
        (404, ErrorCode::BlobUnknown),
        (404, ErrorCode::NameUnknown),
        (400, ErrorCode::NameUnknown),
    ];
    let rows = refusals.map(|(status, code)| {
        Row::works(format!("{status} {}", code.as_str())).quirk(THERE, move |quirks| {
            quirks.writing.parts_unknown =
                Some(PartsUnknown { times: 2, rejection: rejection(status, code) });
        })
    });
    check(rows).await;
}

/// Adds a tag that appears between the plan and the write: the listing of the plan does not show it.
fn tag_in_the_meantime(row: Row, status: u16, seed: u64) -> Row {
    let unknown =
        Effect::Status { status: StatusCode::NOT_FOUND, code: ErrorCode::NameUnknown, retry_after: None };
    let image = Recipe { seed, ..Recipe::default() }.index(2);
    row.holding(THERE, "prod/app-0", image, Some("v1"))
        .fault(THERE, Fault::new(unknown).on(Kind::TagList).path("app-0").times(1))
        .quirk(THERE, move |quirks| {
            quirks.writing.immutable_tags = Some(rejection(status, ErrorCode::Denied));
        })
}

#[tokio::test]
async fn a_tag_whose_write_is_refused_is_looked_up() {
    let statuses = [400, 405, 409, 412];
    let held = statuses.map(|status| {
        let row = Row::works(format!("{status}, and the tag names what it is to name"));
        tag_in_the_meantime(row, status, 0)
    });
    let moved = statuses.map(|status| {
        let row = Row::clear(format!("{status}, and the tag names another image"), &["app-0:v1"]);
        tag_in_the_meantime(row, status, 77)
    });
    // The write that creates the tag succeeds and its answer is lost. The second attempt is refused, and the tag is already
    // right.
    let lost = statuses.map(|status| {
        Row::works(format!("{status} after a lost answer"))
            .fault(THERE, Fault::new(Effect::LostAnswer).on(Kind::ManifestPut).path("manifests/v1").times(1))
            .quirk(THERE, move |quirks| {
                quirks.writing.immutable_tags = Some(rejection(status, ErrorCode::Denied));
            })
    });
    let conditional = Row::works("conditions are honoured")
        .fault(THERE, Fault::new(Effect::LostAnswer).on(Kind::ManifestPut).path("manifests/v1").times(1))
        .quirk(THERE, |quirks| quirks.writing.conditional = true);
    check(held.into_iter().chain(moved).chain(lost).chain([conditional])).await;
}

#[tokio::test]
async fn blobs_are_sent_in_chunks_where_that_is_required() {
    let large = Row::works("413 and a closed connection")
        .images(1)
        .layers_of(17 << 20)
        .quirk(THERE, |quirks| quirks.writing.body_max = Some(16 << 20));
    let demanded = [400, 405, 411, 413, 415, 501].map(|status| {
        Row::works(format!("chunks demanded by {status}")).quirk(THERE, move |quirks| {
            quirks.writing.monolithic = Some(rejection(status, ErrorCode::Unsupported));
        })
    });
    check(std::iter::once(large).chain(demanded)).await;
}

#[tokio::test]
async fn locations_of_every_form_are_followed() {
    let locations = [
        ("relative", "{path}"),
        ("absolute", "{base}{path}"),
        ("without a leading slash", "v2/{name}/blobs/uploads/{id}"),
        ("relative to the uploads", "{id}"),
        ("with a query", "{path}?_state=abc%3D%3D&x="),
        ("absolute with a query", "{base}{path}?_state=abc"),
        ("unescaped", "{path}?_state=a b|c{d}\"<e>"),
        ("with a fragment", "{path}?x=1#part"),
    ];
    let rows = locations.into_iter().flat_map(|(name, location)| {
        [None, Some(700)].map(|chunk| {
            let options: fn(&crate::support::World) -> _ = match chunk {
                None => |_| std::collections::HashMap::new(),
                Some(_) => |world| {
                    let options = oci::HostOptions { upload_chunk: Some(700), ..oci::HostOptions::default() };
                    [(world.production[0].host().clone(), options)].into()
                },
            };
            Row::works(format!("{name}, {}", if chunk.is_some() { "in chunks" } else { "in one" }))
                .options(options)
                .quirk(THERE, move |quirks| quirks.writing.location = Some(location.to_owned()))
        })
    });
    let redirects = [307, 308].into_iter().flat_map(|status| {
        ["{target}", "{base}{target}"].map(|to| {
            let redirect = Redirect { status: StatusCode::from_u16(status).unwrap(), to: to.to_owned() };
            Row::works(format!("{status} to {to}"))
                .quirk(THERE, move |quirks| quirks.writing.redirect = Some(redirect.clone()))
        })
    });
    check(rows.chain(redirects)).await;
}

const METADATA: &str = "http://169.254.169.254";

#[tokio::test]
async fn writes_do_not_leave_the_host() {
    let locations = [
        ("http://registry.invalid{path}", "registry.invalid"),
        ("http://169.254.169.254{path}", "169.254.169.254"),
        ("http://10.0.0.1{path}", "10.0.0.1"),
    ];
    let located = locations.map(|(location, _)| {
        Row::clear(format!("Location {location}"), &["app-0"])
            .quirk(THERE, move |quirks| quirks.writing.location = Some(location.to_owned()))
    });
    let targets =
        ["http://registry.invalid{target}", "http://169.254.169.254{target}", "http://10.0.0.1{target}"];
    let redirected = targets.map(|to| {
        let redirect = Redirect { status: StatusCode::TEMPORARY_REDIRECT, to: to.to_owned() };
        Row::clear(format!("redirect to {to}"), &["app-0"])
            .quirk(THERE, move |quirks| quirks.writing.redirect = Some(redirect.clone()))
    });
    // The same registry under another name: following this redirect would write.
    let another = Row::clear("redirect to another name", &["localhost"]).arranged(|world| {
        let server = &world.production[0];
        let other = server.host().as_str().replace("127.0.0.1", "localhost");
        let to = format!("http://{other}{{target}}");
        let redirect = Redirect { status: StatusCode::TEMPORARY_REDIRECT, to };
        server.quirks().change(|quirks| quirks.writing.redirect = Some(redirect));
    });
    check(located.into_iter().chain(redirected).chain([another])).await;
}

#[tokio::test]
async fn reads_are_never_sent_to_the_metadata_address_or_a_private_one() {
    let to = format!("{METADATA}{{target}}");
    let plain = to.clone();
    let blobs = Row::clear("a blob is at the metadata address", &["169.254.169.254"])
        .quirk(Side::Source, move |quirks| quirks.reading.blob_location = Some(plain.clone()));
    let configured = Row::clear("the same address, configured", &["169.254.169.254"])
        .options(|_| {
            let options = oci::HostOptions { plain_http: Some(true), ..oci::HostOptions::default() };
            [("169.254.169.254".parse().unwrap(), options)].into()
        })
        .quirk(Side::Source, move |quirks| quirks.reading.blob_location = Some(to.clone()));
    let private = "http://10.0.0.1{target}".to_owned();
    let private = Row::clear("a blob is at a private address", &["10.0.0.1"])
        .quirk(Side::Source, move |quirks| quirks.reading.blob_location = Some(private.clone()));
    check([blobs, configured, private]).await;
}

#[tokio::test]
async fn a_repository_that_has_to_be_created_first_is_named() {
    let row = Row::clear("404 on POST", &["app-0", "creat"]).quirk(THERE, |quirks| {
        quirks.writing.create_first = Some(rejection(404, ErrorCode::NameUnknown));
    });
    check([row]).await;
}

/// A manifest with a `subject` is listed in the fallback tag of the subject if there is no referrers API.
#[tokio::test]
async fn a_manifest_with_a_subject_keeps_its_fallback_tag() {
    let subject = Recipe { seed: 0, ..Recipe::default() }.index(2);
    let referrer = Recipe { seed: 60, layers: 0, ..Recipe::default() }
        .referrer(subject.root(), "application/vnd.example");
    let row = Row::works("promoted as an image").without_referrers_api(THERE);
    let mut world = row.world().await;
    world.production.truncate(1);
    world.stage("app", &subject, &["v1"]).await;
    world.stage("app", &referrer, &["about"]).await;
    world.promote().await;
    world.assert_complete().await;
    let repository = path("prod/app");
    let store = world.production[0].store();
    let tag = subject.digest().to_string().replace(':', "-").parse().unwrap();
    let list = store.resolve(&repository, &tag).unwrap_or_else(|| panic!("there is no fallback tag"));
    let list = store.manifest(&repository, &list).await.unwrap().unwrap();
    let text = String::from_utf8(list.bytes().to_vec()).unwrap();
    assert!(text.contains(&referrer.digest().to_string()), "{text}");
}

#[tokio::test]
async fn slow_commits_are_waited_for() {
    let commit = Duration::from_secs(2);
    let row =
        Row::works("two seconds each").images(1).quirk(THERE, move |quirks| quirks.writing.commit = commit);
    check([row]).await;
}
