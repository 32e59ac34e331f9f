//! An authority and the nodes that it has issued certificates for, as files in one directory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::authority::Authority;
use super::error::CertificateError;
use super::request::{self, Request};
use super::{files, read};

/// A certificate that ends within this time is made anew.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory with the certificates of an authority and of its nodes, for development: `ca.pem` and `ca.key`, and
/// for each node `NAME.pem` and `NAME.key`. `rakt cert dev` writes the same.
///
/// A directory that others may write into, or that belongs to somebody else, is refused: who can put an authority there
/// can be any node.
///
/// Several processes may use a directory at a time; a file `.lock` in it keeps them apart. All of it is blocking: at
/// most a few milliseconds, and the time for which another process has the lock.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// Where the files of a node are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// The certificate of the node.
    pub certificate: PathBuf,
    /// The key of the node, which its owner alone can read.
    pub key: PathBuf,
    /// The certificate of the authority.
    pub authority: PathBuf,
}

impl Directory {
    /// A directory that is made, with those above it, when something is written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The files of a node. What is not there is made, the authority too, and a certificate that ends within a day is
    /// made anew.
    ///
    /// # Errors
    ///
    /// The name is no name of a file, one file of a pair is missing, or one of them cannot be read or written.
    pub fn find_or_issue(&self, request: &Request) -> Result<Files, CertificateError> {
        let files = self.files(&request.name)?;
        let _lock = self.lock()?;
        let authority = self.authority()?;
        if !is_pair(&files.certificate, &files.key)? {
            authority.issue(request)?.write_new(&files.certificate, &files.key)?;
        } else if ends_soon(&files::read(&files.certificate)?) {
            let issued = authority.issue(request)?;
            files::replace(
                (&files.certificate, issued.certificate_pem()),
                (&files.key, issued.key_pem()),
            )?;
        }
        Ok(files)
    }

    /// Issues for a node that has no files yet. The authority is made if it is not there.
    ///
    /// # Errors
    ///
    /// As of [`find_or_issue`](Self::find_or_issue), and [`Exists`](CertificateError::Exists) if the node has a
    /// certificate or a key.
    pub fn issue(&self, request: &Request) -> Result<Files, CertificateError> {
        let files = self.files(&request.name)?;
        let _lock = self.lock()?;
        self.authority()?.issue(request)?.write_new(&files.certificate, &files.key)?;
        Ok(files)
    }

    fn authority(&self) -> Result<Authority, CertificateError> {
        let (certificate, key) = (self.path.join("ca.pem"), self.path.join("ca.key"));
        if is_pair(&certificate, &key)? {
            let key = Zeroizing::new(files::read(&key)?);
            return Authority::from_pem(&files::read(&certificate)?, &key);
        }
        // Authorities are told apart by their names where a certificate does not come from the one that is trusted.
        let name = format!("rakt development {:08x}", fastrand::u32(..));
        let authority = Authority::generate(&name)?;
        files::write_new(
            (&certificate, &authority.certificate_pem()),
            (&key, &Zeroizing::new(authority.key_pem())),
        )?;
        Ok(authority)
    }

    fn files(&self, name: &str) -> Result<Files, CertificateError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || name == "ca" || !name.bytes().all(is_plain) {
            return Err(CertificateError::FileName { name: name.to_owned() });
        }
        let file = |name, kind: &str| self.path.join(format!("{name}.{kind}"));
        let (certificate, key) = (file(name, "pem"), file(name, "key"));
        Ok(Files { certificate, key, authority: file("ca", "pem") })
    }

    /// Until the file is dropped, no other process and no other thread is past this. The system takes the lock of a
    /// process that ends.
    fn lock(&self) -> Result<File, CertificateError> {
        files::make_directory(&self.path).map_err(files::written(&self.path))?;
        files::check_directory(&self.path)?;
        let path = self.path.join(".lock");
        files::check_no_link(&path)?;
        // What is there stays: somebody else may have made it.
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        file.and_then(|file| file.lock().map(|()| file)).map_err(files::written(&path))
    }
}

/// Whether both are there; one alone is of no use, and might be all that is left of something dear.
fn is_pair(one: &Path, other: &Path) -> Result<bool, CertificateError> {
    match (one.exists(), other.exists()) {
        (true, false) => Err(CertificateError::Half { there: one.into(), missing: other.into() }),
        (false, true) => Err(CertificateError::Half { there: other.into(), missing: one.into() }),
        (both, _) => Ok(both),
    }
}

