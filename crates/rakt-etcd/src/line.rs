//! The way to etcd: one connection at a time, to one of the endpoints after the other.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rakt::error::Cause;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::Options;
use crate::error::{EtcdError, Meaning, Over, meaning};
use crate::messages::{Answer, Authenticate, Call, Header, Status as AskStatus};

/// The port of etcd for clients.
const PORT: u16 = 2_379;
/// The first version without faults that lose what a register needs: revisions that differ after a crash, and leases of others
/// that an old leader ends.
const SOUND: [u64; 3] = [3, 5, 14];
/// Longest answer, in bytes: a view is 1 MiB at most.
const MAX_ANSWER_LEN: usize = 8 << 20;

pub(crate) struct Line {
    pub(crate) options: Options,
    endpoints: Vec<(String, Endpoint)>,
    known: Mutex<Known>,
    /// Held while a connection is made: others wait for it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// The endpoint that is used, or tried next.
    at: usize,
    open: Option<Open>,
    opened: u64,
    /// The id of the cluster, from its first answer.
    cluster: Option<u64>,
    /// The highest revision that an answer named.
    revision: i64,
    went_back: Option<EtcdError>,
    /// Versions of servers that were warned of.
    warned: HashSet<String>,
}

/// A connection that was looked at.
#[derive(Clone)]
pub(crate) struct Open {
    channel: Channel,
    pub(crate) endpoint: String,
    number: u64,
    token: Option<AsciiMetadataValue>,
}

impl Open {
    pub(crate) fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone())
            .max_decoding_message_size(MAX_ANSWER_LEN)
            .max_encoding_message_size(MAX_ANSWER_LEN)
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    async fn ask<C: Call>(&self, call: C) -> Result<C::Answer, Status> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let codec = ProstCodec::<C, C::Answer>::default();
        Ok(grpc.unary(self.request(call), C::path(), codec).await?.into_inner())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        f.debug_struct("Line")
            .field("cluster", &known.cluster)
            .field("revision", &known.revision)
            .field("open", &known.open.as_ref().map(|open| &open.endpoint))
            .finish_non_exhaustive()
    }
}

