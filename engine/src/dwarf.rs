// SPDX-License-Identifier: MIT
//! Is the DWARF of a guest worth its reading? It is asked when a guest is prepared, away from the
//! schedulers, before addr2line gets to see it.
//!
//! What addr2line does is right for DWARF that a compiler wrote. Of what somebody wrote to do harm
//! it may read the same megabytes once for each of a million entries that refer to them, and it
//! goes down the stack for each call that was inlined into another one. So everything that can be
//! referred to is walked through here in the same order, and counted: what costs time, what takes
//! memory, and how deep it goes. Whoever passes a bound has no lines in his back-traces.

use std::collections::HashSet;

use addr2line::gimli::{
    self, Abbreviation, AttributeValue, Dwarf, EndianSlice, LittleEndian, Reader as _, Section,
    UnitRef, UnitType,
};

pub type Reader = EndianSlice<'static, LittleEndian>;

/// Things to look at: attributes, entries of tables, rows. A second of reading at the most.
const MAX_STEPS: usize = 24 << 20;
/// What is kept of it once it was read.
const MAX_KEPT: usize = 96 << 20;
/// Calls that were inlined into each other; addr2line calls itself for each.
const MAX_INLINED: usize = 128;
/// Calls that were inlined into one function; the names of all of them are looked for.
const MAX_INLINED_CALLS: usize = 16 << 10;
/// Of one kind of entry.
const MAX_ATTRIBUTES: usize = 64;
/// Names may be long, but each is read for each entry that has it.
const MAX_STRING: usize = 64 << 10;
const MAX_PATH: usize = 1024;

const ROW_BYTES: usize = 24;
const RANGE_BYTES: usize = 32;
const ENTRY_BYTES: usize = 64;
const FILE_BYTES: usize = 24;

/// What is left of both budgets. None: it is used up, or the DWARF is broken.
struct Budget {
    steps: usize,
    kept: usize,
}

impl Budget {
    fn step(&mut self, count: usize) -> Option<()> {
        self.steps = self.steps.checked_sub(count)?;
        Some(())
    }

    fn keep(&mut self, count: usize, bytes: usize) -> Option<()> {
        self.kept = self.kept.checked_sub(count.checked_mul(bytes)?)?;
        self.step(count)
    }
}

/// Bytes that addr2line may keep of it, if it is to be read at all.
pub fn judge(dwarf: &Dwarf<Reader>) -> Option<usize> {
    let mut budget = Budget {
        steps: MAX_STEPS,
        kept: MAX_KEPT,
    };
    let strings = [dwarf.debug_str.reader(), dwarf.debug_line_str.reader()];
    if strings.into_iter().any(has_long_string) {
        return None;
    }
    let mut tables = HashSet::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().ok()? {
        if matches!(
            header.type_(),
            UnitType::Type { .. } | UnitType::SplitType { .. }
        ) {
            continue;
        }
        let table = header.debug_abbrev_offset();
        if tables.insert(table.0) {
            let section = dwarf.debug_abbrev.reader().slice();
            count_kinds(section.get(table.0..)?, &mut budget)?;
        }
        // Whatever addr2line leaves out, it has looked at.
        let Ok(unit) = dwarf.unit(header) else {
            budget.step(MAX_STEPS >> 8)?;
            continue;
        };
        let unit = UnitRef::new(dwarf, &unit);
        count_lines(unit, &mut budget)?;
        count_entries(unit, &mut budget)?;
    }
    Some(MAX_KEPT - budget.kept)
}

fn has_long_string(section: &Reader) -> bool {
    let mut strings = section.slice().split(|byte| *byte == 0);
    strings.any(|string| string.len() > MAX_STRING)
}

/// A table of kinds of entries. Tables may lie inside of each other; each is read for itself.
fn count_kinds(table: &[u8], budget: &mut Budget) -> Option<()> {
    let mut table = EndianSlice::new(table, LittleEndian);
    while table.read_uleb128().ok()? != 0 {
        table.read_uleb128().ok()?; // what it is
        table.read_u8().ok()?; // does it have children?
        let mut attributes = 0;
        loop {
            let name = table.read_uleb128().ok()?;
            let form = table.read_uleb128().ok()?;
            if u64::from(gimli::DW_FORM_implicit_const.0) == form {
                table.read_sleb128().ok()?;
            }
            if name == 0 && form == 0 {
                break;
            }
            attributes += 1;
        }
        if attributes > MAX_ATTRIBUTES {
            return None;
        }
        budget.keep(1 + attributes, FILE_BYTES)?;
    }
    Some(())
}

