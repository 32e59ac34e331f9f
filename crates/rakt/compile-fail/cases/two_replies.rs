//! Two replies for one message: in its attributes, and in two declarations.

#[derive(rakt::Message)]
#[rakt(reply = u32, reply = u64)]
struct Twice;

struct Count;

rakt::messages! { Count => u32, Count => u64 }

fn main() {}
