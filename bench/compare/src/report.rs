//! The table and the JSON file.

use std::fmt;

use serde::Serialize;

use crate::contestant;
use crate::stats::Spread;
use crate::workload::{Measured, Workload};

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) settings: Settings,
    pub(crate) rows: Vec<Row>,
}

#[derive(Serialize)]
pub(crate) struct Settings {
    pub(crate) pin: &'static str,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
}

/// One workload as one contestant did it.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) contestant: String,
    pub(crate) rounds: Vec<Measured>,
    /// Why a round gave no figures.
    pub(crate) failures: Vec<String>,
}

impl Row {
    pub(crate) fn new(workload: Workload, contestant: &str) -> Self {
        let contestant = contestant.to_owned();
        Self { workload, contestant, rounds: Vec::new(), failures: Vec::new() }
    }

    /// The names of the figures, and whether more is better.
    fn figures(&self) -> impl Iterator<Item = (&str, bool)> {
        let figures = self.rounds.first().into_iter().flat_map(|measured| &measured.figures);
        figures.map(|figure| (figure.name.as_str(), figure.more_is_better))
    }

    fn spread(&self, figure: &str) -> Option<Spread> {
        let figures = self.rounds.iter().flat_map(|measured| &measured.figures);
        Spread::of(figures.filter(|f| f.name == figure).map(|f| f.value))
    }

    fn median(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        Spread::of(self.rounds.iter().map(value)).map_or(f64::NAN, |spread| spread.median)
    }
}

impl Report {
    /// Whether every round gave figures.
    pub(crate) fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.failures.is_empty())
    }

    /// The row that `row` is compared with.
    fn baseline(&self, row: &Row) -> Option<&Row> {
        let name = contestant::ALL.first()?.name;
        self.rows.iter().find(|other| other.workload == row.workload && other.contestant == name)
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
        for (index, (figure, more_is_better)) in row.figures().enumerate() {
            let Some(spread) = row.spread(figure) else { continue };
            let baseline = self.baseline(row).and_then(|baseline| baseline.spread(figure));
            let ratio = baseline.map_or("-".to_owned(), |baseline| {
                format!("{:.2}", spread.median / baseline.median)
            });
            write!(
                f,
                "{:<9}{:<14}{:<13}{:>12}{:>26}{:>9} {}",
                row.workload.name(),
                row.contestant,
                figure,
                number(spread.median),
                format!("{} .. {}", number(spread.min), number(spread.max)),
                ratio,
                if more_is_better { '+' } else { '-' },
            )?;
            if index == 0 {
                let (client, server) =
                    (row.median(|m| m.client_cpu_seconds), row.median(|m| m.server_cpu_seconds));
                let each = row.median(|m| {
                    (m.client_cpu_seconds + m.server_cpu_seconds) * 1e6 / m.count as f64
                });
                write!(f, "{client:>9.2}{server:>9.2}{each:>11.2}")?;
            }
            writeln!(f)?;
        }
        if !row.failures.is_empty() {
            writeln!(
                f,
                "{:<9}{:<14}{} of {} rounds failed: {}",
                row.workload.name(),
                row.contestant,
                row.failures.len(),
                row.failures.len() + row.rounds.len(),
                row.failures.last().map_or("", String::as_str),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { pin, rounds, scale } = &self.settings;
        writeln!(f, "pin {pin}, {rounds} rounds, scale {scale}: medians")?;
        writeln!(
            f,
            "{:<9}{:<14}{:<13}{:>12}{:>26}{:>9}  {:>9}{:>9}{:>11}",
            "workload",
            "contestant",
            "figure",
            "median",
            "min .. max",
            "x raw",
            "client s",
            "server s",
            "cpu µs/msg",
        )?;
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 && self.rows[index - 1].workload != row.workload {
                writeln!(f)?;
            }
            self.write_row(f, row)?;
        }
        writeln!(f, "x raw: + more is better, - less is better; s: CPU seconds of each process")
    }
}

/// A number with as many decimals as it deserves, and its thousands apart.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(2.345678), "2.35");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(1_234_567.8), "1_234_568");
    }
}
