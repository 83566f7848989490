//! Promoter manifests, plain and thin. What is read has SHA-256 digests, each once in an image, and each tag once for a digest. It
//! reads the same when it is written plainly. Every fault has a place in the file and can be shown.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use manifest::fuzzing::{images, plain};
use manifest::{Diagnostics, Image, Manifests, Position};
use oci::{Digest, Tag};

/// What an image says, without places.
type Said = Vec<(String, Vec<(Digest, Vec<Tag>)>)>;

fn said(images: &[Image]) -> Said {
    let of = |image: &Image| {
        let digests = image.digests.iter();
        let digests =
            digests.map(|wish| (wish.digest, wish.tags.iter().map(|(tag, _)| tag.clone()).collect()));
        (image.name.to_string(), digests.collect())
    };
    images.iter().map(of).collect()
}

/// The images as a plain list of YAML.
fn written(images: &Said) -> String {
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

/// Lines as YAML breaks them.
fn lines(data: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(data).replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}

fn check_position(position: Position, lines: &[String]) {
    let line = usize::try_from(position.line).unwrap();
    assert!(line >= 1 && position.column >= 1, "{position:?}");
    // The end of the file may count as a line of its own.
    assert!(line <= lines.len() + 1, "{position:?} of {} lines", lines.len());
    let length = lines.get(line - 1).map_or(0, |line| line.chars().count());
    assert!(position.column as usize <= length + 1, "{position:?}: the line has {length} characters");
}

fn check_images(images: &[Image], lines: &[String]) {
    for image in images {
        assert!(image.name.as_str().len() <= 255 && !image.digests.is_empty());
        let digests: HashSet<_> = image.digests.iter().map(|wish| wish.digest).collect();
        assert_eq!(digests.len(), image.digests.len(), "a digest twice");
        for wish in &image.digests {
            assert!(matches!(wish.digest, Digest::Sha256(_)));
            check_position(wish.position, lines);
            let tags: HashSet<_> = wish.tags.iter().map(|(tag, _)| tag).collect();
            assert_eq!(tags.len(), wish.tags.len(), "a tag twice");
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
    let [manifest] = &manifests.manifests[..] else { panic!("a file is one manifest") };
    let roots: HashSet<_> = manifest.destinations.iter().map(|destination| &destination.root).collect();
    assert_eq!(roots.len(), manifest.destinations.len(), "a destination twice");
    assert!(!roots.contains(&manifest.source), "images are promoted to where they come from");
    check_images(&manifest.images, lines);
    let said = said(&manifest.images);
    if said.is_empty() {
        return;
    }
    let mut text = format!("registries:\n- name: \"{}\"\n  src: true\n", manifest.source);
    manifest.destinations.iter().for_each(|to| text += &format!("- name: \"{}\"\n", to.root));
    text += &format!("images:\n{}", written(&said));
    let again = plain(text.as_bytes()).expect("what was read can be read again");
    assert_eq!(self::said(&again.manifests[0].images), said);
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
        assert!(!rejected.is_empty(), "no list of images without a reason");
        return;
    };
    check_images(&found, &lines);
    let said = said(&found);
    if !said.is_empty() {
        let (again, rejected) = images(written(&said).as_bytes());
        assert!(rejected.is_empty(), "what was read can be read again: {rejected}");
        assert_eq!(self::said(&again.expect("a list of images")), said);
    }
});
