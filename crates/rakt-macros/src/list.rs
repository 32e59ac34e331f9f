//! Declarations in a list: `Work as "demo.Work" => String, Tick`.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Ident, Token};

use crate::declaration::{Declaration, Reply, Wire, type_of};
use crate::wrong;

const FORMS: &str = "a message is declared as one of
    Tick                                           stays in the process, no reply
    Count => u64                                   stays in the process, has a reply
    Work as \"demo.Work\" => String                  crosses the wire under that name, a prost type
    Ping as \"demo.Ping\" => Pong as \"demo.Pong\"     its reply has a name as well
    Work as _ => Done as _                         the names are those of `prost::Name`
    Move as \"chess.Move\" with \"serde\" => Position  a serde type, or a codec of your own";

/// The declarations of one `messages!`.
pub(crate) struct List(Vec<Declaration>);

impl ToTokens for List {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.iter().for_each(|declaration| declaration.to_tokens(tokens));
    }
}

impl Parse for List {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let rakt: TokenTree = input.parse()?;
        let (mut declarations, mut seen) = (Vec::new(), HashSet::new());
        while !input.is_empty() {
            let next = declaration(input, rakt.to_token_stream()).map_err(with_forms)?;
            if !seen.insert(next.message.to_string()) {
                return wrong(
                    next.message.span(),
                    "this is declared twice, a message has one reply",
                );
            }
            declarations.push(next);
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Self(declarations))
    }
}

fn declaration(input: ParseStream<'_>, rakt: TokenStream) -> syn::Result<Declaration> {
    check_words(input)?;
    let message = type_of(input)?;
    let wire = input.parse::<Option<Token![as]>>()?.map(|_| wire(input)).transpose()?;
    let reply = input.parse::<Option<Token![=>]>>()?.map(|_| input.parse()).transpose()?;
    if let (None, Some(Reply { name: Some(name), .. })) = (&wire, &reply) {
        return wrong(name.span(), "`as` names what is before it, and the message has no name");
    }
    if !input.is_empty() && !input.peek(Token![,]) {
        return wrong(input.span(), "expected a comma");
    }
    Ok(Declaration { rakt, message: message.into_token_stream(), wire, reply })
}

/// What follows `as`.
fn wire(input: ParseStream<'_>) -> syn::Result<Wire> {
    let name = input.parse()?;
    let codec = match input.parse::<Option<Ident>>()? {
        None => None,
        Some(with) if with == "with" => Some(input.parse()?),
        Some(other) => return wrong(other.span(), format!("`{other}` says nothing here")),
    };
    Ok(Wire { name, codec })
}

/// Two words in a row are no type, and some of them have a meaning that is written in another way.
fn check_words(input: ParseStream<'_>) -> syn::Result<()> {
    if !(input.peek(Ident) && input.peek2(Ident)) {
        return Ok(());
    }
    let (first, second): (Ident, Ident) = {
        let ahead = input.fork();
        (ahead.parse()?, ahead.parse()?)
    };
    let text = match (first.to_string().as_str(), second.to_string().as_str()) {
        ("local", _) => "a message without a name stays in the process, no word is needed for that",
        (_, "with") => "a codec is for a message that crosses the wire, which has a name",
        ("serde", _) => "the codec stands behind the name",
        _ => "expected a comma or a name",
    };
    wrong(first.span(), text)
}

fn with_forms(error: syn::Error) -> syn::Error {
    syn::Error::new(error.span(), format!("{error}; {FORMS}"))
}
