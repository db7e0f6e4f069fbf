//! Creates a session.

use serde::Serialize;

use super::in_time;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::device::Device;
use crate::dynamodb::device::StoredDevice;
use crate::dynamodb::lists::{ListAction, ListChange};
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::record::Record;
use crate::dynamodb::table::SentTransaction;
use crate::error::Error;
use crate::id::SessionId;
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{CreateOptions, Session};
use crate::subject::Subject;
use crate::time_limits::ATTEMPTS_WITHIN;
use crate::timeouts::Timeouts;

/// Collisions of random IDs of 128 bits or more are not expected.
const ID_ATTEMPTS: u32 = 3;

impl SessionManager {
    /// Creates a session with the default timeouts. Its ID is new: a caller cannot choose one.
    ///
    /// Cancelled, it may have created a session that has no holder. Such a session ends at its idle deadline.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::DataNotPortable`] and [`Error::Serialize`] for the data;
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table; [`Error::Randomness`].
    pub async fn create<T: Serialize>(&self, data: T) -> Result<Session<T>, Error> {
        self.create_with(data, CreateOptions::default()).await
    }

    /// Creates a session of `subject` with the default timeouts. It is in the list of the subject's sessions from then on. For a
    /// login there is [`log_in`](Self::log_in).
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::TooManySessions`].
    pub async fn create_for<T: Serialize>(&self, data: T, subject: Subject) -> Result<Session<T>, Error> {
        self.create_with(data, CreateOptions { subject: Some(subject), ..CreateOptions::default() }).await
    }

    /// Creates a session with its own [`Timeouts`], with a subject, or both.
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
    /// Any person who knows the ID can use the session. Never pass an ID from a request: load it, or create another.
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
        let mut call = self.call().for_subject(options.subject.as_ref());
        let created = async {
            let timeouts = self.timeouts_of(&options, call.now())?;
            let data_text = self.encode(&data)?;
            let mut record = Record::new(data_text, timeouts, options.subject, call.now())?;
            record.device = self.stored(&options.device)?;
            let (id, record) = self.insert(&mut call, id, record).await?;
            Ok(record.into_session(id, data, self.config.label_key.as_ref()))
        }
        .await;
        call.end(created, Event::Created)
    }

    /// The timeouts that the options ask for, or the default ones.
    pub(super) fn timeouts_of(&self, options: &CreateOptions, now: Timestamp) -> Result<Timeouts, Error> {
        let default = self.config.default_timeouts();
        let absolute_seconds = options.absolute_timeout_seconds.unwrap_or(default.absolute_seconds);
        let left = options.absolute_deadline.map_or(u64::MAX, |deadline| deadline.seconds_since(now));
        let timeouts = Timeouts {
            idle_seconds: options.idle_timeout_seconds.unwrap_or(default.idle_seconds),
            absolute_seconds: absolute_seconds.min(left),
        };
        self.validate_timeouts(Some(timeouts.idle_seconds), Some(timeouts.absolute_seconds))?;
        Ok(timeouts.clamped())
    }

    /// A device as the table has it.
    pub(super) fn stored(&self, device: &Device) -> Result<StoredDevice, Error> {
        StoredDevice::new(device, self.config.label_key.as_ref())
    }

    /// Stores a record under the given ID, or under a new one.
    pub(crate) async fn insert(
        &self,
        call: &mut Call<'_>,
        given: Option<&SessionId>,
        record: Record,
    ) -> Result<(SessionId, Record), Error> {
        match record.subject.clone() {
            Some(subject) => in_time(self.insert_listed(call, given, record, &subject)).await,
            None => self.insert_alone(call, given, record).await,
        }
    }

    async fn insert_alone(
        &self,
        call: &mut Call<'_>,
        given: Option<&SessionId>,
        mut record: Record,
    ) -> Result<(SessionId, Record), Error> {
        for _ in 0..ID_ATTEMPTS {
            let id = given.map_or_else(|| self.new_id(), |id| Ok(id.clone()))?;
            call.report.session = Some(id.loggable().clone());
            if self.table.insert(call, &id, &mut record).await? {
                return Ok((id, record));
            }
            if given.is_some() {
                return Err(Error::IdInUse);
            }
        }
        Err(Error::NoFreeId)
    }

    /// Stores a record and its place in the list of its subject. Each try has a key, a chain and a token of its own: DynamoDB may
    /// still carry out a try that it has refused once.
    async fn insert_listed(
        &self,
        call: &mut Call<'_>,
        given: Option<&SessionId>,
        mut record: Record,
        subject: &Subject,
    ) -> Result<(SessionId, Record), Error> {
        self.burn_doubtful(call, subject).await?;
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::of_conflicts();
        let mut collisions = 0;
        loop {
            let id = given.map_or_else(|| self.new_id(), |id| Ok(id.clone()))?;
            call.report.session = Some(id.loggable().clone());
            let action = ListAction::Add(record.to_entry(id.loggable()), self.config.max_per_subject);
            let change = ListChange { subject, chain: record.chain, action };
            let sent = self.table.insert_listed(call, &id, &mut record, &change, list_expires).await;
            let SentTransaction { outcome, in_doubt } = match sent {
                Ok(SentTransaction { outcome: Transacted::Done, .. }) => return Ok((id, record)),
                Ok(sent) => sent,
                Err(error @ Error::Unavailable(_)) => {
                    self.give_up(call, subject, id.loggable(), Some(record.chain)).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            if in_doubt {
                self.burn(call, subject, id.loggable(), Some(record.chain)).await?;
            }
            match outcome {
                Transacted::Refused { place: 0, .. } if given.is_some() => return Err(Error::IdInUse),
                Transacted::Refused { place: 0, .. } if collisions == ID_ATTEMPTS => {
                    return Err(Error::NoFreeId);
                }
                Transacted::Refused { place: 0, .. } => collisions += 1,
                Transacted::Refused { item, .. } => {
                    self.make_room(call, subject, item, &mut list_expires).await?;
                }
                _ => {}
            }
            if call.elapsed() > ATTEMPTS_WITHIN {
                return Err(Error::Unavailable("other logins of the subject did not stop".into()));
            }
            pauses.next().await?;
            record.renew_chain()?;
        }
    }
}
