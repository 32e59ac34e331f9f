//! How a grain is found: its slot's owner is asked, who knows where it lives, or grants it to a host.
//!
//! Whoever looks for a grain asks again until there is an answer; its owner keeps those who wait, and answers when it can.

use std::borrow::Cow;
use std::time::Duration;

use super::message::{Answer, Message, Refused, Wish};
use super::searches::{Counts, Found, Search, Waiter};
use super::{AGAIN, Do, Participant, Placing, Settings};
use crate::directory::{self, Grain};
use crate::epoch::Epoch;
use crate::lease::Lease;
use crate::node::Seat;
use crate::placement::{Load, Placement, Request};

/// Who has not asked again for so long waits no more.
const PATIENCE: Duration = Duration::from_secs(2);
/// A host is asked about a life that somebody doubts as often as this.
const DOUBT: Duration = Duration::from_millis(100);
/// What a member has said of its load is worth something for so long.
const FRESH: Duration = Duration::from_secs(2);
/// And as often as this about one that is found.
const OLD: Duration = Duration::from_secs(1);

impl Settings {
    /// Whether grains of that kind are hosted without a lease as well.
    pub(super) fn is_available(&self, grain: &Grain) -> bool {
        self.kinds.get(&grain.kind).is_some_and(|placing| placing.is_available)
    }

    /// By which lease a grain is granted and hosted: what needs none is so as if it had just been confirmed.
    pub(super) fn lease_for<'a>(
        &self,
        grain: &Grain,
        lease: &'a Lease,
        now: Duration,
    ) -> Cow<'a, Lease> {
        match self.is_available(grain) {
            true => Cow::Owned(lease.as_confirmed(now)),
            false => Cow::Borrowed(lease),
        }
    }
}

impl Participant {
    /// Looks for a grain, which is brought to life where it does not live. [`Do::Found`] with this number says what came of it;
    /// until then the search goes on. `refused` is the life that was found before and is of no use.
    pub fn find(
        &mut self,
        ticket: u64,
        grain: Grain,
        refused: Option<Refused>,
        now: Duration,
    ) -> Vec<Do> {
        self.begin(ticket, grain, Wish { refused, wakes: true }, now)
    }

    /// Looks for a grain, and leaves it be where it does not live.
    pub fn look_for(&mut self, ticket: u64, grain: Grain, now: Duration) -> Vec<Do> {
        self.begin(ticket, grain, Wish { refused: None, wakes: false }, now)
    }

    fn begin(&mut self, ticket: u64, grain: Grain, wish: Wish, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let search = Search { grain, wish, since: now, asked: None };
        self.finding.searches.insert(ticket, search);
        self.search(ticket, now, &mut out);
        out
    }

    /// Nobody waits for that search any more.
    pub fn give_up(&mut self, ticket: u64) {
        self.finding.searches.remove(&ticket);
    }

    /// Asks the owner of a grain's slot, if it is time.
    fn search(&mut self, ticket: u64, now: Duration, out: &mut Vec<Do>) {
        if self.is_alone(ticket, now) {
            self.finding.searches.remove(&ticket);
            return out.push(Do::Found { ticket, found: Found::Alone });
        }
        let (Some(view), Some(me)) = (self.view().cloned(), self.seat()) else { return };
        let Some(search) = self.finding.searches.get_mut(&ticket) else { return };
        let Some(owner) = view.owner(search.grain.slot(view.slots())) else { return };
        let (grain, wish) = (search.grain.clone(), search.wish);
        if search.asked.is_some_and(|at| now.saturating_sub(at) < AGAIN) {
            return;
        }
        let is_again = search.asked.replace(now).is_some();
        let again = &mut self.finding.counts.asked_again;
        *again = again.saturating_add(u64::from(is_again));
        match owner == me {
            true => self.wait_for((me, ticket), &grain, wish, now, out),
            false => self.say(owner, Message::Find { ticket, grain, wish }, out),
        }
    }

    /// The search, if its grain may begin here without anybody's word: one that is hosted without a lease, as this node has none
    /// any more.
    fn beginning(&self, ticket: u64, now: Duration) -> Option<&Search> {
        let is_cut_off = self.has_hosted && !self.leaving && !self.may_host(now);
        let search = self.finding.searches.get(&ticket).filter(|_| is_cut_off)?;
        (search.wish.wakes && self.settings.is_available(&search.grain)).then_some(search)
    }

