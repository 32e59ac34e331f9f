//! What was asked of a register and what it said, and whether that can be one order.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::cluster::{Register, RegisterError, Starting, SwapError, Version};
use crate::sync::GlobalMutex;

/// Writes down what several nodes ask of one register, and says whether the answers are linearizable: whether each can have
/// taken effect at one moment between its call and its answer.
///
/// ```
/// use rakt::cluster::{MemoryRegister, Register, Version};
/// use rakt::testkit::register::History;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> rakt::Result {
/// let (register, history) = (MemoryRegister::new(), History::default());
/// let (a, b) = (history.node(register.clone()), history.node(register));
/// let first = a.swap(Version(0), "first".into()).await?;
/// assert_eq!(b.read().await?, (first, "first".into()));
/// history.assert_one_order();
/// # Ok(()) }
/// ```
///
/// It tells swaps of unknown outcome by their views, so the views that are swapped in have to differ; and it takes it that
/// nobody names a version that nobody was told of. The register may have held something before.
#[derive(Clone, Default)]
pub struct History(Arc<GlobalMutex<Written>>);

#[derive(Default)]
struct Written {
    nodes: usize,
    /// Counts beginnings and ends.
    moments: u64,
    calls: Vec<Call>,
}

#[derive(Clone, Debug)]
struct Call {
    node: usize,
    asked: Asked,
    began: u64,
    /// None as long as nothing came back, which is for ever if the future was dropped.
    answer: Option<(u64, Answer)>,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    Read,
    Confirm(Version),
    Swap(Version, Bytes),
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Read(Version, Bytes),
    Confirmed(bool),
    Swapped(Version),
    Conflict,
    /// For a swap: its outcome is unknown.
    Failed,
}

impl History {
    /// The register of one more node, written down. Nodes are called `a`, `b` and so on.
    pub fn node<R: Register>(&self, register: R) -> Recorded<R> {
        let mut written = self.0.lock();
        let node = written.nodes;
        written.nodes += 1;
        Recorded { register, node, history: self.clone() }
    }

    /// Why the answers cannot be one order, in words, or nothing.
    pub fn fault(&self) -> Option<String> {
        let calls = self.0.lock().calls.clone();
        Order::of(&calls).and_then(|order| order.check(&calls)).err()
    }

    /// How many swaps were answered with a version.
    pub fn swapped(&self) -> usize {
        let swapped = |call: &&Call| matches!(call.answer, Some((_, Answer::Swapped(_))));
        self.0.lock().calls.iter().filter(swapped).count()
    }

    /// Looks whether the answers can be one order.
    ///
    /// # Panics
    /// If they cannot.
    #[track_caller]
    pub fn assert_one_order(&self) {
        if let Some(fault) = self.fault() {
            panic!("the answers are not those of one register: {fault}");
        }
    }

    pub(super) fn begin(&self, node: usize, asked: Asked) -> usize {
        let mut written = self.0.lock();
        written.moments += 1;
        let began = written.moments;
        written.calls.push(Call { node, asked, began, answer: None });
        written.calls.len() - 1
    }

    pub(super) fn end(&self, call: usize, answer: Answer) {
        let mut written = self.0.lock();
        written.moments += 1;
        let moment = written.moments;
        written.calls[call].answer = Some((moment, answer));
    }

    pub(super) async fn read<R: Register>(
        &self,
        node: usize,
        register: &R,
    ) -> Result<(Version, Bytes), RegisterError> {
        let call = self.begin(node, Asked::Read);
        let answer = register.read().await;
        self.end(
            call,
            match &answer {
                Ok((version, view)) => Answer::Read(*version, view.clone()),
                Err(_) => Answer::Failed,
            },
        );
        answer
    }

    pub(super) async fn confirm<R: Register>(
        &self,
        node: usize,
        register: &R,
        seen: Version,
    ) -> Result<bool, RegisterError> {
        let call = self.begin(node, Asked::Confirm(seen));
        let answer = register.confirm(seen).await;
        self.end(call, answer.as_ref().map_or(Answer::Failed, |yes| Answer::Confirmed(*yes)));
        answer
    }

    pub(super) async fn swap<R: Register>(
        &self,
        node: usize,
        register: &R,
        over: Version,
        view: Bytes,
    ) -> Result<Version, SwapError> {
        let call = self.begin(node, Asked::Swap(over, view.clone()));
        let answer = register.swap(over, view).await;
        self.end(
            call,
            match &answer {
                Ok(version) => Answer::Swapped(*version),
                Err(SwapError::Conflict) => Answer::Conflict,
                Err(SwapError::Unknown(_)) => Answer::Failed,
            },
        );
        answer
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.0.lock().calls.len();
        f.debug_struct("History").field("calls", &calls).finish_non_exhaustive()
    }
}

/// The register of a node, of which a [`History`] writes down what is asked and answered.
#[derive(Debug)]
pub struct Recorded<R> {
    register: R,
    node: usize,
    history: History,
}

