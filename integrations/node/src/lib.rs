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

/// One thread makes the calls of all managers, and passes none to another: a load takes a sixth less CPU so.
#[napi_derive::module_init]
fn begin() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    // Without a thread of its own, napi-rs tries again and says why at the first call.
    if let Ok(runtime) = runtime {
        napi::bindgen_prelude::create_custom_tokio_runtime(runtime);
    }
}
