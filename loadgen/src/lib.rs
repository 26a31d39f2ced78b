//! Arrival schedules, pacing, histograms and the ledger of a load run
