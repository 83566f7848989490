//! The Kustomize base, the Helm chart and the recipes' files, judged by kustomize, helm and the schemas of others.

use std::process::Command;

use serde_json::{Value, json};
use testkit::tool;

use crate::packaging::job::{list, text};
use crate::packaging::world::{isolated, project, succeed, yaml};
use crate::support::run;

/// The version of Kubernetes whose schemas and abilities count.
const KUBERNETES: &str = "1.34";

/// Returns a command of an installed tool.
fn tool_command(name: &str) -> Command {
    let mut command = isolated(tool(name).to_str().unwrap());
    command.env("HOME", std::env::temp_dir());
    command
}

/// Checks objects against Kubernetes' schemas, in which no other field is known.
pub(crate) fn assert_valid(objects: &[Value]) {
    assert!(!objects.is_empty());
    let directory = tempfile::tempdir().unwrap();
    let mut validate = tool_command("kubernetes-validate");
    validate.args(["--strict", "--kubernetes-version", KUBERNETES]);
    for (number, object) in objects.iter().enumerate() {
        let file = directory.path().join(format!("{number}.json"));
        std::fs::write(&file, object.to_string()).unwrap();
        validate.arg(file);
    }
    let shown = succeed(validate);
    assert!(!shown.contains("find schema"), "{shown}");
}

/// Reads the documents of a YAML stream.
fn documents(stream: &str) -> Vec<Value> {
    let parts = stream
        .split("\n---")
        .filter(|part| !part.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '-'])));
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{part}: {error}"))).collect()
}

fn kustomize(directory: &str) -> Vec<Value> {
    let mut build = tool_command("kustomize");
    build.arg("build").arg(project(directory));
    documents(&succeed(build))
}

/// Renders the chart with values.
fn helm(values: &Value) -> Result<Vec<Value>, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values.yaml");
    std::fs::write(&file, values.to_string()).unwrap();
    let mut template = tool_command("helm");
    template.args(["template", "release", "--namespace", "kpromo", "--kube-version", KUBERNETES, "--values"]);
    template.arg(file).arg(project("deploy/helm/kpromo"));
    let ran = run(template);
    if ran.code == 0 { Ok(documents(&ran.stdout)) } else { Err(ran.stderr) }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Returns the specifications of the jobs.
fn jobs(objects: &[Value]) -> Vec<&Value> {
    let scheduled =
        of_kind(objects, "CronJob").into_iter().map(|object| &object["spec"]["jobTemplate"]["spec"]);
    scheduled.chain(of_kind(objects, "Job").into_iter().map(|object| &object["spec"])).collect()
}

fn pod(job: &Value) -> &Value {
    &job["template"]["spec"]
}

fn arguments(job: &Value) -> Vec<String> {
    list(&pod(job)["containers"][0]["args"])
}

fn variable(job: &Value, name: &str) -> Option<String> {
    let all = pod(job)["containers"][0]["env"].as_array()?;
    all.iter().find(|variable| variable["name"] == name).map(|variable| text(&variable["value"]))
}

/// Checks what every pod promises: no rights, a read-only file system, and directories to write to.
fn assert_confined(job: &Value) {
    let pod = pod(job);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let containers =
        [&pod["initContainers"], &pod["containers"]].into_iter().filter_map(Value::as_array).flatten();
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{container}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{container}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
    }
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/tmp"));
    let volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])), "{volumes:?}");
}