impl Line {
    pub(crate) fn new(options: Options) -> Result<Self, EtcdError> {
        let endpoints = options.endpoints.iter().map(|text| endpoint(text, &options));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(EtcdError::options("there is no endpoint"));
        }
        Ok(Self { options, endpoints, known: Mutex::default(), opening: Default::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, at another endpoint if this one cannot be reached or does not answer. What may not be carried out twice is sent
    /// once.
    pub(crate) async fn ask<C: Call>(&self, call: C, twice: bool) -> Result<C::Answer, EtcdError> {
        let until = Instant::now() + self.options.timeout;
        let mut tries = 0..=self.endpoints.len();
        let mut is_renewed = false;
        let mut why = None;
        loop {
            if let Some(why) = why.take_if(|_| tries.next().is_none() || Instant::now() >= until) {
                return Err(why);
            }
            let open = self.open(until).await?;
            let floor = self.known().revision;
            let start = Instant::now();
            // One that is silent must not take all the time there is.
            let is_last = !twice || tries.is_empty() || self.endpoints.len() == 1;
            let limit = if is_last { until } else { start + (until - start) / 2 };
            let Ok(answer) = timeout_at(limit, open.ask(call.clone())).await else {
                self.close(&open);
                let (endpoint, limit) = (open.endpoint, limit - start);
                let late = EtcdError::Late { endpoint, limit };
                if !twice {
                    return Err(late);
                }
                why = Some(late);
                continue;
            };
            let status = match answer {
                Ok(answer) => return self.check(answer.header(), floor, &open).map(|()| answer),
                Err(status) => status,
            };
            match meaning(&status) {
                Meaning::NotSent => self.close(&open),
                Meaning::Unknown => {
                    self.close(&open);
                    if !twice {
                        return Err(EtcdError::of(&open.endpoint, status));
                    }
                }
                // The next connection gets a new one.
                Meaning::Token if !is_renewed && self.options.user.is_some() => {
                    is_renewed = true;
                    self.known().open.take_if(|known| known.number == open.number);
                }
                Meaning::Token | Meaning::No => return Err(EtcdError::of(&open.endpoint, status)),
            }
            why = Some(EtcdError::of(&open.endpoint, status));
        }
    }

    /// The connection, or a new one, to the first endpoint that has a leader.
    pub(crate) async fn open(&self, until: Instant) -> Result<Open, EtcdError> {
        let known = |line: &Self| {
            let known = line.known();
            match &known.went_back {
                Some(error) => Err(error.clone()),
                None => Ok(known.open.clone()),
            }
        };
        if let Some(open) = known(self)? {
            return Ok(open);
        }
        let late = |endpoint: &str, limit| EtcdError::Late { endpoint: endpoint.to_owned(), limit };
        let Ok(_opening) = timeout_at(until, self.opening.lock()).await else {
            return Err(late(&self.endpoints[self.known().at].0, self.options.timeout));
        };
        if let Some(open) = known(self)? {
            return Ok(open);
        }
        let mut tries = self.endpoints.len();
        loop {
            let at = self.known().at;
            let (name, endpoint) = &self.endpoints[at];
            let limit = self.options.connect_timeout.min(until - Instant::now());
            let error = match timeout(limit, self.connect(name, endpoint)).await {
                Ok(Ok(open)) => {
                    self.known().open = Some(open.clone());
                    return Ok(open);
                }
                Ok(Err(error)) => error,
                Err(_) => late(name, limit),
            };
            self.known().at = (at + 1) % self.endpoints.len();
            tries -= 1;
            if tries == 0 || Instant::now() >= until {
                return Err(error);
            }
        }
    }

    async fn connect(&self, name: &str, endpoint: &Endpoint) -> Result<Open, EtcdError> {
        let not_reached =
            |error| EtcdError::NotReached { endpoint: name.to_owned(), source: Cause::new(error) };
        let channel =
            endpoint.connect_with_connector(Once::default()).await.map_err(not_reached)?;
        let refused = |status| EtcdError::of(name, status);
        let number = {
            let mut known = self.known();
            known.opened += 1;
            known.opened
        };
        let mut open = Open { channel, endpoint: name.to_owned(), number, token: None };
        if let Some((user, password)) = &self.options.user {
            let call = Authenticate { name: user.clone(), password: password.clone() };
            match open.ask(call).await {
                Ok(answer) => {
                    let token = answer.token.parse().map_err(|_| EtcdError::Refused {
                        endpoint: name.to_owned(),
                        said: "its token is no text".into(),
                        hint: "",
                    })?;
                    open.token = Some(token);
                }
                // As etcd's own clients do: so users can be set up before they are asked for.
                Err(status) if status.message().contains("authentication is not enabled") => {
                    tracing::warn!(endpoint = %name, "etcd asks nobody who they are");
                }
                Err(status) => return Err(refused(status)),
            }
        }
        match open.ask(AskStatus {}).await {
            Ok(state) => {
                self.check(state.header(), i64::MIN, &open)?;
                if state.leader == 0 {
                    let said = "it knows no leader".to_owned();
                    return Err(EtcdError::Failed { endpoint: name.to_owned(), said });
                }
                if is_old(&state.version) && self.known().warned.insert(state.version.clone()) {
                    tracing::warn!(
                        endpoint = %name,
                        version = %state.version,
                        "this etcd has known faults that can lose what it has answered: update it to 3.5.14 or later"
                    );
                }
            }
            // Who may read and write the view need not be allowed to look at the server.
            Err(status) if matches!(meaning(&status), Meaning::No) => {}
            Err(status) => return Err(refused(status)),
        }
        Ok(open)
    }

    /// Gives up a connection; the next one goes to the next endpoint. What is under way on it goes on.
    pub(crate) fn close(&self, open: &Open) {
        let mut known = self.known();
        if known.open.take_if(|known| known.number == open.number).is_some() {
            known.at = (known.at + 1) % self.endpoints.len();
        }
    }

    /// Whether the answer comes from the etcd that was there before. `floor` is what it was at as the call began.
    fn check(&self, header: Option<&Header>, floor: i64, open: &Open) -> Result<(), EtcdError> {
        let endpoint = open.endpoint.clone();
        let Some(&Header { cluster: is, revision }) = header else {
            return Err(EtcdError::Failed { endpoint, said: "its answer has no header".into() });
        };
        let mut known = self.known();
        let was = *known.cluster.get_or_insert(is);
        if was != is {
            drop(known);
            self.close(open);
            return Err(EtcdError::OtherCluster { endpoint, is, was });
        }
        if revision < floor {
            let error = EtcdError::WentBack { endpoint, is: revision, was: floor };
            return Err(known.went_back.get_or_insert(error).clone());
        }
        known.revision = known.revision.max(revision);
        Ok(())
    }
}

fn endpoint(text: &str, options: &Options) -> Result<(String, Endpoint), EtcdError> {
    let name = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = || EtcdError::options(format!("{text:?} is not like http://10.0.0.1:2379"));
    let uri: Uri = name.parse().map_err(|_| wrong())?;
    let is_plain = match uri.scheme_str() {
        Some("http") => true,
        Some("https") => false,
        _ => return Err(wrong()),
    };
    // A host and a port that is a number, and nothing else.
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map_or_else(String::new, |port| format!(":{port}"));
    let is_whole = uri.authority().is_some_and(|all| all.as_str() == format!("{host}{port}"));
    if host.is_empty() || !is_whole || !matches!(uri.path(), "" | "/") {
        return Err(wrong());
    }
    // Without pings: calls have limits, and the watch asks for signs of life. etcd ends connections that ping too often.
    let endpoint = Endpoint::from(uri).connect_timeout(options.connect_timeout);
    Ok((name.clone(), secured(endpoint, &name, is_plain, options)?))
}

#[cfg(feature = "_tls")]
fn secured(
    endpoint: Endpoint,
    name: &str,
    is_plain: bool,
    options: &Options,
) -> Result<Endpoint, EtcdError> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};
    match (&options.ca, is_plain) {
        (None, true) if options.certificate.is_none() => Ok(endpoint),
        (_, true) => Err(EtcdError::options(format!("{name} is without TLS: https:// is with it"))),
        (None, false) => {
            Err(EtcdError::options(format!("{name} is with TLS, and needs `Etcd::ca`")))
        }
        (Some(ca), false) => {
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
            if let Some((certificate, key)) = &options.certificate {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint.tls_config(tls).map_err(|error| {
                let why = rakt::error::Chain(&error).to_string();
                EtcdError::options(format!("the certificates or the key: {why}"))
            })
        }
    }
}

#[cfg(not(feature = "_tls"))]
fn secured(
    endpoint: Endpoint,
    name: &str,
    is_plain: bool,
    _: &Options,
) -> Result<Endpoint, EtcdError> {
    match is_plain {
        true => Ok(endpoint),
        false => Err(EtcdError::options(format!("{name} needs the feature `tls` of rakt-etcd"))),
    }
}

/// Connects, and not again: who answers after that may be somebody else, and has to be looked at first.
#[derive(Default)]
struct Once {
    is_over: bool,
}

impl tower_service::Service<Uri> for Once {
    type Response = TokioIo<TcpStream>;
    type Error = rakt::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let is_over = std::mem::replace(&mut self.is_over, true);
        Box::pin(async move {
            if is_over {
                return Err(Over.into());
            }
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT))).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Whether that version of etcd is older than it should be. One that cannot be read is not.
fn is_old(version: &str) -> bool {
    let numbers = version.split(['.', '-', '+']).take(3).map(|part| part.parse::<u64>());
    numbers.collect::<Result<Vec<_>, _>>().is_ok_and(|numbers| numbers.as_slice() < &SOUND[..])
}

/// For errors that are shared.
pub(crate) type Lined = Result<Arc<Line>, EtcdError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for old in ["3.4.23", "3.5.13", "3.5.2", "3.5.13-rc.1", "2.9.99"] {
            assert!(is_old(old), "{old}");
        }
        for sound in ["3.5.14", "3.5.100", "3.6.0-alpha.0", "4.0.0", "", "unknown"] {
            assert!(!is_old(sound), "{sound}");
        }
    }
}
