//! Severities of vulnerabilities, and the threshold from which they count. The scale is that of Container Analysis.

use std::fmt;

/// The severity of a vulnerability, numbered as in Container Analysis (`Severity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Not stated, or stated in unknown words. It reaches every threshold: see [`Threshold::is_reached_by`].
    #[default]
    Unknown,
    /// Minimal or negligible.
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All severities, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Reads a severity in the words of any supported scanner, regardless of case. Other words are [`Severity::Unknown`].
    pub fn of_words(words: &str) -> Self {
        match words.trim().to_ascii_lowercase().as_str() {
            "minimal" | "negligible" | "info" | "informational" | "none" => Self::Minimal,
            "low" => Self::Low,
            "medium" | "moderate" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => Self::Unknown,
        }
    }

    /// Returns the severity of a CVSS base score (CVSS v3.1, section 5, *Qualitative Severity Rating Scale*). A score outside of
    /// the scale is [`Severity::Unknown`].
    pub fn of_score(score: f64) -> Self {
        match score {
            score if !(0.0..=10.0).contains(&score) => Self::Unknown,
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Minimal,
        }
    }

    /// Returns the number, from 0 (unknown) to 5 (critical).
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// The severity from which a vulnerability counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(Severity);

impl Threshold {
    /// Returns the threshold with a number from 0 (every vulnerability) to 5 (critical).
    pub fn of_number(number: u8) -> Option<Self> {
        Severity::ALL.into_iter().find(|severity| severity.number() == number).map(Self)
    }

    /// Returns the threshold with a name: `any`, `minimal`, `low`, `medium`, `high` or `critical`.
    pub fn of_name(name: &str) -> Option<Self> {
        let named = |severity: &Severity| match severity {
            Severity::Unknown => name == "any",
            severity => severity.to_string() == name,
        };
        Severity::ALL.into_iter().find(named).map(Self)
    }

    /// Whether a vulnerability of this severity counts. An unknown severity may be any, so it reaches every threshold.
    pub fn is_reached_by(self, severity: Severity) -> bool {
        severity == Severity::Unknown || severity >= self.0
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Severity::Unknown => f.write_str("any"),
            severity => severity.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_match_container_analysis() {
        let numbers = Severity::ALL.map(Severity::number);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        assert_eq!((Severity::Minimal.number(), Severity::Critical.number()), (1, 5));
    }

    #[test]
    fn the_words_of_all_scanners_are_known() {
        for (words, expected) in [
            ("Negligible", Severity::Minimal),
            ("MINIMAL", Severity::Minimal),
            ("info", Severity::Minimal),
            ("Low", Severity::Low),
            ("MEDIUM", Severity::Medium),
            ("Moderate", Severity::Medium),
            (" high ", Severity::High),
            ("Important", Severity::High),
            ("CRITICAL", Severity::Critical),
            ("UNKNOWN", Severity::Unknown),
            ("SEVERITY_UNSPECIFIED", Severity::Unknown),
            ("", Severity::Unknown),
            ("catastrophic", Severity::Unknown),
        ] {
            assert_eq!(Severity::of_words(words), expected, "{words}");
        }
    }

    #[test]
    fn scores_have_the_severities_that_cvss_defines() {
        for (score, expected) in [
            (0.0, Severity::Minimal),
            (0.1, Severity::Low),
            (3.9, Severity::Low),
            (4.0, Severity::Medium),
            (7.0, Severity::High),
            (9.0, Severity::Critical),
            (10.0, Severity::Critical),
            (10.1, Severity::Unknown),
            (-1.0, Severity::Unknown),
            (f64::NAN, Severity::Unknown),
        ] {
            assert_eq!(Severity::of_score(score), expected, "{score}");
        }
    }

    #[test]
    fn an_unknown_severity_reaches_every_threshold() {
        for number in 0..=5 {
            let threshold = Threshold::of_number(number).unwrap();
            for severity in Severity::ALL {
                let expected = severity == Severity::Unknown || severity.number() >= number;
                assert_eq!(threshold.is_reached_by(severity), expected, "{severity} {threshold}");
            }
            assert_eq!(Threshold::of_name(&threshold.to_string()), Some(threshold));
        }
        assert_eq!((Threshold::of_number(6), Threshold::of_name("High")), (None, None));
        assert_eq!(Threshold::of_name("unknown"), None);
    }
}
