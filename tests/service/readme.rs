//! The README's code is the code of the examples, and the examples run.
