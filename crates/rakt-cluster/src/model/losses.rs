//! The register is lost for good: an old copy takes its place, or a new cluster.

use super::*;
use crate::propose::{found, recover};
use crate::view::Draft;

impl Cluster {
    /// One more node has joined, in the fourth version, and all know it.
    pub(super) fn with_one_more(&self, mut s: State) -> State {
        let (left, spare) = (s.left, NodeId(self.founders.into()));
        for version in 2..4 {
            let draft = Draft { version, ..s.views.last().expect("one").draft() };
            s.views.push(Arc::new(View::new(draft).expect("a view")));
        }
        s.left = Most { versions: 1, joins: 1, ..Most::default() };
        self.swap(&mut s, What::Join, spare).expect("it joins");
        let newest = s.views.last().expect("one").clone();
        let others: Vec<_> = s.nodes.keys().copied().filter(|id| *id != spare).collect();
        for id in others {
            self.learn(&mut s, id, &newest);
        }
        self.deliver_all(&mut s);
        State { left, ..s }
    }

    /// The register is lost for good, and an old copy of it takes its place. Nodes learn of that late, or never.
    pub(super) fn recover(&self, s: &mut State) -> Option<()> {
        s.left.recoveries -= 1;
        let copy = s.views.first()?.clone();
        let lease = if self.faults.shorter_copy { LEASE / 2 } else { LEASE };
        let mut draft = copy.draft();
        draft.lease = lease;
        let recovered = recover(&View::new(draft).ok()?, 1, lease).ok()?;
        let mut draft = recovered.draft();
        if self.faults.same_origin {
            draft.origin = copy.origin();
        }
        if self.faults.forgets_the_lost {
            draft.members.retain(|member| copy.node(member.id).is_some());
        }
        s.views.push(Arc::new(View::new(draft).ok()?));
        Some(())
    }

    pub(super) fn wipe(&self, s: &mut State) {
        s.left.wipes -= 1;
        let again = if self.faults.same_generation { 1 } else { 2 };
        let founders = [1, 2].map(|id| newcomer(NodeId(id), 7)).into();
        let view = Arc::new(found(2, again, None, LEASE, founders).expect("founded"));
        s.sent.clear();
        for node in s.nodes.values_mut() {
            node.cut_off = true;
        }
        for id in [1, 2].map(NodeId) {
            let node = self.node(&view, id, &mut s.sent);
            s.nodes.insert(id, node);
        }
        s.views = vec![view];
    }
}
