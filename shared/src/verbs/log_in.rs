//! Logs a user in.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::new_data::NewData;
use super::renew::{Check, Moved, check, parse};
use super::{in_time, known};
use crate::call::Call;
use crate::dynamodb::record::Record;
use crate::dynamodb::renew::Unchanged;
use crate::error::Error;
use crate::etag::Preconditions;
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{CreateOptions, LogIn, LoggedIn, Session};
use crate::subject::Subject;
use crate::timeouts::Timeouts;

/// After so many saves have come between the two requests of a login, the data that was read goes on: an attacker who keeps saving to
/// the old ID must not be able to hold the login up.
const OVERTAKEN: u32 = 2;

impl SessionManager {
    /// Makes a session that of `subject`, under a new ID, with new data and timeouts if they are given: all of it in one
    /// transaction, or nothing. The session keeps the rest: its data, its creation and its timeouts. If it has ended, or there
    /// was none, the subject gets a new session, with none of the old data.
    ///
    /// Call it after the user was authenticated (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege
    /// Level Change"). An ID that an attacker knew before is of no use after it. When it fails, the old session is as it was.
    /// For a minute, a [`clear`](Self::clear) of the old ID ends the new session too: a second click on "Log out" does.
    ///
    /// Cancelled, it may have been carried out: then the user has to log in again.
    ///
    /// # Errors
    /// [`Error::TooManySessions`]; [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::DataNotPortable`],
    /// [`Error::Serialize`] and [`Error::TimeoutOutOfRange`] for what is given; [`Error::Changed`] when a precondition does not
    /// hold; [`Error::Deserialize`] when the data is not a `T`; [`Error::Unavailable`] and [`Error::Misconfigured`] from the
    /// table; [`Error::Randomness`].
    pub async fn log_in<T: Serialize + DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        subject: Subject,
        options: LogIn<T>,
    ) -> Result<LoggedIn<T>, Error> {
        match self.encode_log_in(options) {
            Ok(options) => self.log_in_encoded(id, subject, options).await,
            Err(error) => {
                let call = self.call_for(id.as_session_id().as_deref()).for_subject(Some(&subject));
                call.end(Err(error), Event::LoggedIn)
            }
        }
    }

    pub(crate) async fn log_in_encoded<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        subject: Subject,
        options: LogIn<NewData>,
    ) -> Result<LoggedIn<T>, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref()).for_subject(Some(&subject));
        let mut event = Event::LoggedIn;
        let logged_in = async {
            let (new, record, is_new) =
                in_time(self.log_in_record(&mut call, id.as_deref(), &subject, (&options, check::<T>)))
                    .await?;
            if is_new {
                event = Event::Created;
                call.report.session = Some(new.loggable().clone());
                call.report.new_session = None;
            }
            let data = parse(&record.data)?;
            Ok(LoggedIn { session: record.into_session(new, data, self.config.label_key.as_ref()), is_new })
        }
        .await;
        call.end(logged_in, event)
    }

    async fn log_in_record(
        &self,
        call: &mut Call<'_>,
        id: Option<&SessionId>,
        subject: &Subject,
        (options, check): (&LogIn<NewData>, Check),
    ) -> Result<(SessionId, Record, bool), Error> {
        if let Some(id) = id {
            match self.move_to_subject(call, id, subject, (options, check)).await {
                Err(Error::NotFound(_)) => {}
                moved => return moved.map(|(id, record)| (id, record, false)),
            }
        }
        if options.preconditions.if_match.is_some() {
            return Err(Error::Changed); // there is no data that it could match
        }
        let create = CreateOptions {
            subject: Some(subject.clone()),
            idle_timeout_seconds: options.idle_timeout_seconds,
            absolute_timeout_seconds: options.absolute_timeout_seconds,
            absolute_deadline: options.absolute_deadline,
            device: options.device.clone(),
        };
        let data = options.data_if_new.as_ref().or(options.data.as_ref());
        let data = self.new_data(data, "{}")?;
        let timeouts = self.timeouts_of(&create, call.now())?;
        let mut record = Record::new(data, timeouts, create.subject, call.now())?;
        record.device = self.stored(&create.device)?;
        check(&record.data)?;
        let (id, record) = self.insert(call, None, record).await?;
        Ok((id, record, true))
    }

    async fn move_to_subject(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        subject: &Subject,
        (options, check): (&LogIn<NewData>, Check),
    ) -> Result<(SessionId, Record), Error> {
        self.burn_doubtful(call, subject).await?;
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::of_conflicts();
        let mut overtaken = 0;
        loop {
            let record = self.table.get(call, id).await?;
            if !options.preconditions.hold(&record.etag) {
                return Err(Error::Changed);
            }
            let kept = record.timeouts();
            let left = options.absolute_deadline.map(|deadline| deadline.seconds_since(record.created));
            let timeouts = match (options.idle_timeout_seconds, options.absolute_timeout_seconds, left) {
                (None, None, None) => kept,
                (idle, absolute, left) => Timeouts {
                    idle_seconds: idle.unwrap_or(kept.idle_seconds),
                    absolute_seconds: absolute.unwrap_or(kept.absolute_seconds).min(left.unwrap_or(u64::MAX)),
                }
                .clamped(),
            };
            self.validate_timeouts(None, left.map(|left| left.min(self.config.max_timeout_seconds)))?;
            let data = self.new_data(options.data.as_ref(), &record.data)?;
            let device = self.stored(&options.device)?;
            let mut moved = record.moved(data, timeouts, Some(subject.clone()), call.now())?;
            moved.device = device.clone().or(&record.device);
            moved.authenticated = Some(call.now());
            check(&moved.data)?;
            let new = self.new_id()?;
            // A login that brings all of the data does not depend on who has saved meanwhile. With `If-Match` it does.
            let brings_all = matches!(options.data, Some(NewData::Whole(_)));
            let ignores_saves =
                options.preconditions == Preconditions::default() && (brings_all || overtaken >= OVERTAKEN);
            let unchanged = if ignores_saves { Unchanged::Chain } else { Unchanged::All };
            let names = (id, &record, &new);
            match self.move_record(call, names, &mut moved, (unchanged, device), &mut list_expires).await? {
                Moved::Done => return Ok((new, moved)),
                Moved::Again => overtaken += 1,
            }
            self.pause(call, &mut pauses).await?;
        }
    }

    fn encode_log_in<T: Serialize>(&self, options: LogIn<T>) -> Result<LogIn<NewData>, Error> {
        self.validate_timeouts(options.idle_timeout_seconds, options.absolute_timeout_seconds)?;
        let encode = |data: Option<T>| data.map(|data| self.encode(&data).map(NewData::Whole)).transpose();
        Ok(LogIn {
            data: encode(options.data)?,
            data_if_new: encode(options.data_if_new)?,
            idle_timeout_seconds: options.idle_timeout_seconds,
            absolute_timeout_seconds: options.absolute_timeout_seconds,
            absolute_deadline: options.absolute_deadline,
            device: options.device,
            preconditions: options.preconditions,
        })
    }

    /// Whether the user of a session has logged in within so many seconds. Ask before something serious (OWASP ASVS 5.0, 7.5).
    #[must_use]
    pub fn is_logged_in_within<T>(&self, session: &Session<T>, seconds: u64) -> bool {
        session.is_authenticated_within(seconds, self.clock.now())
    }

    /// Notes that the user of a session has proved once more who they are, for example with the password before something serious.
    /// The session keeps its ID. [`Session::authenticated_at`] is this moment from then on.
    ///
    /// For a login, also of the user who is logged in already, there is [`log_in`](Self::log_in), which gives the session a new ID.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session has ended, or has no subject; [`Error::Unavailable`] and [`Error::Misconfigured`] from
    /// the table.
    pub async fn confirm_login(&self, id: &(impl AsSessionId + ?Sized)) -> Result<(), Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let confirmed = async { self.table.confirm(&mut call, known(id.as_deref())?.loggable()).await }.await;
        call.end(confirmed, Event::LoggedIn)
    }
}
