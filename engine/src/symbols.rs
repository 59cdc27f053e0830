// SPDX-License-Identifier: MIT
//! Places in the source for back-traces, from the DWARF that a guest brings along.
//!
//! Wasmtime can do this, but it reads the whole DWARF anew for each frame at the moment of the
//! trap, on the scheduler, also when a waiting guest is stopped and nobody looks at the back-trace.
//! So Wasmtime keeps out of it. Here the units are listed when a guest is prepared, what is read is
//! kept, and nothing is read before C asks for the text.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use wasmparser::{Encoding, Parser, Payload};

use crate::dwarf::{self, Reader};
use crate::names;

/// More DWARF than this is left alone. The guest chose its size, reading it takes time, and what is
/// read takes memory: about 24 bytes for a byte of a line program, less for the rest. What is inside
/// of it `dwarf.rs` judges.
const MAX_BYTES: usize = 32 << 20;
const MAX_INFO_BYTES: usize = 16 << 20;
const MAX_LINE_BYTES: usize = 4 << 20;
/// What is read. Where code lies is said by the units themselves, not by .debug_aranges.
const SECTIONS: [&str; 9] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
];
/// A function's locals are declared in about so many bytes before its first instruction.
const HEAD_BYTES: u64 = 16;
/// Inlined calls of one frame that are worth a line.
const MAX_INLINED: usize = 8;

/// A function, if its name is known, and " at file:line:column" or less.
pub struct Place {
    pub function: Option<String>,
    pub source: String,
}

/// The symbols of all core modules of a guest.
pub struct Symbols {
    modules: Vec<Module>,
}

struct Module {
    /// Its sections, and what may be kept of them once they were read.
    bytes: usize,
    /// Where its code lies in the guest's bytes. DWARF counts from the beginning of it.
    code: Range<usize>,
    /// Reading fills caches that may be used by one thread at a time. Declared before the sections,
    /// into which it points.
    context: Mutex<addr2line::Context<Reader>>,
    _sections: Sections,
}

/// Copies of the DWARF sections of a module, by name. They are never changed or moved.
struct Sections(Vec<(String, Box<[u8]>)>);

impl Sections {
    fn new(found: &Found<'_>) -> Sections {
        let copy = |(name, data): &(&str, &[u8])| ((*name).to_owned(), Box::from(*data));
        Sections(found.sections.iter().map(copy).collect())
    }

    /// # Safety
    /// The result is not used after `self` is dropped.
    unsafe fn read(&self, id: gimli::SectionId) -> Reader {
        let data = self.0.iter().find(|(name, _)| name == id.name());
        let data = data.map_or(&[][..], |(_, data)| data);
        // SAFETY: the bytes stay where they are until `self` is dropped, also when it is moved,
        // and the caller looks no longer than that.
        EndianSlice::new(unsafe { &*std::ptr::from_ref(data) }, LittleEndian)
    }
}

/// A core module while the guest's bytes are walked through.
#[derive(Default)]
struct Found<'a> {
    code: Range<usize>,
    sections: Vec<(&'a str, &'a [u8])>,
}

impl Symbols {
    /// None if there is no DWARF in it, or too much.
    pub fn new(wasm: &[u8]) -> Option<Symbols> {
        let mut modules = Vec::new();
        let found = modules_of(wasm);
        let fits = |name: &str, most| bytes_of(&found, name) <= most;
        if !fits("", MAX_BYTES)
            || !fits(".debug_info", MAX_INFO_BYTES)
            || !fits(".debug_line", MAX_LINE_BYTES)
        {
            return None;
        }
        modules.extend(found.into_iter().filter_map(Module::new));
        (!modules.is_empty()).then_some(Symbols { modules })
    }

    /// What they take in memory at the most.
    pub fn bytes(&self) -> usize {
        self.modules.iter().map(|module| module.bytes).sum()
    }

    /// What stands at a place in the guest's bytes, the innermost inlined call first. Empty if
    /// nothing is known. DWARF that makes the reader panic counts as unknown.
    pub fn find(&self, offset: usize) -> Vec<Place> {
        let Some(module) = self
            .modules
            .iter()
            .find(|module| module.code.contains(&offset))
        else {
            return Vec::new();
        };
        let context = module
            .context
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let address = (offset - module.code.start) as u64;
        catch_unwind(AssertUnwindSafe(|| frames_at(&context, address))).unwrap_or_default()
    }
}

