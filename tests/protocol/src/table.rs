//! The table, and what each request does to it.

use crate::{Mutant, Protocol};

/// The key of a record.
pub type Key = u8;
/// The name of a session in its subject's list.
pub type Chain = u8;
/// Whose session it is.
pub type Subject = u8;

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// Nothing, or nothing any more.
    Absent,
    /// A live session.
    Live {
        /// Its chain.
        chain: Chain,
        /// Whose it is.
        subject: Option<Subject>,
    },
    /// A tombstone.
    Tombstone {
        /// The session's next key, after a renewal.
        to: Option<Key>,
        /// Its chain; after a login the new one.
        chain: Chain,
        /// Whose it was; after a login the new subject.
        subject: Option<Subject>,
        /// Whether a login has changed the subject.
        is_login: bool,
    },
}

/// The list of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct List {
    /// The chains that may be renewed.
    pub live: Vec<Chain>,
    /// The chains and the keys of their records.
    pub entries: Vec<(Chain, Key)>,
}

impl List {
    fn contains(&self, chain: Chain) -> bool {
        self.live.contains(&chain)
    }

    fn add(&mut self, chain: Chain, key: Key) {
        self.live.push(chain);
        self.live.sort_unstable();
        self.entries.push((chain, key));
        self.entries.sort_unstable();
    }

    fn remove(&mut self, chain: Chain) {
        self.live.retain(|live| *live != chain);
        self.entries.retain(|(entry, _)| *entry != chain);
    }

    /// The entries whose chains are out.
    pub fn doomed(&self) -> impl Iterator<Item = (Chain, Key)> {
        self.entries.iter().copied().filter(|(chain, _)| !self.contains(*chain))
    }
}

/// A change of a list, as a part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// ADD
    Add(Subject, Chain, Key),
    /// MOVE
    Move(Subject, Chain, Key),
    /// EXTEND: nothing that the model has changes.
    Extend(Subject, Chain),
    /// LEAVE
    Leave(Subject, Chain),
}

/// A request, as `shared/src/dynamodb` sends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// The record under a key.
    Get(Key),
    /// The list of a subject.
    GetList(Subject),
    /// A transaction. Carried out once for each token.
    Transaction {
        /// Names the transaction.
        token: u8,
        /// The old record becomes a tombstone, if its chain is still this one.
        old: Option<(Key, Chain)>,
        /// The record that is put, or changed in place.
        new: (Key, Chain, Option<Subject>),
        /// Whether it is put.
        is_put: bool,
        /// The changes of lists.
        changes: Vec<Change>,
    },
    /// BURY
    Bury(Key),
    /// BURY of a key that nothing may have.
    Burn(Key, Chain),
    /// UNLIST
    Unlist(Subject, Chain),
    /// MARK
    Mark(Subject, Vec<Chain>),
    /// FORGET
    Forget(Subject, Vec<Chain>),
}

/// What a request returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// The record that was read, or that the request has met.
    Record(Record),
    /// The list that was read, or as it is after a mark.
    List(List),
    /// The condition on the records failed.
    RecordRefused,
    /// The condition on the list failed that this change is for. This is the list.
    ListRefused(Change, List),
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// By key.
    pub records: Vec<Record>,
    /// By subject.
    pub lists: [List; 2],
    /// The tokens of the transactions that were carried out.
    done: Vec<u8>,
    /// Chains that have left a list.
    gone: Vec<(Subject, Chain)>,
    /// The number of keys, chains and tokens that were made.
    made: u8,
    /// How many first sessions there are.
    first: u8,
    /// The first of them that a rule was broken for.
    broken: Option<&'static str>,
}

