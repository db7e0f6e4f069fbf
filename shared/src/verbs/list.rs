//! Lists the sessions of a subject.

use crate::error::Error;
use crate::manager::SessionManager;
use crate::report::Event;
use crate::session::ListedSession;
use crate::subject::Subject;

impl SessionManager {
    /// The live sessions of a subject, the last used first. It takes one request, however many and large they are.
    ///
    /// The times of last use and of expiry are exact to a tenth of the idle timeout, or to 15 minutes where that is less.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn sessions_of(&self, subject: &Subject) -> Result<Vec<ListedSession>, Error> {
        let mut call = self.call().for_subject(Some(subject));
        let listed = async {
            let Some(list) = self.table.list(&mut call, subject).await? else { return Ok(Vec::new()) };
            let now = call.now();
            let mut sessions: Vec<_> = list
                .live()
                .filter(|(_, entry)| entry.deadlines.is_alive(now) && entry.created >= self.config.not_before)
                .map(|(chain, entry)| ListedSession {
                    loggable_id: entry.key.clone(),
                    name: chain.to_base64(),
                    device: entry.device.open(self.config.label_key.as_ref()),
                    created: entry.created,
                    last_used: entry.last_used(),
                    expires: entry.deadlines.earliest(),
                })
                .collect();
            sessions.sort_by(|a, b| (b.last_used, &b.loggable_id).cmp(&(a.last_used, &a.loggable_id)));
            Ok(sessions)
        }
        .await;
        call.report.sessions = listed.as_ref().ok().map(|sessions| sessions.len() as u64);
        call.end(listed, Event::Listed)
    }
}
