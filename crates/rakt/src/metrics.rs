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
//! Of a cluster, as this node knows it:
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `rakt_cluster_members` | gauge | `state`: `joining`, `up`, `leaving`, `dead` |
//! | `rakt_cluster_view_generation`, `rakt_cluster_view_version` | gauge | |
//! | `rakt_cluster_lease_expiry_timestamp_seconds`: until when this node may host; 0 without a lease | gauge | |
//! | `rakt_cluster_slots`: of 4,096, those that this node keeps track of | gauge | |
//! | `rakt_cluster_fenced_total`: see `Event::Fenced` | counter | |
//! | `rakt_cluster_duplicates_total`: see `Event::DuplicateSeen` | counter | |
//! | `rakt_cluster_takeovers_total`, `rakt_cluster_taken_over_slots_total`: see `Event::TookOver` | counter | |
//! | `rakt_cluster_grants_total`: grains that this node has had begin, here or elsewhere | counter | `cause`: `new`, `again`, `taken_over` |
//! | `rakt_cluster_searches_total`: for grains whose place was not known here | counter | `outcome`: `here`, `there`, `nobody`, `alone`, `failed`, `no_host`, `fenced`, `not_needed`: it lives here by then, or nobody waits any more |
//! | `rakt_cluster_searches_asked_again_total`: no answer within 250 ms | counter | |
//! | `rakt_cluster_relayed_total`: messages of peers, passed on to where a grain lives | counter | |
//! | `rakt_cluster_register_calls_total` | counter | `call`: `read`, `confirm`, `swap`; `outcome`: `ok`, `conflict`, `failed` |
//!
//! They are counted by the read, the write or the batch, not by the message. Each is described to the recorder that is there
//! when a system starts or a client is made: exporters show that as the help of a metric.

#[cfg(feature = "metrics")]
mod reported {
    use metrics::Unit::{Bytes, Count, Seconds};
    use metrics::{describe_counter, describe_gauge};

    /// Says of every metric what it is.
    pub(crate) fn describe() {
        describe_gauge!("rakt_links", Count, "Connections that are open, in either direction");
        describe_counter!("rakt_received_bytes_total", Bytes, "Bytes read from connections");
        describe_counter!("rakt_sent_bytes_total", Bytes, "Bytes written to connections");
        describe_counter!(
            "rakt_requests_total",
            Count,
            "Asks, confirmed tells and operations sent to other nodes that have ended, by outcome"
        );
        describe_counter!("rakt_dead_letters_total", Count, "Messages that nobody handled");
        describe_counter!(
            "rakt_denied_total",
            Count,
            "Messages and operations of peers that the policy does not allow, by verb"
        );
        describe_counter!(
            "rakt_unconfirmed_tells_total",
            Count,
            "Tells under way on connections that were lost: handled or not, nobody knows"
        );
        describe_gauge!("rakt_actors", Count, "Actors of this process");
        describe_gauge!("rakt_grains", Count, "Grains that live in this process, by kind");
        describe_counter!(
            "rakt_grain_activations_total",
            Count,
            "Lives of grains that began here, by kind"
        );
        describe_counter!(
            "rakt_grain_activation_failures_total",
            Count,
            "Lives of grains that could not begin, by kind"
        );
        describe_gauge!(
            "rakt_certificate_expiry_timestamp_seconds",
            Seconds,
            "When the certificate of this node ends, since 1970"
        );
        #[cfg(feature = "cluster")]
        super::of_cluster::describe();
    }

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

    pub(crate) fn relayed() {
        metrics::counter!("rakt_cluster_relayed_total").increment(1);
    }
}

/// What a node of a cluster reports.
#[cfg(all(feature = "metrics", feature = "cluster"))]
pub(crate) mod of_cluster {
    use std::time::{Duration, SystemTime};

    use metrics::Unit::{Count, Seconds};
    use metrics::{describe_counter, describe_gauge};

