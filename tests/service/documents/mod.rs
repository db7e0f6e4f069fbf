//! The documents: what they say is what the code does.

mod dependencies;
mod openapi;
mod readme;
mod security;
