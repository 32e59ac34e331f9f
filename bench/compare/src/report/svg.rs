//! The picture.

use super::Report;

impl Report {
    pub(crate) fn svg(&self) -> String {
        String::new()
    }
}
