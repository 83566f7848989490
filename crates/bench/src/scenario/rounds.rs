//! Rows to compare. They are measured in turn in several rounds, so that other load on the machine affects all of them.

use crate::record::{Run, median};

/// The runs of each row, in the order of the rounds.
pub(super) struct Rounds {
    rows: Vec<Vec<Run>>,
}

impl Rounds {
    /// Returns an empty set of rounds for this number of rows.
    pub(super) fn new(rows: usize) -> Self {
        Self { rows: vec![Vec::new(); rows] }
    }

    /// Adds a run to a row.
    pub(super) fn add(&mut self, row: usize, run: Run) {
        if let Some(runs) = self.rows.get_mut(row) {
            runs.push(run);
        }
    }

    /// Returns the median over all rounds of the wall time of one row divided by that of another in the same round.
    pub(super) fn ratio(&self, row: usize, to: usize) -> Option<f64> {
        let (runs, others) = (self.rows.get(row)?, self.rows.get(to)?);
        let mut ratios: Vec<f64> =
            runs.iter().zip(others).map(|(run, other)| run.wall_seconds / other.wall_seconds).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }

    /// Returns the run with the median wall time for each row that was measured.
    pub(super) fn medians(self) -> Vec<Run> {
        self.rows.into_iter().filter_map(median).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(walls: [&[f64]; 2]) -> Rounds {
        let mut rounds = Rounds::new(2);
        for (row, walls) in walls.into_iter().enumerate() {
            for wall_seconds in walls {
                rounds.add(row, Run { wall_seconds: *wall_seconds, ..Run::default() });
            }
        }
        rounds
    }

    #[test]
    fn times_are_compared_within_a_round() {
        // The machine was slow in the second round. The ratio of the medians would be 3.
        let rounds = rounds([&[1.0, 8.0, 1.0], &[2.0, 16.0, 3.0]]);
        assert_eq!(rounds.ratio(1, 0), Some(2.0));
        let walls: Vec<f64> = rounds.medians().iter().map(|run| run.wall_seconds).collect();
        assert_eq!(walls, [1.0, 3.0]);
    }

    #[test]
    fn rows_that_were_not_measured_are_left_out() {
        let rounds = rounds([&[1.0], &[]]);
        assert_eq!(rounds.ratio(1, 0), None);
        assert_eq!(rounds.medians().len(), 1);
    }
}