    /// Whether such a search is to wait no longer for those who may know where the grain lives.
    fn is_alone(&self, ticket: u64, now: Duration) -> bool {
        let Some(search) = self.beginning(ticket, now) else { return false };
        let owner = self.view().and_then(|view| view.owner(search.grain.slot(view.slots())));
        let is_silent = owner.is_some_and(|owner| self.is_silent(owner, now));
        now.saturating_sub(search.since)
            >= if is_silent { AGAIN.saturating_mul(2) } else { PATIENCE }
    }

    /// Whether nothing is heard of a member: it does not answer probes, as also one does that has no register, and is cut off.
    fn is_silent(&self, seat: Seat, now: Duration) -> bool {
        let Some(listed) = &self.listed else { return false };
        let patience = self.settings.probe.saturating_mul(super::PATIENCE);
        let last = listed.evidence.last_heard(seat);
        let is_heard = last.is_some_and(|last| now.saturating_sub(last) < patience);
        listed.accused.contains(&seat) && !is_heard
    }

    /// Somebody looks for a grain whose slot is this node's.
    fn wait_for(
        &mut self,
        (from, ticket): (Seat, u64),
        grain: &Grain,
        wish: Wish,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        let new = Waiter { from, ticket, wish, is_vouched: false, last: now };
        let waiter = self.finding.known(grain, new);
        // For the others nothing has changed.
        match self.look_up(grain, &waiter, &mut false, now, out) {
            Some(answer) => {
                self.finding.wait_no_more(grain, &waiter);
                self.answer(&waiter, grain, answer, now, out);
            }
            None => self.finding.wait(grain, waiter),
        }
    }

    /// Answers those who wait for a grain, as far as there is an answer.
    fn serve(&mut self, grain: &Grain, now: Duration, out: &mut Vec<Do>) {
        let mut waiting = self.finding.take(grain);
        let mut granted = false;
        waiting.retain(|_, waiter| {
            if now.saturating_sub(waiter.last) >= PATIENCE {
                return false;
            }
            let answer = self.look_up(grain, waiter, &mut granted, now, out);
            let is_over = answer.is_some();
            if let Some(answer) = answer {
                self.answer(waiter, grain, answer, now, out);
            }
            !is_over
        });
        self.finding.put_back(grain, waiting);
    }

    fn look_up(
        &mut self,
        grain: &Grain,
        waiter: &Waiter,
        granted: &mut bool,
        now: Duration,
        out: &mut Vec<Do>,
    ) -> Option<Answer> {
        let listed = self.listed.as_ref()?;
        let lease = self.settings.lease_for(grain, &listed.lease, now);
        match listed.directory.find(grain, &lease, now) {
            directory::Found::Route(entry) => {
                let is_refused = waiter.wish.refused.filter(|refused| {
                    entry.host.incarnation == refused.incarnation && entry.uid == Some(refused.uid)
                });
                let me = listed.lease.seat();
                match is_refused {
                    None => {
                        // The word of its end may be lost, and not everybody who finds it sends to it.
                        if entry.host != me {
                            self.doubt(grain, entry.epoch, OLD, now, out);
                        }
                        Some(Answer::Route(entry))
                    }
                    // What lives here is known without a question.
                    Some(refused) if entry.host == me && !refused.ended => {
                        Some(Answer::Route(entry))
                    }
                    Some(refused) if waiter.is_vouched && !refused.ended => {
                        Some(Answer::Route(entry))
                    }
                    Some(_) => {
                        self.doubt(grain, entry.epoch, DOUBT, now, out);
                        None
                    }
                }
            }
            directory::Found::Vacant if !waiter.wish.wakes && !*granted => Some(Answer::Nobody),
            directory::Found::Vacant if !*granted => {
                *granted = true;
                self.place(grain, waiter, now, out)
            }
            // One that has just come has had no time yet to get a lease.
            directory::Found::NoLease
                if self.hosts_until.is_some() && !listed.lease.may_host(now) =>
            {
                Some(Answer::Fenced)
            }
            directory::Found::NotOwner(_) => Some(Answer::NotOwner),
            _ => None,
        }
    }

