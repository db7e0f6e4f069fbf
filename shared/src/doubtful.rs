//! What a call that has failed may have left in the table.

use crate::chain::Chain;
use crate::id::LoggableId;
use crate::subject::Subject;

/// A write that may have been carried out, or still be, though its call has failed: a session that has no holder, and a place
/// in its subject's list.
#[derive(Clone, Debug)]
pub(crate) struct Doubtful {
    pub(crate) subject: Subject,
    pub(crate) key: LoggableId,
    /// The chain that only this write has brought.
    pub(crate) chain: Option<Chain>,
}
