//! Work on many things at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// Runs the work for each task, on as many threads as there are processors, and keeps their order.
/// `label` says what is worked on, for the bar on a terminal.
pub(super) fn work_on_all<T: Sync, R: Send>(
    tasks: &[T],
    label: impl Fn(&T) -> String + Sync,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let bar = progress(tasks.len());
    let results: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        while let (at, Some(task)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at, tasks.get(at))
        } {
            bar.set_message(label(task));
            let found = work(task);
            if let Some(slot) = results.get(at) {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            }
            bar.inc(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(tasks.len()) {
            scope.spawn(run);
        }
    });
    bar.finish_and_clear();
    let results = results.into_iter();
    results
        .filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// A bar on standard error where that is a terminal, and nothing elsewhere.
fn progress(tasks: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(tasks).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