    /// Grants a grain to a host.
    fn place(
        &mut self,
        grain: &Grain,
        waiter: &Waiter,
        now: Duration,
        out: &mut Vec<Do>,
    ) -> Option<Answer> {
        let caller = waiter.from;
        let number = self.random();
        // Who asks for a kind that is not known here has it.
        let local = || Placing { placement: Placement::Local, ..Placing::default() };
        let placing = self.settings.kinds.get(&grain.kind).cloned().unwrap_or_else(local);
        let Placing { placement, role, .. } = placing;
        self.finding.placed = self.finding.placed.wrapping_add(1);
        let number = match placement {
            Placement::RoundRobin => self.finding.placed,
            _ => number,
        };
        let (view, listed) = (self.view()?.clone(), self.listed.as_mut()?);
        let owner = listed.lease.seat();
        let request =
            Request { view: &view, owner, caller: Some(caller), role: role.as_deref(), number };
        let (loads, mine) = (&listed.loads, self.load);
        let load = |seat: Seat| match seat == owner {
            true => Some(Load::At(mine)),
            false => {
                let (load, at) = loads.get(&seat)?;
                (now.saturating_sub(*at) <= FRESH).then_some(Load::At(*load))
            }
        };
        let Some(host) = placement.choose(request, load) else { return Some(Answer::NoHost) };
        let was_lost = listed.directory.entry_of(grain).is_some();
        let lease = self.settings.lease_for(grain, &listed.lease, now);
        if let Ok(commands) = listed.directory.grant(grain, host, &lease, now) {
            let Counts { granted_new, granted_again, granted_over, .. } = &mut self.finding.counts;
            let count = match waiter.wish.refused {
                _ if was_lost => granted_over,
                Some(_) => granted_again,
                None => granted_new,
            };
            *count = count.saturating_add(1);
            self.carry_out(commands, now, out);
        }
        None
    }

    /// Asks the host of a life about it, unless it was asked within `pause`.
    fn doubt(
        &mut self,
        grain: &Grain,
        epoch: Epoch,
        pause: Duration,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        let doubted = self.finding.doubted.get(grain);
        if doubted.is_some_and(|at| now.saturating_sub(*at) < pause) {
            return;
        }
        self.finding.doubted.insert(grain.clone(), now);
        if let Some(listed) = &mut self.listed {
            let commands = listed.directory.doubt(grain, epoch);
            self.carry_out(commands, now, out);
        }
    }

    fn answer(
        &mut self,
        waiter: &Waiter,
        grain: &Grain,
        answer: Answer,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        if Some(waiter.from) == self.seat() {
            return self.conclude(waiter.ticket, answer, now, out);
        }
        let message = Message::Found { ticket: waiter.ticket, grain: grain.clone(), answer };
        self.say(waiter.from, message, out);
    }

    /// A search of this node has an answer.
    fn conclude(&mut self, ticket: u64, answer: Answer, now: Duration, out: &mut Vec<Do>) {
        let found = match answer {
            Answer::Route(entry) if Some(entry.host) == self.seat() => {
                if !self.is_here(ticket, entry.epoch, now, out) {
                    return;
                }
                Found::Here { epoch: entry.epoch }
            }
            Answer::Route(entry)
                if self.is_silent(entry.host, now) && self.beginning(ticket, now).is_some() =>
            {
                Found::Alone
            }
            Answer::Route(entry) => {
                let member = self.view().and_then(|view| view.member(entry.host));
                let (Some(member), Some(uid)) = (member, entry.uid) else {
                    // Its host has just come: who told of it knows a newer view.
                    return;
                };
                let host = (member.host.clone(), member.port);
                let (incarnation, epoch) = (member.incarnation, entry.epoch);
                Found::There { host, incarnation, uid, epoch }
            }
            Answer::Failed(why) => Found::Failed(why),
            Answer::NoHost => Found::NoHost,
            Answer::Nobody => Found::Nobody,
            // Whoever has a lease knows that the register answers: the owner is confirmed again, or removed.
            Answer::Fenced if self.may_host(now) => return self.ask_later(ticket, now),
            Answer::Fenced => Found::Fenced,
            // Once the view is known by which that is so.
            Answer::NotOwner => return self.ask_later(ticket, now),
        };
        if self.finding.searches.remove(&ticket).is_some() {
            out.push(Do::Found { ticket, found });
        }
    }

    /// Whether the life is here that a search was sent to. Where it has ended, its owner has not heard of that, and is told again.
    fn is_here(&mut self, ticket: u64, epoch: Epoch, now: Duration, out: &mut Vec<Do>) -> bool {
        let search = self.finding.searches.get_mut(&ticket);
        let (Some(search), Some(listed)) = (search, &mut self.listed) else { return true };
        let Some(commands) = listed.directory.disclaim(&search.grain, epoch) else { return true };
        search.asked = Some(now);
        self.carry_out(commands, now, out);
        false
    }