/// Whether a certificate ends within a day, or cannot be read.
fn ends_soon(pem: &str) -> bool {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let read = der.as_deref().ok().and_then(read::Certificate::read);
    read.is_none_or(|read| {
        request::moment(SystemTime::now() + RENEWED_BEFORE_END)
            .is_none_or(|soon| read.not_after < soon)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Is there for as long as a test runs.
    struct Place(Directory);

    impl Place {
        fn new(test: &str) -> Self {
            let name = format!("rakt-{test}-{}", std::process::id());
            let place = Self(Directory::new(std::env::temp_dir().join(name).join("certs")));
            let _ = fs::remove_dir_all(&place.0.path);
            place
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = self.0.path.parent().map(fs::remove_dir_all);
        }
    }

    fn node(name: &str) -> Request {
        Request::new(name).host("localhost")
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn many_at_a_time_find_one_authority_and_one_pair() {
        let place = Place::new("many");
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|i| {
                    let directory = place.0.clone();
                    scope.spawn(move || {
                        let name = ["one", "two"][i % 2];
                        let files = directory.find_or_issue(&node(name)).expect("a certificate");
                        (read(&files.authority), name, read(&files.certificate), read(&files.key))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(all.iter().all(|(authority, ..)| *authority == all[0].0));
        for name in ["one", "two"] {
            let pairs: Vec<_> = all.iter().filter(|(_, of, ..)| *of == name).collect();
            assert!(pairs.iter().all(|pair| *pair == pairs[0]), "two pairs of {name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new("modes");
        let files = place.0.issue(&node("one")).expect("a certificate");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode(&files.key), mode(&place.0.path.join("ca.key"))), (0o600, 0o600));
        assert_eq!(mode(&files.certificate) & 0o600, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn where_others_could_put_certificates_there_are_none() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let place = Place::new("others");
        let path = &place.0.path;
        place.0.issue(&node("one")).expect("a certificate");
        let mode = || fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode() & 0o022, 0, "made by this");
        for open in [0o777, 0o775, 0o1777] {
            fs::set_permissions(path, fs::Permissions::from_mode(open)).expect("it is ours");
            let error = place.0.find_or_issue(&node("one")).expect_err("for others").to_string();
            assert!(
                error.contains("others may write into it") && error.contains("chmod"),
                "{error}"
            );
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        place.0.find_or_issue(&node("one")).expect("it is safe again");
        let (lock, precious) = (path.join(".lock"), path.join("precious"));
        fs::write(&precious, "precious").expect("there is room");
        fs::remove_file(&lock).expect("it was made");
        symlink(&precious, &lock).expect("there is no other");
        let error = place.0.find_or_issue(&node("one")).expect_err("a link").to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert_eq!(read(&precious), "precious");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_of_another_user_is_refused() {
        use std::os::unix::fs::chown;
        let place = Place::new("owner");
        place.0.issue(&node("one")).expect("a certificate");
        if let Err(error) = chown(&place.0.path, Some(12_345), None) {
            println!("left out: only root may give a directory away: {error}");
            return;
        }
        let error = place.0.find_or_issue(&node("one")).expect_err("not ours").to_string();
        assert!(error.contains("belongs to another user"), "{error}");
        chown(&place.0.path, Some(0), None).expect("root may");
        place.0.find_or_issue(&node("one")).expect("it is ours again");
    }

    #[test]
    fn what_is_there_is_used_and_not_overwritten() {
        let place = Place::new("there");
        let files = place.0.issue(&node("one")).expect("a certificate");
        let before = (read(&files.certificate), read(&files.key), read(&files.authority));
        let again = place.0.issue(&node("one")).expect_err("it is there").to_string();
        assert!(again.contains("one.pem is there already"), "{again}");
        assert_eq!(place.0.find_or_issue(&node("one")).expect("the same"), files);
        place.0.issue(&node("two")).expect("a second one");
        assert_eq!((read(&files.certificate), read(&files.key), read(&files.authority)), before);
    }

    #[test]
    fn a_certificate_that_ends_within_a_day_is_made_anew() {
        let place = Place::new("ends");
        let hour = Duration::from_secs(60 * 60);
        let files = place.0.issue(&node("one").life(hour)).expect("a certificate");
        let before = (read(&files.certificate), read(&files.key), read(&files.authority));
        place.0.find_or_issue(&node("one")).expect("a new one");
        assert_ne!((read(&files.certificate), read(&files.key)), (before.0, before.1));
        assert_eq!(read(&files.authority), before.2);
        assert!(!ends_soon(&read(&files.certificate)));
        assert!(ends_soon("half of a certificate"));
    }

    #[test]
    fn half_a_pair_is_named_and_left_alone() {
        let place = Place::new("half");
        let files = place.0.issue(&node("one")).expect("a certificate");
        fs::remove_file(&files.authority).expect("it was there");
        let error = place.0.find_or_issue(&node("one")).expect_err("no authority").to_string();
        assert!(error.contains("ca.pem is missing beside"), "{error}");
        assert!(place.0.path.join("ca.key").exists());
    }

    #[test]
    fn a_name_leads_out_of_no_directory() {
        let place = Place::new("names");
        for name in ["", "ca", "..", ".lock", "a/b", "/a", "a\\b", "a b", "ä"] {
            let error = place.0.find_or_issue(&node(name)).expect_err(name);
            assert!(matches!(error, CertificateError::FileName { .. }), "{error}");
        }
        assert!(!place.0.path.exists());
    }
}
