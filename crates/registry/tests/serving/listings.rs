//! Lists of tags and repositories, in the plain format and in Google's.

use oci::{MediaType, RawManifest};
use registry::Config;
use registry::sample::Recipe;
use serde_json::json;

use crate::client::{World, refused, repository};

async fn with_tags(world: &World, name: &str, tags: &[&str]) {
    let manifest = RawManifest::new(MediaType::Other("application/x+json".into()), "{}".into());
    for tag in tags {
        world
            .server
            .store()
            .put_manifest(&repository(name), Some(&tag.parse().unwrap()), &manifest)
            .await
            .unwrap();
    }
}

/// Follows `Link` to the last page. Returns the entries of each page.
async fn pages(world: &World, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(target) = next {
        let answer = world.client.get(&target).await;
        pages.push(serde_json::from_value(answer.json()[field].clone()).unwrap());
        next = answer.headers.get("link").map(|link| {
            let link = link.to_str().unwrap();
            assert!(link.ends_with(">; rel=\"next\""), "{link}");
            link.split(['<', '>']).nth(1).unwrap().to_owned()
        });
    }
    pages
}

#[tokio::test]
async fn tags_are_listed_in_order_and_in_pages() {
    let world = World::new(Config { page_size: 3.try_into().unwrap(), ..Config::default() }).await;
    with_tags(&world, "app", &["d", "a", "C", "b", "e"]).await;
    assert_eq!(
        pages(&world, "/v2/app/tags/list", "tags").await,
        [vec!["C", "a", "b"], vec!["d", "e"]],
        "the server's own page size"
    );
    assert_eq!(
        pages(&world, "/v2/app/tags/list?n=2", "tags").await,
        [vec!["C", "a"], vec!["b", "d"], vec!["e"]]
    );
    assert_eq!(
        pages(&world, "/v2/app/tags/list?n=100", "tags").await.len(),
        2,
        "no page is larger than the server's"
    );
    assert_eq!(pages(&world, "/v2/app/tags/list?last=b", "tags").await, [vec!["d", "e"]]);
    assert_eq!(pages(&world, "/v2/app/tags/list?n=0", "tags").await, [Vec::<String>::new()]);
    let answer = world.client.get("/v2/app/tags/list?n=-1").await;
    assert_eq!(answer.refusal(), refused(400, "PAGINATION_NUMBER_INVALID"));
}

#[tokio::test]
async fn the_catalog_lists_repositories_in_pages() {
    let world = World::new(Config { page_size: 2.try_into().unwrap(), ..Config::default() }).await;
    for name in ["b/two", "a", "b"] {
        with_tags(&world, name, &["v1"]).await;
    }
    assert_eq!(pages(&world, "/v2/_catalog", "repositories").await, [vec!["a", "b"], vec!["b/two"]]);
    world.client.delete("/v2/a/manifests/v1").await;
    let digest = world.server.store().manifests(&repository("a"))[0];
    world.client.delete(&format!("/v2/a/manifests/{digest}")).await;
    let rest = pages(&world, "/v2/_catalog", "repositories").await;
    assert_eq!(rest, [vec!["b", "b/two"]], "an empty repository is not listed");
}

#[tokio::test]
async fn googles_listing_has_manifests_and_children_in_one_page() {
    let config = Config { google_listing: true, page_size: 1.try_into().unwrap(), ..Config::default() };
    let world = World::new(config).await;
    let store = world.server.store();
    let recipe = Recipe { layers: 2, layer_size: 1000, ..Recipe::default() };
    let image = recipe.image();
    image.put(store, &repository("prod/app"), &["a".parse().unwrap(), "b".parse().unwrap()]).await.unwrap();
    recipe.index(1).put(store, &repository("prod/app"), &[]).await.unwrap();
    with_tags(&world, "prod/app/deep/er", &["v1"]).await;
    with_tags(&world, "prod/app/other", &["v1"]).await;
    with_tags(&world, "prod/app-not-below", &["v1"]).await;

    let listing = world.client.get("/v2/prod/app/tags/list").await;
    assert!(!listing.headers.contains_key("link"));
    let listing = listing.json();
    assert_eq!(listing["name"], "prod/app");
    assert_eq!(listing["tags"], json!(["a", "b"]));
    assert_eq!(listing["child"], json!(["deep", "other"]));
    assert_eq!(listing["manifest"].as_object().unwrap().len(), 2, "the index and its only image");
    let entry = &listing["manifest"][image.digest().to_string()];
    assert_eq!(entry["tag"], json!(["a", "b"]));
    assert_eq!(entry["mediaType"], MediaType::OciManifest.as_str());
    assert_eq!(entry["imageSizeBytes"], image.blob_bytes().to_string());
    assert_eq!(entry["layerId"], "");
    for time in ["timeCreatedMs", "timeUploadedMs"] {
        let milliseconds: u64 = entry[time].as_str().unwrap().parse().unwrap();
        assert!(milliseconds > 1_700_000_000_000, "{time} is in milliseconds: {milliseconds}");
    }
    let above = world.client.get("/v2/prod/tags/list").await.json();
    assert_eq!(
        above["child"],
        json!(["app", "app-not-below"]),
        "a path that only contains repositories has a listing as well"
    );
    assert_eq!(world.client.get("/v2/absent/tags/list").await.refusal(), refused(404, "NAME_UNKNOWN"));
}
