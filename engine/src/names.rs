// SPDX-License-Identifier: MIT
//! Names of a guest as people read them: of functions, modules and source files, in back-traces.
//!
//! The guest chose them, so none is believed. A name is cut, and shows no character that would break
//! the line. Only what says that it is mangled is demangled: `f` is a function of that name, not the
//! type `float`.
//!
//! Mangled C++ can refer back to its own parts and leaves much to be guessed, so that a kilobyte of
//! it keeps a full demangler busy for ever. Here it is read from left to right, as far as that goes:
//! the name with its namespaces. Of templates and operators the name is shown as it is.

use std::fmt::{self, Write};

/// Bytes of a name that are shown.
const MAX_BYTES: usize = 256;
/// Longer ones are shown as they are.
const MAX_MANGLED: usize = 4096;

/// A text that takes so much and no more. What is full answers an error, which stops the writer.
struct Cut {
    text: String,
    is_full: bool,
}

impl Cut {
    fn new() -> Cut {
        Cut {
            text: String::new(),
            is_full: false,
        }
    }

    fn end(mut self) -> String {
        if self.is_full {
            self.text.push_str("...");
        }
        self.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            let bytes = if c.is_control() { 10 } else { c.len_utf8() }; // "\u{10ffff}"
            self.is_full |= self.text.len() + bytes > MAX_BYTES;
            if self.is_full {
                return Err(fmt::Error);
            }
            if c.is_control() {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

fn rust(name: &str) -> Option<String> {
    let known = rustc_demangle::try_demangle(name).ok()?;
    let mut cut = Cut::new();
    let done = write!(cut, "{known:#}").is_ok();
    (done || cut.is_full).then(|| cut.end())
}

/// An identifier of C++, and what comes after it.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (len, rest) = text.split_at(digits);
    rest.split_at_checked(len.parse().ok()?)
}

/// `_ZN5space3fooEi`, of which the types of the parameters are not shown.
fn cpp(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("_Z")?;
    let Some(nested) = rest.strip_prefix('N') else {
        return identifier(rest).map(|(name, _)| plain(name));
    };
    rest = nested.trim_start_matches(['r', 'V', 'K', 'R', 'O']);
    let mut parts = Vec::new();
    if let Some(after) = rest.strip_prefix("St") {
        parts.push("std".to_owned());
        rest = after;
    }
    while !rest.starts_with('E') {
        let class = parts.last();
        let (part, after) = match (rest.get(..2), class) {
            (Some("C1" | "C2" | "C3"), Some(class)) => (class.clone(), &rest[2..]),
            (Some("D0" | "D1" | "D2"), Some(class)) => (format!("~{class}"), &rest[2..]),
            _ => {
                let (part, after) = identifier(rest)?;
                let hidden = part.starts_with("_GLOBAL__N");
                let shown = if hidden {
                    "(anonymous namespace)"
                } else {
                    part
                };
                (shown.to_owned(), after)
            }
        };
        parts.push(part);
        rest = after;
    }
    Some(plain(&parts.join("::")))
}

/// As it is, but for its length and for characters that do not show.
pub fn plain(name: &str) -> String {
    let mut cut = Cut::new();
    let _ = cut.write_str(name); // an error only says that it was cut, which shows
    cut.end()
}

/// The name of a function.
pub fn function(name: &str) -> String {
    let mangled = (name.len() <= MAX_MANGLED).then_some(name);
    let known = mangled.and_then(|name| rust(name).or_else(|| cpp(name)));
    known.unwrap_or_else(|| plain(name))
}

/// A path, of which the end matters more than the beginning.
pub fn path(path: &str) -> String {
    let end = path.ceil_char_boundary(path.len().saturating_sub(MAX_BYTES / 2));
    let dots = if end == 0 { "" } else { "..." };
    format!("{dots}{}", plain(&path[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mangled_is_demangled() {
        assert_eq!(
            function("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(function("_RNvC5guest4work"), "guest::work");
    }

    #[test]
    fn what_is_not_mangled_stays_as_it_is() {
        // Each of them is the code of a type in C++.
        for name in ["f", "i", "s", "Pv", "main", "run", "_", "_start", "__Z", ""] {
            assert_eq!(function(name), name);
        }
    }

    #[test]
    fn of_cpp_the_name_is_shown() {
        for (mangled, shown) in [
            ("_Z4workv", "work"),
            ("_ZN5space3fooEibc", "space::foo"),
            (
                "_ZNK12_GLOBAL__N_15guest4workEv",
                "(anonymous namespace)::guest::work",
            ),
            ("_ZNSt5guestC2Ev", "std::guest::guest"),
            ("_ZN5guestD1Ev", "guest::~guest"),
        ] {
            assert_eq!(function(mangled), shown);
        }
        // A template, an operator, and what is cut short or lies.
        for name in [
            "_ZN5guest4workIiEEvT_",
            "_ZN5guestplERKS_",
            "_ZN",
            "_Z",
            "_ZNSt",
            "_ZN5gues",
            "_ZN99999999999999999999999xE",
            "_ZNC1E",
            "_ZN1é1xE",
        ] {
            assert_eq!(function(name), name);
        }
    }

    #[test]
    fn a_name_that_stands_for_more_than_memory_is_short() {
        let levels: String = ["S0_", "S1_", "S2_", "S3_", "S4_", "S5_", "S6_"]
            .map(|back| format!("S_I{}E", back.repeat(50)))
            .concat();
        assert_eq!(function(&format!("_Z1f1AIiE{levels}")), "f");
        let nested = format!("_RNv{}C1a1b", "INtB2_1b".repeat(400));
        assert!(function(&nested).len() <= MAX_BYTES + 3);
    }

    #[test]
    fn nothing_breaks_the_line_or_fills_the_log() {
        assert_eq!(function("a\n1: b\x1b[31m\0"), "a\\n1: b\\u{1b}[31m\\u{0}");
        let long = function(&"é".repeat(100_000));
        assert!(long.len() <= MAX_BYTES + 3 && long.ends_with("é..."));
        assert!(function(&"\u{85}".repeat(1000)).len() <= MAX_BYTES + 3);
        assert_eq!(path("src/main.rs"), "src/main.rs");
        let deep = path(&("é/".repeat(1000) + "x\n.rs"));
        assert!(deep.starts_with("...") && deep.ends_with("/x\\n.rs") && deep.len() < 200);
    }
}
