//! The documents agree with the code.

mod dependencies;
mod openapi;
mod readme;
mod security;
