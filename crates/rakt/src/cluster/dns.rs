//! Nodes that a name server knows, and discoveries side by side.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::discovery::{Discovery, DiscoveryError, Seed};

/// How long the resolver has by default.
const LIMIT: Duration = Duration::from_secs(5);

/// All addresses of a name, by the resolver of the system: A and AAAA records, and what its file of hosts says.
///
/// ```
/// use rakt::cluster::Dns;
///
/// let nodes = Dns::headless("shop.default.svc", 3320);
/// ```
///
/// In Kubernetes that is the name of a headless service (`clusterIP: None`). It has to publish addresses of pods that are not
/// ready yet (`publishNotReadyAddresses: true`), or the nodes of a new cluster, which are ready once they are members,
/// never find each other.
#[derive(Clone, Debug)]
pub struct Dns {
    host: String,
    port: u16,
    limit: Duration,
}

impl Dns {
    /// The nodes behind this name, all of which listen on this port.
    pub fn headless(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, limit: LIMIT }
    }

    /// How long to wait for the resolver, each time. Default 5 s. It is not stopped by that: it goes on in a thread for
    /// blocking calls, of which a runtime has 512 unless told otherwise.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The seeds, once each and in order, however often and in whichever order the addresses come.
    async fn seeds(
        &self,
        lookup: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
    ) -> Result<Vec<Seed>, DiscoveryError> {
        let host = || self.host.clone();
        let addresses = match tokio::time::timeout(self.limit, lookup).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(source)) => {
                return Err(DiscoveryError::new(NoAddress::Failed { host: host(), source }));
            }
            Err(_) => {
                let limit = self.limit;
                return Err(DiscoveryError::new(NoAddress::Silent { host: host(), limit }));
            }
        };
        let addresses: BTreeSet<IpAddr> = addresses.map(|at| at.ip().to_canonical()).collect();
        let seed = |at: IpAddr| Seed { host: at.to_string(), port: self.port };
        Ok(addresses.into_iter().map(seed).collect())
    }
}

impl Discovery for Dns {
    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        self.seeds(tokio::net::lookup_host((self.host.as_str(), self.port))).await
    }
}

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
enum NoAddress {
    #[error("the addresses of {host:?} could not be looked up")]
    Failed { host: String, source: io::Error },
    #[error("nothing was heard of the addresses of {host:?} within {limit:?}")]
    Silent { host: String, limit: Duration },
}

/// What either finds, once each: first that of the first. It fails where one has failed and nothing was found.
impl<A: Discovery, B: Discovery> Discovery for (A, B) {
    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        let (first, second) = tokio::join!(self.0.find(), self.1.find());
        let mut failed = None;
        let mut seeds: Vec<Seed> = Vec::new();
        for found in [first, second] {
            match found {
                Ok(found) => {
                    let new = found.into_iter().filter(|seed| !seeds.contains(seed));
                    let new: Vec<Seed> = new.collect();
                    seeds.extend(new);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if seeds.is_empty() => Err(error),
            _ => Ok(seeds),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::vec::IntoIter;

    use super::super::Static;
    use super::*;
    use crate::error::Chain;

    fn addresses(texts: &[&str]) -> io::Result<IntoIter<SocketAddr>> {
        let addresses: Vec<_> = texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().expect("an address"), 9))
            .collect();
        Ok(addresses.into_iter())
    }

    fn shown(seeds: &[Seed]) -> Vec<String> {
        seeds.iter().map(Seed::to_string).collect()
    }

    #[tokio::test]
    async fn the_local_host_has_addresses() {
        let seeds = Dns::headless("localhost", 3320).find().await.expect("it resolves");
        let local = ["127.0.0.1:3320", "[::1]:3320"];
        assert!(!seeds.is_empty());
        assert!(shown(&seeds).iter().all(|seed| local.contains(&seed.as_str())), "{seeds:?}");
        let itself = Dns::headless("10.0.0.7", 1).find().await.expect("it is one already");
        assert_eq!(shown(&itself), ["10.0.0.7:1"]);
    }

    #[tokio::test]
    async fn each_address_is_found_once_and_in_order() {
        let found = ["fd00::2", "10.0.0.10", "10.0.0.9", "10.0.0.10", "::ffff:10.0.0.9", "fd00::1"];
        let dns = Dns::headless("shop.default.svc", 3320);
        let seeds = dns.seeds(ready(addresses(&found))).await.expect("found");
        let expected = ["10.0.0.9:3320", "10.0.0.10:3320", "[fd00::1]:3320", "[fd00::2]:3320"];
        assert_eq!(shown(&seeds), expected);
    }

    #[tokio::test]
    async fn an_error_names_the_host_and_the_cause() {
        // No name: no server has to be asked.
        let error = Dns::headless("no..host", 1).find().await.expect_err("no name");
        let text = Chain(&error).to_string();
        assert!(text.contains("the addresses of \"no..host\" could not be looked up: "), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_is_silent_is_not_waited_for_for_ever() {
        let dns = Dns::headless("shop", 1).timeout(Duration::from_secs(2));
        let start = tokio::time::Instant::now();
        let error = dns.seeds(pending::<io::Result<IntoIter<_>>>()).await.expect_err("silent");
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        let text = Chain(&error).to_string();
        assert!(
            text.ends_with("nothing was heard of the addresses of \"shop\" within 2s"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn of_two_either_may_fail() {
        let one = || Static::new([("a", 1), ("b", 1)]);
        let failing = || Dns::headless("no..host", 1);
        let both = (one(), Static::new([("b", 1), ("c", 1), ("b", 2)])).find().await;
        assert_eq!(shown(&both.expect("found")), ["a:1", "b:1", "c:1", "b:2"]);
        let first = (one(), failing()).find().await.expect("found");
        let second = (failing(), one()).find().await.expect("found");
        assert_eq!([shown(&first), shown(&second)], [["a:1", "b:1"], ["a:1", "b:1"]]);
        assert!((failing(), Static::default()).find().await.is_err());
        assert!((Static::default(), failing()).find().await.is_err());
        let nobody = (Static::default(), Static::default()).find().await;
        assert_eq!(nobody.expect("nobody failed"), []);
    }
}
