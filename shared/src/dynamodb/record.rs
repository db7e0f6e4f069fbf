//! The record of a session: one item of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::compression;
use super::item::{Item, number, string, time, timestamp, whole_number};
use super::seal::{self, Seal};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};
use crate::session::{Renewal, Session};
use crate::subject::Subject;
use crate::timeouts::{Deadlines, Timeouts};

/// The contents of one item of the table.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: String,
    /// That of the stored data. A new record has one when it has been stored.
    pub(crate) etag: ETag,
    pub(crate) subject: Option<Subject>,
    pub(crate) created: Timestamp,
    pub(crate) idle_seconds: u64,
    pub(crate) deadlines: Deadlines,
}

impl Record {
    /// The record of a session that is created now.
    pub(crate) fn new(data: String, timeouts: Timeouts, subject: Option<Subject>, now: Timestamp) -> Self {
        Self {
            etag: ETag::of_digest(&[]),
            data,
            subject,
            created: now,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, now, now),
        }
    }

    pub(super) fn to_item(&self, id: &LoggableId, data: AttributeValue) -> Item {
        let mut item = HashMap::from([
            ("id".into(), string(id.as_str())),
            ("data".into(), data),
            ("etag".into(), string(self.etag.as_str())),
            ("created".into(), time(self.created)),
            ("idle_timeout".into(), number(self.idle_seconds)),
            ("expires".into(), time(self.deadlines.idle)),
            ("absolute_expires".into(), time(self.deadlines.absolute)),
        ]);
        item.extend(self.subject.as_ref().map(|subject| ("subject".into(), string(subject.as_str()))));
        item
    }

    pub(super) fn from_item(id: &SessionId, mut item: Item) -> Result<Self, Error> {
        let data = match item.remove("data") {
            Some(AttributeValue::B(value)) if seal::is_sealed(value.as_ref()) => {
                Seal::of(id).open(value.as_ref())
            }
            value => value.and_then(compression::from_attribute),
        };
        Ok(Self {
            data: data.ok_or(Error::CorruptRecord("data"))?,
            etag: etag(&item)?,
            subject: subject(&item)?,
            created: timestamp(&item, "created")?,
            idle_seconds: whole_number(&item, "idle_timeout")?,
            deadlines: deadlines(&item)?,
        })
    }

    /// The timeouts of the session.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_seconds: self.idle_seconds,
            absolute_seconds: self.deadlines.absolute.seconds_since(self.created),
        }
    }

    /// The record of the renewed session.
    pub(crate) fn renewed(&self, renewal: &Renewal<String>, now: Timestamp) -> Self {
        let data = renewal.data.as_ref().unwrap_or(&self.data).clone();
        let subject = renewal.subject.as_ref().or(self.subject.as_ref()).cloned();
        let deadlines = Deadlines::new(self.timeouts(), self.created, now);
        Self { data, etag: self.etag.clone(), subject, deadlines, ..*self }
    }

    pub(crate) fn into_session<T>(self, id: SessionId, data: T) -> Session<T> {
        Session {
            data,
            timeouts: self.timeouts(),
            stored_timeouts: self.timeouts(),
            id,
            subject: self.subject,
            created: self.created,
            deadlines: self.deadlines,
            etag: self.etag,
        }
    }
}

pub(super) fn etag(item: &Item) -> Result<ETag, Error> {
    let text = match item.get("etag") {
        Some(AttributeValue::S(text)) => ETag::stored(text.clone()),
        _ => None,
    };
    text.ok_or(Error::CorruptRecord("etag"))
}

pub(super) fn subject(item: &Item) -> Result<Option<Subject>, Error> {
    match item.get("subject") {
        None => Ok(None),
        Some(AttributeValue::S(text)) => text.parse().map(Some).map_err(|_| Error::CorruptRecord("subject")),
        Some(_) => Err(Error::CorruptRecord("subject")),
    }
}

pub(super) fn deadlines(item: &Item) -> Result<Deadlines, Error> {
    Ok(Deadlines { idle: timestamp(item, "expires")?, absolute: timestamp(item, "absolute_expires")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let timeouts = Timeouts { idle_seconds: 30, absolute_seconds: 100 };
        let data = r#"{"a":1}"#;
        let now = Timestamp::from_epoch_seconds(1_800_000_000);
        Record { etag: ETag::of(data), ..Record::new(data.into(), timeouts, None, now) }
    }

    fn id() -> SessionId {
        "WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc".parse().unwrap()
    }

    fn item() -> Item {
        record().to_item(id().loggable(), compression::to_attribute(&record().data))
    }

    #[test]
    fn a_record_comes_back_from_its_item() {
        let back = Record::from_item(&id(), item()).unwrap();
        assert_eq!(back.data, record().data);
        assert_eq!(back.etag, record().etag);
        assert_eq!(back.created, record().created);
        assert_eq!(back.deadlines, record().deadlines);
        assert_eq!(back.timeouts(), Timeouts { idle_seconds: 30, absolute_seconds: 100 });
    }

    #[test]
    fn an_item_has_the_documented_attributes_and_no_others() {
        let item = item();
        let mut names: Vec<_> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["absolute_expires", "created", "data", "etag", "expires", "id", "idle_timeout"]);
    }

    #[test]
    fn a_missing_or_odd_attribute_is_named() {
        for attribute in ["data", "etag", "created", "idle_timeout", "expires", "absolute_expires"] {
            for broken in [None, Some(AttributeValue::Bool(true)), Some(AttributeValue::N("1.5".into()))] {
                let mut item = item();
                item.remove(attribute);
                if let Some(value) = broken {
                    item.insert(attribute.into(), value);
                }
                let error = Record::from_item(&id(), item).unwrap_err();
                assert!(matches!(error, Error::CorruptRecord(named) if named == attribute), "{error:?}");
            }
        }
    }
}
