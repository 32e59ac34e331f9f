//! What becomes of messages that lie in the mailbox of a grain which ends, and lives elsewhere next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rakt::cluster::MemoryRegister;
use rakt::grain::{Grain, GrainKind, GrainRef, Placement};
use rakt::prelude::*;
use rakt::{AskError, Refusal};

use crate::nodes::Common;
use crate::support::{Gate, begun, within};

/// What the grains of all nodes have handled, in order: who has sent it, and its number.
type Handled = Arc<Mutex<BTreeMap<String, Vec<(u64, u64)>>>>;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Note", reply = u64)]
struct Note {
    #[prost(uint64, tag = "1")]
    sender: u64,
    #[prost(uint64, tag = "2")]
    number: u64,
    /// The life ends with this one.
    #[prost(bool, tag = "3")]
    is_last: bool,
}

/// Has the life that handles it wait at a gate, and end.
#[derive(Message)]
struct EndAt(Gate);

struct Journal {
    handled: Handled,
    node: u64,
    /// Its lives end here where they are told to.
    ends: bool,
}

impl Actor for Journal {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>();
    }
}

impl Grain for Journal {
    const KIND: &'static str = "journal";
}

impl Handler<Note> for Journal {
    async fn handle(&mut self, note: Note, ctx: &mut Context<Self>) -> Result<u64> {
        let key = ctx.grain_id().key().to_owned();
        let mut handled = self.handled.lock().expect("not poisoned");
        handled.entry(key).or_default().push((note.sender, note.number));
        if note.is_last && self.ends {
            ctx.stop();
        }
        Ok(self.node)
    }
}

impl Handler<EndAt> for Journal {
    async fn handle(&mut self, EndAt(gate): EndAt, ctx: &mut Context<Self>) -> Result {
        gate.pass().await;
        ctx.stop();
        Ok(())
    }
}

/// Nodes of which those from the first on up to `ending` have lives end.
async fn nodes(
    (count, ending): (u64, u64),
    placement: Placement,
    handled: &Handled,
) -> Result<Vec<ActorSystem>> {
    let (common, register) = (Common::default(), MemoryRegister::default());
    let mut nodes = Vec::new();
    for node in 0..count {
        let handled = handled.clone();
        let ends = node < ending;
        let kind = GrainKind::built_by(move || Journal { handled: handled.clone(), node, ends });
        let system = ActorSystem::builder("cluster")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(common.configured(register.clone()))
            .grain(kind.placement(placement))
            .start()
            .await?;
        nodes.push(system);
    }
    Ok(nodes)
}

fn handled_of(handled: &Handled, key: &str, sender: u64) -> Vec<u64> {
    let handled = handled.lock().expect("not poisoned");
    let all = handled.get(key).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|(of, _)| *of == sender).map(|(_, number)| *number).collect()
}

/// Each of those that were accepted was handled, once and in order.
fn assert_in_order(handled: &Handled, key: &str, sender: u64, accepted: usize) {
    let numbers = handled_of(handled, key, sender);
    let at = (0..).zip(&numbers).find(|(at, number)| at != *number);
    assert_eq!((at, numbers.len()), (None, accepted), "of {sender} to {key}");
}

async fn end(nodes: &[ActorSystem]) {
    for node in nodes {
        within(node.shutdown()).await;
    }
}

