//! What is varied, and what is measured at each step.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rakt::remote::{Client, ClientConfig};

use crate::Result;
use crate::node::{Node, SERVE, SERVE_BARE, Target};
use crate::work::{Crowd, asks, tells};

/// Tasks that send where it is not they that are varied.
const SENDERS: usize = 16;
/// Messages and asks of a step, at scale 1.
const TELLS: usize = 1_000_000;
const ASKS: usize = 100_000;
/// The same of one asker beside what only rests.
const LONE_ASKS: usize = 10_000;
/// Who rests is not to be cut off.
const LONG: Duration = Duration::from_secs(3600);

/// What there is more and more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Actors that 16 tasks tell and ask in turn, over one client.
    Actors,
    /// Tasks that tell and ask one actor, over one client.
    Senders,
    /// Clients with a task and an actor each.
    Links,
    /// Sockets with a task each, without rakt: asks alone.
    BareLinks,
    /// Actors that rest, beside one asker.
    IdleActors,
    /// Clients that rest, beside one asker.
    IdleLinks,
}

/// What came of a step: medians.
pub(crate) struct Point {
    pub(crate) sweep: Sweep,
    pub(crate) many: usize,
    /// A second; where that is measured.
    pub(crate) tells: Option<f64>,
    pub(crate) asks: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// What each of those that rest takes at the node, in bytes of resident memory.
    pub(crate) each: Option<f64>,
}

impl Sweep {
    pub(crate) const ALL: [Self; 6] = [
        Self::Actors,
        Self::Senders,
        Self::Links,
        Self::BareLinks,
        Self::IdleActors,
        Self::IdleLinks,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::Senders => "senders",
            Self::Links => "links",
            Self::BareLinks => "bare-links",
            Self::IdleActors => "idle-actors",
            Self::IdleLinks => "idle-links",
        }
    }

    pub(crate) fn steps(self) -> &'static [usize] {
        match self {
            Self::Actors | Self::Senders | Self::Links | Self::BareLinks => &[1, 10, 100, 1_000],
            Self::IdleActors => &[1_000, 10_000, 100_000, 1_000_000],
            // 20,000 is what many systems allow a process.
            Self::IdleLinks => &[1, 10, 100, 1_000, 9_000],
        }
    }

    /// One step: a node of its own for each round.
    pub(crate) async fn measure(self, many: usize, rounds: usize, scale: f64) -> Result<Point> {
        let mut points = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            points.push(self.once(many, scale).await?);
        }
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let of = |value: fn(&Point) -> f64| middle(points.iter().map(value).collect());
        let time = |value: fn(&Point) -> Duration| {
            Duration::from_secs_f64(middle(
                points.iter().map(value).map(|t| t.as_secs_f64()).collect(),
            ))
        };
        let first = &points[0];
        Ok(Point {
            sweep: self,
            many,
            tells: first.tells.map(|_| of(|point| point.tells.unwrap_or_default())),
            asks: of(|point| point.asks),
            p50: time(|point| point.p50),
            p99: time(|point| point.p99),
            each: first.each.map(|_| of(|point| point.each.unwrap_or_default())),
        })
    }

    async fn once(self, many: usize, scale: f64) -> Result<Point> {
        let node = Node::start(match self {
            Self::BareLinks => SERVE_BARE,
            _ => SERVE,
        })?;
        let client = client()?;
        let scaled = |count: usize| ((count as f64 * scale) as usize).max(1);
        let mut resting = Vec::new();
        let mut each = None;
        let crowd = match self {
            Self::Actors => {
                let actors =
                    (0..many).map(|n| node.target(&client, n)).collect::<Result<Vec<_>>>()?;
                // Each sender begins elsewhere, or all would be at the same actor.
                let turned = |sender: usize| {
                    let mut turned = actors.clone();
                    turned.rotate_left(sender * many / SENDERS);
                    turned
                };
                Crowd { senders: (0..SENDERS).map(turned).collect(), actors }
            }
            Self::Senders => {
                let actor = node.target(&client, 0)?;
                Crowd { senders: vec![vec![actor.clone()]; many], actors: vec![actor] }
            }
            Self::Links => {
                let mut actors: Vec<Target> = Vec::new();
                for n in 0..many {
                    let client = self::client()?;
                    actors.push(node.target(&client, n)?);
                    resting.push(client);
                }
                Crowd { senders: actors.iter().cloned().map(|actor| vec![actor]).collect(), actors }
            }
            Self::BareLinks => {
                let mut links = Vec::new();
                for _ in 0..many {
                    links.push(node.bare().await?);
                }
                let senders = links.iter().cloned().map(|link| vec![link]).collect();
                Crowd { senders, actors: links }
            }
            Self::IdleActors | Self::IdleLinks => {
                let actor = node.target(&client, 0)?;
                Crowd { senders: vec![vec![actor.clone()]], actors: vec![actor] }
            }
        };
        // Connections are there, caches and windows have opened.
        asks(&crowd, scaled(ASKS) / 20).await?;
        match self {
            Self::IdleActors => {
                let before = node.grow(&client, 0).await?;
                let after = node.grow(&client, many).await?;
                each = Some(after.saturating_sub(before) as f64 / many as f64);
            }
            Self::IdleLinks => {
                let before = node.grow(&client, 0).await?;
                for _ in 0..many {
                    let peer = self::client()?;
                    node.target(&peer, 0)?.ask(bytes::Bytes::new()).await?;
                    resting.push(peer);
                }
                let after = node.grow(&client, 0).await?;
                each = Some(after.saturating_sub(before) as f64 / many as f64);
            }
            _ => {}
        }
        let told = match each {
            None if self != Self::BareLinks => Some(tells(&crowd, scaled(TELLS)).await?),
            _ => None,
        };
        let asked = asks(&crowd, scaled(if each.is_none() { ASKS } else { LONE_ASKS })).await?;
        drop(resting);
        let (asks, p50, p99) = (asked.rate, asked.p50, asked.p99);
        Ok(Point { sweep: self, many, tells: told, asks, p50, p99, each })
    }
}

/// Whoever dials the node.
fn client() -> Result<Client> {
    Ok(Client::new("load", ClientConfig::new().idle_timeout(LONG).read_idle_timeout(LONG))?)
}

impl FromStr for Sweep {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|sweep| sweep.name() == name);
        found.ok_or_else(|| format!("there is no {name:?} to vary").into())
    }
}

impl Point {
    pub(crate) const HEAD: &str =
        "what          many      tells/s     asks/s    p50 µs    p99 µs  bytes each";
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let whole =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        write!(
            f,
            "{:<12}{:>8}{:>13}{:>11.0}{:>10.1}{:>10.1}{:>12}",
            self.sweep.name(),
            self.many,
            whole(self.tells),
            self.asks,
            micros(self.p50),
            micros(self.p99),
            whole(self.each),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sweep_is_found_by_its_name_and_has_steps_that_grow() {
        for sweep in Sweep::ALL {
            assert_eq!(sweep.name().parse::<Sweep>().ok(), Some(sweep));
            assert!(sweep.steps().is_sorted());
        }
        assert!("actor".parse::<Sweep>().is_err());
    }
}
