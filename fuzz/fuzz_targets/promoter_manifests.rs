//! Promoter manifests, plain and thin. Parsed manifests have SHA-256 digests, each once in an image, and each tag once for a
//! digest. Their plain form parses to the same content. Diagnostics have positions within the file and may be shown.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use manifest::fuzzing::{images, plain};
use manifest::{Diagnostics, Image, Manifests, Position};
use oci::{Digest, Tag};

/// The content of images, without positions.
type Content = Vec<(String, Vec<(Digest, Vec<Tag>)>)>;

fn content(images: &[Image]) -> Content {
    let of = |image: &Image| {
        let digests = image.digests.iter();
        let digests =
            digests.map(|wish| (wish.digest, wish.tags.iter().map(|(tag, _)| tag.clone()).collect()));
        (image.name.to_string(), digests.collect())
    };
    images.iter().map(of).collect()
}

/// Returns the images as a plain YAML list.
fn written(images: &Content) -> String {
    let mut text = String::new();
    for (name, digests) in images {
        text += &format!("- name: \"{name}\"\n  dmap:\n");
        for (digest, tags) in digests {
            let tags: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            text += &format!("    \"{digest}\": [{}]\n", tags.join(", "));
        }
    }
    text
}

/// Splits a file into lines as YAML does.
fn lines(data: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(data).replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}

fn check_position(position: Position, lines: &[String]) {
    let line = usize::try_from(position.line).unwrap();
    assert!(line >= 1 && position.column >= 1, "{position:?}");
    // The end of the file may count as a separate line.
    assert!(line <= lines.len() + 1, "{position:?} of {} lines", lines.len());
    let length = lines.get(line - 1).map_or(0, |line| line.chars().count());
    assert!(position.column as usize <= length + 1, "{position:?}: the line has {length} characters");
}

fn check_images(images: &[Image], lines: &[String]) {
    for image in images {
        assert!(image.name.as_str().len() <= 255 && !image.digests.is_empty());
        let digests: HashSet<_> = image.digests.iter().map(|wish| wish.digest).collect();
        assert_eq!(digests.len(), image.digests.len(), "a digest is repeated");
        for wish in &image.digests {
            assert!(matches!(wish.digest, Digest::Sha256(_)));
            check_position(wish.position, lines);
            let tags: HashSet<_> = wish.tags.iter().map(|(tag, _)| tag).collect();
            assert_eq!(tags.len(), wish.tags.len(), "a tag is repeated");
            wish.tags.iter().for_each(|(_, position)| check_position(*position, lines));
        }
    }
}

fn check_wrong(wrong: &Diagnostics, lines: &[String]) {
    assert!(wrong.count() > 0, "refused without a reason");
    for diagnostic in wrong.iter() {
        fuzz::assert_presentable(&diagnostic.to_string(), 1000);
        if let Some(position) = diagnostic.position() {
            check_position(position, lines);
        }
        let _ = diagnostic.render(true);
    }
    let rendered = wrong.render(false);
    rendered.lines().for_each(|line| fuzz::assert_presentable(line, 2000));
}

fn check_plain(manifests: &Manifests, lines: &[String]) {
    let [manifest] = &manifests.manifests[..] else { panic!("a file must be one manifest") };
    let roots: HashSet<_> = manifest.destinations.iter().map(|destination| &destination.root).collect();
    assert_eq!(roots.len(), manifest.destinations.len(), "a destination is repeated");
    assert!(!roots.contains(&manifest.source), "the source is also a destination");
    check_images(&manifest.images, lines);
    let content = content(&manifest.images);
    if content.is_empty() {
        return;
    }
    let mut text = format!("registries:\n- name: \"{}\"\n  src: true\n", manifest.source);
    manifest.destinations.iter().for_each(|to| text += &format!("- name: \"{}\"\n", to.root));
    text += &format!("images:\n{}", written(&content));
    let again = plain(text.as_bytes()).expect("the plain form parses");
    assert_eq!(self::content(&again.manifests[0].images), content);
    assert_eq!(again.manifests[0].source, manifest.source);
}

fuzz_target!(|data: &[u8]| {
    let lines = lines(data);
    match plain(data) {
        Ok(manifests) => check_plain(&manifests, &lines),
        Err(wrong) => check_wrong(&wrong, &lines),
    }
    let (found, rejected) = images(data);
    if !rejected.is_empty() {
        check_wrong(&rejected, &lines);
    }
    let Some(found) = found else {
        assert!(!rejected.is_empty(), "there is no list of images and no reason");
        return;
    };
    check_images(&found, &lines);
    let content = content(&found);
    if !content.is_empty() {
        let (again, rejected) = images(written(&content).as_bytes());
        assert!(rejected.is_empty(), "the plain form does not parse: {rejected}");
        assert_eq!(self::content(&again.expect("a list of images")), content);
    }
});
