//! The stream against that of `tokio-rustls`, which is the oracle, and against peers that break the rules.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `support` | certificates, both kinds of ends, and a link that cuts what it carries to pieces |
//! | `exchange` | what is written on one side is read on the other, whoever is there |
//! | `endings` | how connections and handshakes end, and what either side is told |
//! | `forged` | records that no honest peer sends |

mod endings;
mod exchange;
mod forged;
mod support;
