//! A device as the table has it: its label and its context, as texts or encrypted.

use std::fmt;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::expressions::{and, set};
use super::item::{Item, binary, string};
use crate::device::Device;
use crate::error::Error;
use crate::label_key::LabelKey;

/// The attributes of a record.
const LABEL: &str = "label";
const CONTEXT: &str = "context";

/// The same in a list, where each byte is paid at each login.
const LABEL_IN_LIST: &str = "l";
const CONTEXT_IN_LIST: &str = "x";

#[derive(Clone, Default, PartialEq)]
pub(crate) struct StoredDevice {
    label: Option<AttributeValue>,
    context: Option<AttributeValue>,
}

impl StoredDevice {
    pub(crate) fn new(device: &Device, key: Option<&LabelKey>) -> Result<Self, Error> {
        let stored = |text: Option<&str>| match (text, key) {
            (None, _) => Ok(None),
            (Some(text), None) => Ok(Some(string(text))),
            (Some(text), Some(key)) => key.seal(text).map(binary).map(Some),
        };
        Ok(Self { label: stored(device.label())?, context: stored(device.context())? })
    }

    /// What a person may read. A part that was encrypted under another key is missing: the session can still be ended.
    pub(crate) fn open(&self, key: Option<&LabelKey>) -> Device {
        let open = |stored: &AttributeValue| match stored {
            AttributeValue::S(text) => Some(text.clone()),
            AttributeValue::B(sealed) => key?.open(sealed.as_ref()),
            _ => None,
        };
        Device::stored(self.label.as_ref().and_then(open), self.context.as_ref().and_then(open))
    }

    /// This device, and the parts of `before` that it does not have.
    pub(crate) fn or(self, before: &Self) -> Self {
        Self {
            label: self.label.or_else(|| before.label.clone()),
            context: self.context.or_else(|| before.context.clone()),
        }
    }

    pub(super) fn in_record(item: &Item) -> Self {
        Self { label: item.get(LABEL).cloned(), context: item.get(CONTEXT).cloned() }
    }

    pub(super) fn in_list(entry: &Item) -> Self {
        Self { label: entry.get(LABEL_IN_LIST).cloned(), context: entry.get(CONTEXT_IN_LIST).cloned() }
    }

    pub(super) fn add_to_record(&self, item: &mut Item) {
        item.extend(self.label.clone().map(|label| (LABEL.into(), label)));
        item.extend(self.context.clone().map(|context| (CONTEXT.into(), context)));
    }

    pub(super) fn add_to_entry(&self, entry: &mut Item) {
        entry.extend(self.label.clone().map(|label| (LABEL_IN_LIST.into(), label)));
        entry.extend(self.context.clone().map(|context| (CONTEXT_IN_LIST.into(), context)));
    }

    /// Adds the parts that there are to the update of a record.
    pub(super) fn update_record(&self, mut request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        if let Some(label) = &self.label {
            request = set(request, "label = :label").expression_attribute_values(":label", label.clone());
        }
        if let Some(context) = &self.context {
            request =
                set(request, "context = :context").expression_attribute_values(":context", context.clone());
        }
        request
    }

    /// Adds the parts that there are to the update of the session `#s` of a list.
    pub(super) fn update_entry(&self, mut request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        if let Some(label) = &self.label {
            request = set(request, "#s.#l = :l")
                .expression_attribute_names("#l", LABEL_IN_LIST)
                .expression_attribute_values(":l", label.clone());
        }
        if let Some(context) = &self.context {
            request = set(request, "#s.#x = :x")
                .expression_attribute_names("#x", CONTEXT_IN_LIST)
                .expression_attribute_values(":x", context.clone());
        }
        request
    }

    /// Requires that a record still has this device.
    pub(super) fn require(&self, request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let require = |request, attribute, name: &str, value: &Option<AttributeValue>| match value {
            Some(value) => and(request, &format!("{attribute} = {name}"))
                .expression_attribute_values(name, value.clone()),
            None => and(request, &format!("attribute_not_exists({attribute})")),
        };
        let request = require(request, LABEL, ":read_label", &self.label);
        require(request, CONTEXT, ":read_context", &self.context)
    }
}

/// A label is for no log.
impl fmt::Debug for StoredDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredDevice(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device::default()
            .with_label("Firefox on Linux")
            .unwrap()
            .with_context(r#"{"ip":"192.0.2.1"}"#)
            .unwrap()
    }

    fn key(text: &str) -> LabelKey {
        text.repeat(32).parse().unwrap()
    }

    #[test]
    fn a_device_comes_back_as_text_and_encrypted() {
        for key in [None, Some(key("k"))] {
            let stored = StoredDevice::new(&device(), key.as_ref()).unwrap();
            let (mut record, mut entry) = (Item::new(), Item::new());
            stored.add_to_record(&mut record);
            stored.add_to_entry(&mut entry);
            for back in [StoredDevice::in_record(&record), StoredDevice::in_list(&entry)] {
                assert_eq!(back.open(key.as_ref()), device());
            }
            assert_eq!(format!("{record:?}").contains("Firefox"), key.is_none());
            assert_eq!(format!("{stored:?}"), "StoredDevice(…)");
        }
    }

    #[test]
    fn without_the_key_there_is_no_label() {
        let stored = StoredDevice::new(&device(), Some(&key("k"))).unwrap();
        assert_eq!(stored.open(None), Device::default());
        assert_eq!(stored.open(Some(&key("other"))), Device::default());
        let plain = StoredDevice::new(&device(), None).unwrap();
        assert_eq!(plain.open(Some(&key("k"))), device(), "from before there was a key");
    }

    #[test]
    fn an_empty_part_removes_it_and_a_missing_one_keeps_it() {
        let stored = StoredDevice::new(&device(), None).unwrap();
        let change = Device::default().with_label("").unwrap();
        let changed = StoredDevice::new(&change, None).unwrap().or(&stored).open(None);
        assert_eq!((changed.label(), changed.context()), (None, device().context()));
    }
}