    pub(super) fn describe() {
        describe_gauge!("rakt_cluster_members", Count, "Members that this node knows, by state");
        describe_gauge!(
            "rakt_cluster_view_generation",
            Count,
            "The generation of the view that this node knows"
        );
        describe_gauge!(
            "rakt_cluster_view_version",
            Count,
            "The version of the view that this node knows"
        );
        describe_gauge!(
            "rakt_cluster_lease_expiry_timestamp_seconds",
            Seconds,
            "Until when this node may host, since 1970; 0 without a lease"
        );
        describe_gauge!(
            "rakt_cluster_slots",
            Count,
            "Of the 4,096 slots, those that this node keeps track of"
        );
        describe_counter!(
            "rakt_cluster_fenced_total",
            Count,
            "How often this node was no member any more, and all grains here ended"
        );
        describe_counter!(
            "rakt_cluster_duplicates_total",
            Count,
            "Second lives of grains that were seen"
        );
        describe_counter!(
            "rakt_cluster_takeovers_total",
            Count,
            "How often this node took over slots of one that was removed"
        );
        describe_counter!("rakt_cluster_taken_over_slots_total", Count, "The slots of those");
        describe_counter!(
            "rakt_cluster_grants_total",
            Count,
            "Grains that this node has had begin, here or elsewhere, by cause"
        );
        describe_counter!(
            "rakt_cluster_searches_total",
            Count,
            "Looks for grains whose place was not known here, by outcome"
        );
        describe_counter!(
            "rakt_cluster_searches_asked_again_total",
            Count,
            "Looks that had no answer within 250 ms"
        );
        describe_counter!(
            "rakt_cluster_relayed_total",
            Count,
            "Messages of peers that were passed on to where a grain lives"
        );
        describe_counter!(
            "rakt_cluster_register_calls_total",
            Count,
            "Reads, confirmations and writes of the register, by outcome"
        );
    }

    pub(crate) fn view((generation, version): (u64, u64)) {
        metrics::gauge!("rakt_cluster_view_generation").set(generation as f64);
        metrics::gauge!("rakt_cluster_view_version").set(version as f64);
    }

    pub(crate) fn members(state: &'static str, count: usize) {
        metrics::gauge!("rakt_cluster_members", "state" => state).set(count as f64);
    }

    /// What is left of the lease, if there is one.
    pub(crate) fn lease(left: Option<Duration>) {
        let ends = left.and_then(|left| SystemTime::now().checked_add(left));
        let ends = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = ends.unwrap_or_default().as_secs_f64();
        metrics::gauge!("rakt_cluster_lease_expiry_timestamp_seconds").set(seconds);
    }

    pub(crate) fn slots(held: usize) {
        metrics::gauge!("rakt_cluster_slots").set(held as f64);
    }

    pub(crate) fn fenced() {
        metrics::counter!("rakt_cluster_fenced_total").increment(1);
    }

    pub(crate) fn duplicate() {
        metrics::counter!("rakt_cluster_duplicates_total").increment(1);
    }

    pub(crate) fn took_over(slots: usize) {
        metrics::counter!("rakt_cluster_takeovers_total").increment(1);
        metrics::counter!("rakt_cluster_taken_over_slots_total").increment(slots as u64);
    }

    pub(crate) fn granted(cause: &'static str, count: u64) {
        metrics::counter!("rakt_cluster_grants_total", "cause" => cause).increment(count);
    }

    pub(crate) fn search_ended(outcome: &'static str) {
        metrics::counter!("rakt_cluster_searches_total", "outcome" => outcome).increment(1);
    }

    pub(crate) fn asked_again(count: u64) {
        metrics::counter!("rakt_cluster_searches_asked_again_total").increment(count);
    }

    pub(crate) fn register_asked(call: &'static str, outcome: &'static str) {
        let labels = [("call", call), ("outcome", outcome)];
        metrics::counter!("rakt_cluster_register_calls_total", &labels).increment(1);
    }
}

#[cfg(all(not(feature = "metrics"), feature = "cluster"))]
pub(crate) mod of_cluster {
    use std::time::Duration;

    pub(crate) fn view(_: (u64, u64)) {}
    pub(crate) fn members(_: &'static str, _: usize) {}
    pub(crate) fn lease(_: Option<Duration>) {}
    pub(crate) fn slots(_: usize) {}
    pub(crate) fn fenced() {}
    pub(crate) fn duplicate() {}
    pub(crate) fn took_over(_: usize) {}
    pub(crate) fn granted(_: &'static str, _: u64) {}
    pub(crate) fn search_ended(_: &'static str) {}
    pub(crate) fn asked_again(_: u64) {}
    pub(crate) fn register_asked(_: &'static str, _: &'static str) {}
}

#[cfg(not(feature = "metrics"))]
mod reported {
    pub(crate) fn describe() {}
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
    pub(crate) fn relayed() {}
}

pub(crate) use reported::*;
