//! For whom a message is read on this thread: who makes references of the data in it.

use std::cell::Cell;

/// References that one message may hold, since each takes up more memory than its text.
pub const MAX_REFERENCES: u32 = 4096;

/// What a reference is called where it is read.
pub(crate) const REFERENCE: &str = "rakt::PortableRef";

/// What a reference to an actor of a node that is known takes up in memory, rounded up, in bytes. The first to a node
/// takes up 2 KiB.
pub(crate) const REFERENCE_COST: usize = 512;

thread_local! {
    /// The number of whoever reads, 0 for nobody, and how many more references there may be.
    static READER: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// Whose the reference is that was written last.
    static WRITER: Cell<u64> = const { Cell::new(0) };
}

/// Runs a codec over a message that has arrived for whoever has this number.
#[inline]
pub(crate) fn reading<T>(reader: u64, read: impl FnOnce() -> T) -> T {
    if cfg!(feature = "serde") { reading_at_most(MAX_REFERENCES, reader, read) } else { read() }
}

/// Runs code that reads references, as many as that.
#[inline]
pub(crate) fn reading_at_most<T>(most: u32, reader: u64, read: impl FnOnce() -> T) -> T {
    struct Restore((u64, u32));
    impl Drop for Restore {
        fn drop(&mut self) {
            READER.set(self.0);
        }
    }
    let _restore = Restore(READER.replace((reader, most)));
    read()
}

/// For whom a reference is read; `None` if it is one too many.
pub(crate) fn count_reference() -> Option<u64> {
    let (reader, left) = READER.get();
    if reader != 0 {
        READER.set((reader, left.checked_sub(1)?));
    }
    Some(reader)
}

/// Notes that a reference of whoever has this number was written.
pub(crate) fn wrote(writer: u64) {
    WRITER.set(writer);
}

/// Who wrote a reference on this thread since this was asked last; 0 for nobody.
pub(crate) fn written_by() -> u64 {
    WRITER.take()
}
