//! kpromo's own counts, from its report.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// The counts of all hosts together in a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    pub(crate) requests: u64,
    /// Requests refused because of a rate limit.
    pub(crate) refused: u64,
    /// Requests answered with another 5xx.
    pub(crate) faults: u64,
    /// Requests without a response.
    pub(crate) unanswered: u64,
    /// Requests sent because an earlier one had failed.
    pub(crate) retried: u64,
}

impl Account {
    /// Reads a report. Returns `None` if there is none.
    pub(crate) fn read(report: &Path) -> Option<Self> {
        Some(Self::of(&serde_json::from_slice(&std::fs::read(report).ok()?).ok()?))
    }

    fn of(report: &Value) -> Self {
        let hosts = || report["registries"].as_object().into_iter().flat_map(serde_json::Map::values);
        let sum = |field: &str| hosts().filter_map(|host| host[field].as_u64()).sum();
        let kinds = hosts().filter_map(|host| host["requests"].as_object()).flat_map(serde_json::Map::values);
        Self {
            requests: kinds.filter_map(Value::as_u64).sum(),
            refused: sum("refused"),
            faults: sum("faults"),
            unanswered: sum("unanswered"),
            retried: sum("retried"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_of_all_hosts_are_added_up() {
        let host = json!({ "requests": { "tags": 2, "blob": 3 }, "refused": 1, "faults": 4, "unanswered": 5, "retried": 6 });
        let report = json!({ "registries": { "a": host, "b": host } });
        let expected = Account { requests: 10, refused: 2, faults: 8, unanswered: 10, retried: 12 };
        assert_eq!(Account::of(&report), expected);
    }
}
