//! What came of a comparison, as figures with their ratios.
//!
//! - [`table`]: for the terminal
//! - [`svg`]: as a picture

mod svg;
mod table;

pub(crate) use table::number;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contestant::Contestant;
use crate::measured::Measured;
use crate::process::Pin;
use crate::stats::Spread;
use crate::workload::Workload;

#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) settings: Settings,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) sections: Vec<Section>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
}

/// Who was to take part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) marks: String,
    /// Why it did not take part.
    pub(crate) not_run: Option<String>,
}

impl Contender {
    pub(crate) fn new(contestant: &Contestant, not_run: Option<String>) -> Self {
        let &Contestant { name, about, marks, .. } = contestant;
        Self { name: name.into(), about: about.into(), marks: marks.into(), not_run }
    }
}

/// One workload at one place, as everyone did it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) workload: Workload,
    pub(crate) pin: Pin,
    /// Threads of each runtime; `None` is as many as its process may use cores.
    pub(crate) workers: Option<usize>,
    pub(crate) rows: Vec<Row>,
}

/// The same, as one contestant did it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) contestant: String,
    /// `None` where a round gave no figures.
    pub(crate) rounds: Vec<Option<Measured>>,
    /// Why a round gave no figures.
    pub(crate) failures: Vec<String>,
}

impl Row {
    pub(crate) fn new(contestant: &str) -> Self {
        Self { contestant: contestant.to_owned(), rounds: Vec::new(), failures: Vec::new() }
    }

    fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().flatten()
    }

    /// The names of the figures, and whether more is better.
    fn figures(&self) -> impl Iterator<Item = (&str, bool)> {
        let figures = self.measured().next().into_iter().flat_map(|measured| &measured.figures);
        figures.map(|figure| (figure.name.as_str(), figure.more_is_better))
    }

    fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| value(round.as_ref(), figure)))
    }

    /// The median of how many times the figure of `base` it was, each to that of the same round.
    fn ratio(&self, base: &Self, figure: &str) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&base.rounds);
        let ratios = pairs.filter_map(|(own, base)| {
            Some(value(own.as_ref(), figure)? / value(base.as_ref(), figure)?)
        });
        Spread::of(ratios).map(|spread| spread.median)
    }

    fn median(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        Spread::of(self.measured().map(value)).map_or(f64::NAN, |spread| spread.median)
    }
}

fn value(measured: Option<&Measured>, figure: &str) -> Option<f64> {
    measured?.figures.iter().find(|f| f.name == figure).map(|f| f.value)
}

