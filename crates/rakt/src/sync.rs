//! A mutex without poison, as a panic in user code never happens while one is locked; and what the models of
//! concurrent parts replace.
//!
//! Built as a test with `--cfg rakt_model`, locks and the atomics that are named by way of this module are
//! those of loom: the models (`models.rs`) run the code that ships in every order of its steps.

#[cfg(not(all(test, rakt_model)))]
pub(crate) use std::sync::{MutexGuard, atomic};

#[cfg(all(test, rakt_model))]
pub(crate) use loom::sync::{MutexGuard, atomic};
#[cfg(all(test, rakt_model))]
pub(crate) use modelled::Mutex;
#[cfg(not(all(test, rakt_model)))]
pub(crate) use plain::Mutex;
/// A mutex of the whole process, which is no part of any model.
pub(crate) use plain::Mutex as GlobalMutex;

mod plain {
    use std::sync::{MutexGuard, PoisonError, TryLockError};

    /// How often a lock that somebody has is tried again, and how long each time is waited: some microseconds in all.
    const SPINS: [u32; 4] = [32, 64, 128, 256];

    #[derive(Default)]
    pub(crate) struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }
    }

    impl<T: ?Sized> Mutex<T> {
        /// Takes the lock, waiting for it.
        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.try_lock().unwrap_or_else(|| self.lock_contended())
        }

        /// The standard lock sleeps as soon as it has lost a race for one that was free, and whoever lets go of it has
        /// to wake it then. What is done under a lock here is short: it is free again before that could be over.
        #[cold]
        fn lock_contended(&self) -> MutexGuard<'_, T> {
            for pauses in SPINS {
                (0..pauses).for_each(|_| std::hint::spin_loop());
                if let Some(guard) = self.try_lock() {
                    return guard;
                }
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Takes the lock, if nobody has it.
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }

        /// The value; no lock is taken.
        #[inline]
        #[cfg_attr(all(test, rakt_model), allow(dead_code, reason = "the models use their own"))]
        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(all(test, rakt_model))]
mod modelled {
    use std::sync::PoisonError;

    use loom::sync::MutexGuard;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        #[allow(dead_code, reason = "for the remote half, which is a feature")]
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }
}
