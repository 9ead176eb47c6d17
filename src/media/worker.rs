//! Worker processes that decode untrusted pictures in a sandbox.
