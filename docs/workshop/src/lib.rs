//! What both processes know: a message, its reply, and the actor that handles it.

use rakt::prelude::*;

/// Asks for a job to be done.
#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "workshop.Work", reply = Done)]
pub struct Work {
    /// What is to be done.
    #[prost(string, tag = "1")]
    pub job: String,
}

/// Says that it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Done {
    /// How many jobs that makes.
    #[prost(uint64, tag = "1")]
    pub count: u64,
}

/// Does one job after the other.
#[derive(Debug, Default)]
pub struct Worker {
    count: u64,
}

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Work>(); // peers may send this, and nothing else
    }
}

impl Handler<Work> for Worker {
    async fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Result<Done> {
        println!("doing {}", work.job);
        self.count += 1;
        Ok(Done { count: self.count })
    }
}
