//! The node with the twins: one for each device that has said something lately.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rakt::OrDecline;
use rakt::prelude::*;
use serde::{Deserialize, Serialize};

use crate::alarms;
use crate::journal::Journal;
use crate::messages::{Alarm, Look, Report, State};

pub(crate) const SYSTEM: &str = "twins";
pub(crate) const KIND: &str = "twin";
/// What is too hot, in degrees Celsius.
const TOO_HOT: f64 = 90.0;

/// What all twins of the node share.
struct Shared {
    store: Mutex<Store>,
    /// Whoever has the name on the alarm node, also after a restart of that.
    alarms: OnceLock<ActorRef>,
}

/// What is known of all devices, also of those whose twins are passivated.
struct Store {
    journal: Journal<Entry>,
    states: BTreeMap<String, State>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    device: String,
    state: State,
}

impl Shared {
    fn state(&self, device: &str) -> State {
        let store = self.store.lock().expect("nothing panics under the lock");
        store.states.get(device).copied().unwrap_or_default()
    }

    /// Once this returns, the state is there after a crash.
    fn keep(&self, device: &str, state: State) -> Result {
        let mut store = self.store.lock().expect("nothing panics under the lock");
        store.journal.append(&Entry { device: device.to_owned(), state })?;
        store.states.insert(device.to_owned(), state);
        Ok(())
    }
}

/// The twin of the device whose name it has.
pub(crate) struct Twin {
    shared: Arc<Shared>,
    state: State,
}

impl Actor for Twin {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Report>().remote::<Look>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        self.state = self.shared.state(ctx.path());
        Ok(())
    }
}

impl Handler<Report> for Twin {
    async fn handle(&mut self, report: Report, ctx: &mut Context<Self>) -> Result<State> {
        let Report { number, celsius } = report;
        // One that has been taken before is repeated as its reply was lost.
        if number > self.state.number {
            if celsius >= TOO_HOT && self.state.celsius < TOO_HOT {
                let alarm = Alarm { device: ctx.path().to_owned(), number, celsius };
                let alarms =
                    self.shared.alarms.get().ok_or("it is set before requests are taken")?;
                // Before the report is kept: after a crash between the two it is repeated, and this as well. Where
                // nobody hears of the alarm, the report is not taken, and that is no fault of the twin.
                ctx.ask(alarms, alarm).await.or_decline()?;
            }
            let state = State { number, celsius, count: self.state.count + 1 };
            self.shared.keep(ctx.path(), state)?;
            self.state = state;
        }
        Ok(self.state)
    }
}

impl Handler<Look> for Twin {
    async fn handle(&mut self, _: Look, _: &mut Context<Self>) -> Result<State> {
        Ok(self.state)
    }
}

pub(crate) async fn run(port: u16, alarms_port: u16, journal: &str, idle: Duration) -> Result {
    let (journal, entries) = Journal::<Entry>::open(Path::new(journal))?;
    let states = entries.into_iter().map(|entry| (entry.device, entry.state)).collect();
    let store = Mutex::new(Store { journal, states });
    let shared = Arc::new(Shared { store, alarms: OnceLock::new() });
    let of_twins = shared.clone();
    let twin = Kind::new(move || Twin { shared: of_twins.clone(), state: State::default() });
    let system = ActorSystem::builder(SYSTEM)
        .register(KIND, twin.passivate_after(idle))
        .remoting(remote::Config::new("127.0.0.1", port))
        .start()
        .await?;
    let alarms = Address::new(alarms::ACTOR, alarms::SYSTEM, "127.0.0.1", alarms_port)?;
    shared.alarms.get_or_init(|| system.actor(&alarms));
    crate::listening(system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}
