//! What a declaration says, and what it expands to.

use std::borrow::Cow;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{LitStr, PathArguments, Token, Type};

use crate::wrong;

/// A message, its reply, and how both cross the wire.
pub(crate) struct Declaration {
    /// The path of the crate `rakt`.
    pub(crate) rakt: TokenStream,
    pub(crate) message: TokenStream,
    /// `None` for a message that stays in the process.
    pub(crate) wire: Option<Wire>,
    /// `None` for `()`.
    pub(crate) reply: Option<Reply>,
}

pub(crate) struct Wire {
    pub(crate) name: Name,
    pub(crate) codec: Option<Codec>,
}

impl Wire {
    fn codec(&self, message: &TokenStream) -> Cow<'_, Codec> {
        match &self.codec {
            Some(codec) => Cow::Borrowed(codec),
            None => Cow::Owned(Codec::Prost(message.span())),
        }
    }
}

/// `String`, or `Pong as "demo.Pong"`.
pub(crate) struct Reply {
    pub(crate) ty: Type,
    pub(crate) name: Option<Name>,
}

impl Parse for Reply {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ty = type_of(input)?;
        let name = input.parse::<Option<Token![as]>>()?.map(|_| input.parse()).transpose()?;
        Ok(Self { ty, name })
    }
}

pub(crate) fn type_of(input: ParseStream<'_>) -> syn::Result<Type> {
    input.parse().or_else(|error| wrong(error.span(), "expected a type"))
}

/// What a type is called on the wire.
pub(crate) enum Name {
    Given(LitStr),
    /// `_`: what its `prost::Name` says.
    Prost(Token![_]),
}

impl Parse for Name {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(Token![_]) {
            return input.parse().map(Self::Prost);
        }
        let name: LitStr = input.parse().or_else(|error| {
            wrong(error.span(), "a name on the wire is a string, or `_` for that of `prost::Name`")
        })?;
        match name.value().is_empty() {
            true => wrong(name.span(), "a name on the wire is not empty"),
            false => Ok(Self::Given(name)),
        }
    }
}

impl Name {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Given(name) => name.span(),
            Self::Prost(underscore) => underscore.span(),
        }
    }

    /// The name of `ty`, as an expression.
    fn expand(&self, rakt: &TokenStream, ty: &impl ToTokens) -> TokenStream {
        match self {
            Self::Given(name) => name.to_token_stream(),
            Self::Prost(_) => quote!(#rakt::message::prost_name::<#ty>()),
        }
    }
}

/// What writes and reads a message and its reply.
#[derive(Clone)]
pub(crate) enum Codec {
    Prost(Span),
    Serde(Span),
    Postcard(Span),
    Own(TokenStream),
}

impl Parse for Codec {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(LitStr) {
            return Ok(Self::Own(type_of(input)?.into_token_stream()));
        }
        let name: LitStr = input.parse()?;
        match name.value().as_str() {
            "prost" => Ok(Self::Prost(name.span())),
            "serde" => Ok(Self::Serde(name.span())),
            "postcard" => Ok(Self::Postcard(name.span())),
            _ => wrong(
                name.span(),
                "a codec is \"prost\", \"serde\", \"postcard\", or a type that implements `Codec`",
            ),
        }
    }
}

impl Codec {
    /// Where the codec is written, so that one that does not fit is shown there.
    fn expand(&self, rakt: &TokenStream) -> TokenStream {
        let own = |span: &Span, codec| {
            let (rakt, codec) = (located(rakt, *span), Ident::new(codec, *span));
            quote_spanned!(*span=> #rakt::message::#codec)
        };
        match self {
            Self::Prost(span) => own(span, "Prost"),
            Self::Serde(span) => own(span, "Serde"),
            Self::Postcard(span) => own(span, "Postcard"),
            Self::Own(ty) => ty.clone(),
        }
    }
}

/// Whether a type is written as a `Result<T, E>`, which protobuf has no type for.
fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    last.ident == "Result" && arguments.args.len() == 2
}

