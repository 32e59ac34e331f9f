//! Certificates over time: those of this node are renewed, and those of peers end.
//!
//! A connection is as good as the certificate that opened it. Whoever dialed one that soon will not be good replaces
//! it before; one that is not good any more ends, whoever dialed it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::ServerName;
use tokio::task::{JoinError, JoinHandle};

use super::credential::{Credential, Link};
use super::layer::TlsLayer;
use super::material::Material;
use super::reason;
use super::verify::unix;
use crate::error::tls::TlsError;
use crate::error::{Cause, Chain};
use crate::events::{Event, Outlet};
use crate::remote::watched::Complaint;
use crate::timers;

/// How often the time is looked at. Nothing is read for that, and only what is about to end is verified.
const LOOK: Duration = Duration::from_secs(1);
/// How often all that is connected is verified anew.
const SWEEP: Duration = Duration::from_secs(60);
/// How often it is told that this node's certificate ends soon, or has not been renewed.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered between two looks.
#[derive(Default)]
struct Told {
    /// When it was told last that the certificate ends.
    end: Option<SystemTime>,
    /// That the files cannot be loaded.
    failure: Complaint,
}

/// Looks after the certificates of a node, or of a client, as long as that is there: `outlet` says so.
pub(crate) async fn look_after(
    layer: Arc<TlsLayer>,
    outlet: impl Fn() -> Option<Arc<Outlet>> + Send,
) {
    let (mut told, mut loaded, mut swept) = (Told::default(), SystemTime::now(), SystemTime::now());
    let mut work: Option<JoinHandle<Reloaded>> = None;
    loop {
        tokio::time::sleep(LOOK.min(layer.reload_every())).await;
        let Some(outlet) = outlet() else { return };
        let now = SystemTime::now();
        if let Some(done) = work.take_if(|work| work.is_finished()) {
            note(&outlet, &mut told, done.await);
        }
        // Files may be on a network that hangs: nothing else waits for them.
        if work.is_none() && is_due(Some(loaded), now, layer.reload_every()) {
            loaded = now;
            let layer = layer.clone();
            work = Some(tokio::task::spawn_blocking(move || layer.reload()));
        }
        announce(&layer, &outlet, &mut told, now);
        if is_due(Some(swept), now, SWEEP) {
            swept = now;
            let layer = layer.clone();
            drop(tokio::task::spawn_blocking(move || layer.review(now, true)));
        } else {
            layer.review(now, false);
        }
    }
}

/// What a look at the files has brought.
type Reloaded = Result<Option<Renewed>, TlsError>;

/// TLS goes by other files now.
pub(crate) struct Renewed {
    changed: String,
    names: String,
    left: String,
}

impl Renewed {
    /// Tells of it, where the log of the system is: files are read on a thread of another.
    pub(crate) fn log(&self) {
        let Self { changed, names, left } = self;
        tracing::info!(%changed, %names, %left, "TLS is renewed");
    }
}

/// What came of looking at the files.
fn note(outlet: &Outlet, told: &mut Told, loaded: Result<Reloaded, JoinError>) {
    let Ok(loaded) = loaded else { return };
    if let Ok(Some(renewed)) = &loaded {
        renewed.log();
    }
    if let Some(error) = told.failure.note(timers::now(), loaded) {
        tracing::error!(error = %Chain(&error), "the old certificate stays: the new one cannot be used");
        outlet.publish(|| Event::TlsReloadFailed { reason: Cause::new(error) });
    }
}

/// Tells that this node's own certificate ends, where nobody renews it.
fn announce(layer: &TlsLayer, outlet: &Outlet, told: &mut Told, now: SystemTime) {
    let material = layer.material();
    crate::metrics::certificate_ends(material.good_until);
    let left = material.good_until.duration_since(now).unwrap_or_default();
    let life = material.good_until.duration_since(material.good_since).unwrap_or_default();
    if left > life / 3 {
        told.end = None;
        return;
    }
    let has_ended = left.is_zero();
    let was_told_before = told.end.is_some_and(|at| at < material.good_until);
    if is_due(told.end, now, REMIND) || (has_ended && was_told_before) {
        told.end = Some(now);
        let names = material.names().to_string();
        match has_ended {
            true => {
                tracing::error!(%names, "the certificate of this node has ended: peers refuse it")
            }
            false => {
                let left = reason::span(left);
                tracing::warn!(%names, %left, "the certificate of this node ends soon");
            }
        }
        outlet.publish(|| Event::CertificateEnds { names, left });
    }
}

