use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::register::Confirmed;
use crate::view::testing::{member, seconds, view};
use crate::view::{Draft, Member};

const NOW: Duration = Duration::from_secs(50);

#[derive(Clone)]
struct Node {
    directory: Directory,
    lease: Lease,
}

fn node(view: &View, id: usize) -> (Node, Vec<Command>) {
    let (seat, view) = (view.members()[id].seat(), Arc::new(view.clone()));
    let mut lease = Lease::new(&view, seat.id, seat.incarnation).expect("listed");
    let look = lease.look(NOW);
    let _ = lease.confirmed(look, Confirmed::Newest);
    let (directory, out) = Directory::new(view, seat, Slot::all().collect(), NOW);
    (Node { directory, lease }, out)
}

impl Node {
    fn find(&self, grain: &Grain) -> Found {
        self.directory.find(grain, &self.lease, NOW)
    }

    fn grant(&mut self, grain: &Grain, host: Seat) -> Result<Vec<Command>, Found> {
        self.directory.grant(grain, host, &self.lease, NOW)
    }

    /// How many grains it knows of as an owner.
    fn entries(&self) -> usize {
        let known = self.directory.tenures.values().map(|tenure| match tenure {
            Tenure::Held { entries, .. } | Tenure::Asking { entries, .. } => entries.len(),
            Tenure::Sealed { .. } | Tenure::Pulling { .. } => 0,
        });
        known.sum()
    }

    fn handle(&mut self, from: Seat, word: Word) -> Result<Vec<Command>, Behind> {
        self.directory.handle(from, word, &self.lease, NOW)
    }

    fn learn(&mut self, view: &View) -> Vec<Command> {
        self.lease.learn(view);
        self.directory.learn(Arc::new(view.clone()), NOW)
    }
}

/// A grain that this member of a view owns.
fn grain(view: &View, owner: usize) -> Grain {
    let owns =
        |grain: &Grain| view.owner(grain.slot(view.slots())) == Some(view.members()[owner].seat());
    (0..).map(|key| Grain::new("cart", &key.to_string())).find(owns).expect("one of them")
}

fn next(view: &View, change: impl FnOnce(&mut Draft)) -> View {
    let mut draft = view.draft();
    draft.version += 1;
    change(&mut draft);
    View::new(draft).expect("a view")
}

fn sent(commands: Vec<Command>) -> Vec<(Seat, Word)> {
    let sent = commands.into_iter().map(|command| match command {
        Command::Send { to, word } => (to, word),
        other => panic!("{other:?}"),
    });
    sent.collect()
}

/// Has words go between nodes until all is said.
fn exchange(nodes: &mut [Node], from: usize, commands: Vec<Command>) {
    let from = nodes[from].directory.seat();
    let mut open: Vec<_> = sent(commands).into_iter().map(|(to, word)| (from, to, word)).collect();
    while let Some((from, to, word)) = open.pop() {
        let Some(node) = nodes.iter_mut().find(|node| node.directory.seat() == to) else {
            continue;
        };
        let answers = node.handle(from, word).expect("the same view");
        open.extend(sent(answers).into_iter().map(|(back, word)| (to, back, word)));
    }
}

#[test]
fn a_grain_is_granted_started_found_and_ended() {
    let view = view(1, &[State::Up, State::Up]);
    let [(mut owner, _), (mut host, _)] = [0, 1].map(|id| node(&view, id));
    let (grain, to) = (grain(&view, 0), host.directory.seat());
    assert_eq!(owner.find(&grain), Found::Vacant);
    assert_eq!(host.find(&grain), Found::NotOwner(Some(owner.directory.seat())));

    let granted = owner.grant(&grain, to).expect("vacant");
    let Found::Claimed(entry) = owner.find(&grain) else { panic!("no claim") };
    assert_eq!(entry.epoch.to_string(), "1.1.1");
    assert_eq!(owner.grant(&grain, to), Err(Found::Claimed(entry)));

    let (_, word) = sent(granted).remove(0);
    let from = owner.directory.seat();
    let started = host.handle(from, word.clone()).expect("the same view");
    assert_eq!(started, [Command::Start { grain: grain.clone(), epoch: entry.epoch }]);
    let (_, lives) = sent(host.directory.started(&grain, entry.epoch, 77)).remove(0);
    assert_eq!(owner.handle(to, lives), Ok(vec![]));
    assert!(matches!(owner.find(&grain), Found::Route(Entry { uid: Some(77), .. })));

    let (_, ended) = sent(host.directory.finished(&grain, entry.epoch)).remove(0);
    assert_eq!(owner.handle(from, ended.clone()), Ok(vec![]), "the word of another than the host");
    assert!(matches!(owner.find(&grain), Found::Route(_)));
    assert_eq!(owner.handle(to, ended.clone()), Ok(vec![]));
    assert_eq!(owner.find(&grain), Found::Vacant);
    // The grant comes again: an epoch serves one life.
    assert_eq!(host.handle(from, word).map(sent), Ok(vec![(from, ended)]));
    assert_eq!(owner.grant(&grain, to).map(|out| out.len()), Ok(1));
    assert!(matches!(
        owner.find(&grain),
        Found::Claimed(Entry { epoch: Epoch { counter: 2, .. }, .. })
    ));
}

