//! Every order of the requests of several callers.

#![allow(clippy::unwrap_used, clippy::panic)]

use protocol::Verb::{self, Clear, Create, LogIn, Renew, RevokeAll, SaveSubject, SaveTimeouts};
use protocol::{Faults, Mutant, Protocol};
use stateright::{Checker, Model};

const ALICE: u8 = 0;
const BOB: u8 = 1;

/// The first session is Alice's, and the second has no subject.
const SESSIONS: [Option<u8>; 2] = [Some(ALICE), None];

const VERBS: [Verb; 14] = [
    Create(ALICE),
    LogIn(1, ALICE),
    LogIn(0, ALICE),
    LogIn(0, BOB),
    Renew(0),
    Renew(1),
    SaveTimeouts(0),
    SaveSubject(1, Some(ALICE)),
    SaveSubject(0, Some(BOB)),
    SaveSubject(0, None),
    Clear(0),
    Clear(1),
    RevokeAll(ALICE, None),
    RevokeAll(ALICE, Some(0)),
];

const ONE_OF_EACH: Faults = Faults { lost: 1, reset: 1, late: 1, stops: 1 };

const LATE: Faults = Faults { lost: 0, reset: 0, late: 1, stops: 0 };

fn protocol(scripts: Vec<Vec<Verb>>, faults: Faults, cap: usize) -> Protocol {
    Protocol { sessions: SESSIONS.to_vec(), scripts, faults, cap, cleans_up: false, mutant: None }
}

/// Explores all of it, and returns the number of states.
fn search(protocol: Protocol) -> usize {
    let scripts = protocol.scripts.clone();
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: {scripts:?}\n{}", steps(&path.into_vec()));
    }
    checker.unique_state_count()
}

fn steps<S: std::fmt::Debug, A: std::fmt::Debug>(path: &[(S, Option<A>)]) -> String {
    path.iter().map(|(state, action)| format!("{state:?}\n  {action:?}\n")).collect()
}

