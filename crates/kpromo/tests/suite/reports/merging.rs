//! `kpromo report merge`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use http::StatusCode;
use registry::Kind;
use serde_json::{Value, json};

use crate::reports::world::World;
use crate::support::{kpromo, kpromo_with, schema};

/// Returns the reports of two runs over the same manifest: the first promotes one image and fails for the other, the second
/// promotes what is left.
async fn two_runs() -> (World, Value, Value) {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    let (ran, first) = world.report(&["--confirm"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    fs::rename(world.path("report.json"), world.path("first.json")).unwrap();
    world.production.faults().clear();
    World::answer(&world.production, StatusCode::TOO_MANY_REQUESTS, Kind::ManifestPut, 1);
    let (ran, second) = world.report(&["--confirm"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    (world, first, second)
}

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_added_lists_are_joined_and_the_worst_end_counts() {
    let (world, first, second) = two_runs().await;
    let [one, two, out] = ["first.json", "report.json", "merged.json"].map(|name| world.path(name));
    // The same plan in a third run: what it lists is there once.
    let mut third = first.clone();
    third["started"] = json!("2020-01-01T00:00:00Z");
    let third = world.desk.write("third.json", &third.to_string()).display().to_string();
    let ran = kpromo_with(&["report", "merge", &out, &two, &one, &third]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let merged = world.desk.json("merged.json");
    assert_eq!((&merged["outcome"], &merged["exitCode"]), (&"failed".into(), &30.into()));
    assert_eq!((&merged["started"], &merged["confirmed"]), (&"2020-01-01T00:00:00Z".into(), &true.into()));
    assert_eq!(number(&merged, "/totals/promoted"), 2);
    assert_eq!(merged["promoted"].as_array().unwrap().len(), 2);
    assert_eq!((number(&merged, "/totals/failed"), merged["failed"].as_array().unwrap().len()), (1, 1));
    let sum = |pointer: &str| 2 * number(&first, pointer) + number(&second, pointer);
    let host = world.production.host().to_string();
    for pointer in [
        "/totals/tagged".to_owned(),
        "/totals/blobsSent".to_owned(),
        "/plan/total/edges".to_owned(),
        format!("/plan/hosts/{host}/copy"),
        format!("/registries/{host}/sent"),
        format!("/registries/{host}/refused"),
    ] {
        assert_eq!(number(&merged, &pointer), sum(&pointer), "{pointer}");
    }
    for phase in merged["phaseSeconds"].as_object().unwrap().keys() {
        let longest = [&first, &second].map(|report| report["phaseSeconds"][phase].as_f64().unwrap_or(0.0));
        assert_eq!(merged["phaseSeconds"][phase].as_f64(), Some(longest[0].max(longest[1])), "{phase}");
    }
    let elapsed = merged["elapsedSeconds"].as_f64().unwrap();
    assert!(elapsed >= second["elapsedSeconds"].as_f64().unwrap(), "{elapsed}");
    let shards = merged["shards"].as_array().unwrap();
    let codes: Vec<&Value> = shards.iter().map(|shard| &shard["exitCode"]).collect();
    assert_eq!(codes, [30, 30, 0], "in the order of their start");
    assert_eq!(shards[2]["name"], two.as_str());
    let requests = |report: &Value| {
        let list = report["timeline"]["hosts"][&host]["requests"].as_array().unwrap().clone();
        list.iter().map(|number| number.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(requests(&merged), 2 * requests(&first) + requests(&second));

    // A merged report can be merged again, and its runs are not nested.
    let again = world.path("again.json");
    assert_eq!(kpromo_with(&["report", "merge", "--output", &again, &out]).code, 0);
    assert_eq!(world.desk.json("again.json"), merged);
}

/// One shard has promoted its images, and the hosts of the other one were not available.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_one_shard_is_attributed_to_that_shard() {
    let (world, _, second) = two_runs().await;
    let shard = |name: &str, index: u32, change: &dyn Fn(&mut Value)| {
        let mut report = second.clone();
        report["shard"] = json!(format!("{index}/2"));
        report["promotion"] = json!(format!("sha256:{}", "a".repeat(64)));
        change(&mut report);
        world.desk.write(name, &report.to_string()).display().to_string()
    };
    let done = shard("done.json", 0, &|_| ());
    let down = shard("down.json", 1, &|report| {
        (report["outcome"], report["exitCode"]) = (json!("unavailable"), json!(20));
        report["error"] = json!("no image can be planned; nothing was promoted");
    });
    let [merged, again, page] = ["merged.json", "again.json", "merged.html"].map(|name| world.path(name));
    assert_eq!(kpromo_with(&["report", "merge", &merged, &done, &down]).code, 0);
    // Merges one report alone, then the result with the other report.
    let alone = world.path("alone.json");
    assert_eq!(
        kpromo_with(&["report", "merge", "--output", &alone, &down]).code,
        30,
        "the other shard is missing"
    );
    assert_eq!(kpromo_with(&["report", "merge", &again, &alone, &done]).code, 0);
    for name in ["merged.json", "again.json"] {
        let merged = world.desk.json(name);
        assert_eq!((&merged["outcome"], &merged["exitCode"]), (&"unavailable".into(), &20.into()), "{name}");
        assert_eq!(merged["error"], "shard 1/2: no image can be planned; nothing was promoted", "{name}");
    }
    assert_eq!(kpromo_with(&["report", "merge", &page, &done, &down]).code, 0);
    let page = fs::read_to_string(page).unwrap();
    let title = page.split("<title>").nth(1).unwrap().split('<').next().unwrap();
    assert!(title.starts_with("kpromo: unavailable on "), "{title}");
    let header = page.split("<header>").nth(1).unwrap().split("</header>").next().unwrap();
    assert!(!header.contains("nothing was promoted"), "{header}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_from_standard_input_and_goes_to_standard_output_or_a_page() {
    let (world, first, _) = two_runs().await;
    let mut command = kpromo(None);
    command.args(["report", "merge", "-", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(first.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let merged: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::is_strict("report", &merged);
    assert_eq!((&merged["failed"], &merged["totals"]), (&first["failed"], &first["totals"]));

    let page = world.path("merged.html");
    let ran = kpromo_with(&["report", "merge", &page, &world.path("first.json"), &world.path("report.json")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<h2>Runs</h2>") && page.contains("first.json"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_other_schemas_are_refused_and_nothing_is_written() {
    let (world, first, _) = two_runs().await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut report = first.clone();
        change(&mut report);
        report.to_string()
    };
    let ended = |outcome: &str, code: u8| {
        changed(&|report| (report["outcome"], report["exitCode"]) = (json!(outcome), json!(code)))
    };
    for (text, expected) in [
        (changed(&|report| report["schema"] = json!(2)), "schema has version 2"),
        (changed(&|report| report["new"] = json!(1)), "unknown field `new`"),
        (changed(&|report| drop(report.as_object_mut().unwrap().remove("totals"))), "missing field `totals`"),
        (changed(&|report| report["elapsedSeconds"] = json!(-1)), "elapsedSeconds"),
        (changed(&|report| report["phaseSeconds"]["plan"] = json!(1e300)), "phaseSeconds"),
        (changed(&|report| report["timeline"]["bucketMilliseconds"] = json!(0)), "timeline"),
        (changed(&|report| report["totals"]["promoted"] = json!(-1)), "invalid value"),
        (changed(&|report| report["outcome"] = json!("great")), "outcome"),
        (changed(&|report| report["exitCode"] = json!(77)), "exitCode"),
        (ended("done", 30), "its outcome is `done`, and its exitCode is 30"),
        (ended("unavailable", 0), "its outcome is `unavailable`, and its exitCode is 0"),
        (
            changed(&|report| {
                let image = json!({"source": "a", "destination": "b", "tags": [], "error": "refused"});
                (report["outcome"], report["exitCode"]) = (json!("done"), json!(0));
                report["failed"] = json!([image]);
            }),
            "its exitCode is 0, and `failed` has entries",
        ),
        (changed(&|report| report["shard"] = json!("4/4")), "shard"),
        (changed(&|report| report["promotion"] = json!("sha256:12")), "promotion"),
        ("{}".to_owned(), "missing field `schema`"),
        ("<html>".to_owned(), "not a report of `kpromo cip`"),
        (String::new(), "not a report of `kpromo cip`"),
        ("[".repeat(100_000), "not a report of `kpromo cip`"),
    ] {
        let bad = world.desk.write("bad.json", &text).display().to_string();
        let out = world.path("out.json");
        let ran = kpromo_with(&["report", "merge", &out, &world.path("first.json"), &bad]);
        assert_eq!(ran.code, 10, "{expected}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("bad.json") && ran.stderr.contains(expected),
            "{expected}: {}",
            ran.stderr
        );
        assert!(!world.desk.names().contains(&"out.json".to_owned()), "{expected}");
    }
    let huge = changed(&|report| report["totals"]["tagged"] = json!(u64::MAX));
    let other = huge.replace(first["started"].as_str().unwrap(), "2020-01-01T00:00:00Z");
    let huge = world.desk.write("huge.json", &huge).display().to_string();
    let other = world.desk.write("other.json", &other).display().to_string();
    assert_eq!(kpromo_with(&["report", "merge", "-", &huge, &other]).code, 0, "sums do not overflow");
}

/// An error that many shards have is one line.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_several_shards_is_shown_once() {
    let (world, _, done) = two_runs().await;
    let mut inputs = Vec::new();
    for index in 0..6 {
        let mut report: Value = serde_json::from_str(&shard_of(&done, &format!("{index}/6"), index)).unwrap();
        if index > 0 {
            (report["outcome"], report["exitCode"]) = (json!("unavailable"), json!(20));
            report["error"] = json!(if index == 5 { "no disk" } else { "Fulcio is unreachable" });
        }
        let input = world.desk.write(&format!("s{index}.json"), &report.to_string());
        inputs.push(input.display().to_string());
    }
    let out = world.path("out.json");
    for (count, expected) in [
        (3, "shards 1/6, 2/6: Fulcio is unreachable"),
        (4, "shards 1/6, 2/6, 3/6: Fulcio is unreachable"),
        (5, "shards 1/6, 2/6, 3/6 and 1 more: Fulcio is unreachable"),
        (6, "shards 1/6, 2/6, 3/6 and 1 more: Fulcio is unreachable\nshard 5/6: no disk"),
    ] {
        let inputs: Vec<&str> = inputs[..count].iter().map(String::as_str).collect();
        kpromo_with(&[&["report", "merge", "--output", &out], &inputs[..]].concat());
        assert_eq!(world.desk.json("out.json")["error"], expected);
    }
    let same = fs::read_to_string(&inputs[5]).unwrap().replace("no disk", "Fulcio is unreachable");
    fs::write(&inputs[5], same).unwrap();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    kpromo_with(&[&["report", "merge", "--output", &out], &inputs[..]].concat());
    assert_eq!(
        world.desk.json("out.json")["error"],
        "shards 1/6, 2/6, 3/6 and 2 more: Fulcio is unreachable"
    );
}

/// Returns the report of a run as that of a shard that started at this second.
fn shard_of(run: &Value, shard: &str, second: u32) -> String {
    let mut report = run.clone();
    report["shard"] = json!(shard);
    report["promotion"] = json!(format!("sha256:{}", "a".repeat(64)));
    report["started"] = json!(format!("2026-01-01T00:00:{second:02}Z"));
    report.to_string()
}

/// An incomplete set fails, because it is not known what the missing shards promoted.
#[tokio::test(flavor = "multi_thread")]
async fn missing_shards_are_named_first_and_the_result_is_no_success() {
    let (world, _, done) = two_runs().await;
    for index in 0..4 {
        world.desk.write(&format!("s{index}.json"), &shard_of(&done, &format!("{index}/4"), index));
    }
    let [zero, one, two, three, out] =
        ["s0.json", "s1.json", "s2.json", "s3.json", "out.json"].map(|name| world.path(name));
    let merge = |inputs: &[&str]| kpromo_with(&[&["report", "merge", "--output", &out], inputs].concat());
    let all = merge(&[&zero, &one, &two, &three]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""));
    let whole = world.desk.json("out.json");
    assert_eq!((&whole["outcome"], &whole["warnings"]), (&"done".into(), &done["warnings"]));
    assert_eq!(whole["shards"][2]["shard"], "2/4");

    let some = merge(&[&three, &zero]);
    assert_eq!(some.code, 30, "{}", some.stderr);
    let expected = "the reports of shards 1/4, 2/4 are missing: what they promoted is not known";
    assert!(some.stderr.contains(expected) && some.stderr.contains("help: "), "{}", some.stderr);
    let part = world.desk.json("out.json");
    assert_eq!((&part["outcome"], &part["exitCode"]), (&"incomplete".into(), &30.into()));
    assert_eq!(part["warnings"][0], expected);
    // A page of it says so before all else.
    let page = world.path("part.html");
    let ran = kpromo_with(&["report", "merge", &page, &out]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Incomplete: not the reports of a whole promotion"), "{page}");
    let failures = page.split("<h2>Failures</h2>").nth(1).unwrap().trim_start();
    let first = failures.split("</article>").next().unwrap();
    assert!(first.starts_with("<article") && first.contains(&expected.replacen("the", "The", 1)), "{first}");

    // What was missing can be added later.
    fs::rename(&out, world.path("part.json")).unwrap();
    let rest = merge(&[&one, &world.path("part.json"), &two]);
    assert_eq!(rest.code, 0, "{}", rest.stderr);
    assert_eq!(world.desk.json("out.json"), whole);
    let single = merge(&[&one]);
    assert_eq!(single.code, 30, "{}", single.stderr);
    assert!(single.stderr.contains("shards 0/4, 2/4, 3/4"), "{}", single.stderr);
}

/// Each shard decides by its own manifests which registries it owns. If the manifests differ, a registry may have no shard.
#[tokio::test(flavor = "multi_thread")]
async fn shards_with_other_manifests_make_no_complete_report() {
    let (world, _, done) = two_runs().await;
    let shard = |index: u32, second: u32, promotion: Option<char>| {
        let mut report: Value =
            serde_json::from_str(&shard_of(&done, &format!("{index}/3"), second)).unwrap();
        match promotion {
            Some(hexadecimal) => {
                report["promotion"] = json!(format!("sha256:{}", hexadecimal.to_string().repeat(64)));
            }
            None => drop(report.as_object_mut().unwrap().remove("promotion")),
        }
        world.desk.write(&format!("{index}-{second}.json"), &report.to_string()).display().to_string()
    };
    let out = world.path("out.json");
    let merge = |inputs: &[&str]| kpromo_with(&[&["report", "merge", "--output", &out], inputs].concat());
    let (zero, one, two) = (shard(0, 0, Some('a')), shard(1, 1, Some('b')), shard(2, 2, Some('b')));
    let ran = merge(&[&zero, &one, &two]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let expected = "shards 1/3, 2/3 had other manifests or another canonical region than shard 0/3";
    assert!(ran.stderr.contains(expected) && ran.stderr.contains("help: "), "{}", ran.stderr);
    let merged = world.desk.json("out.json");
    assert_eq!((&merged["outcome"], &merged["exitCode"]), (&"incomplete".into(), &30.into()));
    assert!(merged["warnings"][0].as_str().unwrap().starts_with(expected), "{merged:#}");

    // Run again with the manifests of the others, the shard belongs to them.
    let ran = merge(&[&zero, &one, &two, &shard(0, 9, Some('b'))]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(world.desk.json("out.json")["warnings"], done["warnings"]);
    // A report that does not say what the shards were to promote proves nothing.
    let ran = merge(&[&shard(0, 5, None), &one, &two]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("the report of shard 0/3 does not have `promotion`"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_not_of_one_promotion_are_refused() {
    let (world, _, done) = two_runs().await;
    let (_, dry) = world.report(&[]);
    let write = |name: &str, text: &str| world.desk.write(name, text).display().to_string();
    let zero = write("zero.json", &shard_of(&done, "0/2", 0));
    let same = write("same.json", &shard_of(&done, "0/2", 0));
    let other = write("other.json", &shard_of(&done, "1/3", 1));
    let whole = write("whole.json", &done.to_string());
    let dry = write("dry.json", &shard_of(&dry, "1/2", 1));
    let out = world.path("out.json");
    for (inputs, expected) in [
        ([&zero, &same], "are of the same run of shard 0/2"),
        ([&zero, &zero], "are of the same run of shard 0/2"),
        ([&whole, &whole], "are of the same run, which started at"),
        ([&zero, &other], "shard 0/2"),
        ([&zero, &whole], "a run without shards"),
        ([&zero, &dry], "without --confirm"),
    ] {
        let ran = kpromo_with(&["report", "merge", "--output", &out, inputs[0], inputs[1]]);
        assert_eq!(ran.code, 10, "{expected}: {}", ran.stderr);
        let names = inputs.iter().all(|name| ran.stderr.contains(name.as_str()));
        assert!(ran.stderr.contains(expected) && names, "{expected}: {}", ran.stderr);
        assert!(!world.desk.names().contains(&"out.json".to_owned()), "{expected}");
    }
}

/// A shard that failed and was run again is as its last run left it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_was_run_again_ends_as_its_last_run() {
    let (world, failed, done) = two_runs().await;
    let write = |name: &str, text: &str| world.desk.write(name, text).display().to_string();
    let zero = write("zero.json", &shard_of(&failed, "0/1", 1));
    let again = write("again.json", &shard_of(&done, "0/1", 2));
    let out = world.path("out.json");
    let ran = kpromo_with(&["report", "merge", "--output", &out, &again, &zero]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let merged = world.desk.json("out.json");
    assert_eq!((&merged["outcome"], &merged["exitCode"]), (&"done".into(), &0.into()));
    assert_eq!((&merged["failed"], &merged["plan"]), (&json!([]), &done["plan"]));
    assert_eq!(number(&merged, "/totals/promoted"), 2, "what both runs did");
    let tagged = number(&failed, "/totals/tagged") + number(&done, "/totals/tagged");
    assert_eq!(number(&merged, "/totals/tagged"), tagged);

    // A merged report of several runs does not tell them apart.
    let third = write("third.json", &shard_of(&done, "0/1", 3));
    let ran = kpromo_with(&["report", "merge", "-", &out, &third]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("merge the reports of the single runs"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_reports_makes_no_difference() {
    let (world, first, second) = two_runs().await;
    let write = |name: &str, text: &str| world.desk.write(name, text).display().to_string();
    let reports = [
        write("a.json", &shard_of(&first, "2/3", 5)),
        write("b.json", &shard_of(&second, "0/3", 9)),
        write("c.json", &shard_of(&first, "1/3", 7)),
    ];
    let out = world.path("out.json");
    let merged = |order: [usize; 3]| {
        let inputs = order.map(|index| reports[index].as_str());
        let ran = kpromo_with(&[&["report", "merge", "--output", &out][..], &inputs[..]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fs::read_to_string(&out).unwrap()
    };
    let expected = merged([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert!(merged(order) == expected, "{order:?}");
    }
}

/// `kpromo report merge shard-*.json`, where the result was forgotten, must not cost the first report.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_never_replaced_by_a_result_that_was_forgotten() {
    let (world, first, _) = two_runs().await;
    let [one, two] = ["first.json", "report.json"].map(|name| world.path(name));
    for (words, code, expected) in [
        (&["report", "merge", &one, &two][..], 10, "--output FILE"),
        (&["report", "merge", &one], 2, "--output FILE"),
        (&["report", "merge", &one, &one, &two], 10, "OUT would replace"),
        (&["report", "merge", "--output", &one, &one, &two], 10, "--output would replace"),
        (&["report", "merge", "--output=", &one, &two], 2, "is the variable set?"),
        (&["report", "merge", "--output", &two, "-", "-"], 2, "two values of IN read standard input"),
    ] {
        let ran = kpromo_with(words);
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{words:?}: {}", ran.stderr);
        assert_eq!(world.desk.json("first.json"), first, "{words:?}");
    }
    // A result that is named as such, or a page, is written again.
    let (out, page) = (world.path("out.json"), world.path("out.html"));
    for _ in 0..2 {
        assert_eq!(kpromo_with(&["report", "merge", "--output", &out, &one, &two]).code, 0);
        assert_eq!(kpromo_with(&["report", "merge", &page, &one, &two]).code, 0);
    }
}
