//! The callers: each verb as the steps of `shared/src/verbs`, one for each request.

use crate::table::{Answer, Chain, Change, Key, List, Record, Request, Subject, Table};
use crate::{Mutant, Protocol};

/// A call of a session manager. `n` is the number of a first session: the caller uses the newest ID of it that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A new session of a subject.
    Create(Subject),
    /// A login with session `n`.
    LogIn(u8, Subject),
    /// A renewal.
    Renew(u8),
    /// A save of timeouts.
    SaveTimeouts(u8),
    /// A save of another subject, or of none.
    SaveSubject(u8, Option<Subject>),
    /// A clear, or a revocation by the loggable ID.
    Clear(u8),
    /// A revocation of a subject's sessions, or of all but session `n`.
    RevokeAll(Subject, Option<u8>),
}

/// The request that comes next, and what is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The first request of the next verb.
    Begin,
    Create {
        subject: Subject,
        name: u8,
    },
    Burn {
        subject: Subject,
        name: u8,
        refused: Option<List>,
    },
    UnlistBurnt {
        subject: Subject,
        name: u8,
        refused: Option<List>,
    },
    /// A call that was given up takes the key that it may have written. `chain` is the one that only this write has brought.
    BurnGivenUp {
        subject: Subject,
        name: u8,
        chain: Option<Chain>,
    },
    UnlistGivenUp {
        subject: Subject,
        chain: Chain,
    },
    Move {
        old: (Key, Chain, Option<Subject>),
        subject: Option<Subject>,
        name: u8,
    },
    EndDoomed {
        key: Key,
    },
    SaveGet,
    Save {
        old: (Key, Chain, Option<Subject>),
        subject: Option<Subject>,
        name: u8,
    },
    Bury {
        key: Key,
    },
    Unlist {
        subject: Subject,
        chain: Chain,
    },
    Mark {
        subject: Subject,
        chains: Vec<Chain>,
        read: List,
    },
    BuryAll {
        subject: Subject,
        left: Vec<Key>,
        chains: Vec<Chain>,
        marks_after: bool,
    },
    Forget {
        subject: Subject,
        chains: Vec<Chain>,
    },
}

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    script: Vec<Verb>,
    at: usize,
    step: Step,
    /// The newest key of each first session that the caller knows.
    names: [Key; 2],
    /// The keys that were issued to it.
    issued: Vec<Key>,
    in_doubt: bool,
    has_stopped: bool,
    /// A call that ends a session was given up.
    gave_up_an_end: bool,
    /// The chains of writes that were given up. The process burns them at its next login.
    left_behind: Vec<Chain>,
    /// What was alive when a revocation began.
    before: Vec<Chain>,
}

impl Caller {
    pub(crate) fn new(script: &[Verb]) -> Self {
        Self {
            script: script.to_vec(),
            at: 0,
            step: Step::Begin,
            names: [0, 1],
            issued: Vec::new(),
            in_doubt: false,
            has_stopped: false,
            gave_up_an_end: false,
            left_behind: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Whether it has something left to do.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.has_stopped && self.at < self.script.len()
    }

    /// Whether it has gone without ending what it had begun.
    pub(crate) fn has_stopped(&self) -> bool {
        self.has_stopped || self.gave_up_an_end
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.step != Step::Begin
    }

    /// How many records it has to end that the code ends at the same time, in no certain order.
    #[must_use]
    pub fn burials(&self) -> usize {
        match &self.step {
            Step::BuryAll { left, .. } => left.len(),
            _ => 0,
        }
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    pub(crate) fn left_behind(&self) -> impl Iterator<Item = Chain> + Clone + '_ {
        self.left_behind.iter().copied()
    }

    /// The keys that were issued to it, in order.
    pub fn issued(&self) -> impl Iterator<Item = Key> + '_ {
        self.issued.iter().copied()
    }

    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    pub(crate) fn stop(&mut self) {
        self.has_stopped = true;
    }

    /// Whether its next request changes something.
    pub(crate) fn writes(&self) -> bool {
        match (&self.step, self.script.get(self.at)) {
            (Step::Begin, Some(Verb::Create(_) | Verb::Clear(_))) => true,
            (Step::Begin | Step::SaveGet, _) => false,
            _ => true,
        }
    }

