//! Fixes files: applies the edits of findings, and checks that the result promotes the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use oci_types::{Digest, RegistryRoot, RepositoryPath, Tag};

use super::flaw::Change;
use super::layout::{Node, Value, layout};
use super::rule::Rule;
use super::style::{FileKind, flaws};
use crate::contents::Contents;
use crate::declared::PolicyDeclaration;
use crate::diagnostics::Diagnostics;
use crate::model::{Destination, Image};
use crate::policy::Policy;
use crate::schema::{self, Reading, Registries};

/// The maximum number of rounds for one file. A change of an entry and a change of the order of entries need two rounds.
const ROUNDS_MAX: usize = 8;

/// The fixed content of a file.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) bytes: Vec<u8>,
    /// The number of fixed flaws.
    pub(super) fixed: usize,
}

/// Returns the content of a file after the fixable flaws are fixed, except those of the `allowed` rules. `more` has the changes
/// by rules about several files. Returns `None` if there is nothing to fix.
///
/// # Errors
/// If the result would not promote the same, or would lose a comment. This is a bug in the fix.
pub(super) fn fix(
    kind: FileKind,
    contents: &Contents,
    more: &[Vec<Change>],
    allowed: &[Rule],
) -> Result<Option<Fixed>, String> {
    let Ok(mut text) = std::str::from_utf8(&contents.bytes).map(str::to_owned) else { return Ok(None) };
    let mut fixed = 0;
    let mut more = more.to_vec();
    for _ in 0..ROUNDS_MAX {
        let found = flaws(kind, &text).into_iter().filter(|flaw| !allowed.contains(&flaw.rule));
        let found = found.filter_map(|flaw| flaw.fix.ok());
        let (next, applied) = apply(&text, std::mem::take(&mut more).into_iter().chain(found).collect());
        if applied == 0 {
            break;
        }
        fixed += applied;
        text = next;
    }
    if fixed == 0 || text.as_bytes() == contents.bytes {
        return Ok(None);
    }
    let after = Contents { file: Arc::clone(&contents.file), bytes: text.into_bytes() };
    check(kind, contents, &after)?;
    Ok(Some(Fixed { bytes: after.bytes, fixed }))
}

/// Fixes an images file, or with `is_plain` a plain manifest. For fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn fix_bytes(is_plain: bool, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let kind = if is_plain { FileKind::Plain } else { FileKind::Images };
    let contents = Contents { file: "manifest.yaml".into(), bytes: bytes.to_vec() };
    Ok(fix(kind, &contents, &[], &[])?.map(|fixed| fixed.bytes))
}

/// Applies the fixes that do not touch the same bytes. Returns the text and the number of applied fixes. Small fixes come first,
/// because an entry is corrected before it is moved.
fn apply(text: &str, mut fixes: Vec<Vec<Change>>) -> (String, usize) {
    fixes.sort_by_key(|fix| fix.iter().map(|change| change.range.len()).sum::<usize>());
    let mut taken: BTreeMap<usize, Change> = BTreeMap::new();
    let mut applied = 0;
    for fix in fixes {
        if fix.iter().all(|change| is_free(&taken, change)) {
            applied += 1;
            taken.extend(fix.into_iter().map(|change| (change.range.start, change)));
        }
    }
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for change in taken.into_values() {
        new.push_str(&text[at..change.range.start]);
        new.push_str(&change.text);
        at = change.range.end;
    }
    new.push_str(&text[at..]);
    (new, applied)
}

/// Returns whether a change does not overlap any of the others.
fn is_free(taken: &BTreeMap<usize, Change>, change: &Change) -> bool {
    let before = taken.range(..=change.range.start).next_back();
    let after = taken.range(change.range.start..).next();
    before.is_none_or(|(start, other)| other.range.end <= change.range.start && *start != change.range.start)
        && after.is_none_or(|(start, _)| *start >= change.range.end && *start != change.range.start)
}

/// Checks that two contents of a file have the same meaning and the same comments.
fn check(kind: FileKind, before: &Contents, after: &Contents) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{}: the fixed file would {why}; it stays as it is", before.file));
    let (old, new) = (meaning(kind, before), meaning(kind, after));
    if old.images != new.images {
        return refused("promote something else");
    }
    if old.registries != new.registries || old.policy != new.policy {
        return refused("have other registries or another policy");
    }
    if old.faults != new.faults {
        return refused("have other errors");
    }
    if comments(before) != comments(after) {
        return refused("have other comments");
    }
    Ok(())
}

/// The edges of an image without their destinations: each digest with its tags.
type Promoted = (RepositoryPath, BTreeMap<Digest, BTreeSet<Tag>>);

/// The meaning of a file, independent of order.
struct Meaning {
    /// Each entry of the list, sorted.
    images: Vec<Promoted>,
    /// The sources, and the destinations with their accounts.
    registries: (BTreeSet<RegistryRoot>, BTreeMap<RegistryRoot, Option<String>>),
    policy: Option<Option<Arc<Policy>>>,
    /// The messages, sorted.
    faults: Vec<String>,
}

