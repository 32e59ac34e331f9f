//! Command lines of the form `--name value`, as the Go programs have them.

use std::collections::BTreeMap;
use std::str::FromStr;

use rakt::BoxError;
use tokio::io::AsyncReadExt;

/// The flags that were given.
pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Reads the command line. Flags other than `known` are errors.
    pub fn read(known: &[&str]) -> Result<Self, BoxError> {
        let (mut flags, mut args) = (BTreeMap::new(), std::env::args().skip(1));
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").filter(|name| known.contains(name));
            let name =
                name.ok_or_else(|| format!("unknown {arg:?}; flags: {}", known.join(", ")))?;
            let value = args.next().ok_or_else(|| format!("--{name} takes a value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    /// The value of a flag, or else `default`.
    pub fn get<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
        default: T,
    ) -> Result<T, BoxError> {
        let Some(value) = self.0.get(name) else { return Ok(default) };
        value.parse().map_err(|error| format!("--{name} {value:?}: {error}").into())
    }
}

/// Returns when nobody has the other end of the standard input any more: a node ends with whoever has started it.
pub async fn end_of_input() {
    let (mut input, mut sink) = (tokio::io::stdin(), [0; 64]);
    while matches!(input.read(&mut sink).await, Ok(1..)) {}
}