fn is_due(told: Option<SystemTime>, now: SystemTime, every: Duration) -> bool {
    // A clock that was set back keeps nobody from anything.
    told.is_none_or(|at| now.duration_since(at).map_or(true, |since| since >= every))
}

impl TlsLayer {
    /// Looks at what the certificate of this node is made of, and takes it if it has changed. Connections are held to
    /// it at once. Blocks.
    ///
    /// # Errors
    /// It cannot be used; all stays as it was.
    pub(crate) fn reload(&self) -> Reloaded {
        let now = SystemTime::now();
        let Some(changed) = self.load(now)? else { return Ok(None) };
        let material = self.material();
        let names = material.names();
        let left = reason::span(material.good_until.duration_since(now).unwrap_or_default());
        let renewed = Renewed { changed, names: names.to_string(), left: left.to_string() };
        self.check_own();
        self.review(now, true);
        Ok(Some(renewed))
    }

    /// Ends the connections whose peers are not to be trusted any more, and has those replaced that soon will not be.
    /// Where nothing was loaded there is mostly only the time to look at.
    pub(super) fn review(&self, now: SystemTime, is_loaded: bool) {
        for credential in self.credentials() {
            self.review_one(&credential, now, is_loaded);
        }
    }

    /// The same for the connections of one peer.
    pub(super) fn review_one(&self, credential: &Credential, now: SystemTime, is_loaded: bool) {
        let (material, is_due) = (self.material(), credential.is_due(now));
        let mut checked: Vec<(Option<ServerName<'static>>, Checked)> = Vec::new();
        for link in credential.links() {
            let old = self.is_old(&material, &link, now);
            if !is_loaded && !is_due && old.is_none() {
                continue;
            }
            let known = checked.iter().position(|(name, _)| *name == link.dialed);
            let at = known.unwrap_or_else(|| {
                let found = self.checked((credential, &material, link.dialed.as_ref()), now);
                checked.push((link.dialed.clone(), found));
                checked.len() - 1
            });
            match (&checked[at].1, old) {
                (Checked::Refused(why), _) => {
                    link.guarded.forbid(&format!("not trusted any more: {why}"));
                }
                (_, Some(why)) => link.guarded.retire(why),
                (Checked::Ends, None) if link.is_dialed() && !credential.stays() => {
                    credential.note_retired();
                    link.guarded.retire("the certificate of the peer ends soon");
                }
                _ => {}
            }
        }
        if is_due || is_loaded {
            let ends = checked.iter().any(|(_, checked)| !matches!(checked, Checked::Good));
            // What ends is looked at when it does. What was to end and is good all the same, as the chain can do without
            // a part of it, is looked at now and then.
            let next = match ends && now < credential.ends {
                true => credential.ends,
                false if is_due => now + (credential.ahead() / 2).max(LOOK),
                false => return,
            };
            credential.look_again(next);
        }
    }

    fn checked(&self, of: Checking<'_>, now: SystemTime) -> Checked {
        match check(of, now) {
            Err(error) => Checked::Refused(self.reason(&error)),
            Ok(()) if check(of, now + of.0.ahead()).is_err() => Checked::Ends,
            Ok(()) => Checked::Good,
        }
    }

    /// Why a connection is to be replaced although its peer's certificate is good.
    fn is_old<G>(
        &self,
        material: &Material,
        link: &Link<G>,
        now: SystemTime,
    ) -> Option<&'static str> {
        let age = now.duration_since(link.since).unwrap_or_default();
        match link.is_dialed() {
            false => None,
            true if link.own != material.own => Some("this node's certificate was renewed"),
            true if age >= self.replace_every() => {
                Some("the peer's certificate may have been renewed")
            }
            true => None,
        }
    }
}

/// What becomes of a peer.
enum Checked {
    Good,
    /// It will not be accepted for long.
    Ends,
    /// It is not accepted any more.
    Refused(String),
}

/// A peer, what this node trusts, and the name by which it has dialed that peer.
type Checking<'a> = (&'a Credential, &'a Material, Option<&'a ServerName<'static>>);

/// Whether a peer would be accepted at that time.
fn check(
    (credential, material, dialed): Checking<'_>,
    at: SystemTime,
) -> Result<(), rustls::Error> {
    let (leaf, rest) =
        credential.chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    match dialed {
        Some(name) => material.verifier.check_server((leaf, rest), name, unix(at)),
        None => material.verifier.check_client((leaf, rest), unix(at)),
    }
}
