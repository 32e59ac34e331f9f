//! The command as a user runs it: the program, its output and its exit code.

mod check;
mod documents;
mod making;
mod support;