    fn ask_later(&mut self, ticket: u64, now: Duration) {
        if let Some(search) = self.finding.searches.get_mut(&ticket) {
            search.asked = Some(now);
        }
    }

    /// Asks for what has not been answered, and looks after those who wait, if it is time.
    pub(super) fn search_on(&mut self, now: Duration, out: &mut Vec<Do>) {
        if now < self.finding.walk_at {
            return;
        }
        self.finding.walk_at = now.saturating_add(self.finding.pause());
        let tickets: Vec<u64> = self.finding.searches.keys().copied().collect();
        for ticket in tickets {
            self.search(ticket, now, out);
        }
        let waiting: Vec<Grain> = self.finding.waiting.keys().cloned().collect();
        for grain in waiting {
            self.serve(&grain, now, out);
        }
        self.finding.doubted.retain(|_, at| now.saturating_sub(*at) < PATIENCE);
    }

    /// The same at once, since a slot or a view has changed.
    pub(super) fn search_all(&mut self, now: Duration, out: &mut Vec<Do>) {
        for search in self.finding.searches.values_mut() {
            search.asked = None;
        }
        self.finding.walk_at = now;
        self.search_on(now, out);
    }

    /// A host has told of a life.
    pub(super) fn hear_of_life(
        &mut self,
        host: Seat,
        (grain, epoch, lives): (&Grain, Epoch, bool),
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        let _ = epoch;
        if lives && let Some(waiting) = self.finding.waiting.get_mut(grain) {
            for waiter in waiting.values_mut() {
                let of_host = |refused: Refused| refused.incarnation == host.incarnation;
                waiter.is_vouched |= waiter.wish.refused.is_some_and(of_host);
            }
        }
        if self.finding.waiting.contains_key(grain) {
            self.serve(grain, now, out);
        }
    }

    /// Tells the owner of its slot why a grain did not come to life.
    pub(super) fn tell_failure(
        &mut self,
        grain: &Grain,
        epoch: Epoch,
        why: String,
        out: &mut Vec<Do>,
    ) {
        let (Some(view), Some(me)) = (self.view().cloned(), self.seat()) else { return };
        match view.owner(grain.slot(view.slots())) {
            Some(owner) if owner == me => self.hear_of_failure(grain, &why, out),
            Some(owner) => {
                self.say(owner, Message::Failed { grain: grain.clone(), epoch, why }, out);
            }
            None => {}
        }
    }

    fn hear_of_failure(&mut self, grain: &Grain, why: &str, out: &mut Vec<Do>) {
        for waiter in self.finding.take(grain).into_values() {
            let answer = Answer::Failed(why.to_owned());
            self.answer(&waiter, grain, answer, Duration::ZERO, out);
        }
    }

