//! A policy as text, in TOML.

use std::ops::Range;

use rakt_wire::Verb;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Glob, Policy, Role};

/// What is wrong in a text, and where.
#[derive(Debug)]
pub(super) struct Fault {
    /// The offset in bytes.
    pub(super) at: usize,
    /// With those of the tables that it is in.
    pub(super) key: String,
    pub(super) wrong: String,
    pub(super) allowed: String,
}

const BASES: &str = "\"nobody\", \"exposed\" or \"open\"";

/// Reads a policy from a text.
pub(super) fn parse(text: &str) -> Result<Policy, Fault> {
    let top = DeTable::parse(text).map_err(|error| Fault {
        at: error.span().map_or(text.len(), |span| span.start),
        key: String::new(),
        wrong: format!("no TOML: {}", error.message()),
        allowed: "a text in TOML".to_owned(),
    })?;
    let (mut basis, mut roles, mut grants) = (None, Vec::new(), Vec::new());
    let mut end_of_roles = 0;
    for (name, field) in fields("", top.get_ref()) {
        match name {
            "basis" => basis = Some(field.basis()?),
            "roles" => {
                end_of_roles = field.at.end.max(end(field.value));
                roles = field.fields()?;
            }
            "grants" => grants = field.fields()?,
            _ => return Err(field.unknown("basis, roles and grants")),
        }
    }
    let missing = || fault(0, "basis", "it is missing", BASES);
    let mut policy = basis.ok_or_else(missing)?;
    for (name, field) in roles {
        policy = policy.role(name, field.role()?);
    }
    for (identity, field) in grants {
        policy = field.granted(policy, identity, end_of_roles)?;
    }
    let checked = policy.check();
    checked.map_err(|error| fault(0, "", &format!("it is {}", error.value), error.allowed))?;
    Ok(policy)
}

fn fault(at: usize, key: &str, wrong: &str, allowed: &str) -> Fault {
    Fault { at, key: key.to_owned(), wrong: wrong.to_owned(), allowed: allowed.to_owned() }
}

/// A value, and where it is.
struct Field<'a> {
    /// With the keys of the tables that it is in.
    key: String,
    /// Where that stands, or the value where it has no key.
    at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

/// What is in a table, in the order of the text.
fn fields<'a>(path: &str, table: &'a DeTable<'a>) -> Vec<(&'a str, Field<'a>)> {
    let field = |(key, value): (&'a Spanned<_>, &'a Spanned<_>)| {
        let name: &str = AsRef::<str>::as_ref(key.get_ref());
        let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let shown = match !name.is_empty() && name.chars().all(is_bare) {
            true => name.to_owned(),
            false => format!("{name:?}"),
        };
        let key_in_full = if path.is_empty() { shown } else { format!("{path}.{shown}") };
        (name, Field { key: key_in_full, at: key.span(), value })
    };
    let mut all: Vec<_> = table.iter().map(field).collect();
    all.sort_by_key(|(_, field)| field.at.start);
    all
}

/// Where the last of a value ends.
fn end(value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(end).max().unwrap_or(value.span().end),
        DeValue::Table(table) => {
            let ends = table.iter().map(|(key, value)| key.span().end.max(end(value)));
            ends.max().unwrap_or(value.span().end)
        }
        _ => value.span().end,
    }
}

impl<'a> Field<'a> {
    fn fault(&self, wrong: &str, allowed: &str) -> Fault {
        fault(self.at.start, &self.key, wrong, allowed)
    }

    fn unknown(&self, known: &str) -> Fault {
        self.fault("there is no such key", known)
    }

    /// Something of another type stands there.
    fn is_not(&self, allowed: &str) -> Fault {
        let what = match self.value.get_ref() {
            DeValue::Array(items) if items.is_empty() => "empty array",
            value => value.type_str(),
        };
        let article = if what.starts_with(['a', 'e', 'i']) { "an" } else { "a" };
        self.fault(&format!("it is {article} {what}"), allowed)
    }

