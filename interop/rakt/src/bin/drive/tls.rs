//! Go nodes with other certificates than usual, or without: what they take, and what is said where they do not.

use interop::actors::produced;
use interop::messages::{bytes, text};
use interop::secure;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{GoAkt, Tls};

use crate::go_node::GoNode;
use crate::report::{Check, checks};
use crate::target::{ASK_TIMEOUT, Target, error_of, expect};

/// What a Go node is given to have TLS, and other options than usual.
const STRICT: &[&str] = &[];
const NAMED: &[&str] = &["--certificate", "named"];
const ANY_CLIENT: &[&str] = &["--client-auth=false"];
const OLD: &[&str] = &["--tls12"];
const PLAIN: &[&str] = &["--certs", ""];
const BY_SECRET: &[&str] =
    &["--certificate", "secret/go", "--roots", "secret/ca", "--server-name", "rakt.internal"];

pub(crate) const CHECKS: &[Check] = checks! {
    "a certificate of another CA" => |x| {
        let tls = secure::with(&x.certs, "other/rakt", "both");
        refused(x, STRICT, Some(tls), GoAkt::new(), "it does not trust the CA of this node's certificate").await
    };
    "a certificate of another CA, and a large request" => |x| {
        // The node hangs up while it is written.
        let tls = secure::with(&x.certs, "other/rakt", "both");
        let client = x.client(GoAkt::new(), Some(tls))?;
        let asked = client.ask(&address(x, STRICT).await?, bytes(produced(8 << 20))).timeout(ASK_TIMEOUT);
        contains(&error_of(asked.await)?, "it does not trust the CA of this node's certificate")
    };
    "another CA is trusted" => |x| {
        let tls = secure::with(&x.certs, "other/rakt", "other/ca");
        refused(x, STRICT, Some(tls), GoAkt::new(), "not issued by a CA that this node trusts").await
    };
    "a name that is not in the certificate" => |x| {
        let options = GoAkt::new().server_name("other.internal");
        let text = r#"its certificate is not for "other.internal""#;
        refused(x, STRICT, x.tls(), options, text).await
    };
    "a certificate without the IP address" => |x| {
        let text = "its certificate is not for the IP address 127.0.0.1, by which it was dialed, but for goakt.internal";
        refused(x, NAMED, x.tls(), GoAkt::new(), text).await
    };
    "a certificate without the IP address, and the shared name" => |x| {
        taken(x, NAMED, x.tls(), GoAkt::new().server_name("goakt.internal")).await
    };
    "a Go node that asks for no certificate" => |x| {
        taken(x, ANY_CLIENT, x.tls(), GoAkt::new()).await
    };
    "TLS 1.2" => |x| {
        refused(x, OLD, x.tls(), GoAkt::new(), "it speaks no TLS 1.3").await
    };
    "no TLS, to a node with TLS" => |x| {
        refused(x, STRICT, None, GoAkt::new(), "are compression and TLS set as there").await
    };
    "TLS, to a node without" => |x| {
        let text = "closed the connection instead of an answer: does it take TLS?";
        refused(x, PLAIN, x.tls(), GoAkt::new(), text).await
    };
    "a shared secret" => |x| {
        taken(x, BY_SECRET, Some(secure::by_secret(&x.certs)?), GoAkt::new()).await
    };
    "a shared secret, and a certificate of a CA" => |x| {
        let tls = secure::by_secret(&x.certs)?;
        refused(x, STRICT, Some(tls), GoAkt::new(), "does not come of a secret, and this node goes by one").await
    };
};

/// A client asks and tells an actor of a Go node with these options.
async fn taken(
    x: &Target,
    node: &'static [&'static str],
    tls: Option<Tls>,
    options: GoAkt,
) -> Result {
    let (address, client) = (address(x, node).await?, x.client(options, tls)?);
    let asked = client.ask(&address, text("understood?")).timeout(ASK_TIMEOUT).await;
    let told = client.tell(&address, text("understood?")).confirmed().await;
    client.close().await;
    told?;
    expect(asked?, text("understood?"))
}

/// The same is refused, and both the ask and the tell say why.
async fn refused(
    x: &Target,
    node: &'static [&'static str],
    tls: Option<Tls>,
    options: GoAkt,
    why: &str,
) -> Result {
    let address = address(x, node).await?;
    let first = x.client(options.clone(), tls.clone())?;
    let asked = error_of(first.ask(&address, text("let in?")).timeout(ASK_TIMEOUT).await)?;
    first.close().await;
    // Another client: this one would not dial again at once.
    let second = x.client(options, tls)?;
    let told = error_of(second.tell(&address, text("let in?")).confirmed().await)?;
    second.close().await;
    contains(&asked, why)?;
    contains(&told, why)
}

fn contains(error: &(dyn std::error::Error + 'static), why: &str) -> Result {
    let text = Chain(error).to_string();
    match text.contains(why) {
        true => Ok(()),
        false => Err(format!("{text:?}, without {why:?}").into()),
    }
}

/// An actor of a node with these arguments, which is the same for all checks.
async fn address(x: &Target, args: &'static [&'static str]) -> Result<Address> {
    let mut nodes = x.nodes.lock().await;
    if !nodes.contains_key(args) {
        let all = [&["--certs", &x.certs][..], args].concat();
        nodes.insert(args, GoNode::start(x, x.compression, &all).await?);
    }
    Ok(nodes[args].address("echo"))
}