#[test]
fn an_owner_that_hosts_needs_no_words() {
    let view = view(1, &[State::Up]);
    let (mut node, _) = node(&view, 0);
    let (grain, me) = (grain(&view, 0), node.directory.seat());
    let out = node.grant(&grain, me).expect("vacant");
    let [Command::Start { epoch, .. }] = out[..] else { panic!("{out:?}") };
    assert_eq!(node.directory.started(&grain, epoch, 5), []);
    assert!(matches!(node.find(&grain), Found::Route(Entry { uid: Some(5), .. })));
    assert_eq!(node.directory.doubt(&grain, epoch), []);
    assert_eq!(node.directory.finished(&grain, epoch), []);
    assert_eq!(node.find(&grain), Found::Vacant);
}

#[test]
fn a_claim_stays_until_the_host_has_answered() {
    let view = view(1, &[State::Up, State::Up]);
    let mut nodes = [0, 1].map(|id| node(&view, id).0);
    let (grain, host) = (grain(&view, 0), nodes[1].directory.seat());
    // The grant is lost.
    let _ = nodes[0].grant(&grain, host).expect("vacant");
    let Found::Claimed(entry) = nodes[0].find(&grain) else { panic!("no claim") };
    let again = nodes[0].directory.again();
    assert_eq!(again.len(), 1);
    assert_eq!(nodes[0].directory.doubt(&grain, entry.epoch.above()), [], "another epoch");
    assert_eq!(nodes[0].directory.doubt(&grain, entry.epoch), again);
    exchange(&mut nodes, 0, again);
    assert_eq!(nodes[0].find(&grain), Found::Vacant);
}

#[test]
fn a_fenced_host_promises_that_it_does_not_start() {
    let view = view(1, &[State::Up, State::Up]);
    let [(mut owner, _), (mut host, _)] = [0, 1].map(|id| node(&view, id));
    host.lease = Lease::new(&view, host.directory.seat().id, host.directory.seat().incarnation)
        .expect("listed");
    let (grain, to) = (grain(&view, 0), host.directory.seat());
    let (_, word) = sent(owner.grant(&grain, to).expect("vacant")).remove(0);
    let (_, ended) =
        sent(host.handle(owner.directory.seat(), word).expect("the same view")).remove(0);
    assert!(matches!(ended, Word::Ended { .. }));
    assert_eq!(host.directory.lives().count(), 0);
    owner.lease = Lease::new(&view, owner.directory.seat().id, owner.directory.seat().incarnation)
        .expect("listed");
    assert_eq!(owner.find(&grain), Found::NoLease);
}

fn settled(slots: usize, owner: &Node) -> usize {
    let all = Slot::all()
        .filter(|slot| owner.directory.view().owner(*slot) == Some(owner.directory.seat()));
    let (mut held, mut owned) = (0, 0);
    for slot in all {
        owned += 1;
        held +=
            usize::from(matches!(owner.directory.tenures.get(&slot), Some(Tenure::Held { .. })));
    }
    assert!(owned >= slots);
    held
}

