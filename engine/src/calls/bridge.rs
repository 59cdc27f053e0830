// SPDX-License-Identifier: MIT
//! Bridges: interfaces that the host's program adds, whose types are known when an engine is made
//! and not when this library is compiled.
//!
//! Wasmtime's typed calls want a Rust type for each signature; its untyped ones make a vector of
//! every byte of a list. So there is one type of arguments for each number of flat values (0 to 16)
//! and one of answers for "a flat value" and "none, or in memory": what they stand for is read from
//! the guest's own type, which `check` has compared with the declared one before any call. Their
//! `typecheck` accepts whatever has that shape and consists of types that are known here, so even
//! without `check` no call could misread memory.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::task::Poll;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{
    ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, WasmList, WasmStr,
    types,
};
use wasmtime::{Engine, Result, StoreContextMut, ValRaw};

use super::shortcut::{Anchor, Opener, Shortcut};
use super::value::Owner;
use super::{Answer as Code, answer, unexpected};
use crate::error::{EINVAL, Failure, Stop};
use crate::host::{self, Value};
use crate::instance::{SharedRef, State};

type Store<'a> = StoreContextMut<'a, State>;

/// Parameters that are passed without a detour through memory.
const FLAT_MAX: usize = 16;

// ---- declarations ----

/// `struct rusm__bridge_function`.
#[repr(C)]
pub struct RawFunction {
    pub name: *const c_char,
    pub text: *const c_char,
    pub params: *const u32,
    pub param_count: usize,
    pub answer: u32,
    pub error: u32,
    pub is_result: u32,
    pub may_wait: u32,
    pub function: *const c_void,
}

/// `struct rusm__bridge_interface`.
#[repr(C)]
pub struct RawInterface {
    pub name: *const c_char,
    pub functions: *const RawFunction,
    pub function_count: usize,
    pub grant: *const c_char,
}

/// What C calls a function by.
#[derive(Clone, Copy)]
struct Handle(*const c_void);

// SAFETY: only C looks behind it, and C says that any thread may call.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

struct Function {
    name: String,
    text: String,
    params: Vec<u32>,
    answer: u32,
    error: u32,
    is_result: bool,
    may_wait: bool,
    handle: Handle,
}

/// An interface with its functions.
pub struct Interface {
    pub name: String,
    functions: Vec<Function>,
}

/// # Safety
/// `text` is a C string.
unsafe fn owned(text: *const c_char) -> Result<String, Failure> {
    // SAFETY: the contract above.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str();
    Ok(text
        .map_err(|_| Failure::new(EINVAL, "a text of a bridge is not UTF-8"))?
        .to_owned())
}

/// # Safety
/// The array and what it points to are as the header says; they are only read during the call.
pub unsafe fn read(
    interfaces: *const RawInterface,
    count: usize,
) -> Result<Vec<Interface>, Failure> {
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the contract above.
        let raw = unsafe { &*interfaces.add(index) };
        let mut functions = Vec::with_capacity(raw.function_count);
        for index in 0..raw.function_count {
            // SAFETY: as above.
            functions.push(unsafe { read_function(&*raw.functions.add(index))? });
        }
        all.push(Interface {
            // SAFETY: as above.
            name: unsafe { owned(raw.name)? },
            functions,
        });
    }
    Ok(all)
}

/// # Safety
/// As for `read`.
unsafe fn read_function(raw: &RawFunction) -> Result<Function, Failure> {
    let params = (0..raw.param_count)
        // SAFETY: as for `read`.
        .map(|index| unsafe { raw.params.add(index).read() })
        .collect();
    Ok(Function {
        // SAFETY: as for `read`.
        name: unsafe { owned(raw.name)? },
        // SAFETY: as for `read`.
        text: unsafe { owned(raw.text)? },
        params,
        answer: raw.answer,
        error: raw.error,
        is_result: raw.is_result != 0,
        may_wait: raw.may_wait != 0,
        handle: Handle(raw.function),
    })
}