/// Scripts of one verb for each of so many callers.
fn combinations(callers: usize) -> Vec<Vec<Vec<Verb>>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..callers {
        let longer = |chosen: &Vec<usize>| {
            let first = chosen.last().copied().unwrap_or(0);
            (first..VERBS.len()).map(|verb| [chosen.as_slice(), &[verb]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.into_iter().map(|chosen| chosen.into_iter().map(|verb| vec![VERBS[verb]]).collect()).collect()
}

/// Callers with several verbs each: a thief who goes on, and users who come back.
fn longer_scripts() -> Vec<Vec<Vec<Verb>>> {
    vec![
        vec![vec![Renew(0), Renew(0)], vec![Clear(0)]],
        vec![vec![Renew(0), Renew(0)], vec![RevokeAll(ALICE, None)]],
        vec![vec![Renew(1), LogIn(1, ALICE)], vec![Clear(1)]],
        vec![vec![LogIn(1, ALICE), Renew(1)], vec![RevokeAll(ALICE, None)]],
        vec![vec![LogIn(0, BOB), LogIn(0, ALICE)], vec![RevokeAll(ALICE, None)]],
        vec![vec![SaveSubject(1, Some(ALICE)), SaveSubject(1, None)], vec![RevokeAll(ALICE, None)]],
        vec![vec![RevokeAll(ALICE, None), Create(ALICE)], vec![RevokeAll(ALICE, None)]],
        vec![vec![Create(ALICE), Create(ALICE)], vec![Renew(0)]],
    ]
}

/// The scope of the test command: two callers, and one fault of each kind.
#[test]
fn two_callers_with_one_fault_of_each_kind_break_no_rule() {
    let states: usize =
        combinations(2).into_iter().map(|scripts| search(protocol(scripts, ONE_OF_EACH, 9))).sum();
    assert_eq!(states, 119_893);
}

#[test]
fn two_callers_at_the_cap_break_no_rule() {
    let states: usize = combinations(2).into_iter().map(|scripts| search(protocol(scripts, LATE, 1))).sum();
    assert_eq!(states, 46_025);
}

/// One call is given up and cleans up, beside another one.
#[test]
fn calls_that_are_given_up_and_clean_up_break_no_rule() {
    let mut states = 0;
    for faults in [Faults { lost: 1, ..Faults::default() }, Faults { reset: 1, ..Faults::default() }, LATE] {
        for scripts in combinations(2) {
            states += search(Protocol { cleans_up: true, ..protocol(scripts, faults, 9) });
        }
    }
    assert_eq!(states, 26_177);
}

#[test]
fn callers_who_go_on_break_no_rule() {
    let states: usize =
        longer_scripts().into_iter().map(|scripts| search(protocol(scripts, Faults::default(), 9))).sum();
    assert_eq!(states, 333);
}

/// The full scope: `cargo test --release -p protocol -- --ignored`.
#[test]
#[ignore = "minutes, in a release build"]
fn three_callers_with_one_fault_of_each_kind_break_no_rule() {
    let states: usize =
        combinations(3).into_iter().map(|scripts| search(protocol(scripts, ONE_OF_EACH, 9))).sum();
    assert_eq!(states, 22_311_439);
}

#[test]
#[ignore = "minutes, in a release build"]
fn three_callers_at_the_cap_with_one_fault_of_each_kind_break_no_rule() {
    let states: usize =
        combinations(3).into_iter().map(|scripts| search(protocol(scripts, ONE_OF_EACH, 2))).sum();
    assert_eq!(states, 53_116_423);
}

#[test]
#[ignore = "minutes, in a release build"]
fn callers_who_go_on_with_one_fault_of_each_kind_break_no_rule() {
    let mut states = 0;
    for cap in [9, 2] {
        for scripts in longer_scripts() {
            states += search(protocol(scripts, ONE_OF_EACH, cap));
        }
    }
    assert_eq!(states, 212_381);
}

/// Each part of the protocol is needed: without it, the search finds an error.
#[test]
fn the_search_finds_each_fault_of_the_protocol() {
    let lost = Faults { lost: 1, ..Faults::default() };
    let reset = Faults { reset: 1, ..Faults::default() };
    let none = Faults::default();
    for (mutant, scripts, faults, cap) in [
        (Mutant::RenewalWithoutContains, vec![vec![Renew(0)], vec![RevokeAll(ALICE, None)]], none, 9),
        (Mutant::RecordsBeforeMark, vec![vec![Renew(0)], vec![RevokeAll(ALICE, None)]], none, 9),
        (Mutant::KeysOfTheRead, vec![vec![Renew(0)], vec![RevokeAll(ALICE, None)]], none, 9),
        (Mutant::RefusedRenewalLeavesTheOld, vec![vec![Renew(0)], vec![RevokeAll(ALICE, None)]], none, 9),
        (Mutant::NothingIsBurnt, vec![vec![Create(ALICE)], vec![RevokeAll(ALICE, None)]], LATE, 1),
        (Mutant::ClearByDelete, vec![vec![Clear(0)]], lost, 9),
        (Mutant::SaveWithoutAlive, vec![vec![SaveTimeouts(0)], vec![Clear(0)]], none, 9),
        (
            Mutant::LeaveWithoutContains,
            vec![vec![SaveSubject(0, None)], vec![RevokeAll(ALICE, None)]],
            none,
            9,
        ),
        (
            Mutant::SaveOfSubjectWithoutChain,
            vec![vec![SaveSubject(0, Some(BOB))], vec![SaveSubject(0, None)]],
            none,
            9,
        ),
        (Mutant::NoToken, vec![vec![Renew(0)]], lost, 9),
        (Mutant::GivenUpRenewalIsUnlisted, vec![vec![Renew(0)]], reset, 9),
    ] {
        let protocol = Protocol { cleans_up: true, mutant: Some(mutant), ..protocol(scripts, faults, cap) };
        let checker = protocol.checker().threads(2).spawn_bfs().join();
        assert!(!checker.discoveries().is_empty(), "{mutant:?} was not found");
    }
}
