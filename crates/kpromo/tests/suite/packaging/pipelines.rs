//! The jobs for Prow and the task for Tekton, run with their commands and arguments.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::packaging::job::{expand, list, text};
use crate::packaging::kubernetes::assert_valid;
use crate::packaging::world::{World, binary, isolated, yaml};
use crate::support::{Ran, run};

const PROW: &str = "deploy/prow/kpromo.yaml";
const TEKTON: &str = "deploy/tekton/kpromo.yaml";

/// Runs a container's command in the checkout, with the binary under test at the place of the image's.
fn container(world: &World, command: &Value, arguments: &[String], variables: &[(&str, String)]) -> Ran {
    assert_eq!(list(command), ["/usr/bin/kpromo"], "where `cargo xtask image` has it");
    let mut kpromo = isolated(binary().to_str().unwrap());
    kpromo.current_dir(world.checkout()).args(arguments);
    kpromo.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    run(kpromo)
}

/// Returns all jobs for Prow.
fn jobs() -> Vec<Value> {
    let file = yaml(PROW);
    let by_repository =
        ["presubmits", "postsubmits"].into_iter().flat_map(|kind| file[kind].as_object().unwrap().values());
    let periodics = file["periodics"].as_array().unwrap();
    by_repository.flat_map(|jobs| jobs.as_array().unwrap()).chain(periodics).cloned().collect()
}