/// How many core values a type becomes.
fn flat(ty: u32) -> usize {
    match ty {
        host::TYPE_NONE => 0,
        host::TYPE_STRING | host::TYPE_BYTES => 2,
        _ => 1,
    }
}

impl Function {
    fn flat_params(&self) -> usize {
        self.params.iter().map(|ty| flat(*ty)).sum()
    }

    /// Is the answer one core value? Else it is none, or goes through memory.
    fn answers_flat(&self) -> bool {
        let payload = flat(self.answer).max(flat(self.error));
        usize::from(self.is_result) + payload == 1
    }

    /// Does the guest mean the same?
    fn fits(&self, guest: &types::ComponentFunc) -> bool {
        let params: Vec<u32> = guest.params().map(|(_, ty)| plain_type(&ty)).collect();
        let mut results = guest.results();
        let answers = match (results.next(), results.next()) {
            (None, _) => !self.is_result && self.answer == host::TYPE_NONE,
            (Some(types::Type::Result(result)), None) => {
                let side =
                    |ty: Option<types::Type>| ty.map_or(host::TYPE_NONE, |ty| plain_type(&ty));
                self.is_result
                    && side(result.ok()) == self.answer
                    && side(result.err()) == self.error
            }
            (Some(ty), None) => !self.is_result && plain_type(&ty) == self.answer,
            _ => false,
        };
        !guest.async_() && answers && params == self.params
    }
}

/// The number of a type; one that nothing declares for all others.
fn plain_type(ty: &types::Type) -> u32 {
    match ty {
        types::Type::Bool => host::TYPE_BOOL,
        types::Type::U8 => host::TYPE_U8,
        types::Type::U16 => host::TYPE_U16,
        types::Type::U32 => host::TYPE_U32,
        types::Type::U64 => host::TYPE_U64,
        types::Type::S8 => host::TYPE_S8,
        types::Type::S16 => host::TYPE_S16,
        types::Type::S32 => host::TYPE_S32,
        types::Type::S64 => host::TYPE_S64,
        types::Type::Float32 => host::TYPE_F32,
        types::Type::Float64 => host::TYPE_F64,
        types::Type::Char => host::TYPE_CHAR,
        types::Type::String => host::TYPE_STRING,
        types::Type::List(list) if matches!(list.ty(), types::Type::U8) => host::TYPE_BYTES,
        _ => u32::MAX,
    }
}

/// Compare what a guest imports of an interface with what is declared: the first function with
/// another type, as a text. Functions that are not declared are for the linker to miss.
pub fn check(
    interface: &Interface,
    engine: &Engine,
    guest: &types::ComponentInstance,
) -> Option<String> {
    interface.functions.iter().find_map(|function| {
        let item = guest.get_export(engine, &function.name)?.ty;
        let fits = match item {
            types::ComponentItem::ComponentFunc(ty) => function.fits(&ty),
            _ => false,
        };
        (!fits).then(|| {
            format!(
                "the import {} {} has another type than this host offers: `{}`",
                interface.name, function.name, function.text
            )
        })
    })
}

// ---- arguments ----

/// One argument, still in the guest where it is long.
#[derive(Clone, Copy)]
enum Arg {
    Plain(Value),
    Text(usize),
    Bytes(usize),
}

/// `N` core values, read as the guest's type says.
pub struct Args<const N: usize> {
    args: [Arg; N],
    count: usize,
    texts: Vec<WasmStr>,
    lists: Vec<WasmList<u8>>,
}

const NOTHING: Value = Value::number(host::TYPE_NONE, 0);

fn tuple<'a>(ty: &InterfaceType, types: &'a ComponentTypes) -> Result<&'a [InterfaceType]> {
    match ty {
        InterfaceType::Tuple(index) => Ok(&types[*index].types),
        _ => Err(Stop::Broken("the parameters of a call are no tuple".to_owned()).into()),
    }
}

fn is_bytes(ty: &InterfaceType, types: &ComponentTypes) -> bool {
    match ty {
        InterfaceType::List(index) => matches!(types[*index].element, InterfaceType::U8),
        _ => false,
    }
}

