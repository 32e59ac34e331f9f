//! What a node answers to others: each call in a task of its own, so that none waits for the disk of another.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::RaftError;
use rakt::ActorRef;
use rakt::error::Cause;
use rakt::prelude::*;

use super::{Node, reach};
use crate::call::{Answer, Call, DOOR, Led, Whom};
use crate::error::StartError;
use crate::founding::{Card, Declined, Plan, Standing, Welcome};
use crate::names::{ClusterId, Id, Shown};

/// How long a call for news waits for any.
const NEWS_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes calls in.
pub(super) struct Door(Arc<Node>);

impl Door {
    pub(super) async fn open(node: &Arc<Node>) -> Result<ActorRef<Self>, StartError> {
        // Whoever is heard may change the view, and votes.
        node.starting.only_for_members(DOOR);
        let open = node.clone();
        let opened = node.starting.system.spawn(DOOR, move || Self(open.clone())).await;
        let opened =
            opened.map_err(|error| StartError::Door { name: DOOR, source: Cause::new(error) })?;
        // This node may leave by its own vote, and others by it.
        node.starting.needs(&opened);
        Ok(opened)
    }
}

impl Actor for Door {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Call>();
    }
}

impl Handler<Call> for Door {
    async fn handle(&mut self, call: Call, ctx: &mut Context<Self>) -> Result<Answer> {
        let Ok(permit) = self.0.calls.clone().try_acquire_owned() else { return Ok(Answer::Busy) };
        if !call.is_bounded() {
            return Ok(Answer::Failed("the call does not keep the bounds".to_owned()));
        }
        let (later, deferred) = ctx.defer();
        let node = self.0.clone();
        self.0.spawn(async move {
            later.send(node.answer(call).await);
            drop(permit);
        });
        deferred
    }
}

/// A voter that cannot answer.
fn failed(error: &RaftError<Id>) -> Answer {
    Answer::Failed(error.to_string())
}

impl Node {
    async fn answer(self: &Arc<Self>, call: Call) -> Answer {
        match call {
            Call::Hello(card) => {
                self.look_for_twin(&card);
                Answer::Welcome(self.hear_hello(card))
            }
            Call::Propose(plan) => match self.promise(&plan).await {
                Ok(promised) => Answer::Promised(promised),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Call::Append { of, rpc } => match self.voting_as(of) {
                None => self.not_me(),
                Some(voting) => {
                    voting.heard.note();
                    match voting.raft.append_entries(rpc).await {
                        Ok(answer) => Answer::Append(answer),
                        Err(error) => failed(&error),
                    }
                }
            },
            Call::Vote { of, rpc } => match self.voting_as(of) {
                None => self.not_me(),
                Some(voting) => {
                    self.doubt_leader(&voting, &rpc).await;
                    match voting.raft.vote(rpc).await {
                        Ok(answer) => Answer::Vote(answer),
                        Err(error) => failed(&error),
                    }
                }
            },
            Call::Serve(of) => self.serve(of).await,
            Call::Lead { cluster, what } => match self.is_of(cluster) {
                false => self.not_me(),
                true => Answer::Led(self.lead(what).await),
            },
            Call::Newer { cluster, than } => match self.is_of(cluster) {
                false => self.not_me(),
                true => self.news(than).await,
            },
        }
    }

    fn is_of(&self, cluster: ClusterId) -> bool {
        matches!(&*self.standing.borrow(), Standing::Member(member) if member.cluster == cluster)
    }

    pub(super) fn not_me(&self) -> Answer {
        let id = self.id();
        Answer::NotMe(self.member().map(|member| Whom { cluster: member.cluster, id }))
    }

    /// This node as the voter that is meant. One whose directory is new has another id, and is never taken for the old one.
    fn voting_as(&self, of: Whom) -> Option<Arc<super::Voting>> {
        let voting = self.voting.borrow().clone();
        voting.filter(|_| of.id == self.id() && self.is_of(of.cluster))
    }

    pub(super) fn card(&self) -> Card {
        let standing = self.standing_to_tell();
        reach(&self.founding).card(self.now(), &standing, &reach(&self.listed))
    }

    /// Who was somewhere else before leaves nobody there, unless his directory was copied: then two vote as one, and what
    /// a majority has agreed on may be lost.
    fn look_for_twin(self: &Arc<Self>, card: &Card) {
        let known = self.book.place(card.id).filter(|known| *known != card.place);
        let Some(known) = known.filter(|_| reach(&self.twins).insert(card.id)) else { return };
        let (node, id, place) = (self.clone(), card.id, card.place.clone());
        self.spawn(async move {
            let is_there = match id == node.id() {
                true => true,
                false => node.greet_one(&known).await.is_ok_and(|there| there == id),
            };
            if !is_there {
                reach(&node.twins).remove(&id);
                return;
            }
            node.starting.alarm(format!(
                "the nodes at {known} and {place} both are voter {}: the directory of one is a copy of the other's; end \
                 one of the two at once and remove its directory",
                Shown(id),
            ));
        });
    }

    fn hear_hello(&self, card: Card) -> Welcome {
        self.hear(None, &card);
        let own = self.card();
        let standing = self.standing();
        reach(&self.founding).welcome(&card, &standing, own)
    }

    /// Somebody has said who he is.
    pub(super) fn hear(&self, at: Option<&crate::names::Place>, card: &Card) {
        reach(&self.founding).hear(self.now(), at, card.clone());
        let own = self.member();
        match (&card.standing, own) {
            (Standing::Member(member), Some(own)) if member.cluster == own.cluster => {
                self.book.learn(member);
                self.book.hear(card.id, &card.place);
            }
            _ => {}
        }
        if let Some(lost) = self.book.other_at(&card.place, card.id)
            && reach(&self.warned).insert(lost, card.id) != Some(card.id)
        {
            self.starting.alarm(format!(
                "the node at {} has the id {}, and the one that was there is voter {}: its directory is lost, and the \
                 voters are one fewer; let the new node take its place (`Embedded::replace`)",
                card.place,
                Shown(card.id),
                Shown(lost),
            ));
        }
    }

    async fn promise(&self, plan: &Plan) -> Result<std::result::Result<(), Declined>> {
        let changing = self.changing.lock().await;
        let standing = self.standing();
        let promised = reach(&self.founding).promise(self.now(), &standing, plan);
        match promised {
            Ok(promised) => {
                self.become_it(promised, &changing).await?;
                Ok(Ok(()))
            }
            Err(declined) => Ok(Err(declined)),
        }
    }

    async fn news(&self, than: u64) -> Answer {
        let Ok(_permit) = self.waiting.try_acquire() else { return Answer::Busy };
        let Some(voting) = self.voting.borrow().clone() else { return self.not_me() };
        let mut applied = voting.applied.subscribe();
        let newer = applied.wait_for(|applied| applied.document.version() != than);
        let found = tokio::time::timeout(NEWS_TIMEOUT, newer).await;
        Answer::Newer(match found {
            Ok(Ok(applied)) => applied.document.version(),
            _ => than,
        })
    }

    pub(super) async fn lead(self: &Arc<Self>, what: crate::call::Lead) -> Led {
        let voting = self.voting.borrow().clone();
        match voting {
            None => Led::Elsewhere(None),
            Some(voting) => self.lead_as(&voting, what).await,
        }
    }
}
