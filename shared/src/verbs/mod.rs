//! The verbs: for each, its rules and its retry loop.

mod clear;
mod create;
mod list;
mod load;
mod log_in;
mod membership;
pub(crate) mod new_data;
mod renew;
mod revoke;
mod save;

use std::pin::Pin;
use std::sync::LazyLock;

use tokio::sync::watch;

use crate::call::Ended;
use crate::error::{Absence, Error};
use crate::id::SessionId;
use crate::time_limits::CALL;

/// The ID of a verb. A text that is no ID names no session.
fn known(id: Option<&SessionId>) -> Result<&SessionId, Error> {
    id.ok_or(Error::NotFound(Absence::Malformed))
}

/// To the caller, a session that does not exist is `None` and not an error.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends a call of several requests in time, on every path.
async fn in_time<T>(work: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
    let unavailable = |_| Error::Unavailable("the call did not end in time: a slow table".into());
    // In a box: such a call has several requests, and its future is large.
    let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(work);
    tokio::time::timeout(CALL, work).await.map_err(unavailable)?
}

/// How many clears and revocations are under way, and in which process: a fork goes on with none of its parent's.
static ENDINGS: LazyLock<watch::Sender<(u32, usize)>> = LazyLock::new(watch::Sender::default);

struct Ending;

impl Ending {
    fn begin() -> Self {
        let here = std::process::id();
        ENDINGS.send_modify(|(process, count)| {
            *count = if *process == here { *count + 1 } else { 1 };
            *process = here;
        });
        Self
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        ENDINGS.send_modify(|(_, count)| *count = count.saturating_sub(1));
    }
}

/// A caller that goes away must not leave the end of a session half done.
async fn in_own_task<T: Send + 'static>(
    work: impl Future<Output = Ended<T>> + Send + 'static,
) -> Result<T, Error> {
    let ending = Ending::begin();
    // In a box: it is large, and is moved into the task.
    let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(work);
    let task = tokio::spawn(async move {
        let ended = work.await;
        drop(ending);
        ended
    });
    task.await.map_err(|error| Error::Unavailable(error.into()))?.report()
}

/// Waits until every clear and revocation of this process is over, also those whose callers have gone away. For the end of a program:
/// with its runtime they would stop. It takes at most ten seconds.
pub async fn wait_for_endings() {
    // The sender is static, so the channel does not close.
    let are_over = |(process, count): &(u32, usize)| *process != std::process::id() || *count == 0;
    drop(ENDINGS.subscribe().wait_for(are_over).await);
}
