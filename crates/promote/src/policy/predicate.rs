//! What build provenance says (SLSA provenance v0.2 and v1), of which only builder and source are asked for.
//!
//! A predicate is what somebody wrote: what is absent is absent, but what stands where something else is expected makes the
//! whole of it unusable.

use serde_json::Value;
use sigstore::Statement;

use super::source::URI_MAX;

/// The first version that policies accept.
const V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// The second.
const V1: &str = "https://slsa.dev/provenance/v1";
/// The predicate types of build provenance.
pub const PROVENANCE_TYPES: [&str; 2] = [V0_2, V1];
/// The most materials or resolved dependencies of one build.
const MATERIALS_MAX: usize = 10_000;
/// The parameter that is a text for some builds and a resource for others.
const SOURCE: &str = "/buildDefinition/externalParameters/source";
/// Where v0.2 says what it was told to build.
const TOLD_V0_2: &[&str] = &["/invocation/configSource/uri"];
/// Where v1 does: the forms of `slsa-github-generator` and GitLab, of GitHub's attestations, of Cloud Build and of BuildKit.
/// What a build takes for parameters is its own affair, so there is no one place.
const TOLD_V1: &[&str] = &[
    SOURCE,
    "/buildDefinition/externalParameters/source/uri",
    "/buildDefinition/externalParameters/workflow/repository",
    "/buildDefinition/externalParameters/buildConfigSource/repository",
    "/buildDefinition/externalParameters/configSource/uri",
];

/// Why a predicate says nothing that can be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPredicate {
    /// A field that is needed is not there.
    #[error("the predicate has no `{field}`")]
    Missing {
        /// The field, by its path.
        field: String,
    },
    /// A field holds something else than it should.
    #[error("the predicate's `{field}` is not {expected}")]
    Unexpected {
        /// The field, by its path.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// More than anybody builds from.
    #[error("the predicate's `{field}` lists more than {MATERIALS_MAX} things")]
    TooMany {
        /// The field, by its path.
        field: String,
    },
}

/// What a build says that it was made by and from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provenance<'s> {
    /// The builder's identifier.
    pub(super) builder: &'s str,
    /// Where it was made from.
    pub(super) sources: Sources<'s>,
}

/// Where a build says that its source is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sources<'s> {
    /// What it was told to build: each of them counts.
    Told(Vec<&'s str>),
    /// It does not say what it was told: all that it used, of which one may be it.
    Used(Vec<&'s str>),
}

/// Whether a predicate type is one of build provenance.
pub(super) fn is_provenance(predicate_type: &str) -> bool {
    PROVENANCE_TYPES.contains(&predicate_type)
}

impl<'s> Provenance<'s> {
    /// Reads the predicate of a statement of build provenance.
    pub(super) fn read(statement: &'s Statement) -> Result<Self, InvalidPredicate> {
        let predicate = Predicate(&statement.predicate);
        if !statement.predicate.is_object() {
            return Err(unexpected("predicate", "a mapping"));
        }
        let (builder, told, used) = if statement.predicate_type == V0_2 {
            ("/builder/id", TOLD_V0_2, "/materials")
        } else {
            ("/runDetails/builder/id", TOLD_V1, "/buildDefinition/resolvedDependencies")
        };
        let told = told.iter().filter_map(|path| predicate.text(path).transpose());
        let told = told.collect::<Result<Vec<_>, _>>()?;
        let sources =
            if told.is_empty() { Sources::Used(predicate.uris(used)?) } else { Sources::Told(told) };
        let builder =
            predicate.text(builder)?.ok_or_else(|| InvalidPredicate::Missing { field: name(builder) })?;
        Ok(Self { builder, sources })
    }
}

/// A predicate, asked by paths.
struct Predicate<'s>(&'s Value);

impl<'s> Predicate<'s> {
    /// What stands at a path. A text where a mapping is looked for in passing has nothing below it: `source` may be either.
    fn at(&self, path: &str) -> Result<Option<&'s Value>, InvalidPredicate> {
        let mut value = self.0;
        let mut end = 0;
        for name in path.split('/').skip(1) {
            match value {
                Value::Object(fields) => match fields.get(name) {
                    Some(Value::Null) | None => return Ok(None),
                    Some(field) => value = field,
                },
                Value::String(_) if path.starts_with(SOURCE) => return Ok(None),
                _ => return Err(unexpected(&path[..end], "a mapping")),
            }
            end += 1 + name.len();
        }
        Ok(Some(value))
    }

    /// The text at a path; an empty one says nothing.
    fn text(&self, path: &str) -> Result<Option<&'s str>, InvalidPredicate> {
        match self.at(path)? {
            Some(Value::String(text)) => bounded(text, path),
            Some(Value::Object(_)) if path == SOURCE => Ok(None),
            Some(_) => Err(unexpected(path, "a text")),
            None => Ok(None),
        }
    }

    /// The `uri`s of a list.
    fn uris(&self, path: &str) -> Result<Vec<&'s str>, InvalidPredicate> {
        let items = match self.at(path)? {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(unexpected(path, "a list")),
        };
        if items.len() > MATERIALS_MAX {
            return Err(InvalidPredicate::TooMany { field: name(path) });
        }
        let uri = |item: &'s Value| {
            Predicate(item).text("/uri").map_err(|_| unexpected(path, "a list of resources"))
        };
        items.iter().filter_map(|item| uri(item).transpose()).collect()
    }
}