fn is_plain(ty: &InterfaceType, types: &ComponentTypes) -> bool {
    matches!(
        ty,
        InterfaceType::Bool
            | InterfaceType::U8
            | InterfaceType::U16
            | InterfaceType::U32
            | InterfaceType::U64
            | InterfaceType::S8
            | InterfaceType::S16
            | InterfaceType::S32
            | InterfaceType::S64
            | InterfaceType::Float32
            | InterfaceType::Float64
            | InterfaceType::Char
            | InterfaceType::String
    ) || is_bytes(ty, types)
}

fn is_answer(ty: &InterfaceType, types: &ComponentTypes) -> bool {
    match ty {
        InterfaceType::Result(index) => {
            let result = &types[*index];
            let side = |ty: &Option<InterfaceType>| ty.is_none_or(|ty| is_plain(&ty, types));
            side(&result.ok) && side(&result.err)
        }
        _ => is_plain(ty, types),
    }
}

/// The core values of a list of types; `None`: too many to be flat.
fn flat_of(list: &[InterfaceType], types: &ComponentTypes, most: usize) -> Option<usize> {
    let counts = list
        .iter()
        .map(|ty| types.canonical_abi(ty).flat_count.map(usize::from));
    let sum: usize = counts.sum::<Option<usize>>()?;
    (sum <= most).then_some(sum)
}

// SAFETY: `Lower` is an array of ValRaw of the length that `typecheck` demands. Memory is never
// used: what does not fit into N values is refused, and N is at most FLAT_MAX.
unsafe impl<const N: usize> ComponentType for Args<N> {
    type Lower = [ValRaw; N];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let list = tuple(ty, types.types)?;
        let plain = list.iter().all(|ty| is_plain(ty, types.types));
        let fits = flat_of(list, types.types, FLAT_MAX) == Some(N);
        wasmtime::ensure!(plain && fits, "the function has other parameters");
        Ok(())
    }
}

// SAFETY: it stands for a list of parameters and checks that it gets one.
unsafe impl<const N: usize> ComponentNamedList for Args<N> {}

/// Lift a plain value of the Rust type from one core value.
macro_rules! lifted {
    ($cx:expr, $ty:expr, $raw:expr, $rust:ty) => {
        <$rust as Lift>::linear_lift_from_flat($cx, $ty, $raw)?
    };
}

// SAFETY: every value is lifted by Wasmtime's implementation for the guest's own type.
unsafe impl<const N: usize> Lift for Args<N> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &[ValRaw; N],
    ) -> Result<Self> {
        let types = cx.types;
        let mut lifted = Args {
            args: [Arg::Plain(NOTHING); N],
            count: 0,
            texts: Vec::new(),
            lists: Vec::new(),
        };
        let mut rest: &[ValRaw] = src;
        for ty in tuple(&ty, types)? {
            let short = || Stop::Broken("a call has too few values".to_owned());
            let (raw, after) = rest.split_first().ok_or_else(short)?;
            rest = after;
            let arg = match ty {
                InterfaceType::String | InterfaceType::List(_) => {
                    let (len, after) = rest.split_first().ok_or_else(short)?;
                    rest = after;
                    let pair = [*raw, *len];
                    if matches!(ty, InterfaceType::String) {
                        lifted.texts.push(lifted!(cx, *ty, &pair, WasmStr));
                        Arg::Text(lifted.texts.len() - 1)
                    } else {
                        lifted.lists.push(lifted!(cx, *ty, &pair, WasmList<u8>));
                        Arg::Bytes(lifted.lists.len() - 1)
                    }
                }
                _ => Arg::Plain(lift_plain(cx, *ty, raw)?),
            };
            // As many arguments as types, of which each takes a value or two: never more than N.
            lifted.args[lifted.count] = arg;
            lifted.count += 1;
        }
        Ok(lifted)
    }

    fn linear_lift_from_memory(
        _: &mut LiftContext<'_>,
        _: InterfaceType,
        _: &[u8],
    ) -> Result<Self> {
        Err(Stop::Broken("parameters of a bridge in memory".to_owned()).into())
    }
}

