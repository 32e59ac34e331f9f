//! What those who have a role may do.

use std::fmt;

use rakt_wire::{Verb, is_reserved};

use super::glob::Glob;

/// What those who have a role may do: rules that allow something, in no order. What no rule allows is denied.
///
/// In a path, `*` stands for any characters within a name, and `**` for one name or several: `orders/*` is every child of
/// `orders`, `orders/**` what is below it at any depth, and `**` every actor. In the name of a message or a kind, `*`
/// stands for any characters.
///
/// ```
/// use rakt::remote::{Role, Verb};
///
/// let shop = Role::new()
///     .may([Verb::Tell, Verb::Ask, Verb::Lookup, Verb::Watch], "orders/**")
///     .messages("shop.*")
///     .may_spawn("Worker")
///     .may_manage_own();
/// assert_eq!(
///     shop.to_string(),
///     "tell ask lookup watch orders/** (messages shop.*); kinds spawn ** (kinds worker); \
///      stop respawn reinstate own actors"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it has an effect only as a role of a policy"]
pub struct Role {
    rules: Vec<Rule>,
    manages_own: bool,
    own_senders_only: bool,
    /// A rule was narrowed where there was none.
    is_misplaced: bool,
}

/// Some verbs on some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    verbs: Verbs,
    path: Glob,
    /// Of the messages that are told and asked, if not all.
    messages: Vec<Glob>,
    /// Of the actors that are spawned, if not all.
    kinds: Vec<Glob>,
}

/// A set of verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verbs(u32);

impl Verbs {
    fn has(self, verb: Verb) -> bool {
        self.0 & bit(verb) != 0
    }
}

fn bit(verb: Verb) -> u32 {
    1 << verb as u32
}

impl Role {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows verbs on the actors at a path. [`Verb::Ping`] and [`Verb::Kinds`] are of the node and need no path: any
    /// will do.
    pub fn may(mut self, verbs: impl IntoIterator<Item = Verb>, path: &str) -> Self {
        let verbs = Verbs(verbs.into_iter().fold(0, |all, verb| all | bit(verb)));
        let (messages, kinds) = Default::default();
        self.rules.push(Rule { verbs, path: Glob::of_path(path), messages, kinds });
        self
    }

    /// Narrows the last rule: of what is told and asked, it allows messages of these names alone. Called several times,
    /// each name will do.
    pub fn messages(mut self, names: &str) -> Self {
        match self.rules.last_mut() {
            Some(rule) => rule.messages.push(Glob::of_type(names)),
            None => self.is_misplaced = true,
        }
        self
    }

    /// Narrows the last rule: of what is spawned, it allows actors of these kinds alone. Called several times, each name
    /// will do.
    pub fn kinds(mut self, names: &str) -> Self {
        match self.rules.last_mut() {
            Some(rule) => rule.kinds.push(Glob::of_kind(names)),
            None => self.is_misplaced = true,
        }
        self
    }

    /// Allows to spawn actors of these kinds by any name, and to ask for the kinds that may be spawned.
    pub fn may_spawn(self, kinds: &str) -> Self {
        self.may([Verb::Kinds, Verb::Spawn], "**").kinds(kinds)
    }

    /// Allows to stop, respawn and reinstate the actors at a path.
    pub fn may_manage(self, path: &str) -> Self {
        self.may([Verb::Stop, Verb::Respawn, Verb::Reinstate], path)
    }

    /// Allows to stop, respawn and reinstate the actors that the same peer has spawned: the same identity where it is
    /// proven, and the same address where it is not.
    pub fn may_manage_own(mut self) -> Self {
        self.manages_own = true;
        self
    }

    /// Narrows all that the role allows to tell and ask: messages that name a sender are allowed only if that is an actor
    /// of the peer's own node. Those that name none are allowed. What another role allows, or the policy everybody,
    /// it allows with any sender.
    ///
    /// A sender is an address for answers, which the peer writes. That it is another's is no lie by itself:
    /// [`Context::forward`](crate::Context::forward) keeps the first sender, so what a peer forwards for others is refused too.
    ///
    /// The own node of a native peer is the one that it says it is, by system, host and port: a certificate proves the
    /// host, or the system; without TLS and among the holders of one secret nothing does. A [`Client`](crate::remote::Client) has no
    /// address, so it has no senders. Go nodes do not say who they are: theirs is the host that their connection comes from, or
    /// that is in their certificate.
    pub fn own_senders_only(mut self) -> Self {
        self.own_senders_only = true;
        self
    }

    pub(super) fn rule_count(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn pattern_count(&self) -> usize {
        self.rules.iter().map(|rule| 1 + rule.messages.len() + rule.kinds.len()).sum()
    }

    /// Says what is wrong with it: the pattern, and what is allowed.
    pub(super) fn fault(&self) -> Option<(String, &'static str)> {
        if self.is_misplaced {
            return Some((self.to_string(), "a role whose `messages` and `kinds` follow a rule"));
        }
        let globs = self.rules.iter().flat_map(|Rule { path, messages, kinds, .. }| {
            std::iter::once(path).chain(messages).chain(kinds)
        });
        globs.into_iter().find_map(|glob| Some((glob.to_string(), glob.fault()?)))
    }

    /// Whether it allows this. `what` is the name of the message or of the kind.
    pub(super) fn allows(&self, verb: Verb, path: &str, what: &str) -> bool {
        self.rules.iter().any(|rule| {
            rule.verbs.has(verb)
                && (!verb.has_path() || rule.path.matches(path))
                && rule.allows_what(verb, what)
        })
    }

    /// Whether it allows to spawn actors of a kind by any name.
    pub(super) fn allows_kind(&self, kind: &str) -> bool {
        let allows =
            |rule: &Rule| rule.verbs.has(Verb::Spawn) && rule.allows_what(Verb::Spawn, kind);
        self.rules.iter().any(allows)
    }

    pub(super) fn limits_senders(&self) -> bool {
        self.own_senders_only
    }

    pub(super) fn manages_own(&self) -> bool {
        self.manages_own
    }
}

impl Rule {
    fn allows_what(&self, verb: Verb, what: &str) -> bool {
        let is_one =
            |globs: &[Glob], what: &str| globs.is_empty() || globs.iter().any(|g| g.matches(what));
        match verb {
            Verb::Tell | Verb::Ask => is_one(&self.messages, what),
            Verb::Spawn => {
                self.kinds.is_empty() || is_one(&self.kinds, &what.trim().to_lowercase())
            }
            _ => true,
        }
    }
}

/// Whether no peer reaches an actor of that path, whatever its roles.
pub(super) fn is_for_nobody(path: &str) -> bool {
    path.split('/').any(is_reserved)
}

/// Its rules in one line.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.manages_own.then_some("stop respawn reinstate own actors".to_owned());
        let senders = self.own_senders_only.then_some("own senders only".to_owned());
        let rules = self.rules.iter().map(ToString::to_string);
        let rules: Vec<_> = rules.chain(own).chain(senders).collect();
        match rules.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&rules.join("; ")),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verb in Verb::ALL.iter().filter(|verb| self.verbs.has(**verb)) {
            write!(f, "{verb} ")?;
        }
        write!(f, "{}", self.path)?;
        for (what, globs) in [("messages", &self.messages), ("kinds", &self.kinds)] {
            if !globs.is_empty() {
                let globs: Vec<_> = globs.iter().map(Glob::to_string).collect();
                write!(f, " ({what} {})", globs.join(" "))?;
            }
        }
        Ok(())
    }
}
