//! `--vuln-policy`: the gate within a promotion.

use testkit::OccurrencesFault;

use crate::scanning::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_promoted_with_a_vulnerability_at_or_above_the_threshold() {
    let world = World::new().await;
    world.scan_all();
    world.find(1, "CVE-2024-1", "HIGH", Some("1.1.2"));
    let policy = world.policy("threshold: high\n");
    for flags in [&["--confirm"][..], &[]] {
        let ran = world.ask(&[flags, &["--vuln-policy", &policy]].concat());
        assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
        let part = world.parts()[1].1;
        for text in [
            "images do not pass the vulnerability check; nothing was promoted",
            &format!("{part} (linux/arm64): 1 vulnerability reaches the threshold high"),
            "CVE-2024-1 (high) in openssl 1.1.1, fixed in 1.1.2, by Container Analysis at 127.0.0.1",
        ] {
            assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("staging/two@"), "the other image passes: {}", ran.stderr);
    }
    assert_eq!(world.writes(), 0);
    assert_eq!(world.report()["outcome"], "refused");
    assert!(world.report()["phaseSeconds"]["scan"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_pass_are_promoted_and_scanned_once_however_many_places_they_go_to() {
    let world = World::new().await;
    world.scan_all();
    world.find(1, "CVE-2024-1", "MEDIUM", Some("1.1.2"));
    let policy = world.policy("threshold: high\n");
    let ran = world.ask(&["--confirm", "--vuln-policy", &policy]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(world.writes() > 0);
    assert_eq!(world.occurrences.requests().len(), 3);
    assert!(ran.stdout.contains("scanned 2 images: 0 did not pass"), "{}", ran.stdout);
    assert_eq!(world.report()["totals"]["promoted"], 4);
    assert_eq!(world.report()["scanTotals"]["belowThreshold"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_ignores_a_vulnerability_until_it_expires() {
    let world = World::new().await;
    world.scan_all();
    world.find(2, "CVE-2024-1", "CRITICAL", Some("2"));
    let rule = |fields: &str| {
        format!("threshold: high\nignore:\n- {{ id: cve-2024-1, reason: no reach, {fields} }}\n")
    };
    for (fields, code) in [
        ("expires: 2020-01-01", 12),
        ("packages: [curl], expires: 2100-01-01", 12),
        ("packages: [openssl], expires: 2100-01-01", 0),
    ] {
        let ran = world.ask(&["--confirm", "--vuln-policy", &world.policy(&rule(fields))]);
        assert_eq!(ran.code, code, "{fields}: {}\n{}", ran.stdout, ran.stderr);
        let is_told = ran.stderr.contains("the rule that ignores cve-2024-1 expired at 2020-01-01T00:00:00Z");
        assert_eq!(is_told, fields.contains("2020"), "{}", ran.stderr);
        assert_eq!(world.writes() > 0, code == 0);
    }
    let finding = &world.report()["scanned"][1]["parts"][0]["findings"][0];
    assert_eq!(finding["status"], "ignored");
    assert_eq!(finding["why"], "ignored until 2100-01-01T00:00:00Z: no reach");
}

#[tokio::test(flavor = "multi_thread")]
async fn unscanned_images_fail_or_are_let_pass_as_the_policy_says() {
    let world = World::new().await;
    let ran = world.ask(&["--confirm", "--vuln-policy", &world.policy("threshold: high\n")]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("not scanned, which does not mean that it is clean"), "{}", ran.stderr);
    assert_eq!(world.writes(), 0);
    let policy = world.policy("threshold: high\nunscanned: warn\n");
    let ran = world.ask(&["--confirm", "--vuln-policy", &policy]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("is not scanned, which the policy allows"), "{}", ran.stderr);
    assert!(world.writes() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_promoted_if_a_scanner_does_not_tell() {
    let world = World::new().await;
    world.scan_all();
    world.occurrences.fail_always(OccurrencesFault::Refuses(403, "denied".to_owned()));
    let policy = world.policy("threshold: critical\nunscanned: warn\n");
    let ran = world.ask(&["--confirm", "--vuln-policy", &policy]);
    assert_eq!(ran.code, 20, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("cannot determine whether images have vulnerabilities"), "{}", ran.stderr);
    assert!(ran.stderr.contains("occurrences.viewer"), "{}", ran.stderr);
    assert_eq!(world.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoted_images_are_not_signed_unless_they_pass() {
    let world = World::new().await;
    assert_eq!(world.cip(&["--confirm"]).code, 0);
    world.scan_all();
    world.find(2, "CVE-2024-1", "CRITICAL", Some("2"));
    let policy = world.policy("threshold: high\n");
    let key = world.desk.key_pair().display().to_string();
    let ran = world.ask(&["--sign", "--signing-key", &key, "--confirm", "--vuln-policy", &policy]);
    assert_eq!(ran.code, 31, "{}\n{}", ran.stdout, ran.stderr);
    let refused =
        format!("prod/two@{} is neither signed nor recorded, because it did not pass", world.image.digest());
    assert!(ran.stderr.contains(&refused), "{}", ran.stderr);
    let report = world.report();
    // The index and its two platforms are signed in both places, and the image in none.
    assert_eq!((&report["totals"]["signed"], &report["totals"]["recorded"]), (&6.into(), &2.into()));
    assert_eq!(report["totals"]["unsigned"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_holds_for_a_run_that_only_scans_except_for_its_threshold() {
    let world = World::new().await;
    world.scan_all();
    world.find(0, "CVE-2024-1", "HIGH", None);
    let policy = world.policy("threshold: critical\nunfixed: count\n");
    let ran = world.ask(&["--vuln-policy", &policy, "--vuln-severity-threshold", "4"]);
    assert_eq!(ran.code, 12, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.ask(&["--vuln-policy", &policy, "--vuln-severity-threshold", "5"]).code, 0);
    assert_eq!(world.production_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_wrong_ends_with_exit_10_before_any_request() {
    let world = World::new().await;
    for (text, expected) in [
        ("threshold: high\nignored: []\n", "policy.yaml:2:"),
        ("threshold: high\nignore:\n- { id: CVE-1, expires: 2027-01-01 }\n", "policy.yaml:3:"),
        ("threshold: high\nsources: [reports]\n", "reports: cannot be read"),
        ("threshold: high\nsources: ['http://grafeas.example']\n", "plain HTTP is not allowed"),
        ("threshold: high\nvex: [none.json]\n", "none.json: cannot be read"),
        ("threshold: high\nvex: [policy.yaml]\n", "policy.yaml: "),
    ] {
        let ran = world.cip(&["--confirm", "--vuln-policy", &world.policy(text)]);
        assert_eq!(ran.code, 10, "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{text}: {}", ran.stderr);
    }
    assert_eq!((world.production_requests(), world.staging.tally().snapshot().total()), (0, 0));
}
