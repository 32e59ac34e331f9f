//! The figures side by side: medians, and the range.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Result;
use crate::contestant::Contestant;
use crate::course::{Figure, Figures};

/// A column for each contestant, a row for each figure; as Markdown.
#[derive(Default)]
pub(crate) struct Table {
    columns: BTreeMap<Contestant, BTreeMap<Figure, Vec<f64>>>,
    failures: BTreeSet<(Contestant, String)>,
}

impl Table {
    pub(crate) fn add(&mut self, contestant: Contestant, figures: Figures) {
        let column = self.columns.entry(contestant).or_default();
        for (figure, value) in figures.values {
            column.entry(figure).or_default().push(value);
        }
        self.failures.extend(figures.failures.into_iter().map(|failure| (contestant, failure)));
    }

    pub(crate) fn fail(&mut self, contestant: Contestant, error: &dyn fmt::Display) {
        self.failures.insert((contestant, error.to_string()));
    }

    /// An error where rakt could not do something. Others may not even be there.
    pub(crate) fn outcome(&self) -> Result {
        match self.failures.iter().any(|&(contestant, _)| contestant == Contestant::Rakt) {
            true => Err("rakt did not do all of it".into()),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| median (range) |")?;
        self.columns.keys().try_for_each(|contestant| write!(f, " {} |", contestant.name()))?;
        writeln!(f, "\n| --- |{}", " --- |".repeat(self.columns.len()))?;
        for figure in Figure::ALL {
            let (what, digits) = figure.says();
            write!(f, "| {what} |")?;
            for column in self.columns.values() {
                write!(f, " {} |", cell(column.get(&figure), digits))?;
            }
            writeln!(f)?;
        }
        for (contestant, failure) in &self.failures {
            writeln!(f, "\n{}: {failure}", contestant.name())?;
        }
        Ok(())
    }
}

fn cell(values: Option<&Vec<f64>>, digits: usize) -> String {
    let mut values = values.cloned().unwrap_or_default();
    values.sort_by(f64::total_cmp);
    let number = |value: &f64| grouped(*value, digits);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(middle), Some(most)) if values.len() > 1 => {
            format!("{} ({} to {})", number(middle), number(least), number(most))
        }
        (_, Some(middle), _) => number(middle),
        _ => "-".to_owned(),
    }
}

/// With a comma for each thousand.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let numbers = [(1_234_567.0, 0), (1000.0, 1), (999.9, 0), (12.345, 2), (-1234.0, 0)];
        let numbers = numbers.map(|(value, digits)| grouped(value, digits));
        assert_eq!(numbers, ["1,234,567", "1,000.0", "1,000", "12.35", "-1,234"]);
    }

    #[test]
    fn a_row_has_medians_and_what_is_missing() {
        let mut table = Table::default();
        for value in [3.0, 1.0, 2.0] {
            let values = vec![(Figure::BackAll, value)];
            table.add(Contestant::Rakt, Figures { values, failures: Vec::new() });
        }
        let failures = vec!["no".to_owned()];
        table.add(Contestant::GoAkt3, Figures { values: Vec::new(), failures });
        let text = table.to_string();
        assert!(
            text.contains("| the same, until all answer, s | 2.00 (1.00 to 3.00) | - |"),
            "{text}"
        );
        assert!(text.ends_with("\ngoakt3: no\n"), "{text}");
        assert!(table.outcome().is_ok(), "rakt has done it");
        table.fail(Contestant::Rakt, &"no");
        assert!(table.outcome().is_err());
    }
}
