//! Tables of codes: enums whose variants are numbers that both ends of a connection agree on.

/// Declares an enum of codes. A line holds the number of a variant, its name, its text and its doc.
///
/// Makes `ALL`, the number of a code, the code of a number, `as_str` and `Display`. The code of a number that
/// is not known here is `None`, or the variant after `or`.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        pub enum $code:ident($int:ty: $as_int:ident, $from_int:ident $(or $unknown:ident)?) {
            $($number:literal $name:ident $text:literal $doc:literal;)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($int)]
        pub enum $code {
            $(#[doc = $doc] $name = $number,)+
        }

        impl $code {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$name),+];

            $crate::base::codes::codes!(@from $int, $from_int $(or $unknown)?, $($number $name)+);

            /// The number on the wire.
            pub fn $as_int(self) -> $int {
                self as $int
            }

            /// Its name in a few words.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }

        impl std::fmt::Display for $code {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
    (@from $int:ty, $from_int:ident, $($number:literal $name:ident)+) => {
        /// The one with this number; `None` for a number that is not known here.
        #[inline]
        pub fn $from_int(number: $int) -> Option<Self> {
            match number {
                $($number => Some(Self::$name),)+
                _ => None,
            }
        }
    };
    (@from $int:ty, $from_int:ident or $unknown:ident, $($number:literal $name:ident)+) => {
        #[doc = concat!("The one with this number; `", stringify!($unknown), "` for a number that is not known here.")]
        #[inline]
        pub fn $from_int(number: $int) -> Self {
            match number {
                $($number => Self::$name,)+
                _ => Self::$unknown,
            }
        }
    };
}

pub(crate) use codes;