    fn verb(&self) -> Option<Verb> {
        self.script.get(self.at).copied()
    }

    fn key(&self, n: u8) -> Key {
        self.names[usize::from(n)]
    }

    /// The next request. It makes the names of a first one.
    pub(crate) fn request(&mut self, table: &mut Table) -> Option<Request> {
        if self.step == Step::Begin {
            match self.verb()? {
                Verb::Create(subject) => self.step = Step::Create { subject, name: table.make() },
                Verb::Clear(n) => self.step = Step::Bury { key: self.key(n) },
                Verb::RevokeAll(subject, except) => {
                    let kept = except.map(|n| table.record(self.key(n)));
                    self.before = table.live_chains(subject);
                    self.before.retain(
                        |chain| !matches!(kept, Some(Record::Live { chain: of, .. }) if of == *chain),
                    );
                    return Some(Request::GetList(subject));
                }
                Verb::LogIn(n, _) | Verb::Renew(n) | Verb::SaveTimeouts(n) | Verb::SaveSubject(n, _) => {
                    return Some(Request::Get(self.key(n)));
                }
            }
        }
        Some(match &self.step {
            Step::Begin => return None,
            Step::SaveGet => match self.verb()? {
                Verb::LogIn(n, _) | Verb::Renew(n) | Verb::SaveTimeouts(n) | Verb::SaveSubject(n, _) => {
                    Request::Get(self.key(n))
                }
                _ => return None,
            },
            Step::Create { subject, name } => Request::Transaction {
                token: *name,
                old: None,
                new: (*name, *name, Some(*subject)),
                is_put: true,
                changes: vec![Change::Add(*subject, *name, *name)],
            },
            Step::Burn { name, .. } => Request::Burn(*name, *name),
            Step::UnlistBurnt { subject, name, .. } => Request::Unlist(*subject, *name),
            Step::BurnGivenUp { name, .. } => Request::Burn(*name, *name),
            Step::UnlistGivenUp { subject, chain } => Request::Unlist(*subject, *chain),
            Step::Move { old: (key, chain, before), subject, name } => {
                let new_chain = if before == subject { *chain } else { *name };
                Request::Transaction {
                    token: *name,
                    old: Some((*key, *chain)),
                    new: (*name, new_chain, *subject),
                    is_put: true,
                    changes: changes((*before, *chain), (*subject, new_chain), *name, true),
                }
            }
            Step::Save { old: (key, chain, before), subject, name } => {
                let new_chain = if before == subject { *chain } else { *name };
                Request::Transaction {
                    token: *name,
                    old: Some((*key, *chain)),
                    new: (*key, new_chain, *subject),
                    is_put: false,
                    changes: changes((*before, *chain), (*subject, new_chain), *key, false),
                }
            }
            Step::EndDoomed { key } | Step::Bury { key } => Request::Bury(*key),
            Step::Unlist { subject, chain } => Request::Unlist(*subject, *chain),
            Step::Mark { subject, chains, .. } => Request::Mark(*subject, chains.clone()),
            Step::BuryAll { left, .. } => Request::Bury(*left.first()?),
            Step::Forget { subject, chains } => Request::Forget(*subject, chains.clone()),
        })
    }

    /// A request was not answered, and the call ends as "unavailable".
    pub(crate) fn give_up(&mut self, protocol: &Protocol) {
        let own = match &self.step {
            Step::Create { subject, name } => Some((*subject, *name, Some(*name))),
            Step::Move { old: (_, chain, before), subject: Some(subject), name } => {
                let is_new = *before != Some(*subject);
                let kept = protocol.is(Mutant::GivenUpRenewalIsUnlisted).then_some(*chain);
                Some((*subject, *name, if is_new { Some(*name) } else { kept }))
            }
            _ => None,
        };
        if let Some((subject, name, chain)) = own.filter(|_| protocol.cleans_up) {
            self.in_doubt = false;
            self.step = Step::BurnGivenUp { subject, name, chain };
            return;
        }
        match &self.step {
            Step::BurnGivenUp { name, chain, .. } => self.left_behind.extend(chain.iter().chain([name])),
            Step::UnlistGivenUp { chain, .. } => self.left_behind.push(*chain),
            Step::Create { name, .. } | Step::Burn { name, .. } | Step::UnlistBurnt { name, .. } => {
                self.left_behind.push(*name);
            }
            Step::Move { old: (_, chain, _), name, .. } | Step::Save { old: (_, chain, _), name, .. } => {
                self.left_behind.extend([*chain, *name]);
            }
            _ => self.gave_up_an_end = true,
        }
        self.end();
    }

