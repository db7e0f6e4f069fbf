//! Hostile clients: bytes that are not requests, and requests without end.

mod fuzzed;
mod requests;
