//! Manifests for kpromo with the images of a world.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::protocol::{Image, Started};

/// Writes thin manifests that promote all images of staging, the first host, to all other hosts.
pub(crate) fn write(directory: &Path, world: &Started) -> Result<(), Error> {
    let mut projects: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
    for image in &world.images {
        projects.entry(&image.project).or_default().push(image);
    }
    for (project, images) in projects {
        let file = |kind: &str, name: &str, text: String| {
            let directory = directory.join(kind).join(project);
            fs::create_dir_all(&directory).map_err(Error::file("making", &directory))?;
            let path = directory.join(name);
            fs::write(&path, text).map_err(Error::file("writing", path))
        };
        file("manifests", "promoter-manifest.yaml", registries(project, &world.hosts))?;
        file("images", "images.yaml", listed(&images))?;
    }
    Ok(())
}

fn registries(project: &str, hosts: &[String]) -> String {
    let mut text = "registries:\n".to_owned();
    for (number, host) in hosts.iter().enumerate() {
        let entry = if number == 0 {
            format!("- name: {host}/staging/{project}\n  src: true\n")
        } else {
            format!("- name: {host}/images/{project}\n")
        };
        text.push_str(&entry);
    }
    text
}

fn listed(images: &[&Image]) -> String {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for image in images {
        let entry = names.entry(&image.name).or_insert_with(|| format!("- name: {}\n  dmap:\n", image.name));
        // Writing to a `String` cannot fail.
        let _ = writeln!(entry, "    \"{}\": [\"{}\"]", image.digest, image.tag);
    }
    names.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_name_share_an_entry_and_staging_is_the_source() {
        let image = |digest: &str, tag: &str| Image {
            project: "p".to_owned(),
            name: "tool".to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        };
        let images = vec![image("sha256:a", "v1"), image("sha256:b", "v2")];
        let hosts = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &Started { hosts, images, expected: 2, unique_bytes: 0 }).unwrap();
        let read = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap();
        assert_eq!(
            read("images/p/images.yaml"),
            "- name: tool\n  dmap:\n    \"sha256:a\": [\"v1\"]\n    \"sha256:b\": [\"v2\"]\n"
        );
        assert_eq!(
            read("manifests/p/promoter-manifest.yaml"),
            "registries:\n- name: 127.0.0.1:1/staging/p\n  src: true\n- name: 127.0.0.1:2/images/p\n"
        );
    }
}
