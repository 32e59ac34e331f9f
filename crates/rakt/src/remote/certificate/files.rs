//! A certificate and its key, written as files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::CertificateError;

/// Writes both. Nothing is overwritten, and nobody but the owner can read the key.
pub(super) fn write_new(
    certificate: (&Path, &str),
    key: (&Path, &str),
) -> Result<(), CertificateError> {
    // Found out before anything is written, since either alone would be of no use.
    if let Some(path) = [certificate.0, key.0].into_iter().find(|path| path.exists()) {
        return Err(CertificateError::Exists { path: path.to_owned() });
    }
    create(key.0, key.1, true)?;
    create(certificate.0, certificate.1, false)
}

/// Writes both over what is there. Each file is the old one or the new one, never half of it.
pub(super) fn replace(
    certificate: (&Path, &str),
    key: (&Path, &str),
) -> Result<(), CertificateError> {
    for (path, text, is_secret) in [(key.0, key.1, true), (certificate.0, certificate.1, false)] {
        let beside = beside(path);
        // What a process has left that ended as it wrote.
        let _ = fs::remove_file(&beside);
        create(&beside, text, is_secret)?;
        fs::rename(&beside, path).map_err(written(path))?;
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<String, CertificateError> {
    let failed = |source| CertificateError::Io { path: path.to_owned(), verb: "read", source };
    fs::read_to_string(path).map_err(failed)
}

pub(super) fn written(path: &Path) -> impl FnOnce(std::io::Error) -> CertificateError {
    let path = path.to_owned();
    move |source| CertificateError::Io { path, verb: "written", source }
}

/// Makes a directory, with those above it, that nobody but its owner can write into.
pub(super) fn make_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path)
}

/// Refuses a directory in which others can put things.
pub(super) fn check_directory(path: &Path) -> Result<(), CertificateError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let shared = |why| CertificateError::Shared { path: path.to_owned(), why };
        let found = fs::metadata(path).map_err(written(path))?;
        if found.permissions().mode() & 0o022 != 0 {
            return Err(shared("others may write into it: chmod go-w"));
        }
        // What the system says of this process belongs to its user; where it says nothing, the mode has to do.
        let own = fs::metadata("/proc/self").map(|process| process.uid());
        if own.is_ok_and(|own| found.uid() != own && found.uid() != 0) {
            return Err(shared("it belongs to another user: chown it, or take another directory"));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Refuses a name that leads elsewhere.
pub(super) fn check_no_link(path: &Path) -> Result<(), CertificateError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(CertificateError::Shared {
            path: path.to_owned(),
            why: "it is a symbolic link, and might lead to a file of somebody else: remove it",
        }),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn create(path: &Path, text: &str, is_secret: bool) -> Result<(), CertificateError> {
    let mut file = open(path, is_secret).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CertificateError::Exists { path: path.to_owned() },
        _ => written(path)(source),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(written(path))
}

/// A file that was not there. The mode is given as it is made: there is no moment at which others can open it.
fn open(path: &Path, is_secret: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = is_secret;
    options.open(path)
}