impl Section {
    fn row(&self, contestant: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contestant == contestant)
    }

    /// The row without any library: what the machine can do.
    fn floor(&self) -> Option<&Row> {
        self.row(if self.workload.is_local() { "mpsc" } else { "raw" })
    }

    /// The bare row that does all the work that a library cannot do without.
    fn shape(&self) -> Option<&Row> {
        match self.workload {
            Workload::Ask64 => self.row("raw-mux"),
            Workload::Tell | Workload::Fan | Workload::Bulk => self.row("raw-channel"),
            _ => None,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (self.pin, self.workload.is_local()) {
            (Pin::Split, false) => "a core for client and server each",
            (Pin::Split, true) => "one process on two cores",
            (Pin::One, _) => "all on one core",
            (Pin::None, _) => "not pinned",
        };
        write!(f, "{}, {place}", self.workload.name())?;
        match self.workers {
            Some(1) => write!(f, ", 1 worker"),
            Some(workers) => write!(f, ", {workers} workers"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// Keeps the sections for which `is_wanted` says so, and of these the contestants named.
    pub(crate) fn retain(&mut self, names: &[String], is_wanted: impl Fn(&Section) -> bool) {
        self.contenders.retain(|contender| names.contains(&contender.name));
        self.sections.retain(is_wanted);
        for section in &mut self.sections {
            section.rows.retain(|row| names.contains(&row.contestant));
        }
        self.sections.retain(|section| !section.rows.is_empty());
    }

    /// Whether every round gave figures.
    pub(crate) fn is_complete(&self) -> bool {
        self.sections.iter().flat_map(|s| &s.rows).all(|row| row.failures.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Figure;

    /// A row whose rounds gave these values of one figure.
    pub(super) fn row(contestant: &str, values: &[Option<f64>]) -> Row {
        let measured = |&value: &Option<f64>| {
            Some(Measured {
                count: 1000,
                seconds: 1.0,
                client_cpu_seconds: 0.25,
                server_cpu_seconds: 0.75,
                client_peak_bytes: 3 << 20,
                server_peak_bytes: 5 << 20,
                figures: vec![Figure::gain("messages/s", value?)],
            })
        };
        Row { rounds: values.iter().map(measured).collect(), ..Row::new(contestant) }
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let raw = row("raw", &[Some(10.0), Some(100.0), Some(20.0)]);
        let rakt = row("rakt", &[Some(5.0), Some(10.0), Some(10.0)]);
        // 0.5, 0.1 and 0.5; the ratio of the medians would say the same of 10 and 20 only by chance.
        assert_eq!(rakt.ratio(&raw, "messages/s"), Some(0.5));
        assert_eq!(rakt.ratio(&raw, "asks/s"), None);
    }

    #[test]
    fn a_round_that_failed_for_either_counts_for_neither() {
        let raw = row("raw", &[None, Some(8.0), Some(1.0)]);
        let rakt = row("rakt", &[Some(1.0), Some(2.0), None]);
        assert_eq!(rakt.ratio(&raw, "messages/s"), Some(0.25));
    }

    #[test]
    fn a_workload_is_compared_with_the_bare_row_of_its_kind() {
        let rows = || ["raw", "raw-mux", "raw-channel", "mpsc"].map(|name| row(name, &[])).into();
        let names = |workload| {
            let section = Section { workload, pin: Pin::Split, workers: None, rows: rows() };
            let name = |row: Option<&Row>| row.map(|row| row.contestant.clone());
            (name(section.floor()), name(section.shape()))
        };
        let expected =
            |floor: &str, shape: Option<&str>| (Some(floor.to_owned()), shape.map(str::to_owned));
        assert_eq!(names(Workload::Ask1), expected("raw", None));
        assert_eq!(names(Workload::Ask64), expected("raw", Some("raw-mux")));
        assert_eq!(names(Workload::Fan), expected("raw", Some("raw-channel")));
        assert_eq!(names(Workload::Spawn), expected("mpsc", None));
    }

    #[test]
    fn a_report_reads_back_from_json_and_a_part_of_it_can_be_kept() {
        let section = |workload, names: [&str; 2]| {
            let rows = names.map(|name| row(name, &[Some(8.0), None])).into();
            Section { workload, pin: Pin::Split, workers: Some(2), rows }
        };
        let report = Report {
            settings: Settings { rounds: 2, scale: 0.5 },
            contenders: ["raw", "rakt", "nats"]
                .map(|name| Contender {
                    name: name.to_owned(),
                    about: String::new(),
                    marks: "acked".to_owned(),
                    not_run: None,
                })
                .into(),
            sections: vec![
                section(Workload::Tell, ["raw", "rakt"]),
                section(Workload::Bulk, ["raw", "nats"]),
                section(Workload::Fan, ["raw", "rakt"]),
            ],
        };
        let json = serde_json::to_string(&report).expect("it is written");
        let mut read: Report = serde_json::from_str(&json).expect("it is read");
        assert_eq!(read.to_string(), report.to_string());
        read.retain(&["rakt".to_owned()], |section| section.workload != Workload::Fan);
        let kept = read.sections.iter().map(|s| (s.workload, s.rows.len()));
        assert_eq!(kept.collect::<Vec<_>>(), [(Workload::Tell, 1)]);
        assert_eq!(read.contenders.len(), 1);
    }

    #[test]
    fn a_section_that_says_nothing_of_workers_reads_as_one_with_the_default() {
        let json = r#"{"workload": "ask-1", "pin": "one", "rows": []}"#;
        let section: Section = serde_json::from_str(json).expect("it is read");
        assert_eq!(section.workers, None);
        assert_eq!(section.to_string(), "ask-1, all on one core");
    }
}