fn lift_plain(cx: &mut LiftContext<'_>, ty: InterfaceType, raw: &ValRaw) -> Result<Value> {
    let signed = |ty: u32, number: i64| Value::number(ty, number.cast_unsigned());
    Ok(match ty {
        InterfaceType::Bool => Value::number(host::TYPE_BOOL, lifted!(cx, ty, raw, bool).into()),
        InterfaceType::U8 => Value::number(host::TYPE_U8, lifted!(cx, ty, raw, u8).into()),
        InterfaceType::U16 => Value::number(host::TYPE_U16, lifted!(cx, ty, raw, u16).into()),
        InterfaceType::U32 => Value::number(host::TYPE_U32, lifted!(cx, ty, raw, u32).into()),
        InterfaceType::U64 => Value::number(host::TYPE_U64, lifted!(cx, ty, raw, u64)),
        InterfaceType::S8 => signed(host::TYPE_S8, lifted!(cx, ty, raw, i8).into()),
        InterfaceType::S16 => signed(host::TYPE_S16, lifted!(cx, ty, raw, i16).into()),
        InterfaceType::S32 => signed(host::TYPE_S32, lifted!(cx, ty, raw, i32).into()),
        InterfaceType::S64 => signed(host::TYPE_S64, lifted!(cx, ty, raw, i64)),
        InterfaceType::Float32 => {
            Value::number(host::TYPE_F32, lifted!(cx, ty, raw, f32).to_bits().into())
        }
        InterfaceType::Float64 => {
            Value::number(host::TYPE_F64, lifted!(cx, ty, raw, f64).to_bits())
        }
        InterfaceType::Char => Value::number(host::TYPE_CHAR, lifted!(cx, ty, raw, char).into()),
        _ => return Err(Stop::Broken("a parameter of an unknown type".to_owned()).into()),
    })
}

impl<const N: usize> Args<N> {
    /// Let C see them. Texts in UTF-16 are made UTF-8 first and live until `call` is done.
    fn with<R>(&self, store: &Store<'_>, call: impl FnOnce(*const Value) -> R) -> Result<R> {
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        for text in &self.texts {
            texts.push(text.to_str(store)?);
        }
        let mut values = [NOTHING; N];
        for (value, arg) in values.iter_mut().zip(&self.args[..self.count]) {
            *value = match arg {
                Arg::Plain(value) => *value,
                Arg::Text(index) => Value::bytes(host::TYPE_STRING, texts[*index].as_bytes()),
                Arg::Bytes(index) => {
                    Value::bytes(host::TYPE_BYTES, self.lists[*index].as_le_slice(store))
                }
            };
        }
        Ok(call(values.as_ptr()))
    }
}

// ---- answers ----

/// `N` is 1 for an answer of one core value, 0 for none and for one that goes through memory.
pub struct Answer<const N: usize> {
    value: Value,
    _owner: Owner,
    /// Set if the function may have a shortcut.
    opener: Option<(SharedRef, Opener)>,
}

// SAFETY: an instance is used by one thread at a time, and an answer never leaves it.
unsafe impl<const N: usize> Send for Answer<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Answer<N> {}

// SAFETY: `Lower` is an array of ValRaw, of length 1 exactly when `typecheck` saw one flat value.
// With more than one, Wasmtime lowers to memory and does not look at it.
unsafe impl<const N: usize> ComponentType for Answer<N> {
    type Lower = [ValRaw; N];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let list = tuple(ty, types.types)?;
        let known = list.len() <= 1 && list.iter().all(|ty| is_answer(ty, types.types));
        let fits = flat_of(list, types.types, 1).unwrap_or(0) == N;
        wasmtime::ensure!(known && fits, "the function has another answer");
        Ok(())
    }
}

