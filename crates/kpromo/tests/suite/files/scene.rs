//! Both stores, filled with files of several sizes.

use std::process::Command;

use files::Attributes;
use testkit::{FakeGcs, VersityGw};

use super::stores::{REGION, command, content, manifests, put, runtime, sha256};
use crate::support::{Desk, Ran, run};

/// Files of several sizes: small ones, an empty one, one of a part, and larger ones.
pub(crate) fn samples() -> Vec<(String, Vec<u8>)> {
    let sizes = [0, 1, 10_000, 1 << 20, 8 << 20, (8 << 20) + 1, (24 << 20) + 5];
    let large = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| (format!("large/{index}"), content(*size, index as u32)));
    let small = (0..60).map(|index| (format!("small/{index:03}"), content(500 + index, 100 + index as u32)));
    large.chain(small).collect()
}

/// Both stores, with the samples in the source.
pub(crate) struct Scene {
    pub(crate) gcs: FakeGcs,
    pub(crate) s3: VersityGw,
    _desk: Desk,
    flags: Vec<String>,
    pub(crate) samples: Vec<(String, Vec<u8>)>,
}

impl Scene {
    pub(crate) fn new(source: &str) -> Self {
        let gcs = FakeGcs::start(&["staging", "prod"]);
        let s3 = VersityGw::start(&["staging", "prod"], REGION);
        let (desk, samples) = (Desk::new(), samples());
        for (name, content) in &samples {
            if source.starts_with("gs://") {
                gcs.put("staging", name, content, "\"contentType\":\"text/x\"");
            } else {
                let attributes =
                    Attributes { content_type: Some("text/x".to_owned()), ..Attributes::default() };
                runtime().block_on(put(&s3, "staging", name, content, attributes));
            }
        }
        let files: Vec<(&str, String)> =
            samples.iter().map(|(name, content)| (name.as_str(), sha256(content))).collect();
        let flags = manifests(&desk, &[source, "gs://prod/sub", "s3://prod/sub"], &files);
        Self { gcs, s3, _desk: desk, flags, samples }
    }

    pub(crate) fn command(&self, gcs: &str, s3: &str) -> Command {
        let mut command = command(gcs, s3);
        command.args(&self.flags).arg("--confirm");
        command
    }

    pub(crate) fn run(&self) -> Ran {
        run(self.command(self.gcs.host(), self.s3.host()))
    }

    /// Returns the samples that a destination has, after checking that what it has is whole.
    pub(crate) fn whole(&self) -> usize {
        let mut number = 0;
        for (name, content) in &self.samples {
            let key = format!("sub/{name}");
            for found in [self.gcs.get("prod", &key), self.s3.get("prod", &key)].into_iter().flatten() {
                let (there, whole) = (found.len(), content.len());
                assert!(found == *content, "{name} is not whole: {there} of {whole} bytes");
                number += 1;
            }
        }
        number
    }

    /// Checks that everything is promoted and nothing else is there.
    pub(crate) fn check_complete(&self) {
        assert_eq!(self.whole(), 2 * self.samples.len());
        assert_eq!(self.gcs.names("prod").len(), self.samples.len());
    }
}
