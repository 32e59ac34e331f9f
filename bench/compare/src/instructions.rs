//! What a message costs in instructions, of client and server.
//!
//! Each contestant does a workload twice, with a different number of messages. What starting and ending
//! costs is in both runs, and cancels out in the difference.

use std::process::ExitCode;

use crate::Result;
use crate::args::{CompareArgs, Pins};
use crate::callgrind;
use crate::child::{Instructions, Running, Starter};
use crate::contestant::{self, Contestant};
use crate::process::Pin;
use crate::report::number;
use crate::workload::{Workload, warm_up};

/// Prints a table for each workload, a row at a time.
pub(crate) async fn run(args: &CompareArgs) -> Result<ExitCode> {
    callgrind::check()?;
    let pin = match args.pins {
        Pins::Both => Pin::None,
        Pins::Only(pin) => pin,
    };
    let how = Running { pin, workers: Some(1), limit: args.limit };
    let (mut outcome, mut elsewhere) = (ExitCode::SUCCESS, Vec::new());
    println!("user-space instructions a message, by callgrind; one worker in each process");
    for (workload, counts) in args.workloads.iter().filter_map(|w| Some((*w, w.counted()?))) {
        let [shorter, longer] = counts.map(|count| (count as f64 * args.scale) as u64);
        println!("\n{}, {longer} messages less {shorter}", workload.name());
        println!("{}", line("contestant", ["client", "server", "both"].map(str::to_owned)));
        let named = |c: &&Contestant| args.only.iter().any(|name| name == c.name);
        for contestant in contestant::all().filter(named) {
            if !contestant.workloads.contains(&workload) {
                continue;
            }
            match cost(contestant, workload, [shorter, longer], how).await {
                Ok(Some(cost)) => println!("{}", cost.line(contestant.name)),
                Ok(None) if elsewhere.contains(&contestant.name) => {}
                Ok(None) => elsewhere.push(contestant.name),
                Err(error) => {
                    println!("  {:<16}not counted: {error}", contestant.name);
                    outcome = ExitCode::FAILURE;
                }
            }
        }
    }
    if !elsewhere.is_empty() {
        println!("\nnot counted, as a part of each is another program: {}", elsewhere.join(", "));
    }
    Ok(outcome)
}

/// `None` where a part of the contestant is another program.
async fn cost(
    contestant: &'static Contestant,
    workload: Workload,
    counts: [u64; 2],
    how: Running,
) -> Result<Option<Cost>> {
    if !contestant.is_this_program() {
        return Ok(None);
    }
    let starter = Starter::prepare(contestant)?;
    let mut runs = Vec::with_capacity(counts.len());
    for count in counts {
        let Some(instructions) = starter.instructions(workload, count, how).await? else {
            return Ok(None);
        };
        runs.push((sent(count), instructions));
    }
    match runs[..] {
        [shorter, longer] => Cost::between(shorter, longer).map(Some),
        _ => Err("there are two runs".into()),
    }
}

/// Messages of a run for which `count` is asked: the warm-up is counted as well.
fn sent(count: u64) -> u64 {
    count + warm_up(count)
}

/// Of one message.
#[derive(Debug, PartialEq)]
struct Cost {
    client: f64,
    server: Option<f64>,
}

impl Cost {
    /// What two runs differ in, each with how many messages it sent.
    fn between(shorter: (u64, Instructions), longer: (u64, Instructions)) -> Result<Self> {
        let messages = longer.0.checked_sub(shorter.0).filter(|&messages| messages > 0);
        let messages = messages.ok_or("--scale leaves no messages between the two runs")?;
        let each = |longer: u64, shorter: u64| (longer as f64 - shorter as f64) / messages as f64;
        Ok(Self {
            client: each(longer.1.client, shorter.1.client),
            server: longer.1.server.zip(shorter.1.server).map(|(l, s)| each(l, s)),
        })
    }

    fn line(&self, contestant: &str) -> String {
        let server = self.server.map_or("-".to_owned(), number);
        let both = number(self.client + self.server.unwrap_or_default());
        line(contestant, [number(self.client), server, both])
    }
}

fn line(contestant: &str, [client, server, both]: [String; 3]) -> String {
    format!("  {contestant:<16}{client:>12}{server:>12}{both:>12}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_among_the_messages_that_a_run_costs() -> Result {
        let run = |count: u64, server: Option<u64>| {
            let client = 1_000_000 + sent(count) * 300;
            (sent(count), Instructions { client, server })
        };
        let of_two =
            Cost::between(run(20_000, Some(50_000)), run(120_000, Some(50_000 + 105_000 * 20)))?;
        assert_eq!(of_two, Cost { client: 300.0, server: Some(20.0) });
        let alone = Cost::between(run(20_000, None), run(120_000, None))?;
        assert_eq!(alone, Cost { client: 300.0, server: None });
        Ok(())
    }

    #[test]
    fn runs_of_the_same_length_tell_nothing() {
        let run = (8, Instructions { client: 9, server: None });
        assert!(Cost::between(run, run).is_err());
    }

    #[test]
    fn a_line_has_both_sides_and_their_sum() {
        let words = |cost: Cost| {
            let line = cost.line("raw");
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let of_two = Cost { client: 1234.0, server: Some(766.0) };
        assert_eq!(words(of_two), ["raw", "1_234", "766", "2_000"]);
        assert_eq!(words(Cost { client: 250.0, server: None }), ["raw", "250", "-", "250"]);
    }
}
