//! What follows from the writes that a store took.

use std::collections::HashMap;

use crate::grain::{Epoch, GrainId, Writer};

/// A write that a store has answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The grain.
    pub grain: GrainId,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// Who has claimed it.
    pub writer: Writer,
    /// The version that it has replaced; `None` for a claim.
    pub over: Option<u64>,
    /// The version that is stored now: for a claim, what it has found, 0 where nothing is stored.
    pub version: u64,
}

/// Says what is wrong with them, however they were ordered: of two that replace the same, one is lost; who
/// replaces what a later epoch has written was not fenced; and two writers with one epoch are not told apart.
pub(crate) fn faults(writes: &[Write]) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut over, mut of, mut writers) = (HashMap::new(), HashMap::new(), HashMap::new());
    for write in writes {
        let Write { grain, epoch, writer, .. } = write;
        let first = writers.entry((grain, epoch)).or_insert(writer);
        if *first != writer {
            faults.push(format!("two writers had {grain} in epoch {epoch}: {first:?}, {writer:?}"));
        }
        let Some(replaced) = write.over else { continue };
        if let Some(Write { epoch: other, .. }) = over.insert((grain, replaced), write) {
            faults.push(format!(
                "version {replaced} of {grain} was replaced twice, in the epochs {other} and {epoch}"
            ));
        }
        of.insert((grain, write.version), write);
    }
    for write in writes {
        let Write { grain, epoch, over, version, .. } = write;
        let found = over.unwrap_or(*version);
        let Some(before) = of.get(&(grain, found)).filter(|before| before.epoch > *epoch) else {
            continue;
        };
        let (did, later) = (if over.is_some() { "replaced" } else { "claimed" }, before.epoch);
        faults.push(format!("epoch {epoch} {did} version {found} of {grain}, of epoch {later}"));
    }
    faults
}
