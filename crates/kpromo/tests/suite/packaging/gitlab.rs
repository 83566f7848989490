//! The template for GitLab, run as its runner runs it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::packaging::job::{entries, list, text};
use crate::packaging::world::{World, binary, project, yaml};
use crate::support::Ran;

const TEMPLATE: &str = "deploy/gitlab/kpromo.gitlab-ci.yml";

/// Returns a job with what it extends, merged as GitLab merges: maps by key, anything else is replaced.
fn job(template: &Value, name: &str) -> Value {
    fn merge(below: &mut Value, above: &Value) {
        match (below, above) {
            (Value::Object(below), Value::Object(above)) => {
                for (key, value) in above {
                    merge(below.entry(key).or_insert(Value::Null), value);
                }
            }
            (below, above) => *below = above.clone(),
        }
    }
    let own = &template[name];
    let mut merged = match own["extends"].as_str() {
        Some(base) => job(template, base),
        None => Value::Null,
    };
    if merged.is_null() {
        merged = Value::Object(serde_json::Map::new());
    }
    merge(&mut merged, own);
    merged
}

/// Runs the script of a job. Variables of the pipeline are those of GitLab and of the including project, which win over the
/// template's; those of the job win over both.
fn execute(world: &World, name: &str, pipeline: &[(&str, String)]) -> Ran {
    let template = yaml(TEMPLATE);
    let job = job(&template, name);
    let mut variables: BTreeMap<String, String> =
        entries(&template["variables"]).map(|(name, value)| (name, text(&value))).collect();
    variables.extend(pipeline.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let own: Vec<_> = entries(&job["variables"]).map(|(name, value)| (name, text(&value))).collect();
    for (name, value) in own {
        let value = match value.strip_prefix('$') {
            // `$NAME`, or `$NAME/rest`.
            Some(reference) => {
                let end = reference.find('/').unwrap_or(reference.len());
                variables.get(&reference[..end]).cloned().unwrap_or_default() + &reference[end..]
            }
            None => value,
        };
        variables.insert(name, value);
    }
    let script = list(&job["script"]).join("\n");
    assert!(!script.is_empty(), "{name} has a script");
    world.bash(&script, &variables.into_iter().collect::<Vec<_>>())
}

fn pipeline(world: &World) -> Vec<(&'static str, String)> {
    let base = world.git(&["rev-parse", "HEAD^"]);
    vec![
        ("CI_PROJECT_DIR", world.checkout().display().to_string()),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.clone()),
        ("CI_COMMIT_BEFORE_SHA", base),
        ("KPROMO_SCRIPTS", project("deploy/ci").display().to_string()),
        ("KPROMO", binary().display().to_string()),
        ("KPROMO_MANIFEST", "manifest.yaml".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_job_of_a_merge_request_keeps_the_plan_and_writes_nothing() {
    let world = World::new().await;
    let ran = execute(&world, "kpromo-plan", &pipeline(&world));
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    // What the template declares as artifacts.
    let artifacts = list(&job(&yaml(TEMPLATE), "kpromo-plan")["artifacts"]["paths"]);
    let directory = world.checkout().join(&artifacts[0]);
    let summary = std::fs::read_to_string(directory.join("summary.md")).unwrap();
    assert!(summary.contains("| copy | `"), "{summary}");
    assert!(directory.join("plan.json").is_file() && directory.join("report.json").is_file());
    assert_eq!(world.production.tally().snapshot().writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_job_of_the_default_branch_promotes_with_an_identity() {
    let world = World::new().await;
    let key = world.desk.key_pair();
    let template = yaml(TEMPLATE);
    assert_eq!(job(&template, "kpromo-promote")["id_tokens"]["SIGSTORE_ID_TOKEN"]["aud"], "sigstore");
    let mut pipeline = pipeline(&world);
    pipeline.push(("KPROMO_PROMOTE_ARGUMENTS", format!("--signing-key={}", key.display())));
    let ran = execute(&world, "kpromo-promote", &pipeline);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.promoted("v1"), Some(world.app.digest()));
}
