//! The corpus of the fuzz target for the side that accepts, on stable, so that what a fuzzer once found stays fixed.

#[expect(unreachable_pub, reason = "for fuzz/, which includes the file too")]
#[path = "../fuzz/mod.rs"]
mod fuzz;

use std::cell::Cell;
use std::fs;
use std::path::Path;

thread_local! {
    /// Of this thread, in which the node of the target has its tasks: those keep a panic to themselves.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn run(data: &[u8]) {
    fuzz::tls_accept(data);
    assert_eq!(PANICS.get(), 0, "the node has panicked");
}

#[test]
fn every_seed_passes() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.set(PANICS.get() + 1);
        before(panic);
    }));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tls-accept");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the target has a corpus") {
        let path = entry.expect("the folder can be read").path();
        let data = fs::read(&path).expect("the seed can be read");
        // Shown only when the target panics.
        println!("{}", path.display());
        run(&data);
        // What ends early is what an attacker sends first.
        for len in (0..data.len()).step_by(data.len() / 8 + 1) {
            run(&data[..len]);
        }
        count += 1;
    }
    assert!(count >= 10, "there are {count} seeds");
}
