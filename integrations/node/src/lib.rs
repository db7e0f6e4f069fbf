//! The session crate as an addon for Node.js. What is here only translates: `index.js` is what programs use.

#![allow(missing_docs, reason = "index.d.ts documents what a program sees")]
#![cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a build for tests"))]

mod command;
mod embedded;
mod errors;
mod manager;
mod reports;
mod request;
mod session;
mod settings;
