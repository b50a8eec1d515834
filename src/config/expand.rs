//! `${NAME}` and `${file:PATH}` inside values.
//!
//! Expansion happens after YAML has been parsed and once, so that nothing that a variable or a file holds can
//! become structure or be expanded again. `$${` stands for a plain `${`.

use std::path::Path;

use super::environment::Environment;

/// A secret in a file is a key or a certificate chain at most.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// The text with every reference replaced; relative paths begin at `base`.
pub(super) fn expand(text: &str, environment: &Environment, base: &Path) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (head, tail) = (&rest[..start], &rest[start + 2..]);
        if let Some(head) = head.strip_suffix('$') {
            expanded.push_str(head);
            expanded.push_str("${");
            rest = tail;
            continue;
        }
        let (reference, after) =
            tail.split_once('}').ok_or("a ${ is never closed; write $${ where ${ itself is meant")?;
        expanded.push_str(head);
        match reference.strip_prefix("file:") {
            Some(path) => expanded.push_str(&file(path, environment, base)?),
            None => expanded.push_str(variable(reference, environment)?),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable<'e>(name: &str, environment: &'e Environment) -> Result<&'e str, String> {
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err("between ${ and } stands the name of an environment variable, or file: and a path".into());
    }
    environment.variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))
}

/// A file's content without the line end that editors and `echo` leave.
fn file(path: &str, environment: &Environment, base: &Path) -> Result<String, String> {
    let path = base.join(path);
    let problem = |why: String| format!("the file {} cannot be read: {why}", path.display());
    let bytes = environment.read(&path, MAX_FILE_BYTES).map_err(|error| problem(reason(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| problem("it is not UTF-8".into()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Why a file cannot be read, without the operating system's error number.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is none".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn environment() -> Environment {
        Environment::of([("A", "1"), ("B_2", "${A}: [x]"), ("EMPTY", "")])
            .with_file("/etc/chancery/s.txt", "hunter2\r\n")
            .with_file("/run/t", "two\nlines\n\n")
            .with_file("/run/bytes", [0xff])
            .with_file("/run/big", vec![b'x'; MAX_FILE_BYTES + 1])
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &environment(), Path::new("/etc/chancery"))
    }

    #[rstest]
    #[case("plain $ text {} }", "plain $ text {} }")]
    #[case("${A}", "1")]
    #[case("x${A}${A}y", "x11y")]
    #[case("${B_2}", "${A}: [x]")]
    #[case("[${EMPTY}]", "[]")]
    #[case("$${A} ${A}", "${A} 1")]
    #[case("$$${A}", "$${A}")]
    #[case("${file:s.txt}", "hunter2")]
    #[case("${file:/run/t}", "two\nlines\n")]
    fn expands(#[case] text: &str, #[case] result: &str) {
        assert_eq!(expanded(text).as_deref(), Ok(result));
    }

    #[rstest]
    #[case("${NOPE}", "the environment variable NOPE is not set")]
    #[case("${A", "a ${ is never closed; write $${ where ${ itself is meant")]
    #[case("${}", "between ${ and } stands the name of an environment variable, or file: and a path")]
    #[case("${A:-x}", "between ${ and } stands the name of an environment variable, or file: and a path")]
    #[case("${1A}", "between ${ and } stands the name of an environment variable, or file: and a path")]
    #[case("${file:gone}", "the file /etc/chancery/gone cannot be read: there is none")]
    #[case("${file:/run/bytes}", "the file /run/bytes cannot be read: it is not UTF-8")]
    #[case("${file:/run/big}", "the file /run/big cannot be read: it is larger than 65536 bytes")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(expanded(text), Err(message.to_owned()));
    }

    #[test]
    fn a_directory_and_a_device_are_not_files() {
        let disk = Environment::capture();
        for path in ["/dev", "/dev/zero"] {
            let error = expand(&format!("${{file:{path}}}"), &disk, Path::new("/")).unwrap_err();
            assert_eq!(error, format!("the file {path} cannot be read: it is not a regular file"));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[$\\{\\}A:/é]{0,20}") {
            let _ = expanded(&text);
        }
    }
}