    fn end(&mut self) {
        self.at += 1;
        self.step = Step::Begin;
        self.in_doubt = false;
        self.before.clear();
    }

    /// Takes an answer. Returns a rule that it breaks.
    pub(crate) fn advance(
        &mut self,
        answer: Answer,
        table: &mut Table,
        protocol: &Protocol,
    ) -> Option<&'static str> {
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let step = std::mem::replace(&mut self.step, Step::Begin);
        let verb = self.verb()?;
        match (step, answer) {
            // The first reads.
            (Step::Begin, Answer::List(list)) => {
                let Verb::RevokeAll(subject, except) = verb else { return Some("no such step") };
                let except = except.map(|n| self.key(n));
                let is_kept =
                    |chain: &Chain| list.entries.iter().any(|(of, key)| of == chain && Some(*key) == except);
                let chains: Vec<_> = list.live.iter().copied().filter(|chain| !is_kept(chain)).collect();
                let doomed: Vec<_> = list.doomed().collect();
                if protocol.is(Mutant::RecordsBeforeMark) && !chains.is_empty() {
                    let of = |(chain, key): &(Chain, Key)| chains.contains(chain).then_some(*key);
                    let left = list.entries.iter().filter_map(of).collect();
                    self.step = Step::BuryAll { subject, left, chains, marks_after: true };
                } else if !chains.is_empty() {
                    self.step = Step::Mark { subject, chains, read: list };
                } else {
                    return self.end_all(subject, &doomed, table, protocol);
                }
            }
            (Step::Begin | Step::SaveGet, Answer::Record(record)) => {
                return self.read(record, verb, table, protocol);
            }
            // A create, also that of a login whose session has ended.
            (Step::Create { name, .. }, Answer::Done) => {
                self.issued.push(name);
                self.end();
            }
            (Step::Create { subject, name }, refused) => {
                let list = if let Answer::ListRefused(_, list) = refused { Some(list) } else { None };
                if in_doubt && !protocol.is(Mutant::NothingIsBurnt) {
                    self.step = Step::Burn { subject, name, refused: list };
                } else {
                    return self.make_room(subject, list, table, protocol);
                }
            }
            (Step::Burn { subject, name, refused }, _) => {
                self.step = Step::UnlistBurnt { subject, name, refused }
            }
            (Step::UnlistBurnt { subject, refused, .. }, _) => {
                return self.make_room(subject, refused, table, protocol);
            }
            (Step::BurnGivenUp { subject, chain, .. }, Answer::Record(met)) => {
                let ended = match met {
                    Record::Live { chain, .. } => Some(chain),
                    _ => None,
                };
                match chain.or(ended) {
                    Some(chain) => self.step = Step::UnlistGivenUp { subject, chain },
                    None => self.end(),
                }
            }
            (Step::UnlistGivenUp { .. }, _) => self.end(),
            // A renewal or a login.
            (Step::Move { name, .. }, Answer::Done) => {
                self.issued.push(name);
                if let Verb::LogIn(n, _) | Verb::Renew(n) = verb {
                    self.names[usize::from(n)] = name;
                }
                self.end();
            }
            (Step::Move { old: (key, chain, before), subject, name }, refused) => {
                let is_new = before != subject;
                let list = match refused {
                    Answer::ListRefused(Change::Add(..), list) => Some(list),
                    Answer::ListRefused(..) if protocol.is(Mutant::RefusedRenewalLeavesTheOld) => {
                        return self.is_dead(table.lives(chain), verb, table);
                    }
                    Answer::ListRefused(..) => {
                        self.step = Step::EndDoomed { key };
                        return None;
                    }
                    _ => None,
                };
                if let Some(subject) =
                    subject.filter(|_| is_new && in_doubt && !protocol.is(Mutant::NothingIsBurnt))
                {
                    self.step = Step::Burn { subject, name, refused: list };
                } else if let (Some(subject), Some(list)) = (subject, list) {
                    return self.make_room(subject, Some(list), table, protocol);
                } else {
                    self.step = Step::SaveGet;
                }
            }
            (Step::EndDoomed { .. }, _) => return self.is_dead(false, verb, table),
            // A save.
            (Step::Save { .. }, Answer::Done) => self.end(),
            (Step::Save { old: (key, ..), subject, .. }, refused) => match refused {
                Answer::ListRefused(Change::Add(..), list) => {
                    let subject = subject?;
                    return self.make_room(subject, Some(list), table, protocol);
                }
                Answer::ListRefused(..) => self.step = Step::EndDoomed { key },
                _ if in_doubt => self.end(), // it cannot be known
                _ => self.step = Step::SaveGet,
            },
            // A clear.
            (Step::Bury { key }, Answer::Record(met)) => match met {
                Record::Absent => return self.cleared(verb, table),
                Record::Live { chain, subject: Some(subject) } => self.step = Step::Unlist { subject, chain },
                Record::Live { subject: None, .. } => return self.cleared(verb, table),
                Record::Tombstone { to: None, chain, subject: Some(subject), .. } => {
                    self.step = Step::Unlist { subject, chain };
                }
                Record::Tombstone { to: None, .. } => return self.cleared(verb, table),
                Record::Tombstone { to: Some(_), chain, subject: Some(subject), .. } => {
                    let read = List::default();
                    self.step = Step::Mark { subject, chains: vec![chain], read };
                }
                Record::Tombstone { to: Some(to), subject: None, .. } => {
                    debug_assert_ne!(to, key);
                    self.step = Step::Bury { key: to };
                }
            },
            (Step::Unlist { .. }, _) => return self.cleared(verb, table),
            // A revocation.
            (Step::Mark { subject, chains, read }, Answer::List(list)) => {
                let list = if protocol.is(Mutant::KeysOfTheRead) && !read.entries.is_empty() {
                    List { live: list.live, entries: read.entries }
                } else {
                    list
                };
                if protocol.is(Mutant::RecordsBeforeMark) && matches!(verb, Verb::RevokeAll(..)) {
                    self.step = Step::Forget { subject, chains };
                    return None;
                }
                let mut doomed: Vec<_> = list.doomed().collect();
                if matches!(verb, Verb::Clear(_)) {
                    doomed.retain(|(chain, _)| chains.contains(chain));
                }
                return self.end_all(subject, &doomed, table, protocol);
            }
            (Step::BuryAll { subject, mut left, chains, marks_after }, _) => {
                left.remove(0);
                self.step = match (left.is_empty(), marks_after) {
                    (false, _) => Step::BuryAll { subject, left, chains, marks_after },
                    (true, false) => Step::Forget { subject, chains },
                    (true, true) => Step::Mark { subject, chains, read: List::default() },
                };
            }
            (Step::Forget { subject, .. }, _) => return self.ended(subject, verb, table, protocol),
            _ => return Some("no such step"),
        }
        None
    }

    /// Goes on with the record of a session.
    fn read(
        &mut self,
        record: Record,
        verb: Verb,
        table: &mut Table,
        protocol: &Protocol,
    ) -> Option<&'static str> {
        let (key, subject) = match verb {
            Verb::LogIn(n, subject) => (self.key(n), Some(Some(subject))),
            Verb::SaveSubject(n, subject) => (self.key(n), Some(subject)),
            Verb::Renew(n) | Verb::SaveTimeouts(n) => (self.key(n), None),
            _ => return Some("no such step"),
        };
        let (chain, before) = match record {
            Record::Live { chain, subject } => (chain, subject),
            Record::Tombstone { chain, subject, .. }
                if protocol.is(Mutant::SaveWithoutAlive) && matches!(verb, Verb::SaveTimeouts(_)) =>
            {
                (chain, subject)
            }
            _ => return self.is_dead(false, verb, table),
        };
        let subject = subject.unwrap_or(before);
        let name = table.make();
        let old = (key, chain, before);
        self.step = match verb {
            Verb::SaveTimeouts(_) | Verb::SaveSubject(..) => Step::Save { old, subject, name },
            _ => Step::Move { old, subject, name },
        };
        None
    }

    /// The session of a call has ended. A login makes a new one.
    fn is_dead(&mut self, lives: bool, verb: Verb, table: &mut Table) -> Option<&'static str> {
        if lives {
            return Some("a call has said that a session is dead that is alive");
        }
        match verb {
            Verb::LogIn(_, subject) => self.step = Step::Create { subject, name: table.make() },
            _ => self.end(),
        }
        None
    }

    /// Makes room in a list that had none, and tries again.
    fn make_room(
        &mut self,
        subject: Subject,
        refused: Option<List>,
        table: &mut Table,
        protocol: &Protocol,
    ) -> Option<&'static str> {
        let list = refused.unwrap_or_default();
        let doomed: Vec<_> = list.doomed().collect();
        if !doomed.is_empty() {
            return self.end_all(subject, &doomed, table, protocol);
        }
        match list.live.first() {
            Some(oldest) if list.live.len() >= protocol.cap => {
                self.step = Step::Mark { subject, chains: vec![*oldest], read: List::default() };
                None
            }
            _ => self.again(table),
        }
    }

    /// Another try, with new names.
    fn again(&mut self, table: &mut Table) -> Option<&'static str> {
        match self.verb()? {
            Verb::Create(subject) => self.step = Step::Create { subject, name: table.make() },
            _ => self.step = Step::SaveGet,
        }
        None
    }

    fn end_all(
        &mut self,
        subject: Subject,
        doomed: &[(Chain, Key)],
        table: &mut Table,
        protocol: &Protocol,
    ) -> Option<&'static str> {
        if doomed.is_empty() {
            return self.ended(subject, self.verb()?, table, protocol);
        }
        let (chains, left) = doomed.iter().copied().unzip();
        self.step = Step::BuryAll { subject, left, chains, marks_after: false };
        None
    }

    /// What was marked has ended.
    fn ended(
        &mut self,
        _subject: Subject,
        verb: Verb,
        table: &mut Table,
        _protocol: &Protocol,
    ) -> Option<&'static str> {
        match verb {
            Verb::RevokeAll(..) => {
                let survived = self.before.iter().any(|chain| table.lives(*chain));
                self.end();
                survived.then_some("a session has survived a revocation")
            }
            Verb::Clear(_) => self.cleared(verb, table),
            _ => self.again(table),
        }
    }

    /// A clear has succeeded: what the ID has become is dead.
    fn cleared(&mut self, verb: Verb, table: &Table) -> Option<&'static str> {
        let Verb::Clear(n) = verb else { return Some("no such step") };
        let mut key = self.key(n);
        self.end();
        loop {
            match table.record(key) {
                Record::Live { .. } => return Some("a session has survived its clear"),
                Record::Tombstone { to: Some(_), chain, subject: Some(_), .. } => {
                    return table.lives(chain).then_some("a session has survived its clear");
                }
                Record::Tombstone { to: Some(to), .. } => key = to,
                Record::Tombstone { to: None, .. } | Record::Absent => return None,
            }
        }
    }
}

/// What a move or a save does to the lists of the subjects before and after.
fn changes(
    (before, old): (Option<Subject>, Chain),
    (after, new): (Option<Subject>, Chain),
    key: Key,
    is_move: bool,
) -> Vec<Change> {
    if before == after {
        return before
            .map(
                |subject| {
                    if is_move { Change::Move(subject, old, key) } else { Change::Extend(subject, old) }
                },
            )
            .into_iter()
            .collect();
    }
    let leave = before.map(|subject| Change::Leave(subject, old));
    leave.into_iter().chain(after.map(|subject| Change::Add(subject, new, key))).collect()
}