    fn fields(&self) -> Result<Vec<(&'a str, Field<'a>)>, Fault> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(fields(&self.key, table)),
            _ => Err(self.is_not("a table")),
        }
    }

    /// What stands in an array, of which there is something.
    fn items(&self, allowed: &str) -> Result<Vec<Field<'a>>, Fault> {
        let DeValue::Array(items) = self.value.get_ref() else { return Err(self.is_not(allowed)) };
        let item = |(nth, value): (usize, &'a Spanned<DeValue<'a>>)| Field {
            key: format!("{}[{nth}]", self.key),
            at: value.span(),
            value,
        };
        let items: Vec<_> = items.iter().enumerate().map(item).collect();
        // None at all would be as if the key were not there, which allows more than most would think.
        if items.is_empty() { Err(self.is_not(allowed)) } else { Ok(items) }
    }

    fn text(&self, allowed: &str) -> Result<&'a str, Fault> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.is_not(allowed)),
        }
    }

    /// One text, or several in an array.
    fn texts<T>(
        &self,
        allowed: &str,
        read: impl Fn(&Field<'a>, &'a str) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let all = format!("{allowed}, or an array of such");
        match self.value.get_ref() {
            DeValue::String(text) => Ok(vec![read(self, text)?]),
            _ => {
                let items = self.items(&all)?;
                items.iter().map(|item| read(item, item.text(allowed)?)).collect()
            }
        }
    }

    fn patterns(&self, of: fn(&str) -> Glob) -> Result<Vec<&'a str>, Fault> {
        self.texts("a pattern", |field, text| match of(text).fault() {
            Some(allowed) => Err(field.fault(&format!("it is {text:?}"), allowed)),
            None => Ok(text),
        })
    }

    fn flag(&self) -> Result<bool, Fault> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.is_not("true or false")),
        }
    }

    fn basis(&self) -> Result<Policy, Fault> {
        match self.text(BASES)? {
            "nobody" => Ok(Policy::new()),
            "exposed" => Ok(Policy::exposed()),
            "open" => Ok(Policy::open()),
            other => Err(self.fault(&format!("it is {other:?}"), BASES)),
        }
    }

    fn role(&self) -> Result<Role, Fault> {
        let mut role = Role::new();
        for (name, field) in self.fields()? {
            role = match name {
                "rules" => {
                    let rules = field.items("an array of rules")?;
                    rules.iter().try_fold(role, |role, rule| rule.rule(role))?
                }
                "may_spawn" => {
                    field.patterns(Glob::of_kind)?.into_iter().fold(role, Role::may_spawn)
                }
                "may_manage" => {
                    field.patterns(Glob::of_path)?.into_iter().fold(role, Role::may_manage)
                }
                "may_manage_own" if field.flag()? => role.may_manage_own(),
                "own_senders_only" if field.flag()? => role.own_senders_only(),
                "may_manage_own" | "own_senders_only" => role,
                _ => {
                    let known = "rules, may_spawn, may_manage, may_manage_own and own_senders_only";
                    return Err(field.unknown(known));
                }
            };
        }
        Ok(role)
    }

    /// Adds a rule, or one for each path.
    fn rule(&self, role: Role) -> Result<Role, Fault> {
        let (mut verbs, mut paths) = (Vec::new(), Vec::new());
        let (mut messages, mut kinds) = (None, None);
        for (name, field) in self.fields()? {
            match name {
                "may" => verbs = field.verbs()?,
                "path" => paths = field.patterns(Glob::of_path)?,
                "messages" => messages = Some(field),
                "kinds" => kinds = Some(field),
                _ => return Err(field.unknown("may, path, messages and kinds")),
            }
        }
        let missing = |key: &str, allowed: &str| {
            fault(self.at.start, &format!("{}.{key}", self.key), "it is missing", allowed)
        };
        if verbs.is_empty() {
            return Err(missing("may", &verb_names()));
        }
        if paths.is_empty() && verbs.iter().any(|verb| verb.has_path()) {
            return Err(missing("path", "a pattern, or an array of such"));
        }
        // What is done with the node has no path.
        let paths = if paths.is_empty() { vec!["**"] } else { paths };
        let messages = narrowed(messages, &verbs, &[Verb::Tell, Verb::Ask], Glob::of_type)?;
        let kinds = narrowed(kinds, &verbs, &[Verb::Spawn], Glob::of_kind)?;
        Ok(paths.into_iter().fold(role, |role, path| {
            let role = role.may(verbs.iter().copied(), path);
            let role = messages.iter().fold(role, |role, names| role.messages(names));
            kinds.iter().fold(role, |role, names| role.kinds(names))
        }))
    }

    fn verbs(&self) -> Result<Vec<Verb>, Fault> {
        let names = verb_names();
        let verbs = self.texts(&names, |field, text| match (text, Verb::from_name(text)) {
            ("*", _) => Ok(Verb::ALL.to_vec()),
            (_, Some(verb)) => Ok(vec![verb]),
            (_, None) => Err(field.fault(&format!("it is {text:?}"), &names)),
        })?;
        Ok(verbs.concat())
    }

    /// Grants roles to an identity. Roles end before, so that those of which not all has been written yet are granted to nobody.
    fn granted(&self, policy: Policy, to: &str, end_of_roles: usize) -> Result<Policy, Fault> {
        if self.at.start < end_of_roles {
            let allowed = "grants behind all roles, so that the beginning of a file never allows more than the whole";
            return Err(self.fault("it stands in front of a role", allowed));
        }
        if let Some(allowed) = Glob::of_identity(to).fault() {
            return Err(self.fault(&format!("{to:?} is nobody"), allowed));
        }
        let roles = self.texts("a role of the file", |field, role| {
            let known = || {
                let names: Vec<_> = policy.roles.keys().map(String::as_str).collect();
                match names.is_empty() {
                    true => {
                        "a role of the file, which has none: `[roles.NAME]` begins one".to_owned()
                    }
                    false => format!("a role of the file: {}", names.join(", ")),
                }
            };
            match policy.roles.contains_key(role) {
                true => Ok(role),
                false => Err(field.fault(&format!("it is {role:?}"), &known())),
            }
        })?;
        Ok(roles.into_iter().fold(policy, |policy, role| policy.grant(to, role)))
    }
}

/// To what a rule is narrowed of what some of its verbs do.
fn narrowed<'a>(
    field: Option<Field<'a>>,
    verbs: &[Verb],
    of: &[Verb],
    pattern: fn(&str) -> Glob,
) -> Result<Vec<&'a str>, Fault> {
    let Some(field) = field else { return Ok(Vec::new()) };
    if !verbs.iter().any(|verb| of.contains(verb)) {
        let names: Vec<_> = of.iter().map(Verb::to_string).collect();
        let allowed = format!("it in a rule with {}", names.join(" or "));
        return Err(field.fault("it narrows nothing", &allowed));
    }
    field.patterns(pattern)
}

fn verb_names() -> String {
    let names: Vec<_> = Verb::ALL.iter().map(|verb| format!("\"{verb}\"")).collect();
    format!("{} or \"*\"", names.join(", "))
}