#[test]
fn a_slot_that_moves_is_handed_over_with_its_claims() {
    let first = view(1, &[State::Up, State::Up]);
    let mut nodes = [0, 1].map(|id| node(&first, id).0);
    let (grain, host) = (grain(&first, 0), nodes[1].directory.seat());
    let _ = nodes[0].grant(&grain, host).expect("vacant");
    let moved = next(&first, |draft| draft.members[0].weight = 0);
    assert_eq!(nodes[0].learn(&moved), []);
    let pulls = nodes[1].learn(&moved);
    // All slots in one word.
    assert_eq!(pulls.len(), 1);
    assert_eq!(nodes[1].find(&grain), Found::Moving);
    exchange(&mut nodes, 1, pulls.clone());
    assert!(matches!(nodes[1].find(&grain), Found::Claimed(entry) if entry.host == host));
    // The same pull again gets the same; one under a later view finds nothing, and all are asked.
    let (to, pull) = sent(pulls).remove(0);
    let again = nodes[0].handle(host, pull.clone()).expect("the same view");
    assert!(
        matches!(&sent(again)[0].1, Word::Given { slots, .. } if slots.iter().all(|(_, given)| given.is_some()))
    );
    let later = next(&moved, |_| ());
    nodes[0].learn(&later);
    assert!(matches!(
        sent(nodes[0].handle(host, pull).expect("older"))[..],
        [(_, Word::Newer { .. })]
    ));
    assert_eq!(to, nodes[0].directory.seat());
}

#[test]
fn what_the_owner_before_does_not_hold_is_asked_of_all() {
    let first = view(3, &[State::Up, State::Up, State::Up]);
    let mut nodes = Vec::new();
    let mut asks = Vec::new();
    for id in 0..3 {
        let (node, out) = node(&first, id);
        nodes.push(node);
        asks.push(out);
    }
    let grain = grain(&first, 0);
    assert_eq!(nodes[0].find(&grain), Found::Moving);
    // Nothing of what is asked arrives; the slots move, and node 0 has nothing to give.
    let moved = next(&first, |draft| draft.members[0].weight = 0);
    let mut out: Vec<_> = nodes.iter_mut().map(|node| node.learn(&moved)).collect();
    exchange(&mut nodes, 1, out.remove(1));
    exchange(&mut nodes, 2, out.remove(1));
    let held = settled(1, &nodes[1]) + settled(1, &nodes[2]);
    assert_eq!(held, 4096);
    assert!(nodes[1].directory.again().is_empty());
}

#[test]
fn a_life_is_found_again_and_what_is_not_reported_waits_for_the_dead() {
    let first = view(1, &[State::Up, State::Up, State::Up]);
    let mut nodes = [0, 1, 2].map(|id| node(&first, id).0);
    let seats = nodes.each_ref().map(|node| node.directory.seat());
    let alive = grain(&first, 0);
    // Another grain that moves from the same owner to the same.
    let unknown = |view: &View, but: &Grain| {
        let owner = |view: &View, grain: &Grain| view.owner(grain.slot(view.slots()));
        let moves = |grain: &Grain| [owner(&first, grain), owner(view, grain)];
        let fits = |grain: &Grain| moves(grain) == moves(but) && grain != but;
        (0..).map(|key| Grain::new("other", &key.to_string())).find(fits).expect("one of them")
    };
    let (_, word) = sent(nodes[0].grant(&alive, seats[2]).expect("vacant")).remove(0);
    let _ = nodes[2].handle(seats[0], word.clone()).expect("the same view");
    let epoch = nodes[2].directory.lives().next().expect("it lives").epoch;
    let _ = nodes[2].directory.started(&alive, epoch, 9);

    let died = next(&first, |draft| draft.members[0].state = State::Dead { since: 2 });
    assert_eq!(nodes[0].learn(&died), [Command::EndAll]);
    let out = [1, 2].map(|id| (id, nodes[id].learn(&died)));
    for (id, out) in out {
        exchange(&mut nodes, id, out);
    }
    let owner = nodes
        .iter()
        .find(|node| died.owner(alive.slot(died.slots())) == Some(node.directory.seat()));
    let owner = owner.expect("one of them");
    assert!(
        matches!(owner.find(&alive), Found::Route(entry) if entry.host == seats[2] && entry.uid == Some(9))
    );
    let until = NOW + crate::takeover::wait(seconds(8));
    assert_eq!(owner.find(&unknown(&died, &alive)), Found::Until(until));
    // The old owner's grants and questions come too late.
    let question = Word::Question { grain: alive.clone(), epoch, at: first.stamp() };
    for word in [question, Word::Activate { grain: alive, epoch: epoch.above(), host: seats[2] }] {
        let out = sent(nodes[2].handle(seats[0], word).expect("older"));
        assert!(matches!(out[..], [(_, Word::Newer { .. })]), "{out:?}");
    }
}