impl<R: Register> Register for Recorded<R> {
    fn start(&self, starting: Starting) -> impl Future<Output = Result<(), RegisterError>> + Send {
        self.register.start(starting)
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.history.read(self.node, &self.register).await
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        self.history.confirm(self.node, &self.register, seen).await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        self.history.swap(self.node, &self.register, over, view).await
    }

    fn changed(&self, seen: Version) -> impl Future<Output = ()> + Send {
        self.register.changed(seen)
    }

    fn stop(&self) -> impl Future<Output = ()> + Send {
        self.register.stop()
    }
}

/// The order in which versions replaced each other. There is only one that the answers allow: each swap names what it
/// replaces.
struct Order {
    versions: Vec<Version>,
    place: HashMap<Version, usize>,
    /// The swaps that brought one, by the numbers of their calls.
    brought: HashSet<usize>,
}

impl Order {
    fn of(calls: &[Call]) -> Result<Self, String> {
        let found = views(calls)?;
        let by = swaps(calls, &found)?;
        let brought: HashSet<usize> = by.values().copied().collect();
        let mut after: HashMap<Version, Version> = HashMap::new();
        let mut all: Vec<Version> = found.iter().map(|(version, _, _)| *version).collect();
        let mut known: HashSet<Version> = all.iter().copied().collect();
        for (version, _, _) in &found {
            let Some(&call) = by.get(version) else { continue };
            let Asked::Swap(over, _) = &calls[call].asked else { continue };
            if let Some(other) = after.insert(*over, *version) {
                let other = Numbered(by[&other], &calls[by[&other]]);
                let this = Numbered(call, &calls[call]);
                return Err(format!("{other} and {this} both have replaced version {}", over.0));
            }
            if known.insert(*over) {
                all.push(*over);
            }
        }
        let mut roots = all.iter().filter(|version| !by.contains_key(version));
        let root = match (roots.next(), roots.next()) {
            (_, None) if all.is_empty() => {
                return Ok(Self { versions: vec![], place: HashMap::new(), brought });
            }
            (Some(root), None) => *root,
            (Some(one), Some(other)) => {
                let seen = |version: &Version| {
                    let seen = found.iter().find(|(found, _, _)| found == version);
                    seen.map_or_else(
                        || format!("version {}, which was replaced", version.0),
                        |(_, _, call)| format!("that of {}", Numbered(*call, &calls[*call])),
                    )
                };
                return Err(format!(
                    "there are two views that no swap can have brought: {}, and {}",
                    seen(one),
                    seen(other)
                ));
            }
            (None, _) => return Err("versions replace each other in a circle".into()),
        };
        let mut versions = vec![root];
        while let Some(next) = versions.last().and_then(|last| after.get(last)) {
            versions.push(*next);
        }
        if versions.len() != all.len() {
            return Err("versions replace each other in a circle".into());
        }
        let place = versions.iter().enumerate().map(|(n, version)| (*version, n)).collect();
        Ok(Self { versions, place, brought })
    }

    /// Whether times can be found for all of them. Each version comes at some moment, after all calls have begun that met
    /// an older one, and before any has ended that met it or a newer one. So all fits unless one call ended before another one
    /// began, and has met something newer.
    fn check(&self, calls: &[Call]) -> Result<(), String> {
        let mut least = Vec::new();
        let mut most = Vec::new();
        for (n, call) in calls.iter().enumerate() {
            let Some((at_least, at_most)) = self.bounds(n, calls)? else { continue };
            if let Some((ended, _)) = &call.answer {
                least.push((*ended, at_least, n));
            }
            if let Some(at_most) = at_most {
                most.push((call.began, at_most, n));
            }
        }
        // Each in turn, with the newest that was there as those ended that had ended by then.
        least.sort_unstable();
        most.sort_unstable();
        let mut ended = least.into_iter().peekable();
        let mut newest: Option<(usize, usize)> = None;
        for (began, at_most, second) in most {
            while let Some((_, at_least, first)) = ended.next_if(|(ended, _, _)| *ended < began) {
                newest = newest.max(Some((at_least, first)));
            }
            let Some((at_least, first)) = newest.filter(|(at_least, _)| *at_least > at_most) else {
                continue;
            };
            let version = self.versions.get(at_least).map(|version| version.0.to_string());
            return Err(format!(
                "{} had ended when {} began: the first proves that version {} was there, \
                and the second that it was not yet",
                Numbered(first, &calls[first]),
                Numbered(second, &calls[second]),
                version.as_deref().unwrap_or("that nobody has seen"),
            ));
        }
        Ok(())
    }

    /// Whether a swap of unknown outcome may have replaced what was seen last, before the call ended.
    fn may_be_replaced(&self, last: Version, call: &Call, calls: &[Call]) -> bool {
        calls.iter().any(|other| {
            let is_open = matches!(other.answer, None | Some((_, Answer::Failed)));
            let ended = call.answer.as_ref().map_or(u64::MAX, |(ended, _)| *ended);
            let over = matches!(&other.asked, Asked::Swap(over, _) if *over == last);
            is_open && over && other.began < ended
        })
    }