/// Of the sections whose names begin so, in all modules.
fn bytes_of(found: &[Found<'_>], prefix: &str) -> usize {
    let sections = found.iter().flat_map(|module| &module.sections);
    let wanted = sections.filter(|(name, _)| name.starts_with(prefix));
    wanted.map(|(_, data)| data.len()).sum()
}

/// Whatever is not valid Wasm is for the compiler to complain about.
fn modules_of(wasm: &[u8]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut open: Vec<Option<Found<'_>>> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(payload) = payload else {
            return Vec::new();
        };
        match payload {
            Payload::Version { encoding, .. } => {
                open.push((encoding == Encoding::Module).then(Found::default));
            }
            Payload::End(_) => found.extend(open.pop().flatten()),
            Payload::CodeSectionStart { range, .. } => {
                if let Some(Some(module)) = open.last_mut() {
                    module.code = range;
                }
            }
            Payload::CustomSection(section) if SECTIONS.contains(&section.name()) => {
                if let Some(Some(module)) = open.last_mut() {
                    module.sections.push((section.name(), section.data()));
                }
            }
            _ => {}
        }
    }
    found
}

impl Module {
    /// None if it has no DWARF, or none that can be read.
    fn new(found: Found<'_>) -> Option<Module> {
        if found.sections.is_empty() {
            return None;
        }
        let sections = Sections::new(&found);
        // SAFETY: the context goes into the same struct as the sections and is dropped first.
        let load = |id| Ok::<_, gimli::Error>(unsafe { sections.read(id) });
        let read = || {
            let mut dwarf = gimli::Dwarf::load(load).ok()?;
            let kept = dwarf::judge(&dwarf)?;
            dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
            Some((addr2line::Context::from_dwarf(dwarf).ok()?, kept))
        };
        let (context, kept) = catch_unwind(AssertUnwindSafe(read)).ok().flatten()?;
        Some(Module {
            bytes: kept + sections.0.iter().map(|(_, data)| data.len()).sum::<usize>(),
            code: found.code,
            context: Mutex::new(context),
            _sections: sections,
        })
    }
}

fn frames_at(context: &addr2line::Context<Reader>, address: u64) -> Vec<Place> {
    let mut places = Vec::new();
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else {
        return places;
    };
    while let Ok(Some(frame)) = frames.next() {
        if places.len() == MAX_INLINED {
            break;
        }
        let function = frame
            .function
            .as_ref()
            .and_then(|function| function.raw_name().ok());
        places.push(Place {
            function: function.map(|name| names::function(&name)),
            source: frame.location.as_ref().map(source_of).unwrap_or_default(),
        });
    }
    if let Some(first) = places.first_mut()
        && first.source.is_empty()
    {
        first.source = source_after(context, address);
    }
    places
}

/// A place at the head of a function, before its first instruction, has no line of its own.
fn source_after(context: &addr2line::Context<Reader>, address: u64) -> String {
    let Ok(mut rows) = context.find_location_range(address, address + HEAD_BYTES) else {
        return String::new();
    };
    rows.next()
        .map(|(_, _, location)| source_of(&location))
        .unwrap_or_default()
}