#[test]
fn a_host_refuses_another_life_of_what_lives_there_and_says_so() {
    let first = view(3, &[State::Up, State::Up]);
    let [owner, mut host] = [0, 1].map(|id| node(&first, id).0);
    let (grain, from) = (grain(&first, 0), owner.directory.seat());
    let [one, two] = [1, 2].map(|counter| Epoch { counter, ..first.stamp().floor() });
    let to = host.directory.seat();
    let activate = |epoch| Word::Activate { grain: grain.clone(), epoch, host: to };
    let start = Command::Start { grain: grain.clone(), epoch: one };
    assert_eq!(host.handle(from, activate(one)), Ok(vec![start]));
    let seen = Command::Duplicate { grain: grain.clone(), granted: two, living: one };
    assert_eq!(host.handle(from, activate(two)), Ok(vec![seen]));
    let lives: Vec<Epoch> = host.directory.lives().map(|living| living.epoch).collect();
    assert_eq!(lives, [one]);
}

#[test]
fn words_by_a_later_view_wait_for_it_and_asks_of_another_than_the_owner_get_nothing() {
    let first = view(1, &[State::Up, State::Up, State::Up]);
    let (mut node, _) = node(&first, 0);
    let other = first.members()[1].seat();
    let slot = grain(&first, 2).slot(first.slots());
    let at = Stamp { version: 2, ..first.stamp() };
    assert_eq!(node.handle(other, Word::Ask { at, slots: vec![slot] }), Err(Behind(at)));
    let asked = Word::Ask { at: first.stamp(), slots: vec![slot] };
    let (_, report) = sent(node.handle(other, asked).expect("the same view")).remove(0);
    assert_eq!(report, Word::Report { at: first.stamp(), slots: vec![] });
}

#[test]
fn who_is_gone_and_who_restarts_is_not_mistaken() {
    let first = view(1, &[State::Up, State::Up]);
    let (mut owner, _) = node(&first, 0);
    let grain = grain(&first, 0);
    let old = first.members()[1].seat();
    let _ = owner.grant(&grain, old).expect("vacant");
    // Its next run is listed, which proves that the first is over.
    let restarted = next(&first, |draft| {
        draft.members[1] =
            Member { incarnation: crate::node::Incarnation(9), ..member(2, 2, State::Up) };
    });
    owner.learn(&restarted);
    assert_eq!(owner.find(&grain), Found::Vacant);
    assert_eq!(owner.entries(), 0, "nobody may ask for it again");
    let (mut host, _) = node(&restarted, 1);
    let epoch = Epoch { stamp: first.stamp(), counter: 1 };
    let meant = Word::Activate { grain, epoch, host: old };
    assert_eq!(host.handle(owner.directory.seat(), meant), Ok(vec![]));
    assert_eq!(host.directory.lives().count(), 0);
}

/// What a directory is after one word: whole, and in parts that come in this order, some of them several times.
fn whole_and_in_parts(node: &Node, from: Seat, word: Word, picks: &[Index]) -> [Directory; 2] {
    let (mut whole, mut cut) = (node.clone(), node.clone());
    let _ = whole.handle(from, word.clone()).expect("the same view");
    let parts = word.split(600);
    assert!(parts.len() > 3, "{}", parts.len());
    let picked = picks.iter().map(|pick| pick.index(parts.len()));
    for at in picked.chain((0..parts.len()).rev()) {
        let _ = cut.handle(from, parts[at].clone()).expect("the same view");
    }
    [whole.directory, cut.directory]
}

