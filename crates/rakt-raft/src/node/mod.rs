//! A node that has the register: one that votes, or one that asks those who do.
//!
//! - `joining`: how it comes into a cluster, and tells the others where it is
//! - `door`: what it answers to others
//! - `voting`: what it does as a voter, and as the leader
//! - `succeeding`: how there is another leader at once where the one that led is gone
//! - `asking`: how it has a leader do something
//! - `changing`: how a voter takes the place of another

mod asking;
mod changing;
mod door;
mod joining;
mod succeeding;
mod voting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rakt::ActorRef;
use rakt::cluster::Starting;
use rakt_cluster::View;
use rakt_cluster::view::State;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::door::Door;
use self::voting::Voting;
use crate::book::Book;
use crate::error::StartError;
use crate::founding::{Founding, Member, Standing};
use crate::names::{Id, Place, Places};
use crate::options::Options;
use crate::store::{Applied, Directory};

/// Most calls of others that are worked on at once. More are told to come again.
const MOST_CALLS: usize = 512;
/// Most calls that wait for news, of those.
const MOST_WAITING: usize = 256;

/// A voter that has left does not stay for others longer than this: whoever waits for its end may be impatient.
const OUTLAST: Duration = Duration::from_secs(10);

/// A node that runs.
pub(crate) struct Node {
    options: Options,
    starting: Starting,
    dir: Arc<Directory>,
    place: Place,
    begun: Instant,
    book: Arc<Book>,
    /// As it is on the disk. Who changes it holds `changing`.
    standing: watch::Sender<Standing>,
    changing: tokio::sync::Mutex<()>,
    founding: Mutex<Founding>,
    /// What the discovery has listed last.
    listed: Mutex<BTreeSet<Place>>,
    voting: watch::Sender<Option<Arc<Voting>>>,
    calls: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Whom this one has warned about.
    warned: Mutex<BTreeMap<Id, Id>>,
    /// Those that are at two places, or may be.
    twins: Mutex<BTreeSet<Id>>,
    /// When a voter was replaced last.
    changed: tokio::sync::Mutex<Option<Instant>>,
    refreshing: Semaphore,
    tasks: Mutex<JoinSet<()>>,
    door: Mutex<Option<ActorRef<Door>>>,
    /// It has come into its cluster.
    has_begun: AtomicBool,
}

fn reach<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.dir.id()).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the directory.
    pub(crate) async fn open(
        options: Options,
        starting: Starting,
    ) -> Result<Arc<Self>, StartError> {
        if let Some(fault) = options.fault() {
            return Err(StartError::Options { fault });
        }
        let path = options.dir.clone();
        let opening = tokio::task::spawn_blocking(move || Directory::open(&path));
        let dir = opening.await.map_err(StartError::ended)??;
        let standing = dir.standing().await.map_err(StartError::disk)?;
        let (host, port) = starting.system.advertised();
        let place = Place { host: host.to_owned(), port };
        let founding = Founding::new(dir.id(), place.clone(), options.expect, options.times());
        Ok(Arc::new(Self {
            options,
            starting,
            dir,
            place,
            begun: Instant::now(),
            book: Arc::default(),
            standing: watch::Sender::new(standing),
            changing: tokio::sync::Mutex::default(),
            founding: Mutex::new(founding),
            listed: Mutex::default(),
            voting: watch::Sender::new(None),
            calls: Arc::new(Semaphore::new(MOST_CALLS)),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            warned: Mutex::default(),
            twins: Mutex::default(),
            changed: tokio::sync::Mutex::default(),
            refreshing: Semaphore::new(1),
            tasks: Mutex::default(),
            door: Mutex::default(),
            has_begun: AtomicBool::new(false),
        }))
    }

    /// Comes into the cluster. Whatever becomes of that, it is to be [stopped](Self::stop) then.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), StartError> {
        // Before others may call: what they say of a log needs one.
        if let Some(member) = self.member() {
            self.enter(&member).await?;
        }
        let opened = Door::open(self).await?;
        *reach(&self.door) = Some(opened);
        let member = self.join().await?;
        self.enter(&member).await?;
        self.announce();
        self.has_begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether it has come into its cluster.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Begins to vote, if it is a voter of its cluster.
    async fn enter(self: &Arc<Self>, member: &Member) -> Result<(), StartError> {
        // One at a time begins to vote.
        let _changing = self.changing.lock().await;
        self.book.learn(member);
        if member.is_voter {
            self.vote(member).await?;
        }
        Ok(())
    }

    fn id(&self) -> Id {
        self.dir.id()
    }

    /// For how long this node has been up, by tokio's clock.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    fn member(&self) -> Option<Member> {
        match &*self.standing.borrow() {
            Standing::Member(member) => Some(member.clone()),
            _ => None,
        }
    }

    /// What this node has, with the voters as they are known now.
    fn standing_to_tell(&self) -> Standing {
        let mut standing = self.standing();
        if let Standing::Member(member) = &mut standing {
            let (voters, as_of) = self.book.voters();
            if !voters.is_empty() {
                (member.voters, member.as_of) = (self.whereabouts(voters), as_of);
            }
        }
        standing
    }

    /// Where these are now, as far as is known: the log may say something older.
    fn whereabouts(&self, mut voters: Places) -> Places {
        for (id, place) in &mut voters {
            let known =
                if *id == self.id() { Some(self.place.clone()) } else { self.book.place(*id) };
            *place = known.unwrap_or_else(|| place.clone());
        }
        voters
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = reach(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Has a voter stay while members are left and without it too few of them vote to agree on anything, as when all are
    /// told to end: for a lease at most, since then they have none any more, and no longer than [`OUTLAST`].
    async fn outlast(&self) {
        let Some(voting) = self.voting.borrow().clone() else { return };
        let mut applied = voting.applied.subscribe();
        let view = |applied: &Applied| View::decode(applied.document.bytes()).ok();
        let Some(lease) = view(&applied.borrow()).map(|view| view.lease()) else { return };
        let voters: Vec<Place> = self.book.voters().0.into_values().collect();
        let is_dispensable = |applied: &Applied| {
            let Some(view) = view(applied) else { return true };
            let living =
                view.members().iter().filter(|member| !matches!(member.state, State::Dead { .. }));
            let places =
                living.map(|member| Place { host: member.host.clone(), port: member.port });
            let others: Vec<_> = places.filter(|place| *place != self.place).collect();
            let vote = voters.iter().filter(|voter| others.contains(voter)).count();
            others.is_empty() || vote > voters.len() / 2
        };
        let limit = lease.min(OUTLAST);
        let _ = tokio::time::timeout(limit, applied.wait_for(is_dispensable)).await;
    }

    /// Ends all of it. The directory is free when the last who works with it is done.
    pub(crate) async fn stop(&self) {
        self.outlast().await;
        let door = reach(&self.door).take();
        if let Some(door) = door {
            // It may have ended with the system.
            let _ = door.stop().await;
        }
        let mut tasks = std::mem::take(&mut *reach(&self.tasks));
        tasks.shutdown().await;
        let voting = self.voting.send_replace(None);
        if let Some(voting) = voting {
            voting.stop().await;
        }
    }
}
