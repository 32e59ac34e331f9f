//! The steps as lines: how many on a logarithmic axis, and a figure from nothing to its most.

use std::fmt::{self, Write};

use crate::sweep::{Point, Sweep};

/// All lengths are in pixels of the picture at its natural size.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 210.0;
const GAP: f64 = 24.0;
const HEAD: f64 = 44.0;
const LINES_WIDTH: f64 = 300.0;
const LINES_HEIGHT: f64 = 130.0;
const COLUMNS: usize = 2;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}\
.head{font-weight:600;font-size:13px}.note{fill:#59636e}\
path{fill:none;stroke-width:2}.axis{stroke:#b6bec7;stroke-width:1}\
.l0{stroke:#d9480f}.l1{stroke:#6c8ebf}.l2{stroke:#2f9e44}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1}.axis{stroke:#4b535d}}";

struct Panel {
    head: &'static str,
    sweeps: &'static [Sweep],
    figure: fn(&Point) -> Option<f64>,
}

const BUSY: &[Sweep] = &[Sweep::Actors, Sweep::Senders, Sweep::Links];
const IDLE: &[Sweep] = &[Sweep::IdleActors, Sweep::IdleLinks];

static PANELS: [Panel; 5] = [
    Panel { head: "tells a second", sweeps: BUSY, figure: |point| point.tells },
    Panel { head: "asks a second", sweeps: BUSY, figure: |point| Some(point.asks) },
    Panel {
        head: "p99 of these asks, µs for each asker",
        sweeps: BUSY,
        figure: |point| Some(point.p99.as_secs_f64() * 1e6 / askers(point) as f64),
    },
    Panel {
        head: "p99 of a lone ask beside them, µs",
        sweeps: IDLE,
        figure: |point| Some(point.p99.as_secs_f64() * 1e6),
    },
    Panel { head: "bytes that each takes at rest", sweeps: IDLE, figure: |point| point.each },
];

/// Asks that were under way at once, of which each waits for the others.
fn askers(point: &Point) -> usize {
    match point.sweep {
        Sweep::Actors => 16,
        Sweep::Senders | Sweep::Links | Sweep::BareLinks => point.many,
        Sweep::IdleActors | Sweep::IdleLinks => 1,
    }
}

pub(crate) fn svg(points: &[Point]) -> String {
    let mut out = String::new();
    draw(&mut out, points).expect("a String takes all that is written");
    out
}

fn draw(out: &mut String, points: &[Point]) -> fmt::Result {
    let width = GAP + COLUMNS as f64 * (WIDTH + GAP);
    let height = GAP + PANELS.len().div_ceil(COLUMNS) as f64 * (HEIGHT + GAP);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">"#
    )?;
    writeln!(out, "<style>{STYLE}</style>")?;
    for (index, panel) in PANELS.iter().enumerate() {
        let x = GAP + (index % COLUMNS) as f64 * (WIDTH + GAP);
        let y = GAP + (index / COLUMNS) as f64 * (HEIGHT + GAP);
        writeln!(out, r#"<g transform="translate({x} {y})">"#)?;
        panel.draw(out, points)?;
        writeln!(out, "</g>")?;
    }
    writeln!(out, "</svg>")
}

impl Panel {
    fn draw(&self, out: &mut String, points: &[Point]) -> fmt::Result {
        let of = |sweep: Sweep| -> Vec<(usize, f64)> {
            let own = points.iter().filter(|point| point.sweep == sweep);
            own.filter_map(|point| Some((point.many, (self.figure)(point)?))).collect()
        };
        let all: Vec<_> = self.sweeps.iter().flat_map(|&sweep| of(sweep)).collect();
        let most = all.iter().map(|&(_, value)| value).fold(f64::MIN_POSITIVE, f64::max);
        let farthest = all.iter().map(|&(many, _)| many).max().unwrap_or(1).max(10);
        let x = |many: usize| (many as f64).log10() / (farthest as f64).log10() * LINES_WIDTH;
        let y = |value: f64| HEAD + LINES_HEIGHT * (1.0 - value / most);
        writeln!(out, r#"<text class="head" y="13">{}</text>"#, self.head)?;
        writeln!(out, r#"<text class="note" y="30">up to {}</text>"#, number(most))?;
        let bottom = HEAD + LINES_HEIGHT;
        writeln!(out, r#"<path class="axis" d="M0 {HEAD}V{bottom}H{LINES_WIDTH}"/>"#)?;
        let mut tick = 1;
        while tick <= farthest {
            let text = number(tick as f64);
            writeln!(
                out,
                r#"<text class="note" x="{:.0}" y="{:.0}">{text}</text>"#,
                x(tick),
                bottom + 16.0
            )?;
            tick *= 10;
        }
        for (index, &sweep) in self.sweeps.iter().enumerate() {
            let line = of(sweep);
            let Some(&(last, value)) = line.last() else { continue };
            let path: Vec<String> = line
                .iter()
                .map(|&(many, value)| format!("{:.1} {:.1}", x(many), y(value)))
                .collect();
            writeln!(out, r#"<path class="l{index}" d="M{}"/>"#, path.join("L"))?;
            let (x, y) = (x(last) + 6.0, y(value) + 4.0);
            writeln!(out, r#"<text x="{x:.1}" y="{y:.1}">{}</text>"#, sweep.name())?;
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", (value / 1e5).round() / 10.0),
        1e3.. => format!("{} k", (value / 1e2).round() / 10.0),
        _ => format!("{}", (value * 10.0).round() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [1_234_567.0, 1_000.0, 12.34, 2.0].map(number);
        assert_eq!(numbers, ["1.2 M", "1 k", "12.3", "2"]);
    }

    #[test]
    fn a_line_has_each_step_of_its_sweep() {
        let point = |many, tells| Point {
            sweep: Sweep::Links,
            many,
            tells: Some(tells),
            asks: 1.0,
            p50: Duration::ZERO,
            p99: Duration::from_micros(many as u64),
            each: None,
        };
        let svg = svg(&[point(1, 50.0), point(10, 100.0), point(100, 75.0)]);
        // The middle one is the highest.
        assert!(svg.contains(r#"d="M0.0 109.0L150.0 44.0L300.0 76.5""#), "{svg}");
        assert!(svg.contains(">links</text>"), "{svg}");
    }
}
