//! The documents agree with the code.

mod architecture;
mod dependencies;
mod openapi;
mod readme;
mod security;
