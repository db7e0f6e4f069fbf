//! Creates a session.

use serde::Serialize;

use crate::call::Call;
use crate::clock::Timestamp;
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::record::Record;
use crate::dynamodb::subject_list::{ListAction, ListChange};
use crate::error::Error;
use crate::id::SessionId;
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{CreateOptions, Session};
use crate::subject::Subject;
use crate::time_limits::CREATE_ATTEMPTS_WITHIN;
use crate::timeouts::Timeouts;

/// Collisions of random IDs of 128 bits or more are not expected; other attempts are for a table that is unavailable.
const ID_ATTEMPTS: u32 = 3;

impl SessionManager {
    /// Creates a session with the default timeouts. Its ID is new: a caller cannot choose one.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`] for the data;
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table; [`Error::Randomness`].
    pub async fn create<T: Serialize>(&self, data: T) -> Result<Session<T>, Error> {
        self.create_with(data, CreateOptions::default()).await
    }

    /// Creates a session of `subject` with the default timeouts, for example at a login. It is in the list of the subject's
    /// sessions from then on.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::TooManySessions`].
    pub async fn create_for<T: Serialize>(&self, data: T, subject: Subject) -> Result<Session<T>, Error> {
        self.create_with(data, CreateOptions { subject: Some(subject), ..CreateOptions::default() }).await
    }

    /// Creates a session with its own [`Timeouts`](crate::Timeouts), with a subject, or both.
    ///
    /// # Errors
    /// Those of [`create_for`](Self::create_for), and [`Error::TimeoutOutOfRange`].
    pub fn create_with<T: Serialize>(
        &self,
        data: T,
        options: impl Into<CreateOptions>,
    ) -> impl Future<Output = Result<Session<T>, Error>> {
        self.create_under(None, data, options.into()) // without a future around it: one more is too deep for rustc
    }

    /// For the stores of frameworks that make session IDs themselves, such as express-session: creates a session under a
    /// given ID, if no record has it.
    ///
    /// Its holder has the session: it must be random, from this program, and never from a request. An ID that came
    /// with a request is loaded, and if no session has it, another one is made.
    ///
    /// # Errors
    /// [`Error::IdInUse`], and those of [`create_with`](Self::create_with). After [`Error::Unavailable`] it is not known
    /// whether the session exists.
    pub async fn create_under_given_id<T: Serialize>(
        &self,
        id: &SessionId,
        data: T,
        options: impl Into<CreateOptions>,
    ) -> Result<Session<T>, Error> {
        self.create_under(Some(id), data, options.into()).await
    }

    async fn create_under<T: Serialize>(
        &self,
        id: Option<&SessionId>,
        data: T,
        options: CreateOptions,
    ) -> Result<Session<T>, Error> {
        let mut call = Call::new(&*self.clock).for_subject(options.subject.as_ref());
        let timeouts = self.timeouts_of(&options, call.now());
        let created = async {
            self.validate_timeouts(Some(timeouts.idle_seconds), Some(timeouts.absolute_seconds))?;
            let subject = options.subject;
            let mut record = Record::new(self.encode(&data)?, timeouts.clamped(), subject, call.now());
            let id = self.insert(&mut call, id, &mut record).await?;
            Ok(record.into_session(id, data))
        }
        .await;
        call.end(created, Event::Created)
    }

    /// Stores a record under the given ID, or under a new one: then each attempt has another.
    async fn insert(
        &self,
        call: &mut Call<'_>,
        given: Option<&SessionId>,
        record: &mut Record,
    ) -> Result<SessionId, Error> {
        let busy = || Error::Unavailable("other logins of the subject did not stop".into());
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::default();
        let mut attempts_left = ID_ATTEMPTS;
        loop {
            let id = given.map_or_else(|| self.new_id(), |id| Ok(id.clone()))?;
            call.report.session = Some(id.loggable().clone());
            let error = match self.insert_once(call, &id, record, list_expires).await {
                Ok(Transacted::Done) => return Ok(id),
                Ok(Transacted::ListConditionFailed(_, list)) => {
                    self.make_room(call, list, &mut list_expires).await?;
                    if call.elapsed() <= CREATE_ATTEMPTS_WITHIN {
                        continue;
                    }
                    busy()
                }
                Ok(Transacted::Conflict) => busy(),
                Ok(Transacted::RecordConditionFailed(_)) if given.is_some() => return Err(Error::IdInUse),
                Ok(Transacted::RecordConditionFailed(_)) => {
                    attempts_left -= 1;
                    Error::NoFreeId
                }
                // A second attempt with the same ID could not tell the record of the first one from that of another program.
                Err(error @ Error::Unavailable(_)) if given.is_none() => {
                    attempts_left -= 1;
                    error
                }
                Err(error) => return Err(error),
            };
            if attempts_left == 0 || call.elapsed() > CREATE_ATTEMPTS_WITHIN {
                return Err(error);
            }
            pauses.next().await?;
        }
    }

    async fn insert_once(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
        list_expires: Timestamp,
    ) -> Result<Transacted, Error> {
        let Some(subject) = record.subject.clone() else {
            let is_stored = self.table.insert(call, id, record).await?;
            return Ok(if is_stored { Transacted::Done } else { Transacted::RecordConditionFailed(None) });
        };
        let action = ListAction::Add(id.loggable(), record.deadlines.absolute, self.config.max_per_subject);
        let change = ListChange { subject: &subject, action };
        self.table.insert_listed(call, id, record, change, list_expires).await
    }

    /// The timeouts that the options ask for, or the default ones.
    fn timeouts_of(&self, options: &CreateOptions, now: Timestamp) -> Timeouts {
        let default = self.config.default_timeouts();
        let absolute_seconds = options.absolute_timeout_seconds.unwrap_or(default.absolute_seconds);
        let left = options.absolute_deadline.map_or(u64::MAX, |deadline| deadline.seconds_since(now));
        Timeouts {
            idle_seconds: options.idle_timeout_seconds.unwrap_or(default.idle_seconds),
            absolute_seconds: absolute_seconds.min(left),
        }
    }
}
