//! Matching by distance: which codes lie within a radius of this one?
