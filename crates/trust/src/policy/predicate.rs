//! Reads build provenance (SLSA provenance v0.2 and v1), of which policies check only builder and source.
//!
//! A predicate is untrusted input. A missing field counts as absent, but a field of an unexpected type makes the whole
//! predicate unusable.

use manifest::policy::URI_MAX;
use serde_json::Value;
use sigstore::Statement;

use super::build_type::{Dependencies, Places, places_v0_2, places_v1};

/// The older version that policies accept.
const V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// The newer version that policies accept.
const V1: &str = "https://slsa.dev/provenance/v1";
/// The predicate types of build provenance.
pub const PROVENANCE_TYPES: [&str; 2] = [V0_2, V1];
/// The maximum number of materials or resolved dependencies of one build.
const MATERIALS_MAX: usize = 10_000;

/// The reason why a predicate cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPredicate {
    /// A required field is missing.
    #[error("the predicate has no `{field}`")]
    Missing {
        /// The path of the field.
        field: String,
    },
    /// A field has an unexpected type or value.
    #[error("the predicate's `{field}` is not {expected}")]
    Unexpected {
        /// The path of the field.
        field: String,
        /// The expected type or value.
        expected: &'static str,
    },
    /// A list has too many entries.
    #[error("the predicate's `{field}` lists more than {MATERIALS_MAX} things")]
    TooMany {
        /// The path of the field.
        field: String,
    },
}

/// The builder and the sources of a build, as its provenance names them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provenance<'s> {
    /// The identifier of the builder.
    pub(super) builder: &'s str,
    /// The sources of the build. The policy must allow each of them. Empty if the build type does not define a source.
    pub(super) sources: Vec<&'s str>,
}

/// The paths of the fields in a version of provenance.
struct Version {
    builder: &'static str,
    build_type: &'static str,
    places: fn(Option<&str>) -> Places,
    dependencies: &'static str,
}

const VERSION_0_2: Version = Version {
    builder: "/builder/id",
    build_type: "/buildType",
    places: places_v0_2,
    dependencies: "/materials",
};
const VERSION_1: Version = Version {
    builder: "/runDetails/builder/id",
    build_type: "/buildDefinition/buildType",
    places: places_v1,
    dependencies: "/buildDefinition/resolvedDependencies",
};

/// Whether a predicate type is one of build provenance.
pub(super) fn is_provenance(predicate_type: &str) -> bool {
    PROVENANCE_TYPES.contains(&predicate_type)
}

impl<'s> Provenance<'s> {
    /// Reads the predicate of a build provenance statement.
    pub(super) fn read(statement: &'s Statement) -> Result<Self, InvalidPredicate> {
        let predicate = Predicate(&statement.predicate);
        if !statement.predicate.is_object() {
            return Err(unexpected("predicate", "a mapping"));
        }
        let version = if statement.predicate_type == V0_2 { VERSION_0_2 } else { VERSION_1 };
        let places = (version.places)(predicate.text(version.build_type)?);
        let sources = predicate.sources(places, version.dependencies)?;
        let builder = predicate
            .text(version.builder)?
            .ok_or_else(|| InvalidPredicate::Missing { field: name(version.builder) })?;
        Ok(Self { builder, sources })
    }
}

/// A predicate with access to fields by path.
struct Predicate<'s>(&'s Value);

impl<'s> Predicate<'s> {
    /// Returns the sources that the build type defines.
    fn sources(&self, places: Places, dependencies: &str) -> Result<Vec<&'s str>, InvalidPredicate> {
        let reported = places.parameters.iter().filter_map(|path| self.text(path).transpose());
        let reported = reported.collect::<Result<Vec<_>, _>>()?;
        if places.dependencies == Dependencies::None {
            return Ok(reported);
        }
        let mut sources = self.dependencies(dependencies, places.dependencies)?;
        // Without the dependencies, the parameters name only a configuration, not the source that was built.
        if !sources.is_empty() {
            sources.extend(reported);
        }
        Ok(sources)
    }

    /// Returns the value at a path.
    fn at(&self, path: &str) -> Result<Option<&'s Value>, InvalidPredicate> {
        let mut value = self.0;
        let mut end = 0;
        for name in path.split('/').skip(1) {
            match value {
                Value::Object(fields) => match fields.get(name) {
                    Some(Value::Null) | None => return Ok(None),
                    Some(field) => value = field,
                },
                _ => return Err(unexpected(&path[..end], "a mapping")),
            }
            end += 1 + name.len();
        }
        Ok(Some(value))
    }

    /// Returns the text at a path. An empty text counts as absent.
    fn text(&self, path: &str) -> Result<Option<&'s str>, InvalidPredicate> {
        match self.at(path)? {
            Some(Value::String(text)) => bounded(text, path),
            Some(_) => Err(unexpected(path, "a text")),
            None => Ok(None),
        }
    }

    /// Returns the URIs of the selected resources of a list. Resources without a URI are skipped.
    fn dependencies(&self, path: &str, which: Dependencies) -> Result<Vec<&'s str>, InvalidPredicate> {
        let items = match self.at(path)? {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(unexpected(path, "a list")),
        };
        if items.len() > MATERIALS_MAX {
            return Err(InvalidPredicate::TooMany { field: name(path) });
        }
        let text = |item: &'s Value, field| {
            Predicate(item).text(field).map_err(|_| unexpected(path, "a list of resources"))
        };
        let mut uris = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let (name, uri) = (text(item, "/name")?, text(item, "/uri")?);
            uris.extend(uri.filter(|uri| which.includes(number, name, uri)));
        }
        Ok(uris)
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

