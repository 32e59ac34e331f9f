//! What caused an error is told across nodes, link by link.

use std::error::Error;
use std::fmt;

use rakt::error::{Cause, Chain};
use rakt::prelude::*;
use rakt::{AskError, Refusal};

use crate::nodes::{node, remote};
use crate::support::within;

/// An error on top of `depth` others.
#[derive(Debug)]
struct Layer {
    text: String,
    below: Option<Box<Layer>>,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.below.as_deref().map(|below| below as _)
    }
}

/// Has the handler fail with errors of these texts, each the cause of the one before.
#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "causes.Fail")]
struct Fail {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
}

struct Failing;

impl Actor for Failing {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Fail>();
    }
}

impl Handler<Fail> for Failing {
    async fn handle(&mut self, Fail { texts }: Fail, _: &mut Context<Self>) -> Result {
        let layers =
            texts.into_iter().rev().fold(None, |below, text| Some(Box::new(Layer { text, below })));
        Err(layers.ok_or("nothing to fail with")?)
    }
}

#[tokio::test]
async fn a_text_with_control_characters_arrives_as_it_is_and_is_shown_in_one_line() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("failing", || Failing).await?;
    let failing: ActorRef = remote(&here, &there, "failing").await;
    let texts = vec!["no\norder \x1b[2J".to_owned(), "\u{202e}kcots on".to_owned()];
    let error = within(failing.ask(Fail { texts })).await.expect_err("it fails");
    let AskError::Refused { refusal: Refusal::HandlerFailed { source }, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(Chain(source).to_string(), r"no\norder \u{1b}[2J: \u{202e}kcots on");
    let below = Layer { text: "\u{202e}kcots on".to_owned(), below: None };
    let sent = Layer { text: "no\norder \x1b[2J".to_owned(), below: Some(Box::new(below)) };
    assert_eq!(*source, Cause::new(sent), "it reads as it was written");
    Ok(())
}

/// The texts that an asker on another node reads.
async fn told(texts: Vec<String>) -> Result<Vec<String>> {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("failing", || Failing).await?;
    let failing: ActorRef = remote(&here, &there, "failing").await;
    let error = within(failing.ask(Fail { texts })).await.expect_err("it fails");
    assert!(matches!(&error, AskError::Refused { refusal: Refusal::HandlerFailed { .. }, .. }));
    let links = std::iter::successors(error.source(), |link| (*link).source());
    Ok(links.map(ToString::to_string).collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn an_asker_reads_every_cause_of_an_error_on_another_node() -> Result {
    let causes = texts(&["no order", "no stock\nin two lines", "closed"]);
    // Each is shown in one line.
    let shown = causes.iter().map(|cause| cause.replace('\n', "\\n"));
    assert_eq!(told(causes.clone()).await?, shown.collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn causes_are_cut_by_number_and_by_length() -> Result {
    assert_eq!(told(vec!["again".to_owned(); 40]).await?.len(), 16);
    let long = told(vec!["\u{e4}".repeat(400); 3]).await?;
    // Between two characters: 400 of two bytes, a line end, 111 more.
    assert_eq!(long, [400, 111].map(|len| "\u{e4}".repeat(len)));
    Ok(())
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_with_the_error_of_the_system() -> Result {
    let here = node("here").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let nobody = here.actor(&format!("rakt://nobody@127.0.0.1:{port}/home").parse()?);
    let error = within(nobody.ask(Fail { texts: Vec::new() })).await.expect_err("nobody is there");
    let Some(Refusal::Unreachable { peer, source }) = error.refusal() else {
        panic!("{error:?}");
    };
    assert_eq!(**peer, *format!("127.0.0.1:{port}"));
    let refused: Option<&std::io::Error> = source.get_ref().downcast_ref();
    assert_eq!(refused.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(Chain(&error).to_string(), format!("{error}: {source}"));
    assert_eq!(*source, Cause::from(source.to_string()), "they read alike");
    Ok(())
}
