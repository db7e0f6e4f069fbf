//! The record of a session: one item of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::device::StoredDevice;
use super::item::{Item, binary, number, string, time, timestamp, whole_number};
use super::subject_list::Entry;
use super::table::Table;
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};
use crate::label_key::LabelKey;
use crate::session::Session;
use crate::subject::Subject;
use crate::timeouts::{Deadlines, Timeouts, idle_slack};

/// The contents of one item of the table.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: String,
    /// That of the stored data. A new record has one when it has been stored.
    pub(crate) etag: ETag,
    pub(crate) subject: Option<Subject>,
    pub(crate) chain: Chain,
    pub(crate) created: Timestamp,
    pub(crate) idle_seconds: u64,
    pub(crate) deadlines: Deadlines,
    /// The idle deadline may slide until this moment. Then the bound in the list has to become later first. Sessions of a
    /// subject have it.
    pub(crate) slide_by: Option<Timestamp>,
    pub(crate) renewals: Renewals,
    pub(crate) device: StoredDevice,
    /// When the user last logged in.
    pub(crate) authenticated: Option<Timestamp>,
}

/// How often a session was renewed recently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renewals {
    pub(crate) count: u64,
    /// When the first of them was.
    pub(crate) since: Timestamp,
}

impl Record {
    /// The record of a session that is created now.
    pub(crate) fn new(
        data: String,
        timeouts: Timeouts,
        subject: Option<Subject>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Ok(Self {
            etag: ETag::of_digest(&[]),
            data,
            slide_by: subject.as_ref().map(|_| slide_by(timeouts.idle_seconds, now)),
            authenticated: subject.as_ref().map(|_| now),
            subject,
            chain: Chain::generate()?,
            created: now,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, now, now),
            renewals: Renewals::default(),
            device: StoredDevice::default(),
        })
    }

    /// The same session, used at `now`, with these timeouts and perhaps another subject: then it has another chain.
    pub(crate) fn moved(
        &self,
        data: String,
        timeouts: Timeouts,
        subject: Option<Subject>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Ok(Self {
            data,
            etag: self.etag.clone(),
            chain: if subject == self.subject { self.chain } else { Chain::generate()? },
            authenticated: if subject == self.subject {
                self.authenticated
            } else {
                subject.as_ref().map(|_| now)
            },
            slide_by: subject.as_ref().map(|_| slide_by(timeouts.idle_seconds, now)),
            subject,
            created: self.created,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, self.created, now),
            renewals: self.renewals,
            device: self.device.clone(),
        })
    }

    /// For another try to store a new record.
    pub(crate) fn renew_chain(&mut self) -> Result<(), Error> {
        self.chain = Chain::generate()?;
        Ok(())
    }

    /// The timeouts of the session.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_seconds: self.idle_seconds,
            absolute_seconds: self.deadlines.absolute.seconds_since(self.created),
        }
    }

    /// What the list of its subject says of the session when it has this key.
    pub(crate) fn to_entry(&self, key: &LoggableId) -> Entry {
        let slide_by = self.slide_by.unwrap_or(self.created);
        Entry {
            key: key.clone(),
            created: self.created,
            idle_seconds: self.idle_seconds,
            deadlines: Deadlines {
                idle: slide_by.plus_seconds(self.idle_seconds),
                absolute: self.deadlines.absolute,
            },
            device: self.device.clone(),
            is_live: true,
        }
    }

    pub(crate) fn into_session<T>(self, id: SessionId, data: T, key: Option<&LabelKey>) -> Session<T> {
        Session {
            data,
            timeouts: self.timeouts(),
            stored_timeouts: self.timeouts(),
            id,
            subject: self.subject,
            created: self.created,
            deadlines: self.deadlines,
            etag: self.etag,
            device: self.device.open(key),
            authenticated_at: self.authenticated,
        }
    }

    fn to_item(&self, id: &LoggableId, data: AttributeValue) -> Item {
        let mut item = HashMap::from([
            ("id".into(), string(id.as_str())),
            ("data".into(), data),
            ("etag".into(), string(self.etag.as_str())),
            ("chain".into(), binary(self.chain.as_bytes())),
            ("created".into(), time(self.created)),
            ("idle_timeout".into(), number(self.idle_seconds)),
            ("expires".into(), time(self.deadlines.idle)),
            ("absolute_expires".into(), time(self.deadlines.absolute)),
        ]);
        item.extend(self.subject.as_ref().map(|subject| ("subject".into(), string(subject.as_str()))));
        item.extend(self.slide_by.map(|slide_by| ("slide_by".into(), time(slide_by))));
        item.extend(self.authenticated.map(|at| ("authenticated".into(), time(at))));
        self.device.add_to_record(&mut item);
        if self.renewals.count > 0 {
            item.insert("renewals".into(), number(self.renewals.count));
            item.insert("renewals_since".into(), time(self.renewals.since));
        }
        item
    }
}

impl Table {
    /// The item of a record, whose tag becomes that of the stored data.
    pub(super) fn to_item(&self, id: &SessionId, record: &mut Record) -> Result<Item, Error> {
        let (data, etag) = self.encode(id, &record.data)?;
        record.etag = etag;
        Ok(record.to_item(id.loggable(), data))
    }