fn meaning(kind: FileKind, contents: &Contents) -> Meaning {
    match kind {
        FileKind::Images => {
            let Reading { value, wrong, .. } = schema::images(contents, None);
            of(None, value, &wrong)
        }
        FileKind::Registries => {
            let Reading { value, wrong, .. } = schema::registries(contents);
            of(Some(value), None, &wrong)
        }
        FileKind::Plain => {
            let Reading { value: (registries, images), wrong, .. } = schema::plain(contents);
            of(Some(registries), images, &wrong)
        }
    }
}

fn of(registries: Option<Registries>, images: Option<Vec<Image>>, wrong: &Diagnostics) -> Meaning {
    let mut images: Vec<Promoted> = images.unwrap_or_default().into_iter().map(promoted).collect();
    images.sort();
    let policy = registries.as_ref().and_then(|registries| match &registries.declared {
        PolicyDeclaration::Policy(policy) => Some(policy.clone()),
        PolicyDeclaration::Unknown(_) => None,
    });
    let registries = registries.map(|Registries { sources, destinations, .. }| {
        let account = |to: Destination| (to.root, to.service_account);
        (sources.into_iter().collect(), destinations.into_iter().flatten().map(account).collect())
    });
    let mut faults: Vec<String> = wrong.iter().map(|fault| fault.message().to_owned()).collect();
    faults.sort();
    Meaning { images, registries: registries.unwrap_or_default(), policy, faults }
}

fn promoted(image: Image) -> Promoted {
    let tags = |tags: Vec<(Tag, _)>| tags.into_iter().map(|(tag, _)| tag).collect();
    (image.name, image.digests.into_iter().map(|entry| (entry.digest, tags(entry.tags))).collect())
}

/// Returns the comments of a file, sorted. A `#` in a scalar does not begin a comment.
pub(crate) fn comments(contents: &Contents) -> Vec<&str> {
    let Ok(text) = std::str::from_utf8(&contents.bytes) else { return Vec::new() };
    let mut scalars = Vec::new();
    if let Some(root) = layout(text).and_then(|layout| layout.root) {
        add_scalars(&root, &mut scalars);
    }
    scalars.sort_by_key(|range| range.start);
    let is_in_scalar = |at: usize| {
        let next = scalars.partition_point(|range| range.start <= at);
        next.checked_sub(1).is_some_and(|before| scalars[before].contains(&at))
    };
    let mut comments: Vec<&str> = Vec::new();
    let mut end = 0;
    for (at, _) in text.match_indices('#') {
        if at >= end && !is_in_scalar(at) {
            end = text[at..].find(['\n', '\r']).map_or(text.len(), |length| at + length);
            comments.push(&text[at..end]);
        }
    }
    comments.sort_unstable();
    comments
}

/// Adds the byte ranges of all scalars. The recursion is bounded by the depth of the tree.
fn add_scalars(node: &Node<'_>, scalars: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Scalar { .. } => scalars.push(node.range.clone()),
        Value::List { items, .. } => items.iter().for_each(|item| add_scalars(item, scalars)),
        Value::Map { pairs, .. } => pairs.iter().for_each(|(key, value)| {
            add_scalars(key, scalars);
            add_scalars(value, scalars);
        }),
        Value::Alias => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> Option<String> {
        let contents = Contents { file: "images.yaml".into(), bytes: text.as_bytes().to_vec() };
        let fixed = fix(FileKind::Images, &contents, &[], &[]).unwrap();
        fixed.map(|fixed| String::from_utf8(fixed.bytes).unwrap())
    }

    /// Found by fuzzing: a tag that moved past a `#` in a key was taken for a part of a comment.
    #[test]
    fn a_number_sign_in_a_key_does_not_begin_a_comment() {
        let fixed = fixed("- name: b\n  dmap:\n    a# b: [v2, v1] # why\n");
        assert_eq!(fixed.as_deref(), Some("- name: b\n  dmap:\n    a# b: [v1, v2] # why\n"));
    }

    #[test]
    fn a_fix_that_changes_the_meaning_is_refused() {
        let contents = |text: &str| Contents { file: "images.yaml".into(), bytes: text.as_bytes().to_vec() };
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let image =
            |text: &str| format!("# x\n- name: a\n  dmap:\n    \"{}\": [v1, v2]\n{text}", digest("a"));
        let before = contents(&image(""));
        let refused = |after: &str| check(FileKind::Images, &before, &contents(after)).unwrap_err();
        assert!(refused(&image("").replace("v2", "v3")).contains("promote something else"));
        assert!(refused(&image("").replace("# x\n", "")).contains("other comments"));
        assert!(refused(&image("    x: []\n")).contains("other errors"));
        assert!(check(FileKind::Images, &before, &contents(&image("").replace("v1, v2", "v2, v1"))).is_ok());
    }
}
