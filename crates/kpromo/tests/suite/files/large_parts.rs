//! Parts that are too large for memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use files::{Attributes, AwsKeys, Condition, GcsSettings, S3Settings, Settings, Stores, Upload};
use testkit::{Fault, Relay};
use transport::{Door, Secret};

use super::stores::{content, runtime, sha256};

/// 100 GiB have to go in 10,000 parts, which are too large for memory.
#[test]
fn large_parts_are_collected_on_disk() {
    let begun = "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <UploadId>1</UploadId></InitiateMultipartUploadResult>";
    let failing = AtomicUsize::new(0);
    let relay = Relay::start("127.0.0.1:1", move |asked| match asked.method.as_str() {
        "POST" => Fault::Status(200, begun.to_owned()),
        "PUT" if failing.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Status(503, String::new()),
        "PUT" => Fault::Answer(200, "ETag: \"x\"".to_owned(), String::new()),
        "DELETE" => Fault::Status(404, "<Error><Code>NoSuchUpload</Code></Error>".to_owned()),
        _ => Fault::Status(200, String::new()),
    });
    let endpoint = Some(format!("http://{}", relay.host()).parse().unwrap());
    let keys = AwsKeys { id: "id".to_owned(), secret: Secret::new("secret"), session: None };
    let settings = Settings {
        gcs: GcsSettings { endpoint: "http://127.0.0.1:1".parse().unwrap() },
        s3: S3Settings { endpoint, region: None, keys: Some(keys) },
    };
    let stores = Stores::new(Door::open(transport::Settings::default()).unwrap(), settings);
    runtime().block_on(async {
        let store = stores.open(&"s3://prod".parse().unwrap(), None).await.unwrap();
        let upload = Upload {
            size: 100 << 30,
            sha256: sha256(b"").parse().unwrap(),
            crc32c: None,
            attributes: Attributes::default(),
            condition: Condition::Absent,
        };
        let mut parts = store.writer().begin("a", &upload, 8 << 20).await.unwrap();
        for seed in 0..5 {
            parts.part(Bytes::from(content(8 << 20, seed))).await.unwrap();
        }
        parts.abort().await;
    });
    let sent: Vec<(String, usize, String)> = relay
        .asked()
        .into_iter()
        .filter(|asked| asked.method == "PUT")
        .map(|asked| {
            let (_, number) = asked.target.split_once("partNumber=").unwrap();
            (number.chars().take(1).collect(), asked.length, asked.headers["x-amz-checksum-sha256"].clone())
        })
        .collect();
    let numbers: Vec<&str> = sent.iter().map(|(number, ..)| number.as_str()).collect();
    assert_eq!(numbers, ["1", "1", "2"], "the first one is sent again");
    assert!(sent.iter().all(|(_, length, _)| *length == 16 << 20), "{sent:?}");
    assert!(sent[0].2 == sent[1].2 && sent[1].2 != sent[2].2);
}
