// SPDX-License-Identifier: MIT
//! What goes wrong, told to C: codes with a text for calls that fail, and for an instance the kind
//! of its end, its cause in one line, and a back-trace of one frame a line.

use std::any::Any;
use std::cell::OnceCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::names;
use crate::symbols::Symbols;

// The codes of include/rusm/error.h that this border uses.
pub const OK: c_int = 0;
pub const ENOMEM: c_int = -1;
pub const EINVAL: c_int = -2;
pub const ENOTFOUND: c_int = -8;
pub const ESTATE: c_int = -11;
pub const EIO: c_int = -12;
pub const ECONFIG: c_int = -14;
pub const EGUEST: c_int = -15;

/// Bytes of one of the causes of an error that are told.
const MAX_CAUSE: usize = 16 << 10;

/// A call that failed: a code and a text for a person.
#[derive(Debug)]
pub struct Failure {
    pub code: c_int,
    pub text: String,
}

impl Failure {
    pub fn new(code: c_int, text: impl Into<String>) -> Failure {
        Failure {
            code,
            text: text.into(),
        }
    }

    /// The fault lies in the bytes that were given as a guest.
    pub fn guest(error: &wasmtime::Error) -> Failure {
        Failure::new(EGUEST, chain_text(error))
    }

    /// The engine could not do it.
    pub fn engine(error: &wasmtime::Error) -> Failure {
        let code = if error.is::<wasmtime::OutOfMemory>() {
            ENOMEM
        } else {
            EIO
        };
        Failure::new(code, chain_text(error))
    }
}

/// A text that C owns until `rusm_engine_text_free`. Bytes that C could not read are replaced.
pub fn c_text(text: &str) -> CString {
    let clean: String = text
        .chars()
        .map(|c| if c == '\0' { '\u{fffd}' } else { c })
        .collect();
    CString::new(clean).unwrap_or_default()
}

/// Hand a text to C, if it asked for one.
///
/// # Safety
/// `out` is null or valid for a write.
pub unsafe fn hand_over(out: *mut *mut c_char, text: &str) {
    if !out.is_null() {
        // SAFETY: not null, so valid for a write by the contract above.
        unsafe { *out = c_text(text).into_raw() };
    }
}

/// How a host call or a tick ends a guest. It travels through Wasmtime as the error of the call.
#[derive(Debug)]
pub enum Stop {
    /// The guest is at fault; the text says how.
    Trap(String),
    /// The host wants it to end.
    Stopped(String),
    /// The host or the engine broke its own contract.
    Broken(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Trap(text) | Stop::Stopped(text) | Stop::Broken(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Stop {}

/// `enum rusm_engine_error_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Kind {
    Trap = 0,
    Start = 1,
    Pool = 2,
    Stopped = 3,
    Host = 4,
    Handles = 5,
}

/// Why an instance ended in TRAPPED. The texts are made when C asks for them: reading symbols and
/// demangling is work that a scheduler need not do for a death that nobody reads about.
pub struct Fault {
    kind: Kind,
    error: Option<wasmtime::Error>,
    symbols: Option<Arc<Symbols>>,
    text: String,
    cause: OnceCell<CString>,
    backtrace: OnceCell<Option<CString>>,
}

impl Fault {
    fn with(kind: Kind, error: Option<wasmtime::Error>, text: String) -> Fault {
        Fault {
            kind,
            error,
            symbols: None,
            text,
            cause: OnceCell::new(),
            backtrace: OnceCell::new(),
        }
    }

    pub fn from_text(kind: Kind, text: &str) -> Fault {
        Fault::with(kind, None, text.to_owned())
    }

    /// `starting`: the entry had not been reached yet.
    pub fn from_error(
        error: wasmtime::Error,
        starting: bool,
        symbols: Option<Arc<Symbols>>,
    ) -> Fault {
        let kind = classify(&error, starting);
        let fault = Fault::with(kind, Some(error), String::new());
        Fault { symbols, ..fault }
    }

    pub fn from_panic(payload: &(dyn Any + Send)) -> Fault {
        Fault::from_text(
            Kind::Host,
            &format!("the engine panicked: {}", panic_text(payload)),
        )
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One word for what it was: of the trap, or of what else ended it.
    pub fn word(&self) -> &'static CStr {
        let error = match self.kind {
            Kind::Trap => self.error.as_ref(),
            Kind::Start => return c"start",
            Kind::Pool => return c"pool",
            Kind::Stopped => return c"stopped",
            Kind::Host => return c"engine",
            Kind::Handles => return c"handles",
        };
        let trap = error.and_then(|error| error.downcast_ref::<Trap>());
        let stop = error.and_then(|error| error.downcast_ref::<Stop>());
        match (trap, stop) {
            (Some(trap), _) => trap_word(*trap),
            (None, Some(_)) => c"host-call",
            (None, None) => c"error",
        }
    }

    pub fn cause(&self) -> &CString {
        self.cause.get_or_init(|| match &self.error {
            Some(error) => c_text(&cause_text(error)),
            None => c_text(&one_line(&self.text)),
        })
    }

    pub fn backtrace(&self) -> Option<&CString> {
        let make = || {
            let trace = self.error.as_ref()?.downcast_ref::<WasmBacktrace>()?;
            let lines = || frame_lines(trace, self.symbols.as_deref());
            (!trace.frames().is_empty()).then(|| c_text(&lines()))
        };
        self.backtrace.get_or_init(make).as_ref()
    }
}

fn classify(error: &wasmtime::Error, starting: bool) -> Kind {
    if error.is::<PoolConcurrencyLimitError>() || crate::slots::take_refusal() {
        return Kind::Pool;
    }
    match error.downcast_ref::<Stop>() {
        Some(Stop::Trap(_)) => return Kind::Trap,
        Some(Stop::Stopped(_)) => return Kind::Stopped,
        Some(Stop::Broken(_)) => return Kind::Host,
        None => {}
    }
    if error.is::<wasmtime::OutOfMemory>() {
        return Kind::Host;
    }
    if is_handle_limit(error) {
        return Kind::Handles;
    }
    // A start function that faults is a fault of the guest; everything else that happens before
    // the entry means that the instance could not be made.
    if starting && !error.is::<Trap>() && !error.is::<WasmBacktrace>() {
        return Kind::Start;
    }
    Kind::Trap
}

/// The table of what lies behind handles is full, or that of the handles themselves, for which
/// Wasmtime has no type of error. A test of wasi.rs meets both.
fn is_handle_limit(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || error
            .root_cause()
            .to_string()
            .ends_with("store handle limit exceeded")
}

/// The traps of WebAssembly's core; of others, the cause says more.
fn trap_word(trap: Trap) -> &'static CStr {
    match trap {
        Trap::StackOverflow => c"stack-overflow",
        Trap::MemoryOutOfBounds => c"memory-out-of-bounds",
        Trap::HeapMisaligned => c"misaligned",
        Trap::TableOutOfBounds => c"table-out-of-bounds",
        Trap::IndirectCallToNull => c"indirect-call-to-null",
        Trap::BadSignature => c"bad-signature",
        Trap::IntegerOverflow => c"integer-overflow",
        Trap::IntegerDivisionByZero => c"division-by-zero",
        Trap::BadConversionToInteger => c"bad-conversion-to-integer",
        Trap::UnreachableCodeReached => c"unreachable",
        Trap::CannotEnterComponent => c"cannot-enter-component",
        _ => c"trap",
    }
}

/// The cause alone: what lies at the bottom, without the back-trace that Wasmtime puts on top.
fn cause_text(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return one_line(&trap.to_string());
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return one_line(&stop.to_string());
    }
    chain_text(error)
}

