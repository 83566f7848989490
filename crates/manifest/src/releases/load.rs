//! Reads a list of releases.

use std::path::Path;

use super::model::ReleaseEntry;
use crate::contents::Contents;
use crate::diagnostics::Diagnostics;
use crate::schema::{self, Reading};

/// Reads a file with `releaseConfigs`. An empty file has no entries. With `needs_bucket` each entry must have a bucket.
///
/// # Errors
/// If the file has any fault: returns all faults, each with its position.
pub fn load_releases(path: &Path, needs_bucket: bool) -> Result<Vec<ReleaseEntry>, Diagnostics> {
    let contents = Contents::read(path)?;
    let Reading { value, wrong, .. } = schema::release_entries(&contents, needs_bucket);
    wrong.or(value)
}

#[cfg(test)]
mod tests {
    use super::super::model::ReleaseTag;
    use super::*;

    fn read(text: &str, needs_bucket: bool) -> Result<Vec<ReleaseEntry>, Vec<String>> {
        let contents = Contents { file: "c.yaml".into(), bytes: text.as_bytes().to_vec() };
        let Reading { value, wrong, .. } = schema::release_entries(&contents, needs_bucket);
        wrong.or(value).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn entries_are_read_like_by_the_go_tool_and_a_bucket_may_be_a_url() {
        let text = "releaseConfigs:\n- org: acme\n  repo: tool\n  tags: [1.10, release/v1, 1.10]\n  includePrereleases: true\n  \
                    gcsBucket: bucket\n  releaseDir: /some/dir/\n- {org: acme, repo: k8s.io, gcsBucket: 's3://b/p', releaseDir: ''}\n";
        let entries = read(text, true).unwrap();
        let tags: Vec<&str> = entries[0].tags.iter().map(ReleaseTag::as_str).collect();
        assert_eq!(tags, ["1.10", "release/v1"]);
        assert_eq!(entries[0].origin.as_ref(), "c.yaml:2:3");
        let place = |entry: &ReleaseEntry| {
            let name = entry.directory.file(&"v1".parse().unwrap(), "a.txt").unwrap();
            entry.bucket.as_ref().unwrap().file(&name)
        };
        assert_eq!(place(&entries[0]), "gs://bucket/some/dir/v1/a.txt");
        assert_eq!(
            place(&entries[1]),
            "s3://b/p/v1/a.txt",
            "without a directory, files are at the root of the bucket"
        );
        assert!(entries[0].include_prereleases && !entries[1].include_prereleases);
        assert_eq!(read("", true).unwrap(), []);
        assert_eq!(read("releaseConfigs:\n", true).unwrap(), []);
    }

    #[test]
    fn all_faults_are_reported_with_their_positions() {
        let text = "releaseConfigs:\n- org: acme\n  repos: tool\n- {org: 'a/b', repo: r, gcsBucket: 'GS://b', tags: [a//b, '', v1, ../c], \
                    releaseDir: a/../b}\n- {org: a, repo: r, tags: x, includePrereleases: perhaps, gcsBucket: ''}\n\
                    - {org: a, repo: r, includePrereleases: \"true\", gcsBucket: b}\nother: 1\n";
        let faults = read(text, true).unwrap_err().join("\n");
        for expected in [
            "c.yaml:2:3: the entry has no `repo`",
            "c.yaml:2:3: the entry has no `gcsBucket`",
            "c.yaml:3:3: unknown field `repos`",
            "not the name of an owner",
            "begins with `gs://`",
            "c.yaml:4:53: not a tag of a release",
            "c.yaml:4:59: a tag is empty",
            "c.yaml:4:67: not a tag of a release",
            "c.yaml:6:41: expected `true` or `false`, without quotes",
            "has no segment `.` or `..`",
            "expected a list of tags",
            "expected `true` or `false`",
            "`gcsBucket` is empty",
            "unknown field `other`",
        ] {
            assert!(faults.contains(expected), "{expected} is missing in\n{faults}");
        }
    }

    #[test]
    fn a_bucket_is_required_only_if_it_is_needed() {
        let text = "releaseConfigs:\n- {org: acme, repo: tool}\n";
        assert_eq!(read(text, false).unwrap()[0].bucket, None);
        assert!(read(text, true).is_err());
    }
}
