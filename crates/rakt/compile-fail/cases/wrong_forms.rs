//! Declarations that could be read in two ways, or in none.

struct Work;

rakt::messages! { Work => String as "demo.Work" }

rakt::messages! { local Work }

rakt::messages! { serde Work as "demo.Work" }

#[derive(rakt::Message)]
#[rakt(named = "demo.Move")]
struct Move;

#[derive(rakt::Message)]
#[rakt(codec = "serde")]
struct Resign;

fn main() {}