/// Formats a path with dots, for messages.
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

    /// Creates a v1 statement with this build type, external parameters and dependencies.
    fn v1(build_type: &str, parameters: &Value, dependencies: &Value) -> Statement {
        let definition = json!({
            "buildType": build_type, "externalParameters": parameters, "resolvedDependencies": dependencies,
        });
        statement(V1, json!({"buildDefinition": definition, "runDetails": {"builder": {"id": "b"}}}))
    }

    fn v0_2(build_type: Option<&str>, source: &str, materials: &Value) -> Statement {
        let invocation = json!({"configSource": {"uri": source}});
        let predicate = json!({
            "builder": {"id": "b"}, "buildType": build_type, "invocation": invocation, "materials": materials,
        });
        statement(V0_2, predicate)
    }

    const GITHUB: &str = "https://actions.github.io/buildtypes/workflow/v1";
    const BUILDKIT: &str =
        "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
    const GOOGLE: &str = "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1";
    const CONTAINER: &str = "https://slsa.dev/container-based-build/v0.1?draft";
    const GITLAB: &str = "https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v17.0.0/PROVENANCE.md";
    const TEKTON: &str = "https://tekton.dev/chains/v2/slsa";
    const DELEGATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0";

    #[test]
    fn the_build_type_determines_the_parameters_that_name_the_source() {
        let draft = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1";
        let workflow = "https://cloud.google.com/build/gcb-buildtypes/google-builder/v1";
        let triggered = "https://slsa-framework.github.io/gcb-buildtypes/triggered-build/v1";
        for (build_type, parameters, expected) in [
            (GITHUB, json!({"workflow": {"repository": "s", "ref": "r"}}), vec!["s"]),
            (draft, json!({"workflow": {"repository": "s"}, "inputs": {"source": "t"}}), vec!["s"]),
            (
                BUILDKIT,
                json!({"configSource": {"uri": "s"}, "request": {"args": {"context:x": "t"}}}),
                vec!["s"],
            ),
            (BUILDKIT, json!({"configSource": {"path": "Dockerfile"}}), vec![]),
            (GOOGLE, json!({"buildConfigSource": {"repository": "s"}}), vec!["s"]),
            (
                GOOGLE,
                json!({"buildConfigSource": {"repository": "s"}, "sourceToBuild": {"repository": "t"}}),
                vec!["t", "s"],
            ),
            (GOOGLE, json!({"buildConfig": {}, "sourceToBuild": {"repository": "s"}}), vec!["s"]),
            (workflow, json!({"buildConfigSource": {"repository": "s"}}), vec!["s"]),
            (triggered, json!({"configSource": {"repository": "s"}}), vec!["s"]),
            (CONTAINER, json!({"source": {"uri": "s", "digest": {}}}), vec!["s"]),
            (GITLAB, json!({"source": "s", "entryPoint": "job"}), vec!["s"]),
        ] {
            let statement = v1(build_type, &parameters, &json!([{"uri": "dependency"}]));
            assert_eq!(Provenance::read(&statement).unwrap().sources, expected, "{statement:?}");
        }
    }

    /// The source field of one build type can have any meaning in another.
    #[test]
    fn an_unknown_build_type_names_no_source() {
        let parameters = json!({
            "source": "s", "repository": "s", "workflow": {"repository": "s"}, "configSource": {"uri": "s"},
            "buildConfigSource": {"repository": "s"}, "sourceToBuild": {"repository": "s"},
        });
        for build_type in
            ["https://builder.example/type", "", "https://actions.github.io/buildtypes/workflow/v9"]
        {
            let statement = v1(build_type, &parameters, &json!([{"uri": "s"}]));
            assert!(Provenance::read(&statement).unwrap().sources.is_empty(), "{build_type}");
        }
        let mut without = v1("", &parameters, &json!([{"uri": "s"}]));
        without.predicate["buildDefinition"].as_object_mut().unwrap().remove("buildType");
        assert!(Provenance::read(&without).unwrap().sources.is_empty());
    }

    #[test]
    fn dependencies_of_a_build_are_not_its_source() {
        let used = json!([{"uri": "git+https://h/s"}, {"name": "inputs/result", "uri": "git+https://h/s"}]);
        for build_type in [GITHUB, BUILDKIT, GOOGLE, CONTAINER, GITLAB, "other"] {
            assert!(
                Provenance::read(&v1(build_type, &json!({}), &used)).unwrap().sources.is_empty(),
                "{build_type}"
            );
        }
        for build_type in [None, Some("https://mobyproject.org/buildkit@v1"), Some("other")] {
            let statement = v0_2(build_type, "", &used);
            let read = Provenance::read(&statement).unwrap();
            assert_eq!(read, Provenance { builder: "b", sources: vec![] }, "{build_type:?}");
        }
    }

    /// SLSA v0.2 defines the source of the configuration for all build types.
    #[test]
    fn version_0_2_names_the_source_of_the_configuration_for_every_build_type() {
        for build_type in [
            None,
            Some("https://github.com/slsa-framework/slsa-github-generator/container@v1"),
            Some("https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1"),
            Some("https://mobyproject.org/buildkit@v1"),
            Some("https://builder.example/type"),
        ] {
            let statement = v0_2(build_type, "s", &json!([{"uri": "git+https://h/t"}]));
            assert_eq!(Provenance::read(&statement).unwrap().sources, ["s"], "{build_type:?}");
        }
    }

    #[test]
    fn tekton_and_delegated_builds_define_dependencies_as_their_sources() {
        let config = json!({"buildConfigSource": {"repository": "c"}});
        let inputs = json!([
            {"name": "pipeline", "uri": "git+p"}, {"uri": "image"},
            {"name": "inputs/result", "uri": "a"}, {"name": "inputs/result", "uri": "b"},
        ]);
        let sources = |statement: &Statement| {
            Provenance::read(statement).unwrap().sources.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(sources(&v1(TEKTON, &config, &inputs)), ["a", "b", "c"]);
        assert_eq!(sources(&v1(TEKTON, &json!({"runSpec": {}}), &inputs)), ["a", "b"]);
        let none: [&str; 0] = [];
        assert_eq!(
            sources(&v1(TEKTON, &config, &json!([{"uri": "c"}]))),
            none,
            "a pipeline definition is not a source"
        );
        assert_eq!(sources(&v1(DELEGATOR, &json!({}), &json!([{"uri": "s"}, {"uri": "t"}]))), ["s"]);
        let materials = json!([{"uri": "oci://image"}, {"uri": "git+s"}, {"uri": "git+t"}]);
        for build_type in
            ["tekton.dev/v1beta1/TaskRun", "https://tekton.dev/attestations/chains/pipelinerun@v2"]
        {
            assert_eq!(sources(&v0_2(Some(build_type), "c", &materials)), ["git+s", "git+t", "c"]);
            assert_eq!(sources(&v0_2(Some(build_type), "c", &json!([{"uri": "oci://image"}]))), none);
        }
    }

    #[test]
    fn fields_of_one_version_are_ignored_in_the_other() {
        let crossed = statement(V0_2, json!({"runDetails": {"builder": {"id": "b"}}}));
        assert_eq!(Provenance::read(&crossed).unwrap_err().to_string(), "the predicate has no `builder.id`");
        let crossed = statement(V1, json!({"builder": {"id": "b"}}));
        assert_eq!(
            Provenance::read(&crossed).unwrap_err().to_string(),
            "the predicate has no `runDetails.builder.id`"
        );
    }

    #[test]
    fn fields_of_an_unexpected_type_make_the_predicate_unusable() {
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
            statement(V0_2, json!({"builder": {"id": "b"}, "buildType": 1})),
            v0_2(Some("tekton.dev/v1beta1/TaskRun"), "", &json!({"uri": "a"})),
            v0_2(Some("tekton.dev/v1beta1/TaskRun"), "", &json!(["a"])),
            v0_2(Some("tekton.dev/v1beta1/TaskRun"), "", &json!([{"uri": 1}])),
            v0_2(Some("tekton.dev/v1beta1/TaskRun"), "", &json!(many)),
            v1(TEKTON, &json!({}), &json!([{"uri": "a", "name": 1}])),
            v1(GITLAB, &json!({"source": 1}), &json!([])),
            v1(GITLAB, &json!({"source": {"uri": "s"}}), &json!([])),
            v1(CONTAINER, &json!({"source": {"uri": []}}), &json!([])),
            v1(CONTAINER, &json!({"source": "s"}), &json!([])),
            v1(GITHUB, &json!({"workflow": "w"}), &json!([])),
            v1(GITHUB, &json!("s"), &json!([])),
        ] {
            assert!(Provenance::read(&bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_predicate_causes_a_panic(text in r#"[{}\[\]":,a0 ]{0,60}"#, place in 0..4_usize) {
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let (build_type, path) = [
                (GITLAB, "source"), (GITHUB, "workflow"), (GOOGLE, "buildConfigSource"), (BUILDKIT, "configSource"),
            ][place];
            let _ = Provenance::read(&v1(build_type, &json!({ path: value.clone() }), &json!([])));
            let _ = Provenance::read(&v1(TEKTON, &json!({}), &value));
            let mut untyped = v1("", &json!({}), &json!([]));
            untyped.predicate["buildDefinition"]["buildType"] = value;
            let _ = Provenance::read(&untyped);
        }
    }
}
