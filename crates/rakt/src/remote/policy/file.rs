//! The file that a policy stands in.

use std::path::Path;
use std::sync::Arc;

use super::Policy;
use super::parse::{Fault, parse};
use super::source::Source;
use crate::error::policy::PolicyError;
use crate::remote::watched::read;

/// The largest file of a policy, in bytes. 1 MiB.
const MAX_FILE: u64 = 1024 * 1024;

impl Policy {
    /// What a file in [TOML](https://toml.io) says, 1 MiB at most. It is read here, and again every 10 s by the node that has it as an
    /// [option](crate::remote::Config::policy) or is [given](crate::ActorSystem::set_policy) it: once it says something else, that holds, as if it
    /// were given to [`set_policy`](crate::ActorSystem::set_policy). A file that is gone or at fault changes nothing: that is
    /// logged once a minute, and told as an
    /// [event](crate::Event::PolicyReloadFailed). [`reload_policy`](crate::ActorSystem::reload_policy) looks at it at once.
    ///
    /// Everything in it has the name that it has in Rust, and what stands for several things is a list or a single one:
    ///
    /// ```
    /// # use rakt::remote::{Policy, Role, Verb};
    /// # let path = std::env::temp_dir().join(format!("rakt-doc-{}.toml", std::process::id()));
    /// # std::fs::write(&path, r#"
    /// # basis = "nobody" # or "exposed", or "open"
    /// #
    /// # [roles.shop]
    /// # rules = [
    /// #     { may = ["tell", "ask"], path = "orders/**", messages = "shop.*" },
    /// #     { may = "spawn", path = "*", kinds = ["worker", "clerk"] },
    /// # ]
    /// # may_manage_own = true
    /// #
    /// # [roles.ops]
    /// # rules = [{ may = "*", path = "**" }]
    /// #
    /// # [grants]
    /// # "spiffe://prod.example/rakt/shop-*" = "shop"
    /// # "dns:ops.prod.example" = ["ops", "shop"]
    /// # "#)?;
    /// let policy = Policy::from_file(&path)?;
    ///
    /// let shop = Role::new()
    ///     .may([Verb::Tell, Verb::Ask], "orders/**")
    ///     .messages("shop.*")
    ///     .may([Verb::Spawn], "*")
    ///     .kinds("worker")
    ///     .kinds("clerk")
    ///     .may_manage_own();
    /// let same = Policy::new()
    ///     .role("shop", shop)
    ///     .role("ops", Role::new().may(Verb::ALL.iter().copied(), "**"))
    ///     .grant("spiffe://prod.example/rakt/shop-*", "shop")
    ///     .grant("dns:ops.prod.example", "ops")
    ///     .grant("dns:ops.prod.example", "shop");
    /// assert_eq!(policy, same);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// for this file:
    ///
    /// ```toml
    /// basis = "nobody" # or "exposed", or "open"
    ///
    /// [roles.shop]
    /// rules = [
    ///     { may = ["tell", "ask"], path = "orders/**", messages = "shop.*" },
    ///     { may = "spawn", path = "*", kinds = ["worker", "clerk"] },
    /// ]
    /// may_manage_own = true
    ///
    /// [roles.ops]
    /// rules = [{ may = "*", path = "**" }]
    ///
    /// [grants]
    /// "spiffe://prod.example/rakt/shop-*" = "shop"
    /// "dns:ops.prod.example" = ["ops", "shop"]
    /// ```
    ///
    /// `basis` is [`Policy::new`], [`exposed`](Self::exposed) or [`open`](Self::open), a role may have
    /// `own_senders_only`, `may_spawn`, `may_manage` and `may_manage_own` as well, and `"*"` is every verb. The grants come last, so that a file of which only the beginning
    /// has been written never allows more than the whole.
    ///
    /// # Errors
    /// The file cannot be read, or does not say what a policy says: where, what stands there, and what may.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        policy_of(path.into(), bytes_of(path)?)
    }
}

impl Source {
    /// What the file says, if that is something else than it was.
    pub(super) fn changed(&self) -> Result<Option<Policy>, PolicyError> {
        let bytes = bytes_of(&self.path)?;
        match *bytes == *self.bytes {
            true => Ok(None),
            false => policy_of(self.path.clone(), bytes).map(Some),
        }
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, PolicyError> {
    let unreadable = |source| PolicyError::Unreadable { path: path.to_owned(), source };
    read(path, MAX_FILE).map_err(unreadable)
}

fn policy_of(path: Arc<Path>, bytes: Vec<u8>) -> Result<Policy, PolicyError> {
    let text = str::from_utf8(&bytes).map_err(|error| Fault {
        at: error.valid_up_to(),
        key: String::new(),
        wrong: format!("byte {} is not UTF-8", error.valid_up_to()),
        allowed: "a text in UTF-8".to_owned(),
    });
    let policy = text.and_then(parse).map_err(|Fault { at, key, wrong, allowed }| {
        let before = bytes.get(..at).unwrap_or(&bytes);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        PolicyError::Invalid { path: path.to_path_buf(), line, key, wrong, allowed }
    })?;
    let source = Source { path, bytes: bytes.into(), is_changed: false };
    Ok(Policy { source: Some(source), ..policy })
}