    /// The place of the version that was there at least as the call ended, and at most as it began.
    fn bounds(&self, n: usize, calls: &[Call]) -> Result<Option<(usize, Option<usize>)>, String> {
        let call = &calls[n];
        let newer = |than: &Version| {
            let Some(place) = self.place.get(than) else { return Ok(None) };
            let is_last = place + 1 == self.versions.len();
            if is_last && !self.may_be_replaced(*than, call, calls) {
                let last = than.0;
                return Err(format!("{}, and version {last} was not replaced", Numbered(n, call)));
            }
            Ok(Some((place + 1, None)))
        };
        match (&call.asked, call.answer.as_ref().map(|(_, answer)| answer)) {
            (Asked::Read, Some(Answer::Read(version, _)))
            | (Asked::Confirm(version), Some(Answer::Confirmed(true))) => {
                match self.place.get(version) {
                    Some(place) => Ok(Some((*place, Some(*place)))),
                    None => {
                        Err(format!("{}, and there never was such a version", Numbered(n, call)))
                    }
                }
            }
            (Asked::Confirm(version), Some(Answer::Confirmed(false)))
            | (Asked::Swap(version, _), Some(Answer::Conflict)) => newer(version),
            (Asked::Swap(..), Some(Answer::Swapped(version))) => {
                let place = self.place[version];
                Ok(Some((place, place.checked_sub(1))))
            }
            // Whether it was taken, what was read says; when it ended, nobody.
            (Asked::Swap(over, _), None | Some(Answer::Failed)) => {
                let place = self.place.get(over).filter(|_| self.brought.contains(&n));
                Ok(place.map(|place| (0, Some(*place))))
            }
            _ => Ok(None),
        }
    }
}

/// What was there, each version once, and a call that says so.
type Found = Vec<(Version, Bytes, usize)>;

fn views(calls: &[Call]) -> Result<Found, String> {
    let mut found: HashMap<Version, (Bytes, usize)> = HashMap::new();
    let mut order = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let (version, view) = match (&call.asked, &call.answer) {
            (_, Some((_, Answer::Read(version, view)))) => (*version, view),
            (Asked::Swap(_, view), Some((_, Answer::Swapped(version)))) => (*version, view),
            _ => continue,
        };
        match found.get(&version) {
            Some((other, before)) if other != view => {
                return Err(format!(
                    "version {} is two views, by {} and by {}",
                    version.0,
                    Numbered(*before, &calls[*before]),
                    Numbered(n, call)
                ));
            }
            Some(_) => {}
            None => {
                found.insert(version, (view.clone(), n));
                order.push((version, view.clone(), n));
            }
        }
    }
    Ok(order)
}

/// Which swap brought each version: the one that was told so, or else one of unknown outcome that had this view.
fn swaps(calls: &[Call], found: &Found) -> Result<HashMap<Version, usize>, String> {
    let mut by: HashMap<Version, usize> = HashMap::new();
    for (n, call) in calls.iter().enumerate() {
        let Some((_, Answer::Swapped(version))) = &call.answer else { continue };
        if let Some(before) = by.insert(*version, n) {
            return Err(format!(
                "{} and {} have the same version",
                Numbered(before, &calls[before]),
                Numbered(n, call)
            ));
        }
    }
    let mut brought: HashSet<usize> = by.values().copied().collect();
    for (version, view, seen) in found {
        if by.contains_key(version) {
            continue;
        }
        let had = |call: &Call| matches!(&call.asked, Asked::Swap(_, had) if had == view);
        let unknown = calls.iter().enumerate().find(|(n, call)| {
            let is_open = matches!(call.answer, None | Some((_, Answer::Failed)));
            is_open && had(call) && !brought.contains(n)
        });
        if let Some((n, _)) = unknown {
            by.insert(*version, n);
            brought.insert(n);
        } else if let Some((n, call)) = calls.iter().enumerate().find(|(_, call)| had(call)) {
            return Err(format!(
                "{} shows the view of {}, which cannot have brought this version",
                Numbered(*seen, &calls[*seen]),
                Numbered(n, call)
            ));
        }
    }
    Ok(by)
}

/// A call, as it is told.
struct Numbered<'a>(usize, &'a Call);

impl fmt::Display for Numbered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, call) = self;
        let node = char::from(b'a' + (call.node % 26) as u8);
        write!(f, "{}. {node}.{}", n + 1, call.asked)?;
        match &call.answer {
            None => write!(f, " = (no answer)"),
            Some((_, answer)) => write!(f, " = {answer}"),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => write!(f, "read()"),
            Self::Confirm(seen) => write!(f, "confirm({})", seen.0),
            Self::Swap(over, view) => write!(f, "swap(over {}, {})", over.0, Shown(view)),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(version, view) => write!(f, "version {}, {}", version.0, Shown(view)),
            Self::Confirmed(yes) => write!(f, "{yes}"),
            Self::Swapped(version) => write!(f, "version {}", version.0),
            Self::Conflict => write!(f, "a conflict"),
            Self::Failed => write!(f, "a failure"),
        }
    }
}

/// A view, or how long it is.
pub(super) struct Shown<'a>(pub(super) &'a Bytes);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => write!(f, "nothing"),
            1..=24 => write!(f, "{:?}", self.0),
            len => write!(f, "{len} bytes"),
        }
    }
}