impl Table {
    pub(crate) fn with_sessions(subjects: &[Option<Subject>]) -> Self {
        let mut table = Self {
            records: Vec::new(),
            lists: Default::default(),
            done: Vec::new(),
            gone: Vec::new(),
            made: subjects.len() as u8,
            first: subjects.len() as u8,
            broken: None,
        };
        for (n, subject) in subjects.iter().enumerate() {
            let n = n as u8;
            table.records.push(Record::Live { chain: n, subject: *subject });
            if let Some(subject) = subject {
                table.list(*subject).add(n, n);
            }
        }
        table
    }

    /// A new name: for a key, a chain and a token.
    pub(crate) fn make(&mut self) -> u8 {
        self.made += 1;
        self.made - 1
    }

    /// The record under a key.
    #[must_use]
    pub fn record(&self, key: Key) -> Record {
        self.records.get(usize::from(key)).copied().unwrap_or(Record::Absent)
    }

    fn list(&mut self, subject: Subject) -> &mut List {
        &mut self.lists[usize::from(subject)]
    }

    fn put(&mut self, key: Key, record: Record) {
        let place = usize::from(key);
        if self.records.len() <= place {
            self.records.resize(place + 1, Record::Absent);
        }
        // Dead stays dead: no key comes back.
        let was = self.records[place];
        if matches!((was, record), (Record::Tombstone { .. }, Record::Live { .. })) {
            self.broken = Some("an ended key is live again");
        }
        self.records[place] = record;
    }

    pub(crate) fn carry_out(&mut self, request: &Request, protocol: &Protocol) -> Answer {
        match request {
            Request::Get(key) => Answer::Record(self.record(*key)),
            Request::GetList(subject) => Answer::List(self.list(*subject).clone()),
            Request::Transaction { token, old, new, is_put, changes } => {
                if self.done.contains(token) && protocol.mutant != Some(Mutant::NoToken) {
                    return Answer::Done;
                }
                let answer = self.transact(*old, *new, *is_put, changes, protocol);
                if answer == Answer::Done {
                    self.done.push(*token);
                    self.done.sort_unstable();
                }
                answer
            }
            Request::Bury(key) => {
                let met = self.record(*key);
                if let Record::Live { chain, subject } = met {
                    let tombstone = Record::Tombstone { to: None, chain, subject, is_login: false };
                    let is_deleted = protocol.mutant == Some(Mutant::ClearByDelete);
                    self.put(*key, if is_deleted { Record::Absent } else { tombstone });
                }
                Answer::Record(met)
            }
            Request::Burn(key, chain) => {
                let met = self.record(*key);
                if !matches!(met, Record::Tombstone { .. }) {
                    let tombstone =
                        Record::Tombstone { to: None, chain: *chain, subject: None, is_login: false };
                    self.put(*key, tombstone);
                }
                Answer::Record(met)
            }
            Request::Unlist(subject, chain) => {
                self.leave(*subject, &[*chain]);
                self.list(*subject).remove(*chain);
                Answer::Done
            }
            Request::Mark(subject, chains) => {
                self.leave(*subject, chains);
                let list = self.list(*subject);
                list.live.retain(|chain| !chains.contains(chain));
                Answer::List(list.clone())
            }
            Request::Forget(subject, chains) => {
                self.list(*subject).entries.retain(|(chain, _)| !chains.contains(chain));
                Answer::Done
            }
        }
    }

