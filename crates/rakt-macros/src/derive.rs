//! A declaration in attributes: `#[rakt(name = "demo.Work", reply = String)]`.

use proc_macro2::Span;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Fields, GenericParam, Generics, Ident, Path, Token};

use crate::declaration::{Codec, Declaration, Name, Reply, Wire};
use crate::wrong;

const FORMS: &str = "the attributes of a message are
    (none)                                                    stays in the process, no reply
    #[rakt(reply = u64)]                                      stays in the process, has a reply
    #[rakt(name = \"demo.Work\", reply = String)]               crosses the wire under that name, a prost type
    #[rakt(name = \"demo.Ping\", reply = Pong as \"demo.Pong\")]  its reply has a name as well
    #[rakt(name = _, reply = Done as _)]                      the names are those of `prost::Name`
    #[rakt(name = \"chess.Move\", codec = \"serde\")]             a serde type, or a codec of your own
    #[rakt(crate = path::to::rakt)]                           where rakt is, if it is renamed";

/// Reads what the attributes of a type declare.
pub(crate) fn read(item: DeriveInput) -> syn::Result<Declaration> {
    check_generics(&item.generics, &item.ident)?;
    let mut given = Given::default();
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("rakt")) {
        attribute
            .parse_args_with(|input: ParseStream<'_>| given.read(input))
            .map_err(with_forms)?;
    }
    if given.name.is_none() && has_prost_fields(&item.data) {
        let text = format!(
            "a prost message has a name on the wire, which no refactoring changes: \
             `#[rakt(name = \"package.{0}\")]`, or `#[rakt(name = _)]` for that of its `prost::Name`; \
             one that stays in the process is declared by `rakt::messages! {{ {0} }}`",
            item.ident
        );
        return wrong(item.ident.span(), text);
    }
    given.declare(&item.ident).map_err(with_forms)
}

/// What has been read so far.
#[derive(Default)]
struct Given {
    rakt: Option<Path>,
    name: Option<Name>,
    codec: Option<(Span, Codec)>,
    reply: Option<Reply>,
}

impl Given {
    /// Reads the inside of one `#[rakt(..)]`.
    fn read(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        while !input.is_empty() {
            let key = Ident::parse_any(input)?;
            if !input.peek(Token![=]) {
                return wrong(key.span(), format!("`{key}` wants a value"));
            }
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => set(&mut self.name, &key, input.parse()?)?,
                "reply" => set(&mut self.reply, &key, input.parse()?)?,
                "codec" => set(&mut self.codec, &key, (key.span(), input.parse()?))?,
                "crate" => set(&mut self.rakt, &key, input.call(Path::parse_mod_style)?)?,
                _ => return wrong(key.span(), format!("there is no `{key}`")),
            }
            if !input.is_empty() && !input.peek(Token![,]) {
                return wrong(input.span(), "expected a comma");
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    }

    fn declare(self, message: &Ident) -> syn::Result<Declaration> {
        if self.name.is_none() {
            if let Some((span, _)) = self.codec {
                return wrong(
                    span,
                    "a codec is for a message that crosses the wire, which has a name",
                );
            }
            if let Some(name) = self.reply.as_ref().and_then(|reply| reply.name.as_ref()) {
                return wrong(name.span(), "this names the reply, and the message has no name");
            }
        }
        let codec = self.codec.map(|(_, codec)| codec);
        Ok(Declaration {
            rakt: self.rakt.map_or_else(|| quote!(::rakt), ToTokens::into_token_stream),
            message: message.to_token_stream(),
            wire: self.name.map(|name| Wire { name, codec }),
            reply: self.reply,
        })
    }
}

fn set<T>(place: &mut Option<T>, key: &Ident, value: T) -> syn::Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => wrong(key.span(), format!("`{key}` is given twice, a message has one")),
    }
}

fn with_forms(error: syn::Error) -> syn::Error {
    syn::Error::new(error.span(), format!("{error}; {FORMS}"))
}

/// A name on the wire belongs to one type, and a message outlives the function that sends it.
fn check_generics(generics: &Generics, message: &Ident) -> syn::Result<()> {
    let Some(first) = generics.params.first() else { return Ok(()) };
    let text = match first {
        GenericParam::Lifetime(_) => {
            "a message is moved to the actor, often to another thread, so it borrows \
                                      nothing: let it own its fields, `String` instead of `&str`"
                .to_owned()
        }
        GenericParam::Type(_) | GenericParam::Const(_) => format!(
            "a message is one type, with one name and one reply: declare each that you send, \
             `rakt::messages! {{ {message}<u64> => u64 }}`"
        ),
    };
    wrong(first.span(), text)
}

/// Whether the type derives `prost::Message`, as its attributes tell; those of the derive itself are hidden.
fn has_prost_fields(data: &Data) -> bool {
    let is_prost = |attributes: &[Attribute]| attributes.iter().any(|a| a.path().is_ident("prost"));
    let any = |fields: &Fields| fields.iter().any(|field| is_prost(&field.attrs));
    match data {
        Data::Struct(data) => any(&data.fields),
        Data::Enum(_) | Data::Union(_) => false,
    }
}
