//! Lists the sessions of a subject.

use crate::call::Call;
use crate::error::Error;
use crate::manager::SessionManager;
use crate::report::Event;
use crate::session::ListedSession;
use crate::subject::Subject;

impl SessionManager {
    /// The live sessions of a subject, the last used first.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn sessions_of(&self, subject: &Subject) -> Result<Vec<ListedSession>, Error> {
        let mut call = Call::new(&*self.clock).for_subject(Some(subject));
        let listed = async {
            let mut sessions = self.read_listed(&mut call, subject).await?;
            sessions.sort_by(|a, b| (b.last_used, &b.loggable_id).cmp(&(a.last_used, &a.loggable_id)));
            Ok(sessions)
        }
        .await;
        call.report.sessions = listed.as_ref().ok().map(|sessions| sessions.len() as u64);
        call.end(listed, Event::Listed)
    }

    /// Reads the list and the records in it, again if one was renewed in between: it would appear under neither ID.
    async fn read_listed(&self, call: &mut Call<'_>, subject: &Subject) -> Result<Vec<ListedSession>, Error> {
        loop {
            call.require_time()?;
            let Some(list) = self.table.list(call, subject).await? else { return Ok(Vec::new()) };
            let (sessions, is_renewed) = self.table.summaries(call, &list.by_deadline(), 0).await?;
            if !is_renewed {
                return Ok(sessions);
            }
        }
    }
}