// SAFETY: it stands for a list of results and checks that it gets one.
unsafe impl<const N: usize> ComponentNamedList for Answer<N> {}

/// The number of a type that is one core value.
fn number_type(ty: InterfaceType) -> Option<u32> {
    Some(match ty {
        InterfaceType::Bool => host::TYPE_BOOL,
        InterfaceType::U8 => host::TYPE_U8,
        InterfaceType::U16 => host::TYPE_U16,
        InterfaceType::U32 => host::TYPE_U32,
        InterfaceType::U64 => host::TYPE_U64,
        InterfaceType::S8 => host::TYPE_S8,
        InterfaceType::S16 => host::TYPE_S16,
        InterfaceType::S32 => host::TYPE_S32,
        InterfaceType::S64 => host::TYPE_S64,
        InterfaceType::Float32 => host::TYPE_F32,
        InterfaceType::Float64 => host::TYPE_F64,
        InterfaceType::Char => host::TYPE_CHAR,
        _ => return None,
    })
}

/// Numbers that are their core value, bit for bit. Asked first: it is a test of one bit, where the
/// others take a jump through a table.
#[inline(always)]
const fn is_wide(ty: u32) -> bool {
    matches!(ty, host::TYPE_U64 | host::TYPE_S64 | host::TYPE_F64)
}

/// A number of C as the 64 bits of a core value. No ValRaw on the way: reading back its 16 bytes
/// right after 8 of them were written makes the processor wait.
#[inline(always)]
fn core_bits(value: &Value) -> Result<u64> {
    let bits = value.bits();
    if is_wide(value.ty) {
        return Ok(bits);
    }
    let signed = |number: i32| u64::from(number.cast_unsigned());
    Ok(match value.ty {
        host::TYPE_BOOL => u64::from(bits != 0),
        host::TYPE_U8 => u64::from(bits as u8),
        host::TYPE_U16 => u64::from(bits as u16),
        host::TYPE_U32 | host::TYPE_S32 | host::TYPE_F32 => u64::from(bits as u32),
        host::TYPE_S8 => signed(i32::from(bits as i8)),
        host::TYPE_S16 => signed(i32::from(bits as i16)),
        host::TYPE_CHAR => u64::from(scalar(bits)?),
        _ => return wrong_answer(),
    })
}

/// Lower a plain value to memory as the Rust type.
macro_rules! lowered {
    ($cx:expr, $ty:expr, $offset:expr, $value:expr) => {
        $value.linear_lower_to_memory($cx, $ty, $offset)
    };
}

fn scalar(bits: u64) -> Result<char> {
    let scalar = u32::try_from(bits).ok().and_then(char::from_u32);
    scalar.ok_or_else(|| Stop::Broken("a bridge answered with no character".to_owned()).into())
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| {
        Stop::Broken("a bridge answered with a text that is not UTF-8".to_owned()).into()
    })
}

fn wrong_answer<T>() -> Result<T> {
    Err(Stop::Broken("a bridge answered with another type than it declared".to_owned()).into())
}

impl<const N: usize> Answer<N> {
    /// One core value.
    fn flat(&self, ty: InterfaceType) -> Result<ValRaw> {
        let fits = match (ty, self.value.ty) {
            // Both sides are empty: only which one it is counts.
            (InterfaceType::Result(_), host::TYPE_NONE) => {
                return Ok(ValRaw::u32(u32::from(self.value.is_error != 0)));
            }
            (ty, answered) => number_type(ty) == Some(answered),
        };
        if !fits {
            return wrong_answer();
        }
        Ok(ValRaw::u64(core_bits(&self.value)?))
    }

