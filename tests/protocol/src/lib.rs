//! A model of how sessions, and the lists of their subjects, are written: one step for each request of
//! `shared/src/dynamodb`, with the conditions of its expressions. The tests explore every order of the steps of several
//! callers, with lost answers, late requests and callers that stop (ADR 15).

mod caller;
mod table;

pub use caller::{Caller, Verb};
pub use table::{Answer, List, Record, Request, Table};

use stateright::{Model, Property};

/// What may still go wrong in a run, each so many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A request is carried out, and its answer is lost.
    pub lost: u8,
    /// A request is not carried out.
    pub reset: u8,
    /// A request is carried out at any later time.
    pub late: u8,
    /// A caller stops between two requests.
    pub stops: u8,
}

/// A fault of the protocol, to see that the check finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A renewal does not require its chain in the list.
    RenewalWithoutContains,
    /// A revocation ends the records, and then takes the chains out.
    RecordsBeforeMark,
    /// A revocation ends the keys that it has read, and not those in the answer to the mark.
    KeysOfTheRead,
    /// A renewal that the list refuses leaves the old record.
    RefusedRenewalLeavesTheOld,
    /// A try that was refused in doubt is followed by another one without taking its key.
    NothingIsBurnt,
    /// A clear deletes the record and leaves no tombstone.
    ClearByDelete,
    /// A save of timeouts does not require a live session.
    SaveWithoutAlive,
    /// A session leaves the list of its subject whether or not its chain is in it.
    LeaveWithoutContains,
    /// A save of another subject does not require the chain that it has read.
    SaveOfSubjectWithoutChain,
    /// A retry of a transaction is not known as such.
    NoToken,
    /// A renewal that was given up takes its chain out of the list, as a login that was given up does.
    GivenUpRenewalIsUnlisted,
}

/// The callers, what they do, and what may go wrong.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The subjects of the first sessions, whose keys are 0, 1 and so on.
    pub sessions: Vec<Option<u8>>,
    /// The verbs of each caller, in order.
    pub scripts: Vec<Vec<Verb>>,
    /// What may go wrong.
    pub faults: Faults,
    /// How many sessions a subject may have.
    pub cap: usize,
    /// Whether a call that is given up cleans up at once. Otherwise its process does at a later login, which is not a part of the model.
    pub cleans_up: bool,
    /// What is wrong with the protocol.
    pub mutant: Option<Mutant>,
}

impl Protocol {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The table.
    pub table: Table,
    /// The callers.
    pub callers: Vec<Caller>,
    /// Requests that may still be carried out.
    pub late: Vec<Request>,
    /// What may still go wrong.
    pub faults: Faults,
    /// The first rule that was broken.
    pub broken: Option<&'static str>,
}

impl State {
    /// Whether each place that counts is that of a session with a holder: a first one, or one whose ID was issued. What calls
    /// have left that were given up is ended by the next call of their process.
    fn is_tidy(&self) -> bool {
        let left: Vec<_> = self.callers.iter().flat_map(Caller::left_behind).collect();
        let issued: Vec<_> = self.callers.iter().flat_map(Caller::issued).collect();
        self.table.lists.iter().all(|list| {
            list.live.iter().filter(|chain| !left.contains(chain)).all(|chain| {
                let entry = list.entries.iter().find(|(of, _)| of == chain);
                entry.is_some_and(|(_, key)| {
                    self.table.lives(*chain) && (self.table.is_first(*key) || issued.contains(key))
                })
            })
        })
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The next request of a caller is carried out and answered.
    Step(usize),
    /// It is carried out, and the answer is lost. The caller sends it again or gives up.
    Lose(usize),
    /// It is not carried out.
    Reset(usize),
    /// It may be carried out later.
    Delay(usize),
    /// The caller stops.
    Stop(usize),
    /// The caller gives a call up whose request was not answered.
    GiveUp(usize),
    /// A late request is carried out.
    Late(usize),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let table = Table::with_sessions(&self.sessions);
        let callers = self.scripts.iter().map(|script| Caller::new(script)).collect();
        vec![State { table, callers, late: Vec::new(), faults: self.faults, broken: None }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let faults = state.faults;
        for (n, caller) in state.callers.iter().enumerate().filter(|(_, caller)| caller.is_active()) {
            actions.push(Action::Step(n));
            if caller.is_in_doubt() {
                actions.push(Action::GiveUp(n));
            } else {
                let writes = caller.writes();
                for (left, action) in [
                    (faults.lost, Action::Lose(n)),
                    (faults.reset, Action::Reset(n)),
                    (faults.late, Action::Delay(n)),
                ] {
                    if left > 0 && writes {
                        actions.push(action);
                    }
                }
            }
            if faults.stops > 0 && caller.has_begun() {
                actions.push(Action::Stop(n));
            }
        }
        actions.extend((0..state.late.len()).map(Action::Late));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let State { table, callers, late, faults, broken } = &mut state;
        match action {
            Action::Step(n) => {
                let request = callers.get_mut(n)?.request(table)?;
                let answer = table.carry_out(&request, self);
                *broken = callers.get_mut(n)?.advance(answer, table, self);
            }
            Action::Lose(n) => {
                faults.lost -= 1;
                let request = callers.get_mut(n)?.request(table)?;
                table.carry_out(&request, self);
                callers.get_mut(n)?.doubt();
            }
            Action::Reset(n) => {
                faults.reset -= 1;
                callers.get_mut(n)?.request(table)?;
                callers.get_mut(n)?.doubt();
            }
            Action::Delay(n) => {
                faults.late -= 1;
                late.push(callers.get_mut(n)?.request(table)?);
                callers.get_mut(n)?.doubt();
            }
            Action::Stop(n) => {
                faults.stops -= 1;
                callers.get_mut(n)?.stop();
            }
            Action::GiveUp(n) => callers.get_mut(n)?.give_up(self),
            Action::Late(place) => {
                let request = late.remove(place);
                table.carry_out(&request, self);
            }
        }
        if broken.is_none() {
            *broken = table.broken(self.cap);
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, state: &State| state.broken.is_none()),
            Property::always("what was given up leaves no place", |_, state: &State| {
                state.callers.iter().any(|caller| caller.is_active() || caller.has_stopped())
                    || !state.late.is_empty()
                    || state.is_tidy()
            }),
        ]
    }
}
