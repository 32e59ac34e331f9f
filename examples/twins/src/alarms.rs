//! The node that hears of alarms, of each once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rakt::prelude::*;

use crate::journal::Journal;
use crate::messages::{Alarm, ListAlarms};

pub(crate) const SYSTEM: &str = "alarms";
pub(crate) const ACTOR: &str = "alarms";

/// Keeps alarms. A twin that does not know whether it was heard tells again, so they are told apart by their numbers.
struct Alarms {
    path: PathBuf,
    journal: Option<Journal<Alarm>>,
    known: BTreeSet<(String, u64)>,
    all: Vec<Alarm>,
}

impl Actor for Alarms {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Alarm>().remote::<ListAlarms>();
    }

    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        let (journal, all) = Journal::open(&self.path)?;
        self.known = all.iter().map(key).collect();
        (self.journal, self.all) = (Some(journal), all);
        Ok(())
    }
}

fn key(alarm: &Alarm) -> (String, u64) {
    (alarm.device.clone(), alarm.number)
}

impl Handler<Alarm> for Alarms {
    async fn handle(&mut self, alarm: Alarm, _: &mut Context<Self>) -> Result {
        if !self.known.contains(&key(&alarm)) {
            self.journal.as_mut().ok_or("the journal is opened at the start")?.append(&alarm)?;
            println!("{} has {} degrees", alarm.device, alarm.celsius);
            self.known.insert(key(&alarm));
            self.all.push(alarm);
        }
        Ok(())
    }
}

impl Handler<ListAlarms> for Alarms {
    async fn handle(&mut self, _: ListAlarms, _: &mut Context<Self>) -> Result<Vec<Alarm>> {
        Ok(self.all.clone())
    }
}

pub(crate) async fn run(port: u16, journal: &str) -> Result {
    let config = remote::Config::new("127.0.0.1", port);
    let system = ActorSystem::builder(SYSTEM).remoting(config).start().await?;
    let path = PathBuf::from(journal);
    let alarms = move || Alarms {
        path: path.clone(),
        journal: None,
        known: BTreeSet::new(),
        all: Vec::new(),
    };
    system.spawn(ACTOR, alarms).await?;
    crate::listening(system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}
