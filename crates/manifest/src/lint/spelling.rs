//! The rule that a registry has one spelling, and is listed once in a manifest.

use std::collections::HashMap;
use std::ops::Range;

use indexmap::IndexMap;
use oci_types::RegistryRoot;
use oci_types::text::shown;

use super::flaw::{Change, Flaw};
use super::layout::{Node, layout};
use super::rule::Rule;

/// The maximum length of a registry's name in a message, in characters.
const NAME_SHOWN: usize = 160;

/// A registry as it is written in a file.
pub(super) struct Mention {
    /// The index of the file.
    file: usize,
    range: Range<usize>,
    /// The name without quotes.
    name: String,
    /// The quote, if there is one.
    quote: Option<char>,
    is_source: bool,
}

/// A flaw of a file, and the position that it is compared with: the index of a file and the byte offset in it.
pub(super) struct Spelling {
    pub(super) file: usize,
    pub(super) flaw: Flaw,
    pub(super) other: (usize, usize),
}

/// Adds the registries of a file.
pub(super) fn mentions(file: usize, text: &str, mentions: &mut Vec<Mention>) {
    let Some(root) = layout(text).and_then(|layout| layout.root) else { return };
    let registries = root.field("registries").map(Node::items).unwrap_or_default();
    for registry in registries {
        let Some(name) = registry.field("name") else { continue };
        let Some(written) = name.text().filter(|name| !name.is_empty()) else { continue };
        let quote = text[name.range.clone()].chars().next().filter(|c| matches!(c, '"' | '\''));
        let is_source = registry.field("src").is_some();
        mentions.push(Mention {
            file,
            range: name.range.clone(),
            name: written.to_owned(),
            quote,
            is_source,
        });
    }
}

/// Returns the flaws of all files. The most frequent spelling of a registry is the expected one.
pub(super) fn spellings(mentions: &[Mention]) -> Vec<Spelling> {
    let mut registries: IndexMap<String, Vec<&Mention>> = IndexMap::new();
    for mention in mentions {
        registries.entry(normal(&mention.name)).or_default().push(mention);
    }
    let mut found = Vec::new();
    for (normal, mentions) in &registries {
        if mentions.len() > 1 {
            compare(normal, mentions, &mut found);
        }
    }
    found
}

fn compare(normal: &str, mentions: &[&Mention], found: &mut Vec<Spelling>) {
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    mentions.iter().for_each(|mention| *counts.entry(&mention.name).or_default() += 1);
    let usual = counts.iter().max_by_key(|(name, count)| (**count, **name == normal)).map(|(name, _)| *name);
    let Some(usual) = usual.and_then(|usual| mentions.iter().find(|mention| mention.name == usual)) else {
        return;
    };
    let mut firsts: HashMap<usize, &Mention> = HashMap::new();
    for mention in mentions {
        let first = firsts.get(&mention.file).copied();
        firsts.entry(mention.file).or_insert(mention);
        let name = shown(&mention.name, NAME_SHOWN);
        // A source that is also a destination is reported as another error.
        let twice = first.filter(|first| !first.is_source && !mention.is_source);
        let (message, fix, other) = if mention.name != usual.name {
            let message =
                format!("the registry `{name}` is elsewhere written `{}`", shown(&usual.name, NAME_SHOWN));
            (message, respelled(mention, usual), *usual)
        } else if let Some(first) = twice {
            (format!("the registry `{name}` is listed twice"), Err("remove one of the entries"), first)
        } else {
            continue;
        };
        let flaw = Flaw { rule: Rule::RegistrySpelling, at: mention.range.start, message, fix };
        found.push(Spelling { file: mention.file, flaw, other: (other.file, other.range.start) });
    }
}

/// Returns the change of a name to the usual spelling, if both have the same meaning.
fn respelled(mention: &Mention, usual: &Mention) -> Result<Vec<Change>, &'static str> {
    let root = |name: &str| name.trim_end_matches('/').parse::<RegistryRoot>();
    match (root(&mention.name), root(&usual.name)) {
        (Ok(a), Ok(b)) if a == b => {
            let quote = mention.quote.map(String::from).unwrap_or_default();
            let text = format!("{quote}{}{quote}", usual.name);
            Ok(vec![Change { range: mention.range.clone(), text }])
        }
        (Ok(_), Ok(_)) => Err("kpromo takes the two for different registries, so the change would add edges"),
        _ => Err("one of the two is invalid, so the change would add edges"),
    }
}

/// Returns the normalized name of a registry: without differences in case, scheme, repeated and trailing slashes and the default
/// port, and with one name for Docker Hub.
fn normal(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let name = ["https://", "http://"].iter().find_map(|scheme| name.strip_prefix(scheme)).unwrap_or(&name);
    let mut parts = name.split('/').filter(|part| !part.is_empty());
    let host = parts.next().unwrap_or_default();
    let host = match host.strip_suffix(":443").unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    std::iter::once(host).chain(parts).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_registry_have_the_same_normal_name() {
        for name in [
            "GCR.io/p/images",
            "gcr.io/p/images/",
            "https://gcr.io/p/images",
            "gcr.io//p//images//",
            "gcr.io:443/p/images",
        ] {
            assert_eq!(normal(name), "gcr.io/p/images", "{name}");
        }
        assert_eq!(normal("index.docker.io/a"), "docker.io/a");
        for (a, b) in [("gcr.io/a", "gcr.io/b"), ("gcr.io:5000/a", "gcr.io/a"), ("gcr.io", "gcr.io/a")] {
            assert_ne!(normal(a), normal(b));
        }
    }

    #[test]
    fn an_equivalent_name_is_changed_to_the_usual_spelling_and_keeps_its_quotes() {
        let files = [
            "registries:\n- name: gcr.io/s\n  src: true\n- name: eu.gcr.io/p\n",
            "registries:\n- name: gcr.io/s\n  src: true\n- name: 'EU.gcr.io/p/'\n- name: eu.gcr.io:443/p\n",
            "registries:\n- name: gcr.io/s\n  src: true\n- name: eu.gcr.io/p\n- name: eu.gcr.io/p\n",
        ];
        let mut all = Vec::new();
        files.iter().enumerate().for_each(|(file, text)| mentions(file, text, &mut all));
        let found: Vec<_> = spellings(&all)
            .into_iter()
            .map(|Spelling { file, flaw, other }| {
                (file, flaw.message, flaw.fix.map(|changes| changes[0].text.clone()), other.0)
            })
            .collect();
        let message = |text: &str| text.to_owned();
        let different = "kpromo takes the two for different registries, so the change would add edges";
        assert_eq!(
            found,
            [
                (
                    1,
                    message("the registry `EU.gcr.io/p/` is elsewhere written `eu.gcr.io/p`"),
                    Ok("'eu.gcr.io/p'".into()),
                    0
                ),
                (
                    1,
                    message("the registry `eu.gcr.io:443/p` is elsewhere written `eu.gcr.io/p`"),
                    Err(different),
                    0
                ),
                (
                    2,
                    message("the registry `eu.gcr.io/p` is listed twice"),
                    Err("remove one of the entries"),
                    2
                ),
            ]
        );
    }
}
