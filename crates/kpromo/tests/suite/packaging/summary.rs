//! The summary of a run for a comment, of plans and reports with text that a stranger has chosen.

use serde_json::{Value, json};

use crate::packaging::world::{World, isolated, project, succeed};

/// Makes the summary of a plan and a report; null: there is none.
fn summary(world: &World, code: i32, plan: &Value, report: &Value) -> String {
    let mut jq = isolated("jq");
    jq.args([
        "--null-input",
        "--raw-output",
        "--argjson",
        "code",
        &code.to_string(),
        "--arg",
        "confirm",
        "false",
    ]);
    for (name, value) in [("plan", plan), ("report", report)] {
        jq.args(["--slurpfile", name]).arg(world.desk.write(&format!("{name}.json"), &value.to_string()));
    }
    succeed({
        jq.arg("--from-file").arg(project("deploy/ci/summary.jq"));
        jq
    })
}

fn edge(number: usize, action: &str, detail: &str) -> Value {
    json!({
        "source": "s.example/app", "destination": "d.example/app", "tag": format!("v{number}"), "action": action,
        "digest": format!("sha256:{}", "a".repeat(64)), "detail": detail, "origin": "images.yaml:3:7",
    })
}

fn plan(edges: &[Value]) -> Value {
    let total = json!({
        "edges": edges.len(), "copy": 1, "tag": 0, "sign": 0, "record": 0, "done": 0, "conflicts": 1, "failed": 0, "lost": 0,
        "refused": 0,
    });
    json!({ "summary": { "total": total }, "edges": edges, "images": [] })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn text_of_strangers_has_no_effect_in_a_summary() {
    let world = World::new().await;
    let hostile = "`</code><img src=x>\n| @everyone [link](https://evil.example) \u{202e}\u{1b}[31m";
    let report = json!({
        "error": hostile, "rejected": [hostile],
        "failed": [{ "destination": hostile, "error": hostile, "advice": hostile }],
    });
    let text = summary(&world, 11, &plan(&[edge(1, "conflict", hostile)]), &report);
    assert!(text.contains("Exit code 11: conflict"), "{text}");
    let shown: Vec<_> = text.lines().filter(|line| line.contains("evil.example")).collect();
    assert_eq!(
        shown.len(),
        4,
        "the error, the conflict, the failure and the invalid entry, one line each: {text}"
    );
    for line in shown {
        assert!(!line.contains(['\u{202e}', '\u{1b}']), "{line}");
        // Outside of code there is nothing of the text.
        let outside: String = line.split('`').step_by(2).collect();
        assert!(
            line.matches('`').count() % 2 == 0 && !outside.contains("evil") && !outside.contains('@'),
            "{line}"
        );
        assert!(
            !line.replace("\\|", "").split('`').skip(1).step_by(2).any(|code| code.contains('|')),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_summary_fits_into_a_comment_and_says_what_it_leaves_out() {
    let world = World::new().await;
    let long = "x".repeat(10_000);
    let edges: Vec<_> =
        (0..3000).map(|number| edge(number, ["copy", "conflict"][number % 2], &long)).collect();
    let failed: Vec<_> = (0..500).map(|_| json!({ "destination": long, "error": long })).collect();
    let rejected: Vec<_> = (0..500).map(|_| json!(long)).collect();
    let text = summary(&world, 30, &plan(&edges), &json!({ "failed": failed, "rejected": rejected }));
    assert!(text.len() < 65_000, "GitHub refuses comments of more than 65536 characters: {}", text.len());
    assert_eq!(text.matches(" more: see the plan file.").count(), 4, "each list is cut: {}", text.len());
    assert!(text.contains("<summary>Changes (1500)</summary>"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_run_without_a_plan_has_a_summary_too() {
    let world = World::new().await;
    let text = summary(&world, 10, &Value::Null, &Value::Null);
    assert_eq!(
        text,
        "### kpromo: plan failed\n\nExit code 10: a manifest or the configuration is invalid.\n\n"
    );
    let text = summary(&world, 0, &Value::Null, &json!({ "outcome": "nothing-to-do" }));
    assert_eq!(text, "### kpromo: plan\n\nThere is nothing to do.\n\n");
}