    pub(super) fn hear_of_search(
        &mut self,
        from: Seat,
        message: Message,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        match message {
            Message::Find { ticket, grain, wish } => {
                self.wait_for((from, ticket), &grain, wish, now, out);
            }
            Message::Found { ticket, grain, answer } => {
                let owner = self.view().and_then(|view| view.owner(grain.slot(view.slots())));
                let is_it = |search: &Search| search.grain == grain && owner == Some(from);
                if self.finding.searches.get(&ticket).is_some_and(is_it) {
                    self.conclude(ticket, answer, now, out);
                }
            }
            Message::Failed { grain, epoch, why } => {
                let is_granted = self.listed.as_ref().is_some_and(|listed| {
                    listed
                        .directory
                        .entry_of(&grain)
                        .is_some_and(|entry| entry.host == from && entry.epoch == epoch)
                });
                if is_granted {
                    self.hear_of_failure(&grain, &why, out);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::Wish;
    use super::*;
    use crate::node::{Incarnation, NodeId};
    use crate::participant::Envelope;
    use crate::propose::Newcomer;
    use crate::register::{Confirmed, Version};
    use crate::view::testing::{seconds, view};
    use crate::view::{State, View};

    /// The first member of a view, which has just been confirmed.
    fn confirmed(view: &View) -> Participant {
        let me = Newcomer {
            id: NodeId(1),
            incarnation: Incarnation(101),
            host: "10.0.0.1".into(),
            port: 3320,
            roles: BTreeSet::new(),
            zone: String::new(),
            weight: 100,
            level: 1,
        };
        let (probe, lease) = (seconds(1), seconds(8));
        let (cluster, kinds) = (7, BTreeMap::new());
        let settings = Settings { me, probe, lease, cluster, seconds: 1, kinds, seed: 1 };
        let mut participant = Participant::new(settings);
        assert!(participant.poll(seconds(0)).contains(&Do::Read));
        participant.read(Some((Version(1), view.encode())), seconds(0));
        participant.poll(seconds(0));
        participant.confirmed(Confirmed::Newest, seconds(0));
        participant
    }

    /// A grain whose slot is that member's.
    fn grain_of(view: &View, owner: Seat) -> Grain {
        let grains = (0..).map(|key: u32| Grain::new("cart", &key.to_string()));
        let mut grains = grains.filter(|grain| view.owner(grain.slot(view.slots())) == Some(owner));
        grains.next().expect("every member owns slots")
    }

    fn wish() -> Wish {
        Wish { refused: None, wakes: true }
    }

    #[test]
    fn an_owner_without_a_lease_is_asked_again_while_the_register_answers_others() {
        let view = view(1, &[State::Up, State::Up]);
        let [me, other] = [0, 1].map(|at| view.members()[at].seat());
        let grain = grain_of(&view, other);
        let mut participant = confirmed(&view);
        let asks = |out: &[Do]| {
            let is_find = |step: &&Do| matches!(step, Do::Send { envelope, .. } if matches!(envelope.message, Message::Find { .. }));
            out.iter().filter(is_find).count()
        };
        assert_eq!(asks(&participant.find(5, grain.clone(), None, seconds(1))), 1);
        let fenced = || {
            let answer = Answer::Fenced;
            let message = Message::Found { ticket: 5, grain: grain.clone(), answer };
            Envelope { cluster: 7, from: other, to: me, at: view.stamp(), message }
        };
        assert_eq!(participant.heard(fenced(), seconds(2)), []);
        assert_eq!(asks(&participant.poll(seconds(3))), 1, "it is asked again");
        let found = Do::Found { ticket: 5, found: Found::Fenced };
        assert!(participant.heard(fenced(), seconds(9)).contains(&found), "nobody has a lease");
    }

    #[test]
    fn a_node_is_ready_once_it_has_had_its_slots() {
        let before = view(1, &[State::Up, State::Up]);
        let [me, other] = [0, 1].map(|at| before.members()[at].seat());
        let mut participant = confirmed(&view(2, &[State::Up, State::Up]));
        assert!(!participant.is_ready(seconds(1)), "it has come to a cluster that is there");
        let slots = participant.slots.iter().map(|slot| (*slot, Vec::new())).collect();
        let at = participant.view().expect("it knows one").stamp();
        let message = Message::Word(directory::Word::Report { at, slots });
        let report = Envelope { cluster: 7, from: other, to: me, at, message };
        assert!(participant.heard(report, seconds(1)).contains(&Do::InPlace(true)));
        assert!(participant.is_ready(seconds(1)));
        assert!(!participant.is_ready(seconds(9)), "its lease is over");
        participant.leave();
        assert!(participant.poll(seconds(1)).contains(&Do::InPlace(false)), "it leaves");
    }

    #[test]
    fn a_node_is_not_done_while_it_passes_on_what_a_life_has_left() {
        let mut participant = confirmed(&view(1, &[State::Leaving, State::Up]));
        participant.poll(seconds(1));
        assert!(participant.drained_at.is_some(), "nothing lives here");
        participant.begin_passing_on();
        participant.begin_passing_on();
        participant.end_passing_on(seconds(2));
        assert_eq!(participant.drained_at, None, "one is under way");
        participant.end_passing_on(seconds(3));
        assert_eq!(participant.drained_at, Some(seconds(3)));
    }

    #[test]
    fn an_owner_that_was_never_confirmed_has_others_wait_until_it_is() {
        let view = view(1, &[State::Up, State::Up]);
        let [me, other] = [0, 1].map(|at| view.members()[at].seat());
        let grain = grain_of(&view, me);
        let mut participant = confirmed(&view);
        let listed = participant.listed.as_mut().expect("it is a member");
        listed.lease = Lease::new(&view, me.id, me.incarnation).expect("a lease");
        participant.hosts_until = None;
        let message = Message::Find { ticket: 5, grain, wish: wish() };
        let find = Envelope { cluster: 7, from: other, to: me, at: view.stamp(), message };
        let is_answer = |step: &Do| matches!(step, Do::Send { envelope, .. } if matches!(envelope.message, Message::Found { .. }));
        assert!(!participant.heard(find, seconds(1)).iter().any(is_answer));
    }
}
