//! Each quirk, as a client sees it.

mod auth;
mod reading;
mod writing;

use http::StatusCode;
use registry::ErrorCode;
use registry::quirks::{Head, Rejection};

use crate::client::{World, refused};

/// Returns a rejection with an error code that does not matter.
fn rejection(status: StatusCode) -> Rejection {
    Rejection::new(status, ErrorCode::Unsupported)
}

#[tokio::test]
async fn quirks_hold_for_every_request_until_they_are_removed() {
    let world = World::plain().await;
    let target = "/v2/app/manifests/v1";
    let refusal = rejection(StatusCode::METHOD_NOT_ALLOWED);
    world.server.quirks().change(|quirks| quirks.reading.head = Head::Refused(refusal));
    for _ in 0..3 {
        assert_eq!(world.client.head(target).await.status, 405);
    }
    assert_eq!(world.client.get(target).await.refusal(), refused(404, "MANIFEST_UNKNOWN"));
    world.server.quirks().clear();
    assert_eq!(world.client.head(target).await.status, 404);
}
