//! The picture: a panel of bars for each section, the best on top.
//!
//! It brings its own colours for light and dark surroundings, and nothing outside the file.

use std::fmt::{self, Write};

use super::table::number;
use super::{Report, Row, Section};
use crate::workload::Workload;

const COLUMNS: usize = 2;
/// All lengths are in pixels of the picture at its natural size.
const PANEL_WIDTH: usize = 440;
const GAP: usize = 24;
const HEAD_HEIGHT: usize = 44;
const ROW_HEIGHT: usize = 20;
const BAR_HEIGHT: usize = 12;
/// Where bars begin, behind the names.
const NAMES_WIDTH: usize = 110;
const LONGEST_BAR: f64 = 240.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}\
.head{font-weight:600;font-size:13px}.note{fill:#59636e}\
.bare{fill:#b6bec7}.peer{fill:#6c8ebf}.rakt{fill:#d9480f}.own{font-weight:600}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1}\
.bare{fill:#4b535d}.peer{fill:#5679ad}.rakt{fill:#ff8540}}";

impl Report {
    /// The medians as bars.
    pub(crate) fn svg(&self) -> String {
        let panels: Vec<Panel> = self.sections.iter().filter_map(Panel::of).collect();
        let mut out = String::new();
        draw(&mut out, &panels).expect("a String takes all that is written");
        out
    }
}

/// One section, ready to be drawn.
struct Panel<'a> {
    head: String,
    note: String,
    /// Name and value, the best first.
    bars: Vec<(&'a str, f64)>,
}

impl<'a> Panel<'a> {
    /// `None` where nobody has figures.
    fn of(section: &'a Section) -> Option<Self> {
        let (figure, more_is_better) =
            section.rows.iter().find_map(|row| headline(section.workload, row))?;
        let bar = |row: &'a Row| Some((row.contestant.as_str(), row.spread(figure)?.median));
        let mut bars: Vec<_> = section.rows.iter().filter_map(bar).collect();
        bars.sort_by(|(_, a), (_, b)| if more_is_better { b.total_cmp(a) } else { a.total_cmp(b) });
        let better = if more_is_better { "more" } else { "less" };
        let note = format!("{figure}, {better} is better");
        Some(Self { head: section.to_string(), note, bars })
    }

    fn height(&self) -> usize {
        HEAD_HEIGHT + self.bars.len() * ROW_HEIGHT
    }

    fn draw(&self, out: &mut String, x: usize, y: usize) -> fmt::Result {
        writeln!(out, r#"<g transform="translate({x} {y})">"#)?;
        writeln!(out, r#"<text class="head" y="13">{}</text>"#, escape(&self.head))?;
        writeln!(out, r#"<text class="note" y="30">{}</text>"#, escape(&self.note))?;
        let longest = self.bars.iter().map(|&(_, value)| value).fold(f64::MIN_POSITIVE, f64::max);
        for (index, &(name, value)) in self.bars.iter().enumerate() {
            let top = HEAD_HEIGHT + index * ROW_HEIGHT;
            let (bar, text) = (top - BAR_HEIGHT + 2, top + 2);
            let width = (value / longest * LONGEST_BAR).max(1.0);
            let class = class(name);
            let own = if class == "rakt" { r#" class="own""# } else { "" };
            writeln!(
                out,
                r#"<text{own} y="{text}">{}</text><rect class="{class}" x="{NAMES_WIDTH}" y="{bar}" width="{width:.1}" height="{BAR_HEIGHT}" rx="2"/><text{own} x="{:.1}" y="{text}">{}</text>"#,
                escape(name),
                NAMES_WIDTH as f64 + width + 6.0,
                escape(&number(value).replace('_', "\u{202f}")),
            )?;
        }
        writeln!(out, "</g>")
    }
}

/// The figure that a picture shows of a workload: where it has several, the one that it is about.
fn headline(workload: Workload, row: &Row) -> Option<(&str, bool)> {
    match workload {
        Workload::Mixed => row.figures().find(|(name, _)| name.starts_with("p99")),
        Workload::Spawn => row.figures().find(|(name, _)| name.starts_with("bytes")),
        _ => row.figures().next(),
    }
}

fn class(contestant: &str) -> &'static str {
    match contestant {
        "rakt" => "rakt",
        name if name.starts_with("raw") || name.starts_with("mpsc") => "bare",
        _ => "peer",
    }
}

/// Panels side by side, a line as high as its highest.
fn draw(out: &mut String, panels: &[Panel]) -> fmt::Result {
    let lines: Vec<&[Panel]> = panels.chunks(COLUMNS).collect();
    let line_height =
        |line: &[Panel]| line.iter().map(Panel::height).max().unwrap_or_default() + GAP;
    let width = COLUMNS * (PANEL_WIDTH + GAP) + GAP;
    let height = GAP + lines.iter().map(|line| line_height(line)).sum::<usize>();
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">"#
    )?;
    writeln!(out, "<title>rakt beside bare sockets, tasks and other libraries</title>")?;
    writeln!(out, "<style>{STYLE}</style>")?;
    let mut y = GAP;
    for line in lines {
        for (column, panel) in line.iter().enumerate() {
            panel.draw(out, GAP + column * (PANEL_WIDTH + GAP), y)?;
        }
        y += line_height(line);
    }
    writeln!(out, "</svg>")
}

/// As text within an element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, tests::row};
    use super::*;
    use crate::process::Pin;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("a<b>&amp;"), "a&lt;b&gt;&amp;amp;");
    }

    #[test]
    fn the_best_is_on_top_and_has_the_longest_bar() {
        let values = [("raw", 8e6), ("nats", 1e6), ("rakt", 4e6)];
        let rows = values.map(|(name, value)| row(name, &[Some(value)])).into();
        let section = Section { workload: Workload::Tell, pin: Pin::Split, workers: None, rows };
        let report = Report {
            settings: Settings { rounds: 1, scale: 1.0 },
            contenders: Vec::new(),
            sections: vec![section],
        };
        let svg = report.svg();
        let place = |needle: &str| svg.find(needle).unwrap_or_else(|| panic!("{needle}: {svg}"));
        let raw = place(r#"<rect class="bare" x="110" y="34" width="240.0""#);
        let rakt = place(r#"<rect class="rakt" x="110" y="54" width="120.0""#);
        let nats = place(r#"<rect class="peer" x="110" y="74" width="30.0""#);
        assert!(raw < rakt && rakt < nats);
        assert!(svg.contains("8\u{202f}000\u{202f}000"), "{svg}");
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }

    #[test]
    fn a_section_without_figures_is_left_out() {
        let rows = vec![row("raw", &[None])];
        assert!(
            Panel::of(&Section { workload: Workload::Tell, pin: Pin::One, workers: None, rows })
                .is_none()
        );
    }
}