fn source_of(location: &addr2line::Location<'_>) -> String {
    let Some(file) = location.file.map(names::path) else {
        return String::new();
    };
    match (location.line, location.column) {
        (Some(line), Some(column)) => format!(" at {file}:{line}:{column}"),
        (Some(line), None) => format!(" at {file}:{line}"),
        _ => format!(" at {file}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::write::{
        Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, LineString, Sections,
    };

    const FUNCTION: &str = r#"(func $f (export "run") (drop (i32.const 1)) unreachable)"#;

    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn with_section(mut wasm: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
        let body = [&leb(name.len()), name.as_bytes(), data].concat();
        wasm.push(0);
        wasm.extend(leb(body.len()));
        wasm.extend(body);
        wasm
    }

    /// DWARF that puts all code into line 7 of guest.c, in the function `work`.
    fn dwarf() -> Vec<(String, Vec<u8>)> {
        let encoding = gimli::Encoding {
            format: gimli::Format::Dwarf32,
            version: 4,
            address_size: 4,
        };
        let mut unit = DwarfUnit::new(encoding);
        let name = |text: &str| LineString::String(text.as_bytes().to_vec());
        let line = gimli::LineEncoding::default();
        let mut program =
            LineProgram::new(encoding, line, name("/src"), None, name("guest.c"), None);
        let folder = program.default_directory();
        let file = program.add_file(name("guest.c"), folder, None);
        program.begin_sequence(Some(Address::Constant(0)));
        program.row().file = file;
        program.row().line = 7;
        program.row().column = 3;
        program.generate_row();
        program.end_sequence(100);
        unit.unit.line_program = program;
        let root = unit.unit.root();
        let function = unit.unit.add(root, gimli::DW_TAG_subprogram);
        for die in [root, function] {
            let entry = unit.unit.get_mut(die);
            entry.set(
                gimli::DW_AT_low_pc,
                AttributeValue::Address(Address::Constant(0)),
            );
            entry.set(gimli::DW_AT_high_pc, AttributeValue::Udata(100));
        }
        let entry = unit.unit.get_mut(function);
        entry.set(gimli::DW_AT_name, AttributeValue::String(b"work".to_vec()));
        let mut sections = Sections::new(EndianVec::new(LittleEndian));
        unit.write(&mut sections).unwrap();
        let mut written = Vec::new();
        let keep = |id: gimli::SectionId, data: &EndianVec<LittleEndian>| {
            written.push((id.name().to_owned(), data.slice().to_vec()));
            Ok::<(), gimli::Error>(())
        };
        sections.for_each(keep).unwrap();
        written
    }

    fn told(symbols: &Symbols, offset: usize) -> Vec<String> {
        let text = |place: Place| place.function.unwrap_or_default() + &place.source;
        symbols.find(offset).into_iter().map(text).collect()
    }

    #[test]
    fn places_are_found_in_modules_and_in_components() {
        let mut module = wat::parse_str(format!("(module {FUNCTION})")).unwrap();
        for (name, data) in dwarf() {
            module = with_section(module, &name, &data);
        }
        let symbols = Symbols::new(&module).expect("it has DWARF");
        let code = symbols.modules[0].code.clone();
        assert_eq!(told(&symbols, code.start + 3), ["work at guest.c:7:3"]);
        assert!(told(&symbols, code.start - 1).is_empty() && told(&symbols, code.end).is_empty());
        // The same module as the second thing inside a component.
        let mut component = wat::parse_str("(component (core module))").unwrap();
        component.push(1);
        component.extend(leb(module.len()));
        let begin = component.len();
        component.extend(&module);
        let symbols = Symbols::new(&component).expect("it has DWARF");
        assert_eq!(symbols.modules[0].code.start, begin + code.start);
        assert_eq!(
            told(&symbols, begin + code.start + 3),
            ["work at guest.c:7:3"]
        );
    }

    #[test]
    fn without_or_with_bad_dwarf_nothing_is_known() {
        let module = wat::parse_str(format!("(module {FUNCTION})")).unwrap();
        assert!(Symbols::new(&module).is_none());
        assert!(Symbols::new(b"no wasm").is_none());
        assert!(Symbols::new(&module[..module.len() - 1]).is_none());
        for cut in 0..40 {
            let mut damaged = module.clone();
            for (name, data) in dwarf() {
                damaged = with_section(damaged, &name, &data[..data.len().saturating_sub(cut)]);
            }
            if let Some(symbols) = Symbols::new(&damaged) {
                let code = symbols.modules[0].code.clone();
                assert!(told(&symbols, code.start + 3).len() <= 1);
            }
        }
    }

    #[test]
    fn more_dwarf_than_is_good_is_left_alone() {
        let module = wat::parse_str(format!("(module {FUNCTION})")).unwrap();
        let mut good = module.clone();
        for (name, data) in dwarf() {
            good = with_section(good, &name, &data);
        }
        assert!(Symbols::new(&good).is_some());
        let cases = [
            (".debug_str", MAX_BYTES),
            (".debug_info", MAX_INFO_BYTES),
            (".debug_line", MAX_LINE_BYTES),
        ];
        for (name, most) in cases {
            let much = with_section(good.clone(), name, &vec![0; most + 1]);
            assert!(Symbols::new(&much).is_none(), "{name}");
        }
    }
}