    fn plain_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        let (value, bits) = (&self.value, self.value.bits());
        match (ty, value.ty) {
            (InterfaceType::Bool, host::TYPE_BOOL) => lowered!(cx, ty, offset, (bits != 0)),
            (InterfaceType::U8, host::TYPE_U8) => lowered!(cx, ty, offset, (bits as u8)),
            (InterfaceType::U16, host::TYPE_U16) => lowered!(cx, ty, offset, (bits as u16)),
            (InterfaceType::U32, host::TYPE_U32) => lowered!(cx, ty, offset, (bits as u32)),
            (InterfaceType::U64, host::TYPE_U64) => lowered!(cx, ty, offset, bits),
            (InterfaceType::S8, host::TYPE_S8) => lowered!(cx, ty, offset, (bits as i8)),
            (InterfaceType::S16, host::TYPE_S16) => lowered!(cx, ty, offset, (bits as i16)),
            (InterfaceType::S32, host::TYPE_S32) => lowered!(cx, ty, offset, (bits as i32)),
            (InterfaceType::S64, host::TYPE_S64) => lowered!(cx, ty, offset, bits.cast_signed()),
            (InterfaceType::Float32, host::TYPE_F32) => {
                lowered!(cx, ty, offset, f32::from_bits(bits as u32))
            }
            (InterfaceType::Float64, host::TYPE_F64) => {
                lowered!(cx, ty, offset, f64::from_bits(bits))
            }
            (InterfaceType::Char, host::TYPE_CHAR) => lowered!(cx, ty, offset, scalar(bits)?),
            (InterfaceType::String, host::TYPE_STRING) => {
                // SAFETY: the bytes are C's until the owner, held here, is released.
                lowered!(cx, ty, offset, text(unsafe { value.slice() })?)
            }
            (InterfaceType::List(_), host::TYPE_BYTES) => {
                // SAFETY: the bytes are C's until the owner, held here, is released.
                lowered!(cx, ty, offset, unsafe { value.slice() })
            }
            _ => wrong_answer(),
        }
    }

    fn to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        let InterfaceType::Result(index) = ty else {
            return self.plain_to_memory(cx, ty, offset);
        };
        let result = &cx.types[index];
        let (payload, place) = (
            match self.value.is_error {
                0 => result.ok,
                _ => result.err,
            },
            offset + result.info.payload_offset32 as usize,
        );
        *cx.get::<1>(offset) = [u8::from(self.value.is_error != 0)];
        match payload {
            Some(ty) => self.plain_to_memory(cx, ty, place),
            None if self.value.ty == host::TYPE_NONE => Ok(()),
            None => wrong_answer(),
        }
    }
}

// SAFETY: what is written has the type that the guest gave; sizes are those of Wasmtime's own
// implementations for it.
unsafe impl<const N: usize> Lower for Answer<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        if let Some((shared, opener)) = &self.opener {
            opener.look(cx, *shared);
        }
        let types = cx.types;
        let Some(ty) = tuple(&ty, types)?.first() else {
            return Ok(());
        };
        let raw = self.flat(*ty)?;
        dst.write([raw; N]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        let types = cx.types;
        match tuple(&ty, types)?.first() {
            Some(ty) => self.to_memory(cx, *ty, offset),
            None => Ok(()),
        }
    }
}

// ---- calls ----

fn take<const R: usize>(
    shared: SharedRef,
    code: u32,
    call: &str,
    value: Value,
    owner: *mut c_void,
) -> Result<Option<Answer<R>>, Stop> {
    // Also when the call failed: what C handed out is released.
    let owner = Owner::new(shared.host(), owner);
    match answer(&shared, code, call)? {
        Code::Ok => Ok(Some(Answer {
            value,
            _owner: owner,
            opener: None,
        })),
        Code::Pending => Ok(None),
        Code::None => Err(unexpected(call)),
    }
}

/// `None`: the answer comes later.
fn call<const N: usize, const R: usize>(
    store: &Store<'_>,
    handle: Handle,
    args: &Args<N>,
) -> Result<Option<Answer<R>>> {
    let shared = super::shared(store);
    let (mut value, mut owner) = (NOTHING, std::ptr::null_mut());
    if let Some(code) = shared.shortcuts().take_early() {
        return Ok(take(shared, code, "bridge_call", value, owner)?);
    }
    let code = args.with(store, |args| {
        // SAFETY: the guest is the one of this store; the values are as many as the function was
        // declared with, which `check` has seen; the outputs are valid for writes.
        unsafe {
            (shared.host().bridge_call)(shared.guest(), handle.0, args, &mut value, &mut owner)
        }
    })?;
    Ok(take(shared, code, "bridge_call", value, owner)?)
}