fn bounded<'s>(text: &'s str, path: &str) -> Result<Option<&'s str>, InvalidPredicate> {
    if text.len() > URI_MAX {
        return Err(unexpected(path, "a URI of at most 2048 bytes"));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn unexpected(path: &str, expected: &'static str) -> InvalidPredicate {
    InvalidPredicate::Unexpected { field: name(path), expected }
}

/// A path as people write it.
fn name(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn statement(predicate_type: &str, predicate: Value) -> Statement {
        Statement::about("", "ab", predicate_type, predicate)
    }

    /// What v1 says with these external parameters and dependencies.
    fn v1(parameters: &Value, dependencies: &Value) -> Statement {
        let definition = json!({"externalParameters": parameters, "resolvedDependencies": dependencies});
        statement(V1, json!({"buildDefinition": definition, "runDetails": {"builder": {"id": "b"}}}))
    }

    #[test]
    fn a_build_that_was_told_its_source_is_not_asked_for_what_else_it_used() {
        let used = json!([{"uri": "dependency"}]);
        for (parameters, told) in [
            (json!({"source": "s"}), vec!["s"]),
            (json!({"source": {"uri": "s", "digest": {}}}), vec!["s"]),
            (json!({"workflow": {"repository": "s", "ref": "r"}}), vec!["s"]),
            (json!({"buildConfigSource": {"repository": "s"}}), vec!["s"]),
            (json!({"configSource": {"uri": "s"}}), vec!["s"]),
            (json!({"source": {"uri": "s"}, "workflow": {"repository": "t"}}), vec!["s", "t"]),
        ] {
            let statement = v1(&parameters, &used);
            assert_eq!(Provenance::read(&statement).unwrap().sources, Sources::Told(told), "{statement:?}");
        }
        let predicate = json!({
            "builder": {"id": "b"}, "invocation": {"configSource": {"uri": "s"}}, "materials": used,
        });
        let v0_2 = statement(V0_2, predicate);
        let read = Provenance::read(&v0_2).unwrap();
        assert_eq!(read, Provenance { builder: "b", sources: Sources::Told(vec!["s"]) });
    }

    #[test]
    fn a_build_that_was_not_told_is_asked_for_what_it_used() {
        let used = json!([{"uri": "a"}, {"name": "without"}, {"uri": "b"}]);
        for parameters in
            [json!({}), json!(null), json!({"source": ""}), json!({"source": {"digest": {}}, "other": 1})]
        {
            let statement = v1(&parameters, &used);
            assert_eq!(Provenance::read(&statement).unwrap().sources, Sources::Used(vec!["a", "b"]));
        }
        let v0_2 = statement(V0_2, json!({"builder": {"id": "b"}, "materials": used}));
        assert_eq!(Provenance::read(&v0_2).unwrap().sources, Sources::Used(vec!["a", "b"]));
        let nothing = statement(V0_2, json!({"builder": {"id": "b"}}));
        assert_eq!(Provenance::read(&nothing).unwrap().sources, Sources::Used(vec![]));
    }

    #[test]
    fn the_fields_of_one_version_mean_nothing_in_the_other() {
        let crossed = statement(V0_2, json!({"runDetails": {"builder": {"id": "b"}}}));
        assert_eq!(Provenance::read(&crossed).unwrap_err().to_string(), "the predicate has no `builder.id`");
        let crossed = statement(V1, json!({"builder": {"id": "b"}}));
        assert_eq!(
            Provenance::read(&crossed).unwrap_err().to_string(),
            "the predicate has no `runDetails.builder.id`"
        );
    }

    #[test]
    fn what_is_of_another_kind_makes_the_predicate_unusable() {
        let long = "x".repeat(URI_MAX + 1);
        let many = vec![json!({"uri": "a"}); MATERIALS_MAX + 1];
        for bad in [
            statement(V1, json!(null)),
            statement(V1, json!([])),
            statement(V0_2, json!({"builder": "b"})),
            statement(V0_2, json!({"builder": {"id": ["b"]}})),
            statement(V0_2, json!({"builder": {"id": ""}})),
            statement(V0_2, json!({"builder": {"id": long}})),
            statement(V0_2, json!({"builder": {"id": "b"}, "invocation": []})),
            statement(V0_2, json!({"builder": {"id": "b"}, "invocation": {"configSource": {"uri": 1}}})),
            statement(V0_2, json!({"builder": {"id": "b"}, "materials": {"uri": "a"}})),
            statement(V0_2, json!({"builder": {"id": "b"}, "materials": ["a"]})),
            statement(V0_2, json!({"builder": {"id": "b"}, "materials": [{"uri": 1}]})),
            statement(V0_2, json!({"builder": {"id": "b"}, "materials": many})),
            v1(&json!({"source": 1}), &json!([])),
            v1(&json!({"source": {"uri": []}}), &json!([])),
            v1(&json!({"workflow": "w"}), &json!([])),
            v1(&json!("s"), &json!([])),
        ] {
            assert!(Provenance::read(&bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_predicate_makes_it_panic(text in r#"[{}\[\]":,a0 ]{0,60}"#, field in 0..TOLD_V1.len()) {
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let mut predicate = json!({"runDetails": {"builder": {"id": "b"}}});
            let leaf = TOLD_V1[field].split('/').skip(1).fold(&mut predicate, |at, name| &mut at[name]);
            *leaf = value;
            let _ = Provenance::read(&statement(V1, predicate));
        }
    }
}
