//! The contract: what each call does, over HTTP and in the crate.

mod bad_input;
mod cookies;
mod cross_site;
mod data;
mod devices;
mod library;
mod log;
mod preconditions;
mod renewal;
mod sealed;
mod subjects;
mod verbs;
