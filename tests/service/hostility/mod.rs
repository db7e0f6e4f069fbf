//! Hostile clients: bytes that are not requests, and requests that do not end.

mod fuzzed;
mod requests;
