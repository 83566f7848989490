//! Tests of the flags of `kpromo cip`.

use promote::Recheck;

use super::super::{Cli, Command, LogLevel};
use super::*;

/// What a command line asks for.
pub(in super::super) fn cip(flags: &str) -> Result<CipArgs, String> {
    let words = ["kpromo", "cip"].into_iter().chain(flags.split_whitespace());
    let (cli, _) = Cli::read(words).map_err(|error| error.to_string())?;
    let Command::Cip(flags) = cli.command else { panic!("cip was asked for") };
    assert_eq!(flags.snapshot()?, None);
    flags.resolve()
}

#[test]
fn booleans_are_written_as_in_go_and_swallow_no_word() {
    for (flags, expected) in [
        ("--confirm", true),
        ("--confirm=true", true),
        ("--confirm=T", true),
        ("--confirm=0", false),
        ("", false),
    ] {
        assert_eq!(cip(&format!("{flags} --manifest m.yaml")).unwrap().confirm, expected, "{flags}");
    }
    assert!(cip("--confirm true --manifest m.yaml").is_err(), "a bare word is not the value of a boolean");
    for flag in ["--confirm=yes", "--confirm="] {
        assert!(cip(&format!("{flag} --manifest m.yaml")).is_err(), "{flag} confirms nothing");
    }
}

#[test]
fn values_follow_a_space_or_an_equals_sign_and_the_last_one_counts() {
    assert_eq!(
        cip("--manifest=a.yaml --manifest b.yaml").unwrap().manifests,
        ManifestSource::Plain("b.yaml".into())
    );
    let args = cip("--thin-manifest-dir d --manifest-diff-since=yesterday --sign=false").unwrap();
    assert_eq!((args.limit, args.signing), (Limit::Since("yesterday".to_owned()), None));
}

#[test]
fn a_threshold_only_scans_and_signs_nothing() {
    let args =
        cip("--manifest m.yaml --vuln-severity-threshold 4 --vuln-source google --vuln-source reports");
    let args = args.unwrap();
    assert_eq!(args.vulnerabilities.only_scan.unwrap().to_string(), "high");
    assert_eq!((args.vulnerabilities.sources, args.signing), (vec!["google".into(), "reports".into()], None));
    for (flags, expected) in [
        ("--vuln-severity-threshold 6", "from -1 (off) to 5"),
        ("--vuln-severity-threshold=-2", "from -1 (off) to 5"),
        ("--vuln-unfixed", "--vuln-unfixed needs"),
        ("--allow-unscanned --vuln-policy=", "--allow-unscanned needs"),
        ("--vuln-source google", "--vuln-source needs"),
        ("--vuln-severity-threshold 0 --output-plan p", "only scans"),
    ] {
        let error = cip(&format!("--manifest m.yaml {flags}")).unwrap_err();
        assert!(error.contains(expected), "{flags}: {error}");
    }
    let off = cip("--manifest m.yaml --vuln-severity-threshold -1 --vuln-unfixed=false").unwrap();
    assert_eq!(off.vulnerabilities, VulnArgs::default());
}

#[test]
fn what_asks_for_nothing_is_taken() {
    assert!(cip("--manifest m.yaml --sign=false --vuln-severity-threshold=-1 --max-image-size 10").is_ok());
    for nothing in ["--minimal-snapshot=false", "--snapshot=", "--snapshot-tag="] {
        assert!(cip(&format!("--manifest m.yaml {nothing}")).is_ok(), "{nothing}");
    }
}

#[test]
fn global_flags_stand_before_or_after_the_command_and_the_last_one_counts() {
    for line in [
        "kpromo --log-level debug --log-level error cip",
        "kpromo --log-level debug cip --log-level error",
        "kpromo cip --log-level debug --log-level=error",
    ] {
        let (cli, _) = Cli::read(line.split(' ')).unwrap();
        assert_eq!(cli.global.log_level, LogLevel::Error, "{line}");
    }
}

#[test]
fn a_terminal_that_shows_progress_and_results_has_no_log_but_warnings() {
    let level = |line: &str, is_terminal: bool| {
        let (cli, matches) = Cli::read(line.split(' ')).unwrap();
        let is_shown = is_terminal && cli.command.prints_results();
        cli.global.resolve(&matches, is_shown).unwrap().log_level
    };
    let line = "kpromo cip --manifest m.yaml";
    assert_eq!((level(line, true), level(line, false)), (LogLevel::Warning, LogLevel::Info));
    assert_eq!(level(&format!("{line} --log-level info"), true), LogLevel::Info);
    assert_eq!(level(&format!("{line} --verbose"), true), LogLevel::Debug);
    assert_eq!(
        level("kpromo manifest validate", true),
        LogLevel::Info,
        "it says in the log what it has found"
    );
}

