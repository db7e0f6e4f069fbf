//! The guarantees under races, failures and delays: a dead session stays dead; an acknowledged save is stored.

mod attack;
mod clock_skew;
mod deadlines;
mod disk;
mod faults;
mod histories;
mod hung_table;
mod invariants;
mod model;
mod protocol;
mod races;
mod revocation;
mod web;
