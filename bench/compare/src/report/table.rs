//! The table.

use std::fmt;

use super::{Contender, Report, Row, Section};
use crate::workload::Workload;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.settings.rounds;
        writeln!(f, "medians of {rounds} rounds, scale {}", self.settings.scale)?;
        for section in &self.sections {
            writeln!(f, "\n{section}")?;
            write_section(f, section)?;
        }
        writeln!(f, "\n{HOW_TO_READ}\n")?;
        let (run, not_run): (Vec<_>, Vec<_>) =
            self.contenders.iter().partition(|contender| contender.not_run.is_none());
        for Contender { name, marks, .. } in run {
            writeln!(f, "{name:<16}{marks}")?;
        }
        for Contender { name, not_run, .. } in not_run {
            writeln!(f, "{name:<16}not run: {}", not_run.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

const HOW_TO_READ: &str = "\
x floor: times raw, or mpsc in one process, of the same round; + more is better, - less is better
x shape: the same against raw-mux (ask-64) or raw-channel (tell, fan, bulk)
s: CPU seconds; MiB: the most that was ever resident";

fn write_section(f: &mut fmt::Formatter<'_>, section: &Section) -> fmt::Result {
    writeln!(
        f,
        "  {:<16}{:<13}{:>12}{:>26}{:>10}  {:>8}{:>10}{:>10}{:>12}{:>12}{:>12}",
        "contestant",
        "figure",
        "median",
        "min .. max",
        "x floor",
        "x shape",
        "client s",
        "server s",
        "cpu µs/msg",
        "client MiB",
        "server MiB",
    )?;
    section.rows.iter().try_for_each(|row| write_row(f, section, row))
}

fn write_row(f: &mut fmt::Formatter<'_>, section: &Section, row: &Row) -> fmt::Result {
    for (index, (figure, more_is_better)) in row.figures().enumerate() {
        let Some(spread) = row.spread(figure) else { continue };
        let ratio = |base: Option<&Row>| {
            let ratio = base.and_then(|base| row.ratio(base, figure));
            ratio.map_or("".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let line = format!(
            "{:<16}{figure:<13}{:>12}{:>26}{:>10} {}{:>8}",
            if index == 0 { &row.contestant } else { "" },
            number(spread.median),
            format!("{} .. {}", number(spread.min), number(spread.max)),
            ratio(section.floor()),
            if more_is_better { '+' } else { '-' },
            ratio(section.shape()),
        );
        let rest = if index == 0 { costs(row, section.workload) } else { String::new() };
        writeln!(f, "  {}", format!("{line}{rest}").trim_end())?;
    }
    if let Some(last) = row.failures.last() {
        let (failed, rounds) = (row.failures.len(), row.rounds.len());
        writeln!(f, "  {:<16}{failed} of {rounds} rounds failed: {last}", row.contestant)?;
    }
    Ok(())
}

/// CPU time and memory. A local workload has no server; and with `mixed` the asks are few, and most of
/// the time goes into the bulk beside them.
fn costs(row: &Row, workload: Workload) -> String {
    let shown = |is_shown: bool, value: f64| if is_shown { number(value) } else { "-".to_owned() };
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let each = row.median(|measured| {
        let cpu = measured.client_cpu_seconds + measured.server_cpu_seconds;
        cpu * 1e6 / measured.count as f64
    });
    let server = |value: f64| shown(!workload.is_local(), value);
    format!(
        "{:>10}{:>10}{:>12}{:>12}{:>12}",
        number(row.median(|measured| measured.client_cpu_seconds)),
        server(row.median(|measured| measured.server_cpu_seconds)),
        shown(workload != Workload::Mixed, each),
        number(row.median(|measured| mebibytes(measured.client_peak_bytes))),
        server(row.median(|measured| mebibytes(measured.server_peak_bytes))),
    )
}

/// A number with as many decimals as it deserves, and its thousands apart.
pub(crate) fn number(value: f64) -> String {
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
    use super::super::{Settings, tests::row};
    use super::*;
    use crate::process::Pin;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(2.345678), "2.35");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(1_234_567.8), "1_234_568");
    }

    #[test]
    fn a_table_tells_ratios_costs_marks_and_who_did_not_run() {
        let contender = |name, not_run: Option<&str>| Contender {
            name: String::from(name),
            about: String::new(),
            marks: "acked".to_owned(),
            not_run: not_run.map(str::to_owned),
        };
        let mut failing = row("rakt", &[Some(500.0), None]);
        failing.failures.push("it was late".to_owned());
        let rows = vec![row("raw", &[Some(1000.0), Some(2000.0)]), failing];
        let report = Report {
            settings: Settings { rounds: 2, scale: 1.0 },
            contenders: vec![contender("raw", None), contender("nats", Some("no nats-server"))],
            sections: vec![Section {
                workload: Workload::Tell,
                pin: Pin::Split,
                workers: None,
                rows,
            }],
        };
        let table = report.to_string();
        assert!(!report.is_complete());
        let words: Vec<&str> = table
            .lines()
            .find(|line| line.contains("rakt") && line.contains("messages/s"))
            .expect("a line for rakt")
            .split_whitespace()
            .collect();
        assert_eq!(
            words,
            [
                "rakt",
                "messages/s",
                "500",
                "500",
                "..",
                "500",
                "0.50",
                "+",
                "0.25",
                "0.75",
                "1_000",
                "3.00",
                "5.00"
            ]
        );
        for line in ["rakt            1 of 2 rounds failed: it was late", "raw             acked"] {
            assert!(table.contains(line), "{table}");
        }
        assert!(table.contains("nats            not run: no nats-server"), "{table}");
    }
}