/// Returns the regions in which a pod may run.
fn regions(job: &Value) -> &Value {
    let required = &pod(job)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    &required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn kustomize_builds_valid_resources_for_each_cloud() {
    for (directory, annotation) in [
        ("base", None),
        ("examples/gke-shards", Some("iam.gke.io/gcp-service-account")),
        ("examples/gke-regions", Some("iam.gke.io/gcp-service-account")),
        ("examples/eks", Some("eks.amazonaws.com/role-arn")),
        ("examples/aks", Some("azure.workload.identity/client-id")),
    ] {
        let objects = kustomize(&format!("deploy/kustomize/{directory}"));
        assert_valid(&objects);
        jobs(&objects).into_iter().for_each(assert_confined);
        assert!(!of_kind(&objects, "NetworkPolicy").is_empty(), "{directory}");
        for account in of_kind(&objects, "ServiceAccount") {
            assert!(
                annotation.is_none_or(|name| account["metadata"]["annotations"][name].is_string()),
                "{directory}: {account}"
            );
        }
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn kustomize_has_shards_of_one_job_and_shards_beside_their_regions() {
    let objects = kustomize("deploy/kustomize/examples/gke-shards");
    let job = jobs(&objects)[0];
    assert_indexed(job, 4);
    let objects = kustomize("deploy/kustomize/examples/gke-regions");
    let jobs = jobs(&objects);
    assert_eq!(jobs.len(), 2);
    for (job, (shard, region)) in
        jobs.iter().zip([("--shard=0/2", "us-west1"), ("--shard=1/2", "europe-west1")])
    {
        assert!(arguments(job).contains(&shard.to_owned()));
        assert_eq!(regions(job), &json!([region]));
    }
}

/// Checks a job whose pods are the shards.
fn assert_indexed(job: &Value, shards: u64) {
    assert_eq!(job["completionMode"], "Indexed");
    assert_eq!((&job["completions"], &job["parallelism"]), (&json!(shards), &json!(shards)));
    assert_eq!(variable(job, "KPROMO_SHARDS"), Some(shards.to_string()), "the number of completions");
    assert_eq!(job["backoffLimitPerIndex"], 0, "a shard that fails stops no other");
}

const REPOSITORY: &str = "https://github.com/example/manifests";

fn values(changed: &Value) -> Value {
    let mut values = json!({ "manifests": { "git": { "repository": REPOSITORY } } });
    values.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    values
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_helm_chart_renders_valid_resources_with_every_value() {
    let secrets = json!({
        "schedule": "", "confirm": true, "signingKeySecret": "key", "dockerConfigSecret": "docker", "args": ["--strict"],
        "manifests": { "configMap": "manifests" }, "sigstoreToken": false, "imagePullSecrets": [{ "name": "pull" }],
        "tolerations": [{ "key": "promoter", "operator": "Exists" }], "podAnnotations": { "a": "b" },
        "podLabels": { "c": "d" }, "nodeSelector": { "pool": "promoter" }, "extraEnv": [{ "name": "E", "value": "f" }],
        "extraVolumes": [{ "name": "v", "emptyDir": {} }], "extraVolumeMounts": [{ "name": "v", "mountPath": "/v" }],
        "image": { "repository": "r.example/kpromo", "digest": format!("sha256:{}", "0".repeat(64)) },
    });
    let ssh = json!({ "manifests": { "git": { "repository": "ssh://git@example.org/m", "secretName": "git", "path": "/k8s/" } } });
    let helpers = json!({ "cloud": "eks", "cloudIdentity": "arn:aws:iam::1:role/kpromo", "credentialHelpers": { "public.ecr.aws": "ecr-login" } });
    for changed in [
        json!({}),
        json!({ "cloud": "gke", "cloudIdentity": "kpromo@p.iam.gserviceaccount.com", "config": { "signing": { "account": "a" } } }),
        json!({ "cloud": "aks", "cloudIdentity": "0", "shards": { "count": 3 } }),
        json!({ "shards": { "count": 2, "regions": ["us-west1", "europe-west1"] } }),
        json!({ "networkPolicy": { "extraEgress": [{ "ports": [{ "port": 5000 }] }] }, "serviceAccount": { "annotations": { "x": "y" } } }),
        helpers,
        secrets,
        ssh,
    ] {
        let objects = helm(&values(&changed)).unwrap();
        assert_valid(&objects);
        jobs(&objects).into_iter().for_each(assert_confined);
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_chart_plans_until_it_is_confirmed_and_has_shards_and_identities() {
    let objects = helm(&values(&json!({}))).unwrap();
    let words = arguments(jobs(&objects)[0]);
    assert!(words.contains(&"--confirm=false".to_owned()), "{words:?}");
    let objects = helm(&values(&json!({ "confirm": true, "shards": { "count": 3 } }))).unwrap();
    assert_indexed(jobs(&objects)[0], 3);
    assert!(arguments(jobs(&objects)[0]).contains(&"--confirm=true".to_owned()));
    let objects =
        helm(&values(&json!({ "shards": { "count": 2, "regions": ["us-west1", "europe-west1"] } }))).unwrap();
    let regional: Vec<_> =
        jobs(&objects).into_iter().map(|job| (regions(job).clone(), arguments(job).join(" "))).collect();
    assert!(regional[0].0 == json!(["us-west1"]) && regional[0].1.contains("--shard=0/2"), "{regional:?}");
    assert!(
        regional[1].0 == json!(["europe-west1"]) && regional[1].1.contains("--shard=1/2"),
        "{regional:?}"
    );
    for (cloud, annotation) in [
        ("gke", "iam.gke.io/gcp-service-account"),
        ("eks", "eks.amazonaws.com/role-arn"),
        ("aks", "azure.workload.identity/client-id"),
    ] {
        let objects = helm(&values(&json!({ "cloud": cloud, "cloudIdentity": "me" }))).unwrap();
        assert_eq!(of_kind(&objects, "ServiceAccount")[0]["metadata"]["annotations"][annotation], "me");
        let has_metadata = of_kind(&objects, "NetworkPolicy")[0].to_string().contains("169.254.169.254");
        assert_eq!(has_metadata, cloud == "gke", "{cloud}");
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_chart_refuses_values_that_contradict_one_another() {
    for (changed, expected) in [
        (json!({ "manifests": {} }), "is required"),
        (
            json!({ "manifests": { "configMap": "m", "git": { "repository": REPOSITORY } } }),
            "cannot be used together",
        ),
        (
            json!({ "shards": { "count": 3, "regions": ["us-west1"] } }),
            "shards.regions must have shards.count entries",
        ),
        (json!({ "cloud": "azure" }), "cloud"),
        (json!({ "confrim": true }), "confrim"),
        (json!({ "dockerConfigSecret": "s", "credentialHelpers": { "r": "h" } }), "cannot be used together"),
    ] {
        let error = helm(&values(&changed)).unwrap_err();
        assert!(error.contains(expected), "{changed}: {error}");
    }
    let mut lint = tool_command("helm");
    lint.args([
        "lint",
        "--strict",
        "--kube-version",
        KUBERNETES,
        "--set",
        &format!("manifests.git.repository={REPOSITORY}"),
    ]);
    succeed({
        lint.arg(project("deploy/helm/kpromo"));
        lint
    });
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_action_the_template_and_the_example_workflow_fit_their_schemas() {
    for (schema, file) in [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", "deploy/github/example.yml"),
        ("vendor.gitlab-ci", "deploy/gitlab/kpromo.gitlab-ci.yml"),
    ] {
        let mut check = tool_command("check-jsonschema");
        check.args(["--builtin-schema", schema]).arg(project(file));
        succeed(check);
    }
    // In a repository of its own, in which actionlint finds the action and compares its inputs.
    let directory = tempfile::tempdir().unwrap();
    let workflows = directory.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    std::fs::create_dir(directory.path().join(".git")).unwrap();
    std::fs::copy(project("action.yml"), directory.path().join("action.yml")).unwrap();
    let example = std::fs::read_to_string(project("deploy/github/example.yml")).unwrap();
    let local = example.replace("OWNER/kpromo@v0.1.0", "./");
    assert_ne!(local, example);
    let lint = |text: &str| {
        std::fs::write(workflows.join("promote.yml"), text).unwrap();
        let mut lint = tool_command("actionlint");
        lint.args(["-no-color", "-shellcheck=", "-pyflakes="]).current_dir(directory.path());
        run(lint)
    };
    let ran = lint(&local);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let ran = lint(&local.replace("diff-base:", "diff-bass:"));
    assert!(ran.code != 0 && ran.stdout.contains("diff-bass"), "a wrong input is found: {}", ran.stdout);
}

/// The versions in the recipes are that of the release that they come with.
#[test]
fn the_recipes_name_the_version_of_this_release() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(yaml("action.yml")["inputs"]["version"]["default"], version);
    let chart = yaml("deploy/helm/kpromo/Chart.yaml");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
    for file in ["deploy/prow/kpromo.yaml", "deploy/tekton/kpromo.yaml"] {
        let text = std::fs::read_to_string(project(file)).unwrap();
        assert!(text.contains(&format!("registry.example.com/kpromo:{version}\n")), "{file}");
    }
}
