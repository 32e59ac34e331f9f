//! What the three say to each other.

use serde::{Deserialize, Serialize};

/// A device says how hot it is. Reports of a device are numbered from 1; one that is repeated has the number that it
/// had, and no effect.
#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "twins.Report", reply = State)]
pub(crate) struct Report {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(double, tag = "2")]
    pub(crate) celsius: f64,
}

/// Asks a twin for what it knows.
#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "twins.Look", reply = State)]
pub(crate) struct Look {}

/// What a twin knows of its device.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, prost::Message)]
pub(crate) struct State {
    /// The number of the last report.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(double, tag = "2")]
    pub(crate) celsius: f64,
    /// How many reports have had an effect.
    #[prost(uint64, tag = "3")]
    pub(crate) count: u64,
}

/// A device has become too hot.
#[derive(Clone, Debug, Serialize, Deserialize, rakt::Message)]
#[rakt(name = "twins.Alarm", codec = "serde")]
pub(crate) struct Alarm {
    pub(crate) device: String,
    /// Of the report that said so.
    pub(crate) number: u64,
    pub(crate) celsius: f64,
}

/// Asks for all alarms so far.
#[derive(Clone, Serialize, Deserialize, rakt::Message)]
#[rakt(name = "twins.ListAlarms", codec = "serde", reply = Vec<Alarm>)]
pub(crate) struct ListAlarms;