fn poll<const R: usize>(shared: SharedRef) -> Poll<Result<Answer<R>>> {
    if let Err(stop) = shared.check_stop() {
        return Poll::Ready(Err(stop.into()));
    }
    let (mut value, mut owner) = (NOTHING, std::ptr::null_mut());
    // SAFETY: as above.
    let code = unsafe { (shared.host().bridge_poll)(shared.guest(), &mut value, &mut owner) };
    match take(shared, code, "bridge_poll", value, owner) {
        Ok(Some(answer)) => Poll::Ready(Ok(answer)),
        Ok(None) => {
            shared.set_waiting();
            Poll::Pending
        }
        Err(stop) => Poll::Ready(Err(stop.into())),
    }
}

// ---- shortcuts ----

/// A function that never waits and has numbers only. Its shortcut reads them by these types.
struct Numbers {
    handle: Handle,
    params: [u32; FLAT_MAX],
    count: usize,
    answer: u32,
}

impl Numbers {
    /// An answer that is a character is checked, and the check may fail: no shortcut for it.
    fn of(function: &Function) -> Option<Numbers> {
        let is_number = |ty: &u32| (host::TYPE_BOOL..=host::TYPE_CHAR).contains(ty);
        let plain = function.params.iter().all(is_number) && function.params.len() <= FLAT_MAX;
        let answers = (host::TYPE_NONE..host::TYPE_CHAR).contains(&function.answer);
        if function.may_wait || function.is_result || !plain || !answers {
            return None;
        }
        let mut params = [host::TYPE_NONE; FLAT_MAX];
        params[..function.params.len()].copy_from_slice(&function.params);
        Some(Numbers {
            handle: function.handle,
            params,
            count: function.params.len(),
            answer: function.answer,
        })
    }
}

/// A core value of the guest as the number that it stands for.
#[inline(always)]
fn number(ty: u32, raw: ValRaw) -> Option<Value> {
    if is_wide(ty) {
        return Some(Value::number(ty, raw.get_u64()));
    }
    let signed = |number: i64| number.cast_unsigned();
    let bits = match ty {
        host::TYPE_BOOL => u64::from(raw.get_u32() != 0),
        host::TYPE_U8 => u64::from(raw.get_u32() as u8),
        host::TYPE_U16 => u64::from(raw.get_u32() as u16),
        host::TYPE_U32 => u64::from(raw.get_u32()),
        host::TYPE_S8 => signed(i64::from(raw.get_u32() as i8)),
        host::TYPE_S16 => signed(i64::from(raw.get_u32() as i16)),
        host::TYPE_S32 => signed(i64::from(raw.get_i32())),
        host::TYPE_F32 => u64::from(raw.get_f32()),
        host::TYPE_CHAR => u64::from(u32::from(char::from_u32(raw.get_u32())?)),
        _ => return None,
    };
    Some(Value::number(ty, bits))
}

/// # Safety
/// Called by compiled code, for an entry of a function of `Numbers` that a shortcut has replaced.
unsafe extern "C" fn call_at_once(
    context: *mut c_void,
    data: *mut c_void,
    ty: u32,
    options: u32,
    values: *mut ValRaw,
    count: usize,
) -> bool {
    // SAFETY: the contract above.
    let shortcut = unsafe { Shortcut::of(data) };
    // SAFETY: `add_numbers` captures nothing else.
    let function = unsafe { shortcut.captured::<Numbers>() };
    let mut args = [const { MaybeUninit::<Value>::uninit() }; FLAT_MAX];
    let mut known = true;
    for (index, ty) in function.params[..function.count].iter().enumerate() {
        // SAFETY: a core value for each parameter.
        match number(*ty, unsafe { values.add(index).read() }) {
            Some(value) => _ = args[index].write(value),
            None => known = false,
        }
    }
    // SAFETY: the arguments are those of this call; if all are known, all are written.
    unsafe {
        (known && answer_at_once(shortcut, function, args.as_ptr().cast(), values))
            || shortcut.hand_on(context, ty, options, values, count)
    }
}

