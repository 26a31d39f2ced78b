//! Squall: the face.