    fn transact(
        &mut self,
        old: Option<(Key, Chain)>,
        (key, chain, subject): (Key, Chain, Option<Subject>),
        is_put: bool,
        changes: &[Change],
        protocol: &Protocol,
    ) -> Answer {
        let is = |mutant| protocol.mutant == Some(mutant);
        if let Some((old, read)) = old {
            let as_read = match self.record(old) {
                Record::Live { chain, .. } => {
                    chain == read || (!is_put && is(Mutant::SaveOfSubjectWithoutChain))
                }
                Record::Tombstone { .. } => !is_put && is(Mutant::SaveWithoutAlive),
                Record::Absent => false,
            };
            if !as_read {
                return Answer::RecordRefused;
            }
        }
        if is_put && self.record(key) != Record::Absent {
            return Answer::RecordRefused;
        }
        for change in changes {
            let is_allowed = match *change {
                Change::Add(subject, ..) => self.list(subject).live.len() < protocol.cap,
                Change::Move(subject, chain, _) => {
                    self.list(subject).contains(chain) || is(Mutant::RenewalWithoutContains)
                }
                Change::Extend(subject, chain) => self.list(subject).contains(chain),
                Change::Leave(subject, chain) => {
                    self.list(subject).contains(chain) || is(Mutant::LeaveWithoutContains)
                }
            };
            if !is_allowed {
                let (Change::Add(subject, ..)
                | Change::Move(subject, ..)
                | Change::Extend(subject, _)
                | Change::Leave(subject, _)) = *change;
                return Answer::ListRefused(*change, self.list(subject).clone());
            }
        }
        if let Some((old, _)) = old
            && let Record::Live { chain, subject: Some(subject) } = self.record(old)
            && !self.list(subject).contains(chain)
        {
            self.broken = Some("a session whose chain is out has got another key, timeouts or subject");
        }
        let live = Record::Live { chain, subject };
        if is_put && let Some((old, read)) = old {
            let is_login = chain != read;
            self.put(old, Record::Tombstone { to: Some(key), chain, subject, is_login });
        }
        self.put(key, live);
        for change in changes {
            match *change {
                Change::Add(subject, chain, key) => {
                    if self.gone.contains(&(subject, chain)) {
                        self.broken = Some("a chain has come back");
                    }
                    self.list(subject).add(chain, key);
                }
                Change::Move(subject, chain, key) => {
                    let list = self.list(subject);
                    list.entries.retain(|(entry, _)| *entry != chain);
                    list.entries.push((chain, key));
                    list.entries.sort_unstable();
                }
                Change::Extend(..) => {}
                Change::Leave(subject, chain) => {
                    self.leave(subject, &[chain]);
                    self.list(subject).remove(chain);
                }
            }
        }
        Answer::Done
    }

    fn leave(&mut self, subject: Subject, chains: &[Chain]) {
        for chain in chains {
            if !self.gone.contains(&(subject, *chain)) {
                self.gone.push((subject, *chain));
            }
        }
        self.gone.sort_unstable();
    }

    /// The live sessions of a subject: their chains.
    pub(crate) fn live_chains(&self, subject: Subject) -> Vec<Chain> {
        let of_subject = |record: &Record| match record {
            Record::Live { chain, subject: Some(of) } if *of == subject => Some(*chain),
            _ => None,
        };
        self.records.iter().filter_map(of_subject).collect()
    }

    pub(crate) fn lives(&self, chain: Chain) -> bool {
        self.records.iter().any(|record| matches!(record, Record::Live { chain: of, .. } if *of == chain))
    }

    /// A rule that does not hold at this moment.
    pub(crate) fn broken(&self, cap: usize) -> Option<&'static str> {
        let escapes = |(key, record): (usize, &Record)| match record {
            Record::Live { chain, subject: Some(subject) } => {
                let list = &self.lists[usize::from(*subject)];
                !list.entries.contains(&(*chain, key as Key))
            }
            _ => false,
        };
        if self.records.iter().enumerate().any(escapes) {
            return Some("a live session of a subject is not in its list under its key");
        }
        if self.lists.iter().any(|list| list.live.len() > cap) {
            return Some("a subject has more sessions than it may have");
        }
        let chain = |record: &Record| match record {
            Record::Live { chain, .. } => Some(*chain),
            _ => None,
        };
        let mut chains: Vec<_> = self.records.iter().filter_map(chain).collect();

        chains.sort_unstable();
        if chains.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("two live sessions have one chain");
        }
        self.broken
    }

    /// Whether a key is that of a first session.
    pub(crate) fn is_first(&self, key: Key) -> bool {
        key < self.first
    }
}
