//! Attached content: written, read, listed and copied, with and without a referrers API, and the number of requests of each
//! operation.

mod damage;
mod listing;
mod others;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, StatusCode};
use oci::{
    Anonymous, AttachedTag, Attachment, AttachmentKind, Client, Digest, ErrorKind, Known, MediaType,
    NewLayer, NewReferrer, RawManifest, Reader, Referrer, Repository, Selector, Subject, Tag, Writer,
    referrers_tag,
};
use registry::sample::{Recipe, Sample};
use registry::{Canned, Config, Effect, ErrorCode, Fault, Kind, Server};
use transport::{Door, Settings};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn client() -> Client {
    Client::new(Door::open(Settings::default()).unwrap(), Arc::new(Anonymous), HashMap::new())
}

/// A registry with one image, and a client.
struct Scene {
    server: Server,
    client: Client,
    app: Repository,
    image: Sample,
}

impl Scene {
    async fn new(referrers_api: bool) -> Self {
        Self::of(Config { referrers_api, ..Config::default() }).await
    }

    async fn of(config: Config) -> Self {
        let server = Server::start(config).await.unwrap();
        let app = Repository { host: server.host().clone(), path: "team/app".parse().unwrap() };
        let image = Recipe::default().image();
        image.put(server.store(), &app.path, &[]).await.unwrap();
        Self { server, client: client(), app, image }
    }

    fn reader(&self) -> Reader {
        self.client.reader()
    }

    fn writer(&self) -> Writer {
        self.client.writer()
    }

    fn referrer(&self, content: &str) -> NewReferrer {
        referrer(self.image.root(), content)
    }

