//! A GRUB environment block as variables: what a reset keeps of it.

use crate::bootloader::ENV_SIZE;

const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";

/// Names and values in their order.
pub(crate) type Variables = Vec<(String, String)>;

/// Reads a block; `None` if GRUB would not take it, or if it has what `render_env` cannot write again.
pub(crate) fn parse(block: &[u8]) -> Option<Variables> {
    if block.len() != ENV_SIZE {
        return None;
    }
    let text = std::str::from_utf8(block.strip_prefix(SIGNATURE)?).ok()?;
    // After the last line there is nothing but `#`, which may follow it on the same line of text.
    let text = text.trim_end_matches('#');
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), unescape(value)?))
        })
        .collect()
}

/// Sets a variable where it stands, or at the end.
pub(crate) fn set(variables: &mut Variables, name: &str, value: &str) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => variables.push((name.to_owned(), value.to_owned())),
    }
}

/// The value of a variable; empty if there is none, as in GRUB.
pub(crate) fn value<'a>(variables: &'a Variables, name: &str) -> &'a str {
    variables
        .iter()
        .find(|(known, _)| known == name)
        .map_or("", |(_, value)| value)
}

/// A backslash stands before a backslash or a line break; a value that goes on in the next line is not known here.
fn unescape(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut value = String::new();
    while let Some(next) = chars.next() {
        value.push(if next == '\\' { chars.next()? } else { next });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootloader::render_env;

    #[test]
    fn what_was_rendered_is_read_and_rendered_again_as_it_was() {
        let block = render_env([("saved_entry", "cos"), ("extra_cmdline", r"a=\b #c#")]).unwrap();
        let variables = parse(&block).unwrap();
        assert_eq!(value(&variables, "extra_cmdline"), r"a=\b #c#");
        let again = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(render_env(again).unwrap(), block);
    }

    #[test]
    fn a_block_that_is_torn_short_or_of_something_else_is_no_block() {
        let block = render_env([("saved_entry", "cos")]).unwrap();
        assert_eq!(parse(&block[..1023]), None);
        let mut torn = block.clone();
        torn[512..].fill(0);
        assert_eq!(parse(&torn), None);
        let mut other = block;
        other[0] = b' ';
        assert_eq!(parse(&other), None);
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn a_variable_is_set_where_it_stands_and_a_new_one_comes_last() {
        let mut variables = parse(&render_env([("a", "1"), ("b", "2")]).unwrap()).unwrap();
        set(&mut variables, "a", "3");
        set(&mut variables, "c", "4");
        let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((value(&variables, "a"), value(&variables, "d")), ("3", ""));
    }
}
