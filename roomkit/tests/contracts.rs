//! Each rule of `docs/contracts.md` has a test that carries its number.

use std::{collections::HashSet, fs, io, path::Path};

#[test]
fn every_contract_has_a_test_that_carries_its_number() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let contracts = fs::read_to_string(workspace.join("docs/contracts.md")).unwrap();
    let rules = contracts.lines().filter_map(|line| {
        let rule = line.strip_prefix("- **")?.split([' ', '*']).next()?;
        Some(rule.to_lowercase())
    });
    let rules: Vec<String> = rules.collect();
    assert!(rules.contains(&"s1".to_owned()) && rules.contains(&"x1".to_owned()));
    let mut proven = HashSet::new();
    collect(workspace, &mut proven).unwrap();
    let unproven: Vec<_> = rules.iter().filter(|it| !proven.contains(*it)).collect();
    assert!(unproven.is_empty(), "no test is called after {unproven:?}");
}

/// The numbers at the beginning of the names of functions: of tests, for nothing else has them.
fn collect(folder: &Path, proven: &mut HashSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&path, proven)?;
            }
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path)?;
            for function in source.split("fn ").skip(1) {
                let numbers = function.split('_').take_while(|part| is_number(part));
                proven.extend(numbers.map(str::to_owned));
            }
        }
    }
    Ok(())
}

/// A letter and digits, such as `k9`.
fn is_number(part: &str) -> bool {
    let mut characters = part.chars();
    characters.next().is_some_and(|it| it.is_ascii_lowercase())
        && part.len() > 1
        && characters.all(|it| it.is_ascii_digit())
}
