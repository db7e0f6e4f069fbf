//! The contract: what each call does, over HTTP and in the crate.

mod bad_input;
mod cookies;
mod cross_site;
mod data;
mod if_match;
mod library;
mod log;
mod renewal;
mod verbs;
