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

fn collect(folder: &Path, proven: &mut HashSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&path, proven)?;
            }
        } else if name.ends_with(".rs") {
            proven.extend(numbers(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The numbers at the beginning of the names of tests.
fn numbers(source: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let line = line.strip_prefix("async ").unwrap_or(line);
        if let Some(name) = line.strip_prefix("fn ") {
            let numbers = name.split('_').take_while(|part| is_number(part));
            found.extend(numbers.filter(|_| is_test).map(str::to_owned));
        }
        let is_attribute = line.starts_with("#[") || line.starts_with("//");
        is_test = is_attribute && (is_test || line.contains("test]") || line.contains("test("));
    }
    found
}

#[test]
fn only_the_names_of_tests_count() {
    let source = "
        #[tokio::test(start_paused = true)]
        #[cfg(unix)]
        async fn a1_b2_is_proven() {}
        #[test]
        fn c3_too() { fn d4_not() {} }
        // fn e5_is_talked_of() {}
        fn f6_helps() {}
        let text = \"
            fn g7_is_text() {}\";";
    let found = numbers(source);
    assert_eq!(found, ["a1", "b2", "c3"].map(str::to_owned).into());
}

/// A letter and digits, such as `k9`.
fn is_number(part: &str) -> bool {
    let mut characters = part.chars();
    characters.next().is_some_and(|it| it.is_ascii_lowercase())
        && part.len() > 1
        && characters.all(|it| it.is_ascii_digit())
}