/// # Safety
/// `args` are those of the function; an answer may be written to `values`.
unsafe fn answer_at_once(
    shortcut: &Shortcut,
    function: &Numbers,
    args: *const Value,
    values: *mut ValRaw,
) -> bool {
    let (mut value, mut owner) = (NOTHING, std::ptr::null_mut());
    let answered = shortcut.call(|shared| {
        let (host, guest) = (shared.host(), shared.guest());
        // SAFETY: as in `call`.
        let code =
            unsafe { (host.bridge_call)(guest, function.handle.0, args, &mut value, &mut owner) };
        drop(Owner::new(host, owner));
        match code {
            // C has seen to it; an answer that cannot be is told as one.
            host::CALL_OK if value.ty != function.answer => host::CALL_NONE,
            code => code,
        }
    });
    if answered
        && value.ty != host::TYPE_NONE
        && let Ok(bits) = core_bits(&value)
    {
        // SAFETY: a function with an answer has room for it, which begins with its bits.
        unsafe { values.cast::<u64>().write(bits.to_le()) };
    }
    answered
}

/// The closure captures `numbers` and nothing else, which is what its shortcut relies on.
fn add_numbers<const N: usize, const R: usize>(
    interface: &mut LinkerInstance<'_, State>,
    name: &str,
    numbers: Numbers,
) -> Result<()> {
    interface.func_wrap(
        name,
        move |store: Store<'_>, args: Args<N>| -> Result<Answer<R>> {
            let numbers = &numbers;
            let opener = Opener {
                anchor: Anchor::of(numbers),
                callee: call_at_once,
            };
            let mut answer =
                call(&store, numbers.handle, &args)?.ok_or_else(|| unexpected("bridge_call"))?;
            answer.opener = Some((super::shared(&store), opener));
            Ok(answer)
        },
    )
}

fn add_function<const N: usize, const R: usize>(
    interface: &mut LinkerInstance<'_, State>,
    function: &Function,
) -> Result<()> {
    let handle = function.handle;
    if let Some(numbers) = Numbers::of(function) {
        return add_numbers::<N, R>(interface, &function.name, numbers);
    }
    if !function.may_wait {
        return interface.func_wrap(
            &function.name,
            move |store: Store<'_>, args: Args<N>| -> Result<Answer<R>> {
                call(&store, handle, &args)?.ok_or_else(|| unexpected("bridge_call").into())
            },
        );
    }
    interface.func_wrap_async(&function.name, move |store: Store<'_>, args: Args<N>| {
        let shared = super::shared(&store);
        let mut begun = Some(call::<N, R>(&store, handle, &args));
        Box::new(poll_fn(move |_| match begun.take() {
            Some(Ok(Some(answer))) => Poll::Ready(Ok(answer)),
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(None)) | None => poll(shared),
        }))
    })
}

/// Choose the type of the arguments by their number of core values.
macro_rules! add_shaped {
    ($interface:expr, $function:expr, $($n:literal)*) => {
        match ($function.flat_params(), $function.answers_flat()) {
            $(
                ($n, false) => add_function::<$n, 0>($interface, $function),
                ($n, true) => add_function::<$n, 1>($interface, $function),
            )*
            _ => Err(wasmtime::Error::msg("more parameters than a bridge can have")),
        }
    };
}

pub fn add_to_linker(linker: &mut Linker<State>, interfaces: &[Interface]) -> Result<()> {
    for declared in interfaces {
        let mut interface = linker.instance(&declared.name)?;
        for function in &declared.functions {
            add_shaped!(&mut interface, function, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)?;
        }
    }
    Ok(())
}
