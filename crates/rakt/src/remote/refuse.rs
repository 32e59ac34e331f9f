//! Options that are out of range, refused in one form.

use std::fmt;

use crate::system::ConfigError;

pub(crate) fn refuse<T>(
    option: &'static str,
    value: &dyn fmt::Debug,
    allowed: &'static str,
) -> Result<T, ConfigError> {
    Err(ConfigError { option, value: format!("{value:?}"), allowed })
}
