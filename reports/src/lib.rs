//! Folds over run events into terminal, HTML, JSON and JUnit
