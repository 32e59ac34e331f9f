//! What a policy says that takes the place of another, and what of that is new: in counts, for the log.

use std::collections::BTreeSet;
use std::fmt;

use super::{Grant, Policy};

/// How much there is in a policy.
pub(super) struct Counts<'a>(pub(super) &'a Policy);

/// `2 roles with 5 rules, 3 grants`
impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { roles, grants, .. } = self.0;
        let rules = roles.values().map(|role| role.rule_count()).sum();
        let (roles, grants) = (Count(roles.len(), "role"), Count(grants.len(), "grant"));
        write!(f, "{roles} with {}, {grants}", Count(rules, "rule"))
    }
}

/// So many of something.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, what) = self;
        write!(f, "{count} {what}{}", if *count == 1 { "" } else { "s" })
    }
}

/// What is different in the second of two policies.
pub(super) struct Changes<'a>(pub(super) &'a Policy, pub(super) &'a Policy);

/// `basis "exposed" to "nobody"; roles: 1 new, 1 changed; grants: 1 gone`
impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(old, new) = self;
        let mut parts = Vec::new();
        if old.basis != new.basis {
            parts.push(format!("basis {:?} to {:?}", old.basis, new.basis));
        }
        let is_in = |policy: &Policy, name: &String| policy.roles.contains_key(name);
        let added = new.roles.keys().filter(|name| !is_in(old, name)).count();
        let gone = old.roles.keys().filter(|name| !is_in(new, name)).count();
        let is_changed = |name: &&String, role| old.roles.get(*name).is_some_and(|old| old != role);
        let changed = new.roles.iter().filter(|(name, role)| is_changed(name, *role)).count();
        parts.extend(listed("roles", [(added, "new"), (gone, "gone"), (changed, "changed")]));
        let [before, now] = [old, new].map(|policy| policy.grants.iter().map(key).collect());
        let (before, now): (BTreeSet<_>, BTreeSet<_>) = (before, now);
        let counts =
            [(now.difference(&before).count(), "new"), (before.difference(&now).count(), "gone")];
        parts.extend(listed("grants", counts));
        match parts.is_empty() {
            true => f.write_str("nothing but how it is written"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

fn key(grant: &Grant) -> (String, &str) {
    (grant.to.to_string(), &grant.role)
}

/// Those of which there are some.
fn listed(of: &str, counts: impl IntoIterator<Item = (usize, &'static str)>) -> Option<String> {
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    let some: Vec<_> = some.map(|(count, what)| format!("{count} {what}")).collect();
    (!some.is_empty()).then(|| format!("{of}: {}", some.join(", ")))
}

#[cfg(test)]
mod tests {
    use rakt_wire::Verb;

    use super::*;
    use crate::remote::Role;

    #[test]
    fn what_is_different_is_counted() {
        let role = |path: &str| Role::new().may([Verb::Tell], path);
        let old = Policy::new().role("a", role("a")).role("b", role("b")).grant("dns:a", "a");
        let new = Policy::exposed().role("b", role("c").may_manage_own()).role("c", role("c"));
        let new = new.role("d", role("d").may([Verb::Ask], "d")).grant("dns:b", "b");
        let new = new.grant("dns:c", "b");
        let changes = Changes(&old, &new).to_string();
        let counted = "roles: 2 new, 1 gone, 1 changed; grants: 2 new, 1 gone";
        assert_eq!(changes, format!("basis \"nobody\" to \"exposed\"; {counted}"));
        assert_eq!(Counts(&new).to_string(), "3 roles with 4 rules, 2 grants");
        assert_eq!(Counts(&old).to_string(), "2 roles with 2 rules, 1 grant");
        let fewer = Policy::new().role("a", role("a")).grant("dns:a", "a");
        assert_eq!(Changes(&old, &fewer).to_string(), "roles: 1 gone");
        assert_eq!(Changes(&old, &old).to_string(), "nothing but how it is written");
    }
}