/// Two nodes, on each of which a grain lives in turn, and one that lives on the first.
async fn living_here(handled: &Handled) -> Result<(Vec<ActorSystem>, GrainRef<Journal>)> {
    let nodes = nodes((2, 2), Placement::RoundRobin, handled).await?;
    for key in 0_u32.. {
        let grain = nodes[0].grain::<Journal>(key.to_string());
        let note = Note { sender: 9, number: 0, is_last: false };
        if within(grain.ask(note)).await? == 0 {
            return Ok((nodes, grain));
        }
    }
    Err("there are more keys".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_life_has_left_is_handled_on_another_node_in_order() -> Result {
    let (handled, gate) = (Handled::default(), Gate::default());
    let (nodes, grain) = living_here(&handled).await?;
    let letters = nodes[0].dead_letter_count();
    // It lives here, so all of this lies in its mailbox.
    grain.tell(EndAt(gate.clone())).await?;
    gate.entered().await;
    let note = |number| Note { sender: 1, number, is_last: false };
    // So many that they are on their way for a while.
    const TOLD: u64 = 3000;
    for told in within(grain.tell_all((0..TOLD).map(note))).await {
        told?;
    }
    let asked = grain.ask_all((TOLD..TOLD + 10).map(note));
    let mut asked = begun(asked).await;
    grain.tell(note(TOLD + 10)).await?;
    gate.open();
    within(async {
        while grain.is_active() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Behind all of that, wherever the grain is then.
    let behind = within(grain.ask(note(TOLD + 11))).await?;
    for answered in within(&mut asked).await {
        assert_eq!(answered?, behind, "the next life answers whom the last one has not");
    }
    assert_in_order(&handled, grain.key(), 1, TOLD as usize + 12);
    assert_eq!(nodes[0].dead_letter_count(), letters);
    end(&nodes).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_given_up_is_not_asked_for_elsewhere() -> Result {
    let (handled, gate) = (Handled::default(), Gate::default());
    let (nodes, grain) = living_here(&handled).await?;
    grain.tell(EndAt(gate.clone())).await?;
    gate.entered().await;
    let note = |number| Note { sender: 1, number, is_last: false };
    let given_up = begun(grain.ask(note(0))).await;
    grain.tell(note(1)).await?;
    drop(given_up);
    gate.open();
    within(grain.ask(note(2))).await?;
    assert_eq!(handled_of(&handled, grain.key(), 1), [1, 2]);
    end(&nodes).await;
    Ok(())
}

/// A message that only this process knows cannot go to another node, and whoever waits hears that nobody handled it.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_codec_is_refused_where_the_next_life_is_elsewhere() -> Result {
    let (handled, gate) = (Handled::default(), Gate::default());
    let (nodes, grain) = living_here(&handled).await?;
    grain.tell(EndAt(gate.clone())).await?;
    gate.entered().await;
    let mut asked = begun(grain.ask(EndAt(Gate::default()))).await;
    gate.open();
    match within(&mut asked).await {
        Ok(()) => return Err("there is nobody to open that gate".into()),
        Err(error) => {
            assert!(matches!(error.refusal(), Some(Refusal::Stopped)), "{error}");
            assert!(error.is_safe_to_retry());
        }
    }
    end(&nodes).await;
    Ok(())
}

/// Sends one note after the other until there are so many, or nothing is sent any more; returns the numbers of those that
/// were accepted.
async fn send(grain: GrainRef<Journal>, sender: u64, most: u64) -> Result<Vec<u64>> {
    let mut accepted = Vec::new();
    for number in 0..most {
        let note = Note { sender, number, is_last: (number + sender).is_multiple_of(11) };
        let refused = match number % 3 {
            0 => match grain.ask(note).await {
                Err(AskError::NotSent { .. }) => true,
                answered => answered.map(|_| false)?,
            },
            1 => grain.tell(note).confirmed().await.map(|()| false).or_else(|error| {
                matches!(error, AskError::NotSent { .. }).then_some(true).ok_or(error)
            })?,
            _ => grain.tell(note).await.is_err(),
        };
        if refused {
            break;
        }
        accepted.push(number);
    }
    Ok(accepted)
}

const SENDERS: u64 = 4;

/// With lives that end all the time and begin anew on the same node, and are passivated besides.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_as_lives_end_and_begin() -> Result {
    let handled = Handled::default();
    let nodes = nodes((2, 2), Placement::Owner, &handled).await?;
    let mut keys = Vec::new();
    for key in (0_u32..).map(|key| key.to_string()) {
        let note = Note { sender: 9, number: 0, is_last: false };
        if within(nodes[0].grain::<Journal>(&key).ask(note)).await? == 0 {
            keys.push(key);
        }
        if keys.len() == 3 {
            break;
        }
    }
    let mut sending = Vec::new();
    for key in &keys {
        for sender in 0..SENDERS {
            let sent = send(nodes[0].grain(key), sender, 300);
            sending.push((key, sender, tokio::spawn(sent)));
        }
    }
    let ending = {
        let grains: Vec<_> = keys.iter().map(|key| nodes[0].grain::<Journal>(key)).collect();
        tokio::spawn(async move {
            loop {
                for grain in &grains {
                    let _ = grain.deactivate().await;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for (key, sender, sent) in sending {
        let accepted = within(sent).await??;
        assert_eq!(accepted.len(), 300);
        let last = Note { sender: 9, number: 1, is_last: false };
        within(nodes[0].grain::<Journal>(key).ask(last)).await?;
        assert_in_order(&handled, key, sender, accepted.len());
    }
    ending.abort();
    end(&nodes).await;
    Ok(())
}

/// With lives that end all the time and begin anew on any node: then the order of tells that are on the way to another
/// node is not kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_as_grains_move_all_the_time() -> Result {
    let handled = Handled::default();
    let nodes = nodes((3, 3), Placement::RoundRobin, &handled).await?;
    let grain = nodes[0].grain::<Journal>("a");
    let sending: Vec<_> =
        (0..SENDERS).map(|sender| tokio::spawn(send(grain.clone(), sender, 150))).collect();
    for (sender, sent) in (0..).zip(sending) {
        let accepted = within(sent).await??;
        assert_eq!(accepted.len(), 150);
        within(async {
            loop {
                let mut numbers = handled_of(&handled, "a", sender);
                numbers.sort_unstable();
                if numbers.len() >= accepted.len() {
                    return assert_eq!(numbers, accepted, "of {sender}");
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    end(&nodes).await;
    Ok(())
}

/// With lives that end all the time on a node that leaves meanwhile, and not on those that take over.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_as_a_node_leaves() -> Result {
    let handled = Handled::default();
    let mut nodes = nodes((3, 1), Placement::Owner, &handled).await?;
    let mut keys = Vec::new();
    for key in (0_u32..).map(|key| key.to_string()) {
        let note = Note { sender: 9, number: 0, is_last: false };
        if within(nodes[0].grain::<Journal>(&key).ask(note)).await? == 0 {
            keys.push(key);
        }
        if keys.len() == 3 {
            break;
        }
    }
    let mut sending = Vec::new();
    for key in &keys {
        for sender in 0..SENDERS {
            let sent = send(nodes[0].grain(key), sender, u64::MAX);
            sending.push((key, sender, tokio::spawn(sent)));
        }
    }
    within(async {
        let all = keys.iter().flat_map(|key| (0..SENDERS).map(move |sender| (key, sender)));
        for (key, sender) in all {
            while handled_of(&handled, key, sender).len() < 20 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let leaves = nodes.remove(0);
    let report = within(leaves.shutdown()).await;
    assert_eq!((report.unfinished, report.dropped_messages), (vec![], 0));
    for (key, sender, sent) in sending {
        let accepted = within(sent).await??;
        within(async {
            while handled_of(&handled, key, sender).len() < accepted.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_in_order(&handled, key, sender, accepted.len());
    }
    end(&nodes).await;
    Ok(())
}
