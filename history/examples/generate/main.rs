//! Writes a history of so many records to a file, to measure `squall check` with:
//!
//! ```sh
//! cargo run --release -p squall-history --example generate -- clean 1000000 orders.jsonl
//! time squall check orders.jsonl
//! ```
//!
//! The first word is `clean` (valid), `faulty` (invalid) or `transactions` (valid); see `histories.rs`.

mod histories;

use histories::Story;
use squall_history::jsonl;
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given = match words.as_slice() {
        [story, records, file] => story_of(story).zip(records.parse().ok()).map(|of| (of, file)),
        _ => None,
    };
    let Some(((story, records), file)) = given else {
        eprintln!("usage: generate clean|faulty|transactions RECORDS FILE");
        return ExitCode::from(2);
    };
    let history = histories::history(story, records);
    match jsonl::save(&history, Path::new(file)) {
        Ok(()) => {
            println!("{file}: {records} records, {} lines", history.len() + 1);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: cannot write the file: {error}");
            ExitCode::from(2)
        }
    }
}

fn story_of(word: &str) -> Option<Story> {
    match word {
        "clean" => Some(Story::Clean),
        "faulty" => Some(Story::Faulty),
        "transactions" => Some(Story::Transactions),
        _ => None,
    }
}