/// The beginning of what something says of itself. A back-trace repeats names of the guest.
fn head_of(value: &dyn fmt::Display) -> String {
    struct Head(String);
    impl fmt::Write for Head {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            let room = MAX_CAUSE - self.0.len();
            self.0.push_str(&more[..more.floor_char_boundary(room)]);
            if more.len() > room {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    let mut head = Head(String::new());
    let _ = fmt::write(&mut head, format_args!("{value}")); // an error: there was more of it
    head.0
}

/// All messages of an error from the outside in, in one line.
pub fn chain_text(error: &wasmtime::Error) -> String {
    let trace = error
        .downcast_ref::<WasmBacktrace>()
        .map(|trace| head_of(trace));
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = head_of(cause);
        if trace.as_ref() != Some(&text) && parts.last() != Some(&text) {
            parts.push(text);
        }
    }
    one_line(&parts.join(": "))
}

fn one_line(text: &str) -> String {
    text.split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// One line a frame, and one for each call that was inlined into it. What the source says of a place
/// is preferred to what the module says.
fn frame_lines(trace: &WasmBacktrace, symbols: Option<&Symbols>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (index, frame) in trace.frames().iter().enumerate() {
        let offset = frame.module_offset();
        let known = symbols
            .zip(offset)
            .map(|(symbols, offset)| symbols.find(offset));
        let mut known = known.unwrap_or_default().into_iter();
        let place = offset.map_or(String::new(), |offset| format!("{offset:#8x} - "));
        let shown = match known.next() {
            Some(known) => known.function.unwrap_or_else(|| own_name(frame)) + &known.source,
            None => own_name(frame),
        };
        lines.push(format!("{index}: {place}{shown}"));
        lines.extend(known.map(|place| {
            let name = place.function.as_deref().unwrap_or("(unknown)");
            format!("   inlined into {name}{}", place.source)
        }));
    }
    lines.join("\n")
}

fn own_name(frame: &wasmtime::FrameInfo) -> String {
    let module = frame.module().name().map(names::plain);
    let module = module.as_deref().unwrap_or("<unknown>");
    match frame.func_name() {
        Some(name) => format!("{module}!{}", names::function(name)),
        None => format!("{module}!<wasm function {}>", frame.func_index()),
    }
}

pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        return text;
    }
    payload
        .downcast_ref::<String>()
        .map_or("(no text)", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_one_line() {
        let error = wasmtime::Error::msg("inner\nsecond").context("outer");
        assert_eq!(chain_text(&error), "outer: inner; second");
        assert_eq!(one_line("\n a \n\n b \n"), "a; b");
    }

    #[test]
    fn zero_bytes_do_not_cut_a_text() {
        assert_eq!(c_text("a\0b").to_str(), Ok("a\u{fffd}b"));
    }
}
