//! Actors without a name of their spawner's.

use std::collections::HashSet;

use rakt::prelude::*;
use rakt::{Refusal, SpawnError, TellError};

use crate::system;

struct Path;
struct Child;

rakt::messages! { Path => String, Child => std::result::Result<String, SpawnError> }

struct Nobody;

impl Actor for Nobody {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.local::<Path>();
    }
}

impl Handler<Path> for Nobody {
    async fn handle(&mut self, _: Path, ctx: &mut Context<Self>) -> Result<String> {
        Ok(ctx.path().to_owned())
    }
}

impl Handler<Child> for Nobody {
    async fn handle(
        &mut self,
        _: Child,
        ctx: &mut Context<Self>,
    ) -> Result<std::result::Result<String, SpawnError>> {
        Ok(ctx.spawn_anonymous(|| Nobody).await.map(|child| child.path().to_owned()))
    }
}

/// A thousand of them, and each is found under its own name.
#[tokio::test]
async fn each_has_a_name_of_its_own_that_leads_to_it() -> Result {
    let system = system().await;
    let mut names = HashSet::new();
    for _ in 0..1000 {
        let actor = system.spawn_anonymous(|| Nobody).await?;
        let path = actor.ask(Path).await?;
        assert!(path.starts_with("rakt.anonymous.") && path.len() <= 48, "{path}");
        assert_eq!(system.find(&path).as_ref(), Some(&actor.untyped()));
        let address: Address = actor.address().to_string().parse()?;
        assert_eq!(system.ask(&address, Path).await?, path);
        assert!(names.insert(path), "twice");
    }
    Ok(())
}

#[tokio::test]
async fn a_child_without_a_name_ends_with_its_parent() -> Result {
    let system = system().await;
    let parent = system.spawn("parent", || Nobody).await?;
    let path = parent.ask(Child).await??;
    assert!(path.starts_with("parent/rakt."), "{path}");
    let child = system.find(&path).expect("it lives");
    parent.stop().await?;
    assert_eq!(child.is_alive(), Some(false));
    Ok(())
}

#[tokio::test]
async fn nobody_can_take_such_a_name() -> Result {
    let system = system().await;
    let actor = system.spawn_anonymous(|| Nobody).await?;
    let path = actor.path().to_owned();
    let taken = system.spawn(path.clone(), || Nobody).await.expect_err("it is reserved");
    assert!(matches!(taken, SpawnError::InvalidName { .. }), "{taken}");
    actor.stop().await?;
    let taken = system.spawn(path, || Nobody).await.expect_err("still");
    assert!(matches!(taken, SpawnError::InvalidName { .. }), "{taken}");
    let TellError { refusal, .. } = actor.tell(Path).await.expect_err("it has ended");
    assert_eq!(refusal, Refusal::Stopped);
    Ok(())
}

/// The path has room for four names of 255 bytes, and for no more.
#[tokio::test]
async fn a_path_has_room_for_it_or_the_spawn_is_refused() -> Result {
    struct Deep(u32);
    impl Actor for Deep {
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            if let Some(left) = self.0.checked_sub(1) {
                ctx.spawn("x".repeat(250), move || Deep(left)).await?;
                return Ok(());
            }
            let refused = ctx.spawn_anonymous(|| Nobody).await.expect_err("no room");
            assert!(matches!(refused, SpawnError::InvalidName { .. }), "{refused}");
            Ok(())
        }
    }
    let system = system().await;
    system.spawn("y".repeat(250), || Deep(3)).await?;
    Ok(())
}
