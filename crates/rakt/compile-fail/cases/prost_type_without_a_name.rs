//! Prost types that nobody gave a name: by the derive, and in a list.

#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
struct Work {
    #[prost(string, tag = "1")]
    job: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Note {}

rakt::messages! { Note as _ }

fn main() {}
