//! The threads in which strangers live: they step back where the machine is busy, since in earnest they are on
//! another one.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use crate::Result;

/// The higher, the less of a busy machine.
const NICE: i32 = 10;

/// Where strangers live.
pub(crate) struct Strangers(Option<Runtime>);

impl Strangers {
    pub(crate) fn gather() -> Result<Self> {
        let step_back = || {
            // Without it the figures of the honest are worse, and nothing else.
            let _ = rustix::process::setpriority_process(None, NICE);
        };
        let runtime =
            Builder::new_multi_thread().enable_all().on_thread_start(step_back).build()?;
        Ok(Self(Some(runtime)))
    }

    /// Waits for something that strangers do.
    pub(crate) async fn attack(&self, attack: impl Future<Output = ()> + Send + 'static) -> Result {
        let Some(runtime) = &self.0 else { return Ok(()) };
        Ok(runtime.spawn(attack).await?)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
