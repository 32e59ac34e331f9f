//! A file to which entries are added, a line of JSON each.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::marker::PhantomData;
use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

/// What was written to it outlives the process, however that ends. To outlive the machine as well, `append` would call
/// `sync_data`.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    file: File,
    /// Of the entries that are complete, in bytes.
    len: u64,
    entry: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens or creates the file, and reads what is in it.
    pub(crate) fn open(path: &Path) -> rakt::Result<(Self, Vec<T>)> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A process that is killed may leave a part of a line, which nobody was told is there.
        let len = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = text[..len].split_inclusive(|byte| *byte == b'\n');
        let entries = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        Ok((Self { file, len: len as u64, entry: PhantomData }, entries))
    }

    /// Adds an entry, all of it or nothing.
    pub(crate) fn append(&mut self, entry: &T) -> rakt::Result {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // Behind the last complete one, whatever a write that failed has left there.
        self.file.set_len(self.len)?;
        self.file.seek(std::io::SeekFrom::Start(self.len))?;
        self.file.write_all(&line)?;
        self.len += line.len() as u64;
        Ok(())
    }
}