#[test]
fn a_cache_is_looked_at_again_in_part_or_as_a_whole() {
    let recheck = |flags: &str| {
        let args = cip(&format!("--manifest m.yaml --inventory-cache c {flags}"));
        args.map(|args| args.cache.unwrap().recheck)
    };
    assert_eq!(recheck(""), Ok(Recheck::Sample(0.01)));
    assert_eq!(recheck("--inventory-cache-sample 12.5"), Ok(Recheck::Sample(0.125)));
    assert_eq!(recheck("--inventory-cache-verify"), Ok(Recheck::All));
    assert!(recheck("--inventory-cache-sample 101").is_err());
    assert!(cip("--manifest m.yaml").unwrap().cache.is_none(), "off by default");
    for alone in ["--inventory-cache-verify", "--inventory-cache-sample 5"] {
        assert!(
            cip(&format!("--manifest m.yaml {alone}")).unwrap_err().contains("inventory-cache"),
            "{alone}"
        );
    }
}

#[test]
fn the_spool_is_given_in_bytes_or_larger_units() {
    let spool = |flags: &str| cip(&format!("--manifest m.yaml {flags}")).map(|args| args.spool);
    assert_eq!(spool(""), Ok(SpoolSettings::default()));
    assert_eq!(spool("--spool-dir= --spool-limit 10GiB"), Ok(SpoolSettings::default()));
    let expected = SpoolSettings { directory: Some("d".into()), limit: 500 << 20 };
    assert_eq!(spool("--spool-dir d --spool-limit 500Mi"), Ok(expected));
    assert_eq!(spool("--spool-limit 0").unwrap().limit, 0);
    assert_eq!(spool("--spool-limit 4096").unwrap().limit, 4096);
    for wrong in ["1.5Gi", "10G", "Gi", "-1", "99999999999Ti"] {
        assert!(spool(&format!("--spool-limit={wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_timeout_is_a_time_with_its_unit() {
    for (text, seconds) in [("90s", 90), ("2h30m", 9_000), ("1m", 60)] {
        let args = cip(&format!("--manifest m.yaml --timeout {text}")).unwrap();
        assert_eq!(args.timeout, Some(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["90", "0s", "-5s", "soon"] {
        assert!(cip(&format!("--manifest m.yaml --timeout={text}")).is_err(), "{text}");
    }
}

#[test]
fn a_registry_is_late_after_thirty_seconds_or_after_the_seconds_or_the_time_that_is_given() {
    for (flag, seconds) in
        [("", 30), ("--late-after 5", 5), ("--late-after=90s", 90), ("--late-after 2m", 120)]
    {
        let args = cip(&format!("--manifest m.yaml {flag}")).unwrap();
        assert_eq!(args.late_after, Duration::from_secs(seconds), "{flag}");
    }
    for text in ["0", "0s", "-5", "soon", "", "NaN", "1e30"] {
        assert!(cip(&format!("--manifest m.yaml --late-after={text}")).is_err(), "{text}");
    }
    let of = CipArgs::of(ManifestSource::Plain("m.yaml".into()));
    assert_eq!(of.late_after, cip("--manifest m.yaml").unwrap().late_after);
}

#[test]
fn an_empty_path_is_no_path() {
    let args = cip("--manifest= --thin-manifest-dir d").unwrap();
    assert_eq!(args.manifests, ManifestSource::Thin("d".into()));
    assert!(cip("--manifest=").unwrap_err().contains("--manifest or --thin-manifest-dir is required"));
}

#[test]
fn there_is_one_configuration_under_either_name() {
    let config = |flags: &str| cip(&format!("--manifest m.yaml {flags}")).map(|args| args.config);
    assert_eq!(config(""), Ok(None));
    assert_eq!(config("--config c.yaml"), Ok(Some("c.yaml".into())));
    assert_eq!(config("--registry-config c.yaml --config="), Ok(Some("c.yaml".into())));
    assert!(config("--config a --registry-config b").unwrap_err().contains("cannot be used together"));
}

#[test]
fn a_promotion_has_one_source_of_manifests_and_one_limit() {
    assert!(cip("").unwrap_err().contains("--manifest or --thin-manifest-dir is required"));
    assert!(cip("--manifest a --thin-manifest-dir b").unwrap_err().contains("cannot be used together"));
    let limits = ["--use-prow-manifest-diff", "--manifest-diff-since x", "--diff-base HEAD"];
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let flags = format!("--manifest a {} {}", limits[one], limits[other]);
        assert!(cip(&flags).unwrap_err().contains("cannot be used together"), "{flags}");
    }
    let limit = |flags: &str| cip(&format!("--manifest a {flags}")).map(|args| args.limit);
    assert_eq!(limit("--diff-base HEAD^"), Ok(Limit::Revision("HEAD^".to_owned())));
    assert_eq!(limit("--manifest-diff-since="), Ok(Limit::None));
    assert!(limit("--diff-base=").unwrap_err().contains("is the variable set"));
}
