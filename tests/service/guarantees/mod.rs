//! The guarantees: what holds whatever races, fails or is delayed. A dead session stays dead; an acknowledged save is stored.

mod clock_skew;
mod disk;
mod faults;
mod histories;
mod invariants;
mod model;
mod races;