    /// Returns the requests since the last call, by kind, without those of unknown kind.
    fn requests(&self) -> Vec<(Kind, u64)> {
        let tally = self.server.tally().snapshot();
        self.server.tally().reset();
        let counted = Kind::ALL.iter().map(|kind| (*kind, tally.requests(*kind)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    async fn referrers(&self, artifact_type: Option<&str>) -> Result<Vec<Digest>, oci::Error> {
        let listed = self.listed(self.image.digest(), artifact_type, Known::Unknown).await?;
        Ok(listed.iter().map(|referrer| referrer.digest).collect())
    }

    async fn listed(
        &self,
        subject: Digest,
        artifact_type: Option<&str>,
        fallback: Known,
    ) -> Result<Vec<Referrer>, oci::Error> {
        self.reader().referrers(&self.app, subject, artifact_type, fallback).await
    }

    fn answer(
        &self,
        kind: Kind,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> registry::Watch {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        let canned = Canned { status, headers, body: body.into() };
        self.server.faults().add(Fault::new(Effect::Canned(canned)).on(kind))
    }

    /// Writes a list of referrers under the fallback tag of the image.
    async fn put_list(&self, entries: &str) {
        let index = RawManifest::new(MediaType::OciIndex, list(entries).into());
        let tag = referrers_tag(self.image.digest());
        self.server.store().put_manifest(&self.app.path, Some(&tag), &index).await.unwrap();
    }

    /// Returns the manifest under a tag as it is stored.
    async fn stored(&self, tag: &Tag) -> String {
        let store = self.server.store();
        let digest = store.resolve(&self.app.path, tag).unwrap();
        let manifest = store.manifest(&self.app.path, &digest).await.unwrap().unwrap();
        String::from_utf8(manifest.bytes().to_vec()).unwrap()
    }

    fn signature_tag(&self) -> Tag {
        AttachedTag::new(self.image.digest(), AttachmentKind::Signature).unwrap().tag()
    }

    async fn signatures(&self) -> Attachment {
        let tag = self.signature_tag();
        self.reader().attachment(&self.app, Selector::Tag(&tag)).await.unwrap().present().unwrap()
    }
}

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn referrer(subject: &RawManifest, content: &str) -> NewReferrer {
    NewReferrer {
        subject: Subject::from(subject),
        artifact_type: BUNDLE.to_owned(),
        layer: NewLayer {
            media_type: BUNDLE.to_owned(),
            content: Bytes::copy_from_slice(content.as_bytes()),
            annotations: BTreeMap::new(),
        },
        annotations: annotations(&[("dev.sigstore.bundle.content", "dsse-envelope"), ("name", content)]),
    }
}

fn signature(payload: &str, signature: &str) -> NewLayer {
    NewLayer {
        media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
        content: Bytes::copy_from_slice(payload.as_bytes()),
        annotations: annotations(&[("dev.cosignproject.cosign/signature", signature)]),
    }
}

fn list(entries: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
}

fn entry(content: &[u8], artifact_type: &str) -> String {
    format!(
        r#"{{"mediaType":"{}","digest":"{}","size":{},"artifactType":"{artifact_type}"}}"#,
        MediaType::OciManifest,
        Digest::of(content),
        content.len(),
    )
}

#[tokio::test]
async fn a_referrer_takes_three_requests_and_the_first_of_a_repository_five() {
    let scene = Scene::new(true).await;
    let new = scene.referrer("one");
    let first = scene.writer().attach(&scene.app, &new, Known::Unknown).await.unwrap();
    assert_eq!(scene.requests(), [(Kind::ManifestPut, 1), (Kind::Mount, 2), (Kind::UploadPut, 2)]);
    let second = scene.writer().attach(&scene.app, &scene.referrer("two"), Known::Unknown).await.unwrap();
    assert_eq!(scene.requests(), [(Kind::ManifestPut, 1), (Kind::Mount, 1), (Kind::UploadPut, 1)]);
    let again = scene.writer().attach(&scene.app, &new, Known::Unknown).await.unwrap();
    assert_eq!(scene.requests(), [(Kind::ManifestPut, 1), (Kind::Mount, 1)], "its layer exists");
    assert_eq!(again, first, "the same content has the same digest");

    let mut expected = vec![first, second];
    expected.sort();
    let mut found = scene.referrers(Some(BUNDLE)).await.unwrap();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(scene.requests(), [(Kind::Referrers, 1)]);
    assert!(scene.referrers(Some("application/other")).await.unwrap().is_empty());
    assert_eq!(scene.requests(), [(Kind::Referrers, 1)], "an empty list is final: the tag is not requested");
}

#[tokio::test]
async fn attached_content_is_read_back_unchanged() {
    for referrers_api in [true, false] {
        let scene = Scene::new(referrers_api).await;
        let new = scene.referrer("content");
        scene.writer().attach(&scene.app, &new, Known::Unknown).await.unwrap();
        let subject = scene.image.digest();
        let listed = scene.listed(subject, Some(BUNDLE), Known::Unknown).await.unwrap();
        assert_eq!(listed[0].artifact_type.as_deref(), Some(BUNDLE));
        assert_eq!(
            (&listed[0].annotations, &listed[0].media_type),
            (&new.annotations, &MediaType::OciManifest)
        );
        scene.requests();

        let read = scene.reader().referrer(&scene.app, subject, &listed[0]).await.unwrap().present().unwrap();
        assert_eq!(scene.requests(), [(Kind::ManifestGet, 1)]);
        assert_eq!((read.subject, read.artifact_type.as_str()), (Some(subject), BUNDLE));
        assert_eq!((&read.annotations, read.layers.len()), (&new.annotations, 1));
        let layer = &read.layers[0];
        let content = scene.reader().small_blob(&scene.app, layer.digest, layer.size, 100).await.unwrap();
        assert_eq!(content, new.layer.content);
        assert_eq!(scene.requests(), [(Kind::BlobGet, 1)]);
        let tags = scene.server.store().tags(&scene.app.path);
        assert_eq!(tags.len(), usize::from(!referrers_api), "a registry with the API gets no tag: {tags:?}");
    }
}

#[tokio::test]
async fn without_the_api_the_list_is_kept_under_the_fallback_tag() {
    let scene = Scene::new(false).await;
    let theirs = Recipe { seed: 1, ..Recipe::default() }.referrer(scene.image.root(), "a/b");
    theirs.put(scene.server.store(), &scene.app.path, &[]).await.unwrap();
    let other = format!(r#"{{"unknown": [1.50, "\u00fc"], {}"#, &entry(theirs.root().bytes(), "a/b")[1..]);
    scene.put_list(&other).await;
    let one = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
    assert_eq!(
        scene.requests(),
        [(Kind::ManifestGet, 2), (Kind::ManifestPut, 2), (Kind::Mount, 2), (Kind::UploadPut, 1)],
        "the tag is read, and checked right before it is written"
    );
    let again = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
    assert_eq!(again, one);
    assert_eq!(
        scene.requests(),
        [(Kind::ManifestGet, 1), (Kind::ManifestPut, 1), (Kind::Mount, 1)],
        "the manifest is already listed"
    );
    let stored = scene.stored(&referrers_tag(scene.image.digest())).await;
    assert!(stored.contains(&other), "entries of other clients are kept unchanged: {stored}");

    assert_eq!(scene.referrers(None).await.unwrap(), [theirs.digest(), one]);
    assert_eq!(scene.requests(), [(Kind::ManifestGet, 1), (Kind::Referrers, 2)]);
    assert_eq!(
        scene.referrers(Some(BUNDLE)).await.unwrap(),
        [one],
        "the filter applies to the fallback tag too"
    );
    assert_eq!(scene.requests(), [(Kind::ManifestGet, 1)], "a host without the API is known");
}

#[tokio::test]
async fn a_fallback_tag_that_is_not_in_the_listing_is_not_requested() {
    let scene = Scene::new(false).await;
    let subject = scene.image.digest();
    assert!(scene.listed(subject, None, Known::Absent).await.unwrap().is_empty());
    assert_eq!(scene.requests(), [(Kind::Referrers, 2)]);
    assert!(scene.listed(subject, None, Known::Absent).await.unwrap().is_empty());
    assert_eq!(scene.requests(), [], "no request is necessary");

    let one = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Absent).await.unwrap();
    let written = [(Kind::ManifestPut, 2), (Kind::Mount, 2), (Kind::UploadPut, 2)];
    let checked = [(Kind::ManifestGet, 1)];
    assert_eq!(
        scene.requests(),
        [&checked[..], &written].concat(),
        "the tag is checked right before it is written"
    );
    let two = scene.writer().attach(&scene.app, &scene.referrer("two"), Known::Absent).await.unwrap();
    let listed = scene.listed(subject, None, Known::Absent).await.unwrap();
    let digests: Vec<Digest> = listed.iter().map(|referrer| referrer.digest).collect();
    assert_eq!(digests, [one, two], "an older listing does not hide what this client has written");
}

#[tokio::test]
async fn concurrently_attached_referrers_are_all_listed() {
    let scene = Scene::new(false).await;
    let (writer, app) = (scene.writer(), &scene.app);
    let new: Vec<NewReferrer> = (0..12).map(|number| scene.referrer(&number.to_string())).collect();
    let attaching = new.iter().map(|new| Box::pin(writer.attach(app, new, Known::Unknown)));
    let mut attached = try_join_all(attaching).await.unwrap();
    let mut found = scene.referrers(None).await.unwrap();
    attached.sort();
    found.sort();
    assert_eq!(found, attached);
}

#[tokio::test]
async fn a_fallback_tag_that_names_something_else_is_left_alone() {
    let scene = Scene::new(false).await;
    let tag = referrers_tag(scene.image.digest());
    scene.image.put(scene.server.store(), &scene.app.path, std::slice::from_ref(&tag)).await.unwrap();
    let error = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    assert!(error.to_string().contains(tag.as_str()), "the error names the tag: {error}");
    let named = scene.server.store().resolve(&scene.app.path, &tag);
    assert_eq!(named, Some(scene.image.digest()));
    let error = scene.referrers(None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
}

#[tokio::test]
async fn an_empty_configuration_that_a_registry_has_deleted_is_sent_again() {
    let scene = Scene::new(true).await;
    scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
    let refused = Effect::Status {
        status: StatusCode::NOT_FOUND,
        code: ErrorCode::ManifestBlobUnknown,
        retry_after: None,
    };
    scene.server.faults().add(Fault::new(refused).on(Kind::ManifestPut));
    let two = scene.referrer("two");
    scene.writer().attach(&scene.app, &two, Known::Unknown).await.unwrap_err();
    scene.server.faults().clear();
    scene.requests();
    scene.writer().attach(&scene.app, &two, Known::Unknown).await.unwrap();
    assert_eq!(scene.requests(), [(Kind::ManifestPut, 1), (Kind::Mount, 2)]);
}

#[tokio::test]
async fn layers_are_added_after_the_existing_ones() {
    let scene = Scene::new(true).await;
    let (writer, tag) = (scene.writer(), scene.signature_tag());
    let first =
        writer.append(&scene.app, &tag, &[signature("payload", "one")], Known::Unknown).await.unwrap();
    assert!(first.written);
    assert_eq!(
        scene.requests(),
        [(Kind::ManifestGet, 2), (Kind::ManifestPut, 1), (Kind::Mount, 2), (Kind::UploadPut, 2)],
        "the tag is read, and checked right before it is written"
    );
    let more = [signature("payload", "two"), signature("payload", "one"), signature("other", "three")];
    let second = writer.append(&scene.app, &tag, &more, Known::Unknown).await.unwrap();
    assert_eq!(
        scene.requests(),
        [(Kind::ManifestGet, 2), (Kind::ManifestPut, 1), (Kind::Mount, 2), (Kind::UploadPut, 2)],
        "a payload that the manifest already names is not sent again"
    );
    let again = writer.append(&scene.app, &tag, &more, Known::Unknown).await.unwrap();
    assert_eq!((again.digest, again.written), (second.digest, false));
    assert_eq!(scene.requests(), [(Kind::ManifestGet, 1)]);

    let read = scene.signatures().await;
    assert_eq!(read.manifest.digest(), second.digest);
    let signatures: Vec<&str> = read
        .layers
        .iter()
        .map(|layer| layer.annotations["dev.cosignproject.cosign/signature"].as_str())
        .collect();
    assert_eq!(signatures, ["one", "two", "three"]);
    assert_eq!(read.config.media_type, "application/vnd.oci.image.config.v1+json");
    let config =
        scene.reader().small_blob(&scene.app, read.config.digest, read.config.size, 10_000).await.unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let layers: Vec<String> = read.layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(layers));
}

#[tokio::test]
async fn a_signature_tag_that_is_not_in_the_listing_is_not_requested() {
    let scene = Scene::new(true).await;
    let (writer, tag) = (scene.writer(), scene.signature_tag());
    writer.append(&scene.app, &tag, &[signature("payload", "one")], Known::Absent).await.unwrap();
    let written = [(Kind::ManifestPut, 1), (Kind::Mount, 2), (Kind::UploadPut, 2)];
    let checked = [(Kind::ManifestGet, 1)];
    assert_eq!(
        scene.requests(),
        [&checked[..], &written].concat(),
        "the tag is checked right before it is written"
    );
    writer.append(&scene.app, &tag, &[signature("payload", "two")], Known::Absent).await.unwrap();
    assert_eq!(scene.signatures().await.layers.len(), 2, "a tag that this client has written is read");
    let nothing = "sha256-0.sig".parse().unwrap();
    writer.append(&scene.app, &nothing, &[], Known::Unknown).await.unwrap_err();
    assert_eq!(
        scene.server.store().resolve(&scene.app.path, &nothing),
        None,
        "without layers no tag is created"
    );
}

#[tokio::test]
async fn layers_that_are_added_concurrently_to_one_tag_are_all_kept() {
    let scene = Scene::new(true).await;
    let (writer, tag) = (scene.writer(), scene.signature_tag());
    let layers: Vec<[NewLayer; 1]> =
        (0..8).map(|number| [signature("payload", &number.to_string())]).collect();
    let adding = layers.iter().map(|layer| Box::pin(writer.append(&scene.app, &tag, layer, Known::Unknown)));
    try_join_all(adding).await.unwrap();
    assert_eq!(scene.signatures().await.layers.len(), 8);
}

#[tokio::test]
async fn content_by_cosign_and_others_is_kept_unchanged() {
    let scene = Scene::new(true).await;
    let tag = scene.signature_tag();
    let blob = Bytes::from_static(b"theirs");
    let config = Bytes::from_static(br#"{"rootfs":{"type":"layers","diff_ids":[]}}"#);
    for blob in [&blob, &config] {
        scene.server.store().put_blob(&scene.app.path, blob.clone()).await.unwrap();
    }
    let layer = format!(
        r#"{{"mediaType":"text/plain","size":6,"digest":"{}","annotations":{{"z":"1","a":"2"}},"new":true}}"#,
        Digest::of(&blob)
    );
    let theirs = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{layer}],"annotations":{{"from":"them"}}}}"#,
        Digest::of(&config),
        config.len(),
    );
    let theirs = RawManifest::new(MediaType::OciManifest, theirs.into());
    scene.server.store().put_manifest(&scene.app.path, Some(&tag), &theirs).await.unwrap();
    scene.writer().append(&scene.app, &tag, &[signature("payload", "ours")], Known::Unknown).await.unwrap();
    let stored = scene.stored(&tag).await;
    assert!(stored.contains(&layer) && stored.contains(r#""annotations":{"from":"them"}"#), "{stored}");
    assert_eq!(scene.signatures().await.layers.len(), 2);
}

#[tokio::test]
async fn attached_content_is_copied_byte_for_byte_and_listed() {
    let (scene, elsewhere) = (Scene::new(true).await, Scene::new(false).await);
    let attached = scene.writer().attach(&scene.app, &scene.referrer("one"), Known::Unknown).await.unwrap();
    let read =
        scene.reader().attachment(&scene.app, Selector::Digest(attached)).await.unwrap().present().unwrap();
    scene.requests();

    let writer = scene.writer();
    let copy = writer.copy_attachment(&scene.app, &elsewhere.app, &read, None, 1000, Known::Unknown);
    assert_eq!(copy.await.unwrap(), attached);
    assert_eq!(scene.requests(), [(Kind::BlobGet, 2)]);
    assert_eq!(
        elsewhere.requests(),
        [(Kind::ManifestGet, 2), (Kind::ManifestPut, 2), (Kind::Mount, 2), (Kind::UploadPut, 2)]
    );
    assert_eq!(elsewhere.referrers(None).await.unwrap(), [attached], "the fallback tag lists it");
    let copied = elsewhere.server.store().manifest(&elsewhere.app.path, &attached).await.unwrap().unwrap();
    assert_eq!(copied.bytes(), read.manifest.bytes());

    let beside = Repository { path: "team/beside".parse().unwrap(), ..scene.app.clone() };
    let tag: Tag = "sha256-0.att".parse().unwrap();
    let copy = writer.copy_attachment(&scene.app, &beside, &read, Some(&tag), 1000, Known::Unknown);
    copy.await.unwrap();
    assert_eq!(
        scene.requests(),
        [(Kind::ManifestGet, 1), (Kind::ManifestPut, 1), (Kind::Mount, 2)],
        "no content is transferred within a registry"
    );
    assert_eq!(scene.server.store().resolve(&beside.path, &tag), Some(attached));

    let size = read.config.size + read.layers[0].size;
    let copy = writer.copy_attachment(&scene.app, &beside, &read, None, size - 1, Known::Unknown);
    let error = copy.await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
    assert_eq!(scene.requests(), [], "the size is checked before any request");
}

#[tokio::test]
async fn without_attachments_one_request_is_enough() {
    let scene = Scene::new(true).await;
    let tag = scene.signature_tag();
    assert!(scene.reader().attachment(&scene.app, Selector::Tag(&tag)).await.unwrap().present().is_none());
    assert_eq!(scene.requests(), [(Kind::ManifestGet, 1)]);
    let nowhere = Repository { path: "no/where".parse().unwrap(), ..scene.app.clone() };
    assert!(scene.reader().attachment(&nowhere, Selector::Tag(&tag)).await.unwrap().present().is_none());
    let index = Recipe::default().index(2);
    index.put(scene.server.store(), &scene.app.path, std::slice::from_ref(&tag)).await.unwrap();
    let error = scene.reader().attachment(&scene.app, Selector::Tag(&tag)).await.unwrap_err();
    assert!(error.to_string().contains("expected an image manifest"), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_larger_than_expected_is_not_fetched() {
    let scene = Scene::new(true).await;
    let layer = scene.image.blobs.iter().max_by_key(|blob| blob.len()).unwrap();
    let (digest, size) = (Digest::of(layer), layer.len() as u64);
    let blob = |size, limit| {
        let reader = scene.reader();
        let app = &scene.app;
        async move { reader.small_blob(app, digest, size, limit).await }
    };
    let error = blob(100_000_000, size).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
    assert_eq!(scene.requests(), []);
    assert_eq!(blob(size, size).await.unwrap(), layer);
    let error = blob(size - 1, size).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongSize { .. }), "the stated size is wrong: {error}");
    scene.server.faults().add(Fault::new(Effect::Corrupt).on(Kind::BlobGet));
    let error = blob(size, size).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WrongDigest { .. }), "{error}");
}
