//! The macros of [rakt](https://docs.rs/rakt), which re-exports and documents them.
//!
//! A declaration says which reply belongs to a message, and how both cross the wire. There are two ways to
//! write one, and one thing that it expands to:
//!
//! - `derive`: in attributes of the type, `#[rakt(name = "demo.Work", reply = String)]`
//! - `list`: beside others, `Work as "demo.Work" => String`
//! - `declaration`: what both mean

mod declaration;
mod derive;
mod list;

use std::fmt::Display;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::ToTokens;

/// Declares the type as a message. `rakt` documents the attributes.
#[proc_macro_derive(Message, attributes(rakt))]
pub fn derive_message(item: TokenStream) -> TokenStream {
    expand(syn::parse(item).and_then(derive::read))
}

/// The inside of `rakt::messages!`: the path of `rakt`, then the declarations.
#[doc(hidden)]
#[proc_macro]
pub fn messages(input: TokenStream) -> TokenStream {
    expand(syn::parse::<list::List>(input))
}

/// An error at `span`. Who knows all forms of a notation adds them.
fn wrong<T>(span: Span, what: impl Display) -> syn::Result<T> {
    Err(syn::Error::new(span, what))
}

fn expand<T: ToTokens>(read: syn::Result<T>) -> TokenStream {
    read.map_or_else(syn::Error::into_compile_error, ToTokens::into_token_stream).into()
}