    /// The record in an item.
    pub(crate) fn to_record(&self, id: &SessionId, mut item: Item) -> Result<Record, Error> {
        let etag = etag(&item)?;
        let data = item.remove("data").and_then(|stored| self.open(id, stored, &etag));
        let optional =
            |name| if item.contains_key(name) { timestamp(&item, name).map(Some) } else { Ok(None) };
        Ok(Record {
            data: data.ok_or(Error::CorruptRecord("data"))?,
            etag,
            subject: subject(&item)?,
            chain: chain(&item)?,
            created: timestamp(&item, "created")?,
            idle_seconds: whole_number(&item, "idle_timeout")?,
            deadlines: deadlines(&item)?,
            slide_by: optional("slide_by")?,
            authenticated: optional("authenticated")?,
            device: StoredDevice::in_record(&item),
            renewals: Renewals {
                count: if item.contains_key("renewals") { whole_number(&item, "renewals")? } else { 0 },
                since: optional("renewals_since")?.unwrap_or_default(),
            },
        })
    }
}

/// How long the idle deadline may slide before the bound in the list, which is made from this, has to become later.
pub(crate) fn slide_by(idle_seconds: u64, now: Timestamp) -> Timestamp {
    now.plus_seconds(idle_slack(idle_seconds))
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

pub(super) fn chain(item: &Item) -> Result<Chain, Error> {
    let bytes = item.get("chain").and_then(|chain| chain.as_b().ok());
    bytes.and_then(|bytes| Chain::from_bytes(bytes.as_ref())).ok_or(Error::CorruptRecord("chain"))
}

pub(super) fn deadlines(item: &Item) -> Result<Deadlines, Error> {
    Ok(Deadlines { idle: timestamp(item, "expires")?, absolute: timestamp(item, "absolute_expires")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::dynamodb::client::Connection;
    use crate::dynamodb::compression;

    fn table() -> Table {
        let connection = Connection::lazy(Config::default(), None);
        Table::new(connection, &Config::default())
    }

    fn now() -> Timestamp {
        Timestamp::from_epoch_seconds(1_800_000_000)
    }

    fn record(subject: Option<&str>) -> Record {
        let timeouts = Timeouts { idle_seconds: 30, absolute_seconds: 100 };
        let data = r#"{"a":1}"#;
        let subject = subject.map(|text| text.parse().unwrap());
        Record { etag: ETag::of(data), ..Record::new(data.into(), timeouts, subject, now()).unwrap() }
    }

    fn id() -> SessionId {
        "WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc".parse().unwrap()
    }

    fn item() -> Item {
        let record = record(None);
        record.to_item(id().loggable(), compression::to_attribute(&record.data))
    }

    #[test]
    fn a_record_comes_back_from_its_item() {
        for subject in [None, Some("alice")] {
            let mut record = record(subject);
            record.renewals = Renewals { count: 3, since: now() };
            let item = record.to_item(id().loggable(), compression::to_attribute(&record.data));
            let back = table().to_record(&id(), item).unwrap();
            assert_eq!((&back.data, &back.etag), (&record.data, &record.etag));
            assert_eq!((back.created, back.deadlines), (record.created, record.deadlines));
            assert_eq!((back.chain, back.slide_by), (record.chain, record.slide_by));
            assert_eq!((back.subject.clone(), back.renewals), (record.subject.clone(), record.renewals));
            assert_eq!(back.timeouts(), Timeouts { idle_seconds: 30, absolute_seconds: 100 });
        }
    }

    #[test]
    fn an_item_has_the_documented_attributes_and_no_others() {
        let item = item();
        let mut names: Vec<_> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected =
            ["absolute_expires", "chain", "created", "data", "etag", "expires", "id", "idle_timeout"];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_entry_in_the_list_bounds_the_idle_deadline() {
        let record = record(Some("alice"));
        let entry = record.to_entry(id().loggable());
        assert_eq!(record.slide_by, Some(now().plus_seconds(3)));
        assert_eq!(entry.deadlines.idle, record.deadlines.idle.plus_seconds(3));
        assert_eq!((entry.deadlines.absolute, entry.last_used()), (record.deadlines.absolute, now()));
    }

    #[test]
    fn another_subject_is_another_chain() {
        let record = record(Some("alice"));
        let moved = |subject: Option<&str>| {
            let subject = subject.map(|text| text.parse().unwrap());
            record.moved("{}".into(), record.timeouts(), subject, now()).unwrap()
        };
        assert_eq!(moved(Some("alice")).chain, record.chain);
        assert_ne!(moved(Some("bob")).chain, record.chain);
        assert_ne!(moved(None).chain, record.chain);
        assert_eq!(moved(None).slide_by, None);
    }

    #[test]
    fn a_missing_or_odd_attribute_is_named() {
        for attribute in ["data", "etag", "chain", "created", "idle_timeout", "expires", "absolute_expires"] {
            for broken in [None, Some(AttributeValue::Bool(true)), Some(AttributeValue::N("1.5".into()))] {
                let mut item = item();
                item.remove(attribute);
                if let Some(value) = broken {
                    item.insert(attribute.into(), value);
                }
                let error = table().to_record(&id(), item).unwrap_err();
                assert!(matches!(error, Error::CorruptRecord(named) if named == attribute), "{error:?}");
            }
        }
    }
}