fn path_bytes(unit: UnitRef<'_, Reader>, part: AttributeValue<Reader>) -> Option<usize> {
    let bytes = unit.attr_string(part).map_or(0, |path| path.len());
    (bytes <= MAX_PATH).then_some(bytes)
}

/// Rows and files. The paths of all files are put together.
fn count_lines(unit: UnitRef<'_, Reader>, budget: &mut Budget) -> Option<()> {
    let Some(program) = &unit.line_program else {
        return Some(());
    };
    let header = program.header();
    let folder = unit.comp_dir.map_or(0, |folder| folder.len());
    budget.keep(header.raw_program_buf().len(), ROW_BYTES)?;
    budget.keep(header.include_directories().len(), FILE_BYTES)?;
    for file in header.file_names() {
        let within = file.directory(header);
        let within = within.map_or(Some(0), |folder| path_bytes(unit, folder))?;
        let path = folder + within + path_bytes(unit, file.path_name())?;
        budget.keep(1, FILE_BYTES + path)?;
    }
    (folder <= MAX_PATH).then_some(())
}

/// Where in the tree a walk is, as far as inlined calls go.
#[derive(Default)]
struct Inlined {
    /// Depth of the function that is open, the outermost one.
    function: Option<isize>,
    /// In it.
    calls: usize,
    /// Depths of the calls that are open.
    open: Vec<isize>,
}

impl Inlined {
    fn enter(&mut self, kind: &Abbreviation, depth: isize) -> Option<()> {
        while self.open.pop_if(|open| *open >= depth).is_some() {}
        self.function = self.function.filter(|function| *function < depth);
        match kind.tag() {
            gimli::DW_TAG_subprogram if self.function.is_none() => {
                self.function = Some(depth);
                self.calls = 0;
            }
            gimli::DW_TAG_inlined_subroutine => {
                self.open.push(depth);
                self.calls += 1;
            }
            _ => {}
        }
        (self.open.len() <= MAX_INLINED && self.calls <= MAX_INLINED_CALLS).then_some(())
    }
}

fn count_entries(unit: UnitRef<'_, Reader>, budget: &mut Budget) -> Option<()> {
    let mut inlined = Inlined::default();
    let mut entries = unit.entries_raw(None).ok()?;
    while !entries.is_empty() {
        let depth = entries.next_depth();
        budget.step(1)?;
        let Some(kind) = entries.read_abbreviation().ok()? else {
            continue;
        };
        inlined.enter(kind, depth)?;
        budget.step(kind.attributes().len())?;
        if !has_ranges(kind) {
            entries.skip_attributes(kind.attributes()).ok()?;
            continue;
        }
        budget.keep(1, ENTRY_BYTES)?;
        for attribute in kind.attributes() {
            let attribute = entries.read_attribute(*attribute).ok()?;
            if attribute.name() == gimli::DW_AT_ranges {
                count_ranges(unit, attribute.value(), budget)?;
            }
        }
    }
    Some(())
}

/// Of other kinds of entries addr2line does not ask where they lie.
fn has_ranges(kind: &Abbreviation) -> bool {
    matches!(
        kind.tag(),
        gimli::DW_TAG_subprogram
            | gimli::DW_TAG_inlined_subroutine
            | gimli::DW_TAG_compile_unit
            | gimli::DW_TAG_skeleton_unit
    )
}

