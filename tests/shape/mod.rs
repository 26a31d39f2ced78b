//! The shape of a text that users read.

/// A text without its numbers, which change with every refinement of the models, and without the place of cargo's
/// target directory, which changes with the machine.
pub(crate) fn shape(text: &str) -> String {
    let mut shape = String::new();
    for word in text.split_inclusive([' ', '\n', '=']) {
        let word = word.find("/squall/").map_or(word.to_owned(), |at| format!("target{}", &word[at..]));
        for c in word.chars() {
            match c {
                '0'..='9' if shape.ends_with('#') => {}
                '0'..='9' => shape.push('#'),
                c => shape.push(c),
            }
        }
    }
    shape
}
