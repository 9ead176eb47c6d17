//! Decoding picture bytes into pixels, and hashing those.
