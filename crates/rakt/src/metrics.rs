//! The figures a system reports through the [`metrics`](https://docs.rs/metrics) facade, with the
//! feature `metrics`; without it every function here is empty.
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `rakt_links` | gauge | |
//! | `rakt_received_bytes_total`, `rakt_sent_bytes_total` | counter | |
//! | `rakt_requests_total`: asks, confirmed tells and operations sent from here | counter | `outcome`: `reply`, `refused`, `lost` |
//! | `rakt_dead_letters_total` | counter | |
//! | `rakt_denied_total`: what the policy has not allowed peers | counter | `verb`: `tell`, `ask`, `stop`, .. |
//! | `rakt_unconfirmed_tells_total`: messages, see `Event::LinkDown` | counter | |
//! | `rakt_actors` | gauge | |
//! | `rakt_grains`: those that live | gauge | `kind` |
//! | `rakt_grain_activations_total`, `rakt_grain_activation_failures_total` | counter | `kind` |
//! | `rakt_certificate_expiry_timestamp_seconds`: when the node's own certificate ends | gauge | |
//!
//! They are counted by the read, the write or the batch, not by the message.

#[cfg(feature = "metrics")]
mod reported {
    pub(crate) fn link_up() {
        metrics::gauge!("rakt_links").increment(1);
    }

    pub(crate) fn link_down(unconfirmed: u64) {
        metrics::gauge!("rakt_links").decrement(1);
        metrics::counter!("rakt_unconfirmed_tells_total").increment(unconfirmed);
    }

    pub(crate) fn received(bytes: usize) {
        metrics::counter!("rakt_received_bytes_total").increment(bytes as u64);
    }

    pub(crate) fn sent(bytes: usize) {
        metrics::counter!("rakt_sent_bytes_total").increment(bytes as u64);
    }

    pub(crate) fn requests_ended(outcome: &'static str, count: u64) {
        metrics::counter!("rakt_requests_total", "outcome" => outcome).increment(count);
    }

    pub(crate) fn dead_letters(count: u64) {
        metrics::counter!("rakt_dead_letters_total").increment(count);
    }

    #[cfg(feature = "_tls")]
    pub(crate) fn certificate_ends(at: std::time::SystemTime) {
        let seconds = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        metrics::gauge!("rakt_certificate_expiry_timestamp_seconds").set(seconds);
    }

    pub(crate) fn denied(verb: &'static str) {
        metrics::counter!("rakt_denied_total", "verb" => verb).increment(1);
    }

    pub(crate) fn actor_started() {
        metrics::gauge!("rakt_actors").increment(1);
    }

    pub(crate) fn actor_ended() {
        metrics::gauge!("rakt_actors").decrement(1);
    }

    pub(crate) fn grain_began(kind: &'static str) {
        metrics::gauge!("rakt_grains", "kind" => kind).increment(1);
        metrics::counter!("rakt_grain_activations_total", "kind" => kind).increment(1);
    }

    pub(crate) fn grain_failed(kind: &'static str) {
        metrics::counter!("rakt_grain_activation_failures_total", "kind" => kind).increment(1);
        grain_ended(kind);
    }

    pub(crate) fn grain_ended(kind: &'static str) {
        metrics::gauge!("rakt_grains", "kind" => kind).decrement(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod reported {
    pub(crate) fn link_up() {}
    pub(crate) fn link_down(_: u64) {}
    pub(crate) fn received(_: usize) {}
    pub(crate) fn sent(_: usize) {}
    pub(crate) fn requests_ended(_: &'static str, _: u64) {}
    pub(crate) fn dead_letters(_: u64) {}
    #[cfg(feature = "_tls")]
    pub(crate) fn certificate_ends(_: std::time::SystemTime) {}
    pub(crate) fn denied(_: &'static str) {}
    pub(crate) fn actor_started() {}
    pub(crate) fn actor_ended() {}
    pub(crate) fn grain_began(_: &'static str) {}
    pub(crate) fn grain_failed(_: &'static str) {}
    pub(crate) fn grain_ended(_: &'static str) {}
}

pub(crate) use reported::*;
