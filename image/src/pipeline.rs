//! Work on numbered pieces on all cores, delivered in order, in bounded memory.
//!
//! The pieces live in buffers that go round: a buffer is filled on one thread, worked on by any worker,
//! delivered on the caller's thread in order, and filled again. So at most as many pieces are in flight
//! as there are buffers, and nothing is allocated per piece.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// How many workers to start: the cores of the machine, at most `max`.
pub(crate) fn workers(max: usize) -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .clamp(1, max)
}

/// Runs pieces `0, 1, 2, ...` through `fill` -> worker -> `deliver`.
///
/// `fill` returns `false` when there is no further piece. Each worker is made by `worker` on its own
/// thread, so that it can keep a context. The error returned is the one of the lowest-numbered piece,
/// however the threads happened to run; pieces before it have been delivered, none after it.
/// When `deliver` fails, this returns once a `fill` that is under way has returned.
pub(crate) fn ordered<B, E, W>(
    workers: usize,
    buffers: Vec<B>,
    mut fill: impl FnMut(usize, &mut B) -> Result<bool, E> + Send,
    worker: impl Fn() -> W + Sync,
    mut deliver: impl FnMut(usize, &mut B) -> Result<(), E>,
) -> Result<(), E>
where
    B: Send,
    E: Send,
    W: FnMut(usize, &mut B) -> Result<(), E>,
{
    thread::scope(|scope| {
        let (free, refill) = channel();
        let (jobs, todo) = channel::<(usize, B)>();
        let (done, results) = channel::<(usize, Result<B, E>)>();
        // Both ends are alive, so sending cannot fail; a failure would only shorten the line.
        for buffer in buffers {
            free.send(buffer).unwrap_or_default();
        }

        let failed_fill = done.clone();
        scope.spawn(move || {
            for (index, mut buffer) in refill.into_iter().enumerate() {
                // A send fails only when the other side has given up; then there is nothing left to do.
                let goes_on = match fill(index, &mut buffer) {
                    Ok(true) => jobs.send((index, buffer)).is_ok(),
                    Ok(false) => false,
                    Err(error) => {
                        failed_fill.send((index, Err(error))).unwrap_or_default();
                        false
                    }
                };
                if !goes_on {
                    return;
                }
            }
        });
        let (todo, worker) = (Arc::new(Mutex::new(todo)), &worker);
        for _ in 0..workers {
            let (done, todo) = (done.clone(), Arc::clone(&todo));
            scope.spawn(move || {
                let mut work = worker();
                while let Some((index, mut buffer)) = next_job(&todo) {
                    let result = work(index, &mut buffer).map(|()| buffer);
                    if done.send((index, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((done, todo));

        let mut early = BTreeMap::new();
        let mut next = 0;
        for (index, result) in results {
            early.insert(index, result);
            while let Some(result) = early.remove(&next) {
                let mut buffer = result?;
                deliver(next, &mut buffer)?;
                // The filling side is gone after the last piece.
                free.send(buffer).unwrap_or_default();
                next += 1;
            }
        }
        Ok(())
    })
}

fn next_job<T>(todo: &Mutex<Receiver<T>>) -> Option<T> {
    // A poisoned lock means that another worker panicked while waiting; its panic is reported by the scope.
    todo.lock().ok()?.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(
        workers: usize,
        buffers: usize,
        count: usize,
        bad: &[usize],
    ) -> (Vec<usize>, Result<(), usize>) {
        let mut seen = Vec::new();
        let result = ordered(
            workers,
            vec![0; buffers],
            |index, buffer| {
                *buffer = index;
                Ok(index < count)
            },
            || {
                |index: usize, buffer: &mut usize| {
                    if bad.contains(&index) {
                        return Err(index);
                    }
                    // The earlier, the slower: results overtake each other.
                    thread::sleep(std::time::Duration::from_micros(
                        (50_usize.saturating_sub(index) * 20) as u64,
                    ));
                    *buffer *= index;
                    Ok(())
                }
            },
            |index, buffer| {
                assert_eq!(*buffer, index * index);
                seen.push(*buffer);
                Ok(())
            },
        );
        (seen, result)
    }

    #[test]
    fn pieces_arrive_in_order_whatever_the_threads_do() {
        for (workers, buffers) in [(1, 1), (1, 3), (4, 1), (4, 6)] {
            let (seen, result) = squares(workers, buffers, 60, &[]);
            assert_eq!(seen, (0..60).map(|index| index * index).collect::<Vec<_>>());
            assert_eq!(result, Ok(()));
        }
    }

    #[test]
    fn the_first_error_in_order_wins_and_ends_the_delivery() {
        let (seen, result) = squares(4, 6, 60, &[7, 9, 8]);
        assert_eq!(seen.len(), 7);
        assert_eq!(result, Err(7));
    }

    #[test]
    fn an_error_at_either_end_stops_the_line() {
        let idle = || |_: usize, _: &mut u8| Ok(());
        let at_fill = ordered(
            2,
            vec![0, 0],
            |index, _| if index < 3 { Ok(true) } else { Err("fill") },
            idle,
            |_, _| Ok(()),
        );
        assert_eq!(at_fill, Err("fill"));
        let at_end = ordered(
            2,
            vec![0, 0],
            |_, _| Ok(true),
            idle,
            |index, _| if index < 3 { Ok(()) } else { Err("deliver") },
        );
        assert_eq!(at_end, Err("deliver"));
    }
}