fn count_ranges(
    unit: UnitRef<'_, Reader>,
    value: AttributeValue<Reader>,
    budget: &mut Budget,
) -> Option<()> {
    let Some(offset) = unit.attr_ranges_offset(value).ok()? else {
        return Some(());
    };
    let mut ranges = unit.raw_ranges(offset).ok()?;
    while ranges.next().ok()?.is_some() {
        budget.keep(1, RANGE_BYTES)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds of entries. The numbers are those of `KINDS`.
    const UNIT: u8 = 1;
    const FUNCTION: u8 = 2;
    const INLINED: u8 = 3;
    const FAR: u8 = 4; // a function with a list of ranges
    const END: u8 = 0;
    const KINDS: [&[u8]; 5] = [
        &[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0],
        &[2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0, 0],
        &[3, 0x1d, 1, 0, 0],
        &[4, 0x2e, 0, 0x55, 0x17, 0, 0],
        &[END],
    ];
    const PLACE: [u8; 8] = [0, 0, 0, 0, 100, 0, 0, 0];

    fn unit(table: u32, entries: &[u8]) -> Vec<u8> {
        let body = [&[4, 0][..], &table.to_le_bytes(), &[4], entries].concat();
        [&(body.len() as u32).to_le_bytes()[..], &body].concat()
    }

    fn with(kind: u8, children: &[u8]) -> Vec<u8> {
        [&[kind][..], &PLACE, children, &[END]].concat()
    }

    fn one_unit(children: &[u8]) -> Vec<u8> {
        unit(0, &with(UNIT, children))
    }

    fn judged(sections: &[(&str, Vec<u8>)]) -> Option<usize> {
        let of = |id: gimli::SectionId| {
            let found = sections.iter().find(|(name, _)| *name == id.name());
            let data = found.map_or(Vec::new(), |(_, data)| data.clone());
            Ok::<_, gimli::Error>(EndianSlice::new(&*data.leak(), LittleEndian))
        };
        judge(&Dwarf::load(of).unwrap())
    }

    fn of_info(info: Vec<u8>) -> Option<usize> {
        judged(&[(".debug_abbrev", KINDS.concat()), (".debug_info", info)])
    }

    #[test]
    fn ordinary_dwarf_is_read() {
        assert_eq!(judged(&[]), Some(0));
        let calls = [vec![INLINED; 100], vec![END; 100]].concat();
        let functions = with(FUNCTION, &calls).repeat(50);
        assert!(of_info(one_unit(&functions).repeat(20)).is_some());
    }

    #[test]
    fn calls_inside_of_calls_have_a_bound() {
        let nested = |depth| with(FUNCTION, &[vec![INLINED; depth], vec![END; depth]].concat());
        assert!(of_info(one_unit(&nested(MAX_INLINED))).is_some());
        assert!(of_info(one_unit(&nested(MAX_INLINED + 1))).is_none());
        assert!(of_info(one_unit(&nested(1 << 20))).is_none());
        // Beside each other they are not nested, but each of them has to be looked at.
        let beside = |count| with(FUNCTION, &[INLINED, END].repeat(count));
        assert!(of_info(one_unit(&beside(MAX_INLINED_CALLS))).is_some());
        assert!(of_info(one_unit(&beside(MAX_INLINED_CALLS + 1))).is_none());
        // A function within the function is none of its own.
        let parts = with(
            FUNCTION,
            &with(FUNCTION, &[INLINED, END].repeat(100)).repeat(200),
        );
        assert!(of_info(one_unit(&parts)).is_none());
        assert!(of_info(one_unit(&beside(100).repeat(200))).is_some());
        // What is not closed is nested, too.
        assert!(of_info(one_unit(&with(FUNCTION, &vec![INLINED; 1000]))).is_none());
    }

    #[test]
    fn what_many_refer_to_counts_for_each() {
        let range = [1u32.to_le_bytes(), 2u32.to_le_bytes()].concat();
        let ranges = [range.repeat(20_000), vec![0; 8]].concat();
        let judged = |functions| {
            judged(&[
                (".debug_abbrev", KINDS.concat()),
                (
                    ".debug_info",
                    one_unit(&[FAR, 0, 0, 0, 0].repeat(functions)),
                ),
                (".debug_ranges", ranges.clone()),
            ])
        };
        assert!(judged(10).is_some());
        assert!(judged(100_000).is_none());
    }

    #[test]
    fn tables_inside_of_tables_count_each() {
        let kinds = [5, 0x34, 0, 0, 0].repeat(200_000);
        let table = [&kinds[..], &KINDS.concat()].concat();
        let judged = |units: u32| {
            let info = (0..units).flat_map(|i| unit(i * 5, &[END])).collect();
            judged(&[(".debug_abbrev", table.clone()), (".debug_info", info)])
        };
        assert!(judged(2).is_some());
        assert!(judged(10_000).is_none());
    }

    #[test]
    fn long_names_and_broad_kinds_are_left_alone() {
        let strings = |len| judged(&[(".debug_str", vec![b'x'; len])]);
        assert!(strings(MAX_STRING).is_some() && strings(MAX_STRING + 1).is_none());
        let broad = |attributes| {
            let kind = [
                &[UNIT, 0x11, 0][..],
                &[0x3f, 0x19].repeat(attributes),
                &[0, 0, END],
            ];
            judged(&[
                (".debug_abbrev", kind.concat()),
                (".debug_info", unit(0, &[UNIT])),
            ])
        };
        assert!(broad(MAX_ATTRIBUTES).is_some() && broad(MAX_ATTRIBUTES + 1).is_none());
    }

    #[test]
    fn broken_dwarf_is_none() {
        let info = one_unit(&with(FUNCTION, &[]));
        let broken = (1..info.len()).filter(|cut| of_info(info[..*cut].to_vec()).is_some());
        assert_eq!(broken.count(), 0);
        assert!(of_info(unit(1 << 30, &[UNIT])).is_none());
        assert!(of_info(one_unit(&[99])).is_none());
    }
}
