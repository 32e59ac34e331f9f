//! Whether a message can hold grains.

use bytes::Bytes;
use rakt::grain::GrainId;
use rakt::message::{Codec, Serde};

use super::*;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Held {
    grain: GrainRef<Counter>,
}

fn written<T: serde::Serialize>(value: &T) -> Bytes
where
    Serde: Codec<T>,
{
    let mut bytes = Vec::new();
    <Serde as Codec<T>>::encode(value, &mut bytes).expect("it is written");
    bytes.into()
}

#[tokio::test(start_paused = true)]
async fn a_grain_in_a_message_is_one_of_the_system_that_reads_it() {
    let (here, there) =
        (system(counters(&Seen::default())).await, system(counters(&Seen::default())).await);
    for key in ["a", "a/b", "x.y", "\u{7f} \n"] {
        let bytes = written(&Held { grain: here.grain(key) });
        let read = || <Serde as Codec<Held>>::decode(bytes.clone());
        let same = here.resolving(read).expect("it is read").grain;
        assert_eq!(same, here.grain(key));
        let other = there.resolving(read).expect("it is read").grain;
        assert_ne!(other, same);
        assert_eq!(other.ask(Count).await.expect("it counts"), 1);
        assert!(!same.is_active());
        let error = read().expect_err("nobody reads it").to_string();
        assert!(error.contains("GrainId"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grain_of_another_kind_is_refused() {
    let system = system(counters(&Seen::default())).await;
    for (id, said) in [("cart/1", "no grain of the kind"), ("counter/1", "")] {
        let id: GrainId = id.parse().expect("it is valid");
        let mut bytes = Vec::new();
        <Serde as Codec<Wrapped<GrainId>>>::encode(&Wrapped { grain: id }, &mut bytes)
            .expect("it is written");
        let read = system.resolving(|| <Serde as Codec<Held>>::decode(bytes.into()));
        match said {
            "" => drop(read.expect("it is of that kind")),
            said => {
                let error = read.expect_err("it is of another kind").to_string();
                assert!(error.contains(said), "{error}");
            }
        }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Wrapped<T> {
    grain: T,
}
