//! Threads that wait for work: starting one takes as long as a small product.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// What all threads run; it returns when there is nothing left to do.
type Task<'a> = &'a (dyn Fn() + Sync);

/// Looks for a new task before a thread sleeps: about as long as it takes to wake it up.
const LOOKS: usize = 5_000;

#[derive(Default)]
struct Pool {
    /// Held by the thread whose task runs.
    user: Mutex<()>,
    task: Mutex<Option<Task<'static>>>,
    has_task: Condvar,
    /// Number of tasks so far.
    number: AtomicUsize,
    /// Threads that took the task and have not finished it.
    running: AtomicUsize,
    panicked: AtomicBool,
}

/// Returns the number of threads that kernels use.
pub fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    // WASI and browsers have one.
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Runs `task` on this thread and on all others that are free in time, and returns when they have finished: a thread that
/// the system lets wait is not waited for. While another thread uses them, and where there are none, it runs on this one
/// alone.
pub(crate) fn on_all_threads(task: Task<'_>) {
    static POOL: OnceLock<Pool> = OnceLock::new();
    static STARTED: OnceLock<bool> = OnceLock::new();
    let others = threads() - 1;
    if cfg!(target_family = "wasm") || others == 0 {
        return task();
    }
    let pool = POOL.get_or_init(Pool::default);
    let start = || (0..others).all(|_| std::thread::Builder::new().spawn(|| pool.work()).is_ok());
    let user = pool.user.try_lock();
    if user.is_err() || !STARTED.get_or_init(start) {
        return task();
    }
    // SAFETY: no thread uses the task after `finish`, which this function does not leave out, also if the task panics.
    let shared = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
    let mut current = pool.lock();
    *current = Some(shared);
    // With the lock held: a thread that is about to sleep would miss it.
    pool.number.fetch_add(1, Ordering::Release);
    drop(current);
    pool.has_task.notify_all();
    let result = catch_unwind(AssertUnwindSafe(task));
    pool.finish();
    let others_panicked = pool.panicked.swap(false, Ordering::Relaxed);
    drop(user);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    assert!(!others_panicked, "a thread panicked");
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Option<Task<'static>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Withdraws the task and waits until no thread runs it.
    fn finish(&self) {
        *self.lock() = None;
        while self.running.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
    }

    /// Runs each task, for ever.
    fn work(&self) {
        let mut done = 0;
        loop {
            let mut looks = 0;
            while self.number.load(Ordering::Acquire) == done && looks < LOOKS {
                std::hint::spin_loop();
                looks += 1;
            }
            let mut task = self.lock();
            while self.number.load(Ordering::Acquire) == done {
                task = self.has_task.wait(task).unwrap_or_else(PoisonError::into_inner);
            }
            done = self.number.load(Ordering::Acquire);
            let Some(current) = *task else { continue };
            // With the lock held: whoever withdraws the task waits for this thread.
            self.running.fetch_add(1, Ordering::Relaxed);
            drop(task);
            if catch_unwind(AssertUnwindSafe(current)).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.running.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(target_os = "wasi", ignore = "WASI has no threads")]
    fn tasks_run_to_their_end_from_several_threads_and_after_a_panic() {
        let count = |runs: usize| {
            for _ in 0..runs {
                let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
                on_all_threads(&|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= 100 {
                            return;
                        }
                        sum.fetch_add(index, Ordering::Relaxed);
                    }
                });
                assert_eq!(sum.load(Ordering::Relaxed), 4950);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| count(500)))));
        assert!(catch_unwind(|| on_all_threads(&|| panic!("a task"))).is_err());
        count(10);
    }
}
