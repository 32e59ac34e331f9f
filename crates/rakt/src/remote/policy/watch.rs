//! The file of a policy is looked at now and then.

use std::sync::Arc;

use super::live::Reloaded;
use crate::error::{Cause, Chain};
use crate::events::Event;
use crate::remote::resources::Resources;
use crate::remote::watched::{Complaint, EVERY};
use crate::timers::now;

/// Looks after the file of the policy that was given as the `nth`, until another one is given or the node is gone:
/// `resources` says so.
pub(crate) async fn look_after(nth: u64, resources: impl Fn() -> Option<Arc<Resources>> + Send) {
    let mut complaint = Complaint::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(resources) = resources().filter(|there| there.policies.is_nth(nth)) else {
            return;
        };
        let there = resources.clone();
        // Files may be on a network that hangs.
        let reload = tokio::task::spawn_blocking(move || there.policies.reload());
        let Ok(reloaded) = reload.await else { continue };
        reloaded.iter().flatten().for_each(Reloaded::log);
        if let Some(error) = complaint.note(now(), reloaded) {
            tracing::error!(error = %Chain(&error), "the old policy stays: the new one cannot be used");
            let reason = Cause::new(error);
            resources.outlet.publish(|| Event::PolicyReloadFailed { reason });
        }
    }
}
