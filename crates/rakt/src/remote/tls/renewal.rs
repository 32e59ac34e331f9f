//! Certificates over time: those of this node are renewed, and those of peers end.
//!
//! A connection is as good as the certificate that opened it. Whoever dialed one that soon will not be good replaces
//! it before; one that is not good any more ends, whoever dialed it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::ServerName;

use super::credential::{Credential, Link};
use super::layer::TlsLayer;
use super::material::Material;
use super::reason;
use super::verify::unix;
use crate::error::tls::TlsError;
use crate::error::{Cause, Chain};
use crate::events::{Event, Outlet};

/// How often the time is looked at. Nothing is read for that, and nothing verified.
const LOOK: Duration = Duration::from_secs(1);
/// How long before its end a certificate is not used any more, at most: a third of what was left of it is enough.
const AHEAD: Duration = Duration::from_secs(600);
/// How often it is told that this node's certificate ends soon, or has not been renewed.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is told that what is there cannot be loaded.
const COMPLAIN: Duration = Duration::from_secs(60);

/// What is remembered between two looks.
#[derive(Default)]
struct Told {
    /// When it was told last that the certificate ends.
    end: Option<SystemTime>,
    /// When it was told last that the files cannot be loaded.
    failure: Option<SystemTime>,
}

/// Looks after the certificates of a node, or of a client, as long as that is there: `outlet` says so.
pub(crate) async fn look_after(
    layer: Arc<TlsLayer>,
    outlet: impl Fn() -> Option<Arc<Outlet>> + Send,
) {
    let (mut told, mut loaded) = (Told::default(), SystemTime::now());
    loop {
        tokio::time::sleep(LOOK.min(layer.reload_every())).await;
        let Some(outlet) = outlet() else { return };
        let now = SystemTime::now();
        // A clock that was set back does not keep it from looking.
        if now.duration_since(loaded).map_or(true, |since| since >= layer.reload_every()) {
            loaded = now;
            load(&layer, &outlet, &mut told, now).await;
        }
        announce(&layer, &outlet, &mut told, now);
        layer.review(now, false);
    }
}

async fn load(layer: &Arc<TlsLayer>, outlet: &Outlet, told: &mut Told, now: SystemTime) {
    let work = layer.clone();
    // Files may be on a network.
    let read = tokio::task::spawn_blocking(move || work.reload()).await;
    match read {
        Ok(Ok(_)) => told.failure = None,
        Ok(Err(error)) if is_due(told.failure, now, COMPLAIN) => {
            told.failure = Some(now);
            tracing::error!(error = %Chain(&error), "the old certificate stays: the new one cannot be used");
            outlet.publish(|| Event::TlsReloadFailed { reason: Cause::new(error) });
        }
        _ => {}
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
    told.is_none_or(|at| now.duration_since(at).is_ok_and(|since| since >= every))
}

impl TlsLayer {
    /// Looks at what the certificate of this node is made of, and takes it if it has changed. Connections are held to
    /// it at once. Blocks.
    ///
    /// # Errors
    /// It cannot be used; all stays as it was.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let now = SystemTime::now();
        let Some(material) = self.load(now)? else { return Ok(false) };
        let names = material.names();
        let left = reason::span(material.good_until.duration_since(now).unwrap_or_default());
        tracing::info!(%names, %left, "certificates are renewed");
        self.review(now, true);
        Ok(true)
    }

    /// Ends the connections whose peers are not to be trusted any more, and has those replaced that soon will not be.
    /// Where nothing was loaded there is only the time to look at.
    pub(super) fn review(&self, now: SystemTime, is_loaded: bool) {
        let material = self.material();
        for credential in self.credentials() {
            let ahead = ahead(credential.first_seen, credential.ends);
            // An expired certificate that the chain could do without is no reason: the verifier knows.
            let may_end = credential.ends <= now + ahead;
            for link in credential.links() {
                let of = (&*credential, &*material, link.dialed.as_ref());
                let old = self.is_old(&material, &link, now);
                if !is_loaded && !may_end && old.is_none() {
                    continue;
                }
                if let Err(error) = check(of, now) {
                    link.guarded.forbid(&format!("not trusted any more: {}", reason::of(&error)));
                } else if let Some(why) = old {
                    link.guarded.retire(why);
                } else if link.is_dialed()
                    && may_end
                    && !credential.stays()
                    && check(of, now + ahead).is_err()
                {
                    credential.note_retired();
                    link.guarded.retire("the certificate of the peer ends soon");
                }
            }
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
            true if link.own_ends < material.good_until => {
                Some("this node's certificate was renewed")
            }
            true if age >= self.replace_every() => {
                Some("the peer's certificate may have been renewed")
            }
            true => None,
        }
    }
}

/// How long before the end of a certificate the connections are replaced.
fn ahead(since: SystemTime, until: SystemTime) -> Duration {
    AHEAD.min(until.duration_since(since).unwrap_or_default() / 3)
}

/// Whether a peer would be accepted at that time.
fn check(
    (credential, material, dialed): (&Credential, &Material, Option<&ServerName<'static>>),
    at: SystemTime,
) -> Result<(), rustls::Error> {
    let (leaf, rest) =
        credential.chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    match dialed {
        Some(name) => material.verifier.check_server((leaf, rest), name, unix(at)),
        None => material.verifier.check_client((leaf, rest), unix(at)),
    }
}