/// The path `rakt`, which means what it did and shows up at `span`.
fn located(rakt: &TokenStream, span: Span) -> TokenStream {
    let locate = |mut token: TokenTree| {
        token.set_span(span.resolved_at(token.span()));
        token
    };
    rakt.clone().into_iter().map(locate).collect()
}

impl ToTokens for Declaration {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { rakt, message, .. } = self;
        let reply = match &self.reply {
            Some(reply) => reply.ty.to_token_stream(),
            None => quote!(()),
        };
        let Some(wire) = &self.wire else {
            tokens.extend(quote! {
                impl #rakt::Message for #message {
                    type Reply = #reply;
                }
            });
            return;
        };
        let body = self.wire_type(wire, &reply);
        let codec = wire.codec(message).expand(rakt);
        tokens.extend(quote! {
            impl #rakt::Message for #message {
                type Reply = #reply;

                #[inline]
                fn wire() -> ::core::option::Option<&'static #rakt::message::WireType<Self>> {
                    ::core::option::Option::Some(<Self as #rakt::message::WireMessage>::wire_type())
                }

                #[inline]
                fn wire_len(&self) -> ::core::option::Option<usize> {
                    <#codec as #rakt::message::Codec<Self>>::encoded_len(self)
                }

                #[inline]
                fn wire_encode(
                    &self,
                    out: &mut ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), #rakt::message::CodecError> {
                    <#codec as #rakt::message::Codec<Self>>::encode(self, out)
                }

                #[inline(always)]
                fn wire_decode(
                    block: &#rakt::message::Block,
                    start: usize,
                    len: usize,
                ) -> ::core::result::Result<Self, #rakt::message::CodecError> {
                    <#codec as #rakt::message::Codec<Self>>::decode_in(block, start, len)
                }
            }

            impl #rakt::message::WireMessage for #message {
                #[inline]
                fn wire_type() -> &'static #rakt::message::WireType<Self> {
                    #body
                }
            }
        });
    }
}

impl Declaration {
    /// The `static` that holds the wire type. Names that are given make it a constant.
    fn wire_type(&self, wire: &Wire, reply: &TokenStream) -> TokenStream {
        let Self { rakt, message, .. } = self;
        let codec = wire.codec(message);
        let reply_codec = match (&*codec, &self.reply) {
            (Codec::Prost(_), Some(reply)) if is_result(&reply.ty) => {
                let rakt = located(rakt, reply.ty.span());
                quote_spanned!(reply.ty.span()=> #rakt::message::ProstResult)
            }
            _ => codec.expand(rakt),
        };
        let codec = codec.expand(rakt);
        let name = wire.name.expand(rakt, message);
        let reply_name = match (&self.reply, &wire.codec) {
            (Some(reply_type), _) => reply_type.name.as_ref().map(|name| name.expand(rakt, reply)),
            // What prost itself calls `()`.
            (None, None | Some(Codec::Prost(_))) => Some(quote!("google.protobuf.Empty")),
            (None, Some(_)) => None,
        };
        let reply_name = reply_name.map(|name| quote!(.with_reply_name(#name)));
        let value = quote! {
            #rakt::message::WireType::of::<#codec, #reply_codec>(#name)#reply_name
        };
        let is_asked = |name: &Name| matches!(name, Name::Prost(_));
        let reply_is_asked =
            self.reply.as_ref().and_then(|reply| reply.name.as_ref()).is_some_and(is_asked);
        if is_asked(&wire.name) || reply_is_asked {
            return quote! {
                static WIRE: ::std::sync::LazyLock<#rakt::message::WireType<#message>> =
                    ::std::sync::LazyLock::new(|| #value);
                &WIRE
            };
        }
        quote! {
            static WIRE: #rakt::message::WireType<#message> = #value;
            &WIRE
        }
    }
}
