//! Names of tools, some at a time.

/// Whether a glob, in which `*` stands for any text, means the tool of this name: how filters of tools
/// are written, such as [`Agent::channel_tools_named`](crate::voice::Agent::channel_tools_named) and
/// those of sources.
pub fn is_named(name: &str, glob: &str) -> bool {
    let mut pieces = glob.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(place) => rest = rest.get(place + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, name, is_meant) in [
            ("get_weather", "get_weather", true),
            ("get_weather", "get_weather2", false),
            ("get_*", "get_weather", true),
            ("*_weather", "get_weather", true),
            ("*", "", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("é*", "été", true),
        ] {
            assert_eq!(is_named(name, glob), is_meant, "{glob} {name}");
        }
    }
}