/// Three nodes; the first owns a third of the slots, with claims and lives in some, on all three.
fn busy() -> (View, Vec<Node>) {
    let first = view(1, &[State::Up; 3]);
    let mut nodes: Vec<_> = (0..3).map(|id| node(&first, id).0).collect();
    let me = nodes[0].directory.seat();
    let grains = (0..).map(|key: u32| Grain::new("cart", &key.to_string()));
    let mine = |grain: &Grain| first.owner(grain.slot(first.slots())) == Some(me);
    for (at, grain) in grains.filter(mine).take(900).enumerate() {
        let host = nodes[at % 3].directory.seat();
        let granted = nodes[0].grant(&grain, host).expect("vacant");
        if let [Command::Send { word, .. }] = &granted[..] {
            let _ = nodes[at % 3].handle(me, word.clone()).expect("the same view");
        }
    }
    (first, nodes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_slot_given_in_parts_is_the_same(picks in vec(any::<Index>(), 0..40)) {
        let (first, mut nodes) = busy();
        let moved = next(&first, |draft| draft.members[0].weight = 0);
        nodes[0].learn(&moved);
        let (seat, mine) = (nodes[0].directory.seat(), nodes[1].directory.seat());
        let pulls = sent(nodes[1].learn(&moved));
        let pull = pulls.into_iter().find(|(to, _)| *to == seat).expect("asked").1;
        // Also where the pull was cut.
        let mut given = Vec::new();
        for part in pull.split(500) {
            let (_, word) = sent(nodes[0].handle(mine, part).expect("the same view")).remove(0);
            let Word::Given { slots, .. } = word else { panic!("{word:?}") };
            given.extend(slots);
        }
        prop_assert!(given.iter().any(|(_, entries)| entries.as_ref().is_some_and(|e| e.len() > 1)));
        // Some are not to be had.
        given.iter_mut().step_by(7).for_each(|(_, entries)| *entries = None);
        let word = Word::Given { at: moved.stamp(), slots: given };
        let [whole, parts] = whole_and_in_parts(&nodes[1], seat, word, &picks);
        prop_assert!(whole == parts);
    }

    #[test]
    fn a_report_in_parts_is_the_same(picks in vec(any::<Index>(), 0..40)) {
        let (first, mut nodes) = busy();
        let died = next(&first, |draft| draft.members[0].state = State::Dead { since: 2 });
        nodes[2].learn(&died);
        let (seat, mine) = (nodes[2].directory.seat(), nodes[1].directory.seat());
        let ask = sent(nodes[1].learn(&died)).remove(0);
        prop_assert_eq!(ask.0, seat);
        let (_, report) = sent(nodes[2].handle(mine, ask.1).expect("the same view")).remove(0);
        let Word::Report { slots, .. } = &report else { panic!("{report:?}") };
        prop_assert!(slots.iter().any(|(_, lives)| lives.len() > 1));
        let [whole, parts] = whole_and_in_parts(&nodes[1], seat, report, &picks);
        prop_assert!(whole == parts);
    }
}

#[test]
fn one_that_leaves_takes_nothing_on() {
    let before = view(1, &[State::Up, State::Up]);
    let [(mut owner, _), (mut host, _)] = [0, 1].map(|id| node(&before, id));
    let (grain, to) = (grain(&before, 0), host.directory.seat());
    let (_, word) = sent(owner.grant(&grain, to).expect("vacant")).remove(0);
    // It may be gone by the time that the grant comes, and nobody would wait.
    host.learn(&next(&before, |draft| draft.members[1].state = State::Leaving));
    let (_, answer) = sent(host.handle(owner.directory.seat(), word).expect("known")).remove(0);
    assert!(matches!(answer, Word::Ended { .. }));
    assert_eq!(host.directory.lives().count(), 0);
}

#[test]
fn what_a_dead_node_hosted_is_forgotten_with_it_and_not_before() {
    let first = view(1, &[State::Up, State::Up, State::Up]);
    let (mut owner, _) = node(&first, 0);
    let (gone, stays) = (first.members()[1].seat(), first.members()[2].seat());
    let me = owner.directory.seat();
    let mine = |grain: &Grain| first.owner(grain.slot(first.slots())) == Some(me);
    let grains = (0..).map(|key: u32| Grain::new("cart", &key.to_string())).filter(mine).take(100);
    for (at, grain) in grains.enumerate() {
        let _ = owner.grant(&grain, if at % 4 == 0 { stays } else { gone }).expect("vacant");
    }
    let died = next(&first, |draft| draft.members[1].state = State::Dead { since: 2 });
    owner.learn(&died);
    assert_eq!(owner.entries(), 100, "it may have a lease");
    owner.learn(&next(&died, |draft| drop(draft.members.remove(1))));
    assert_eq!(owner.entries(), 25);
}