/// Runs a job for Prow. The manifests of this world are plain, and artifacts go to the desk.
fn prow(world: &World, name: &str, variables: &[(&str, String)]) -> Ran {
    let job = jobs().into_iter().find(|job| job["name"] == name).unwrap();
    let container = &job["spec"]["containers"][0];
    let artifacts = world.desk.path("artifacts");
    std::fs::create_dir_all(&artifacts).unwrap();
    let arguments: Vec<_> = list(&container["args"])
        .into_iter()
        .map(|word| word.replace("--thin-manifest-dir=.", "--manifest=manifest.yaml"))
        .map(|word| word.replace("/logs/artifacts", artifacts.to_str().unwrap()))
        .collect();
    self::container(world, &container["command"], &arguments, variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_presubmit_of_prow_shows_what_the_change_adds_and_writes_nothing() {
    let world = World::new().await;
    let variables =
        [("JOB_TYPE", "presubmit".to_owned()), ("PULL_BASE_SHA", world.git(&["rev-parse", "HEAD^"]))];
    let ran = prow(&world, "pull-kpromo-plan", &variables);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.desk.json("artifacts/plan.json")["summary"]["total"]["copy"], 1);
    assert_eq!(world.production.tally().snapshot().writes(), 0);
}

/// The jobs act as a Google account, and here is none: the run stops before it writes.
#[tokio::test(flavor = "multi_thread")]
async fn the_postsubmit_and_the_periodic_of_prow_sign_as_an_account() {
    let world = World::new().await;
    for (name, kind) in [("post-kpromo-promote", "postsubmit"), ("periodic-kpromo-promote", "periodic")] {
        let ran = prow(&world, name, &[("JOB_TYPE", kind.to_owned())]);
        assert_eq!(ran.code, 20, "{name}: {}\n{}", ran.stdout, ran.stderr);
        assert!(
            ran.stderr.contains("Google (acting as a service account): there are neither"),
            "{}",
            ran.stderr
        );
        assert_eq!(world.desk.json("artifacts/report.json")["confirmed"], true);
        assert_eq!(world.production.tally().snapshot().writes(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_pods_of_prow_s_jobs_are_valid() {
    for job in jobs() {
        let mut spec = job["spec"].clone();
        // Prow names the only container of a job.
        spec["containers"][0]["name"] = json!("test");
        assert_valid(&[
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": job["name"] }, "spec": spec }),
        ]);
        assert_eq!(job["decorate"], true, "{}", job["name"]);
    }
}

/// Returns the value of a variable of the task.
fn tekton_value(world: &World, task: &Value, given: &[(&str, &str)], name: &str) -> String {
    let [kind, name, rest @ ..] = &name.split('.').collect::<Vec<_>>()[..] else {
        panic!("what is `{name}`?")
    };
    let declared =
        |list: &str| task["spec"][list].as_array().unwrap().iter().find(|entry| entry["name"] == *name);
    match (*kind, rest) {
        ("params", []) => {
            let parameter = declared("params").unwrap_or_else(|| panic!("`{name}` is not declared"));
            let given =
                given.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| (*value).to_owned());
            given.unwrap_or_else(|| text(&parameter["default"]))
        }
        ("workspaces", ["path"]) => {
            let workspace = declared("workspaces").unwrap_or_else(|| panic!("`{name}` is not declared"));
            match (workspace["optional"].as_bool(), *name) {
                (Some(true), _) => String::new(),
                (_, "manifests") => world.checkout().display().to_string(),
                _ => world.desk.path(name).display().to_string(),
            }
        }
        other => panic!("what is {other:?}?"),
    }
}

/// Runs the task with parameters and `flags`.
fn tekton(world: &World, given: &[(&str, &str)], flags: &[String]) -> Ran {
    let task = yaml(TEKTON);
    let step = &task["spec"]["steps"][0];
    std::fs::create_dir_all(world.desk.path("output")).unwrap();
    let expanded = |text: &str| expand(text, "$(", ")", |name| tekton_value(world, &task, given, name));
    assert_eq!(expanded(&text(&step["workingDir"])), world.checkout().display().to_string());
    let arguments: Vec<_> = list(&step["args"])
        .iter()
        .flat_map(|word| if word == "$(params.flags[*])" { flags.to_vec() } else { vec![expanded(word)] })
        .collect();
    let variables: Vec<_> = step["env"].as_array().unwrap().iter().collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap(), expanded(&text(&variable["value"]))))
        .collect();
    container(world, &step["command"], &arguments, &variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_tekton_plans_by_default_and_promotes_when_it_is_confirmed() {
    let world = World::new().await;
    let ran = tekton(&world, &[("manifest", "manifest.yaml")], &["--sign=false".to_owned()]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.desk.json("output/plan.json")["summary"]["total"]["copy"], 1);
    assert_eq!(world.production.tally().snapshot().writes(), 0);
    let flags = [format!("--signing-key={}", world.desk.key_pair().display())];
    let ran = tekton(&world, &[("manifest", "manifest.yaml"), ("confirm", "true")], &flags);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.promoted("v1"), Some(world.app.digest()));
    assert_eq!(world.desk.json("output/report.json")["totals"]["signed"], 3);
}

/// A step is a container with a few other names, and its volumes are those of a pod.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_pod_of_tekton_s_task_is_valid_and_every_name_in_it_is_declared() {
    let task = yaml(TEKTON);
    assert_eq!((&task["apiVersion"], &task["kind"]), (&json!("tekton.dev/v1"), &json!("Task")));
    let mut step = task["spec"]["steps"][0].clone();
    let resources = step.as_object_mut().unwrap().remove("computeResources").unwrap();
    step["resources"] = resources;
    let spec = json!({ "containers": [step], "volumes": task["spec"]["volumes"] });
    assert_valid(&[
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "kpromo" }, "spec": spec }),
    ]);
    let names = |list: &Value| {
        list.as_array().unwrap().iter().map(|entry| text(&entry["name"])).collect::<BTreeSet<_>>()
    };
    let mounts = names(&step["volumeMounts"]);
    assert_eq!(mounts, names(&task["spec"]["volumes"]));
    let known = ["name", "description", "type", "default", "readOnly", "optional"];
    for entry in ["params", "workspaces"].into_iter().flat_map(|list| task["spec"][list].as_array().unwrap())
    {
        assert!(entry.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{entry}");
    }
}
