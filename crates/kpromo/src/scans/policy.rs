//! The vulnerability policy file (`docs/reference/vulnerabilities.md`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use manifest::policy::SignerPattern;
use serde::{Deserialize, Deserializer, de};
use trust::scan::{IgnoreRule, ScanPolicy, Threshold};

use crate::config::{InvalidConfig, read_bytes};
use crate::yaml;

/// The content of a policy file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PolicyFile {
    threshold: ThresholdName,
    #[serde(default)]
    unfixed: Unfixed,
    #[serde(default)]
    unscanned: Unscanned,
    max_age: Option<Age>,
    #[serde(default)]
    sources: Vec<SourceName>,
    #[serde(default)]
    signers: Vec<Signer>,
    #[serde(default)]
    ignore: Vec<Rule>,
    #[serde(default)]
    vex: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct ThresholdName(Threshold);

impl TryFrom<String> for ThresholdName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = Threshold::of_name(&name).map(Self);
        known.ok_or_else(|| "the threshold is any, minimal, low, medium, high or critical".to_owned())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unfixed {
    #[default]
    Ignore,
    Count,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unscanned {
    #[default]
    Fail,
    Warn,
}

/// A length of time as people write it: `168h`.
#[derive(Debug)]
struct Age(Duration);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let age: SignedDuration =
            text.parse().map_err(|_| de::Error::custom("expected a duration such as 168h"))?;
        match Duration::try_from(age) {
            Ok(age) if !age.is_zero() => Ok(Self(age)),
            _ => Err(de::Error::custom("expected a duration greater than zero")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct SourceName(String);

impl TryFrom<String> for SourceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() { Err("a source is empty".to_owned()) } else { Ok(Self(name)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Signer(SignerPattern);

impl TryFrom<String> for Signer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: manifest::policy::InvalidPattern| error.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "RuleFields")]
struct Rule(IgnoreRule);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    id: String,
    #[serde(default)]
    packages: Vec<String>,
    reason: String,
    expires: String,
}

impl TryFrom<RuleFields> for Rule {
    type Error = String;

    fn try_from(fields: RuleFields) -> Result<Self, String> {
        let RuleFields { id, packages, reason, expires } = fields;
        let expires = end(&expires)?;
        IgnoreRule::new(&id, &packages, &reason, expires).map(Self).map_err(|error| error.to_string())
    }
}

/// Reads the end of a rule: a day, at whose beginning (UTC) the rule ends, or a time.
fn end(text: &str) -> Result<Timestamp, String> {
    let day = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let end = match text.parse::<Date>() {
        // A time is also parsed as a date.
        Ok(date) if text.len() == 10 => day(date),
        _ => text.parse::<Timestamp>(),
    };
    end.map_err(|_| {
        "`expires` is a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z".to_owned()
    })
}

impl PolicyFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, InvalidConfig> {
        let text = String::from_utf8(read_bytes(path)?)
            .map_err(|_| InvalidConfig::new(path, "not UTF-8 text".to_owned()))?;
        Ok(yaml::read(path, &text)?)
    }

    pub(super) fn threshold(&self) -> Threshold {
        self.threshold.0
    }

    pub(super) fn sources(&self) -> Vec<String> {
        self.sources.iter().map(|source| source.0.clone()).collect()
    }

    pub(super) fn vex(&self) -> &[PathBuf] {
        &self.vex
    }

    /// Adds what the file states to a policy.
    pub(super) fn into_policy(self, policy: ScanPolicy) -> ScanPolicy {
        ScanPolicy {
            counts_unfixed: self.unfixed == Unfixed::Count,
            allows_unscanned: self.unscanned == Unscanned::Warn,
            max_age: self.max_age.map(|age| age.0),
            signers: self.signers.into_iter().map(|signer| signer.0).collect(),
            ignore: self.ignore.into_iter().map(|rule| rule.0).collect(),
            ..policy
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<PolicyFile, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, text).unwrap();
        let shown = directory.path().display().to_string();
        PolicyFile::read(&path).map_err(|error| error.to_string().replace(&format!("{shown}/"), ""))
    }

    #[test]
    fn the_documented_example_is_a_policy() {
        let reference = include_str!("../../../../docs/reference/vulnerabilities.md");
        let example = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let file = read(example).unwrap();
        assert_eq!((file.threshold().to_string().as_str(), file.sources().len()), ("high", 3));
        let policy = file.into_policy(ScanPolicy::new(Threshold::of_number(0).unwrap()));
        let [rule] = &policy.ignore[..] else { panic!("{policy:?}") };
        assert_eq!(
            (rule.id(), rule.expires().to_string().as_str()),
            ("CVE-2024-2961", "2027-01-31T00:00:00Z")
        );
        assert_eq!((policy.max_age, policy.signers.len()), (Some(Duration::from_secs(168 * 3600)), 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let rule = |text: &str| format!("threshold: high\nignore:\n- {text}\n");
        for (text, line, expected) in [
            ("treshold: high\n".to_owned(), 1, "treshold"),
            ("threshold: high\nunknown: 1\n".to_owned(), 2, "unknown"),
            ("threshold: high\nthreshold: low\n".to_owned(), 2, "threshold"),
            ("threshold: 4\n".to_owned(), 1, "any, minimal, low"),
            ("threshold: High\n".to_owned(), 1, "any, minimal, low"),
            ("threshold: high\nunfixed: maybe\n".to_owned(), 2, "maybe"),
            ("threshold: high\nunscanned: ignore\n".to_owned(), 2, "ignore"),
            ("threshold: high\nmaxAge: soon\n".to_owned(), 2, "168h"),
            ("threshold: high\nmaxAge: -1h\n".to_owned(), 2, "greater than zero"),
            ("threshold: high\nsigners: [x]\n".to_owned(), 2, "x"),
            (rule("{ id: CVE-1, expires: 2027-01-01 }"), 3, "the field `reason` is missing"),
            (rule("{ id: CVE-1, reason: x }"), 3, "the field `expires` is missing"),
            (rule("{ id: CVE-1, reason: ' ', expires: 2027-01-01 }"), 3, "`reason` is empty"),
            (rule("{ id: '', reason: x, expires: 2027-01-01 }"), 3, "`id` is empty"),
            (rule("{ id: CVE-1, reason: x, expires: 2027-02-30 }"), 3, "`expires` is a day"),
            (rule("{ id: CVE-1, reason: x, expires: never }"), 3, "`expires` is a day"),
            (rule("{ id: CVE-1, reason: x, expires: 2027-01-01, package: y }"), 3, "package"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with("error: "), "{text}: {error}");
            assert!(error.contains(&format!("--> policy.yaml:{line}:")), "{text}: {error}");
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(read("").unwrap_err().contains("--> policy.yaml"));
    }

    #[test]
    fn a_rule_ends_at_the_beginning_of_a_day_or_at_a_time() {
        for (text, expected) in
            [("2027-01-01", "2027-01-01T00:00:00Z"), ("2027-01-01T12:00:00+02:00", "2027-01-01T10:00:00Z")]
        {
            assert_eq!(end(text).unwrap().to_string(), expected);
        }
        for bad in ["2027-13-01", "2027-01-01T12:00:00", "1", ""] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
