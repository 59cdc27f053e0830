// SPDX-License-Identifier: MIT
//! Constants of scripts as values of Wasmtime, and whether a value is what a script expects.

use wasmtime::Val;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// Err: nothing that can be passed here, for want of the garbage collector.
pub fn value_of(arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else {
        return Err("no value of core Wasm".to_owned());
    };
    Ok(match arg {
        WastArgCore::I32(x) => Val::I32(*x),
        WastArgCore::I64(x) => Val::I64(*x),
        WastArgCore::F32(x) => Val::F32(x.bits),
        WastArgCore::F64(x) => Val::F64(x.bits),
        WastArgCore::V128(x) => Val::V128(u128::from_le_bytes(x.to_le_bytes()).into()),
        WastArgCore::RefNull(HeapType::Abstract { ty, .. }) => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => Val::FuncRef(None),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => Val::ExternRef(None),
            AbstractHeapType::Exn | AbstractHeapType::NoExn => Val::ExnRef(None),
            _ => Val::AnyRef(None),
        },
        other => return Err(format!("{other:?} cannot be made here")),
    })
}

fn is_f32(expected: &NanPattern<F32>, bits: u32) -> bool {
    match expected {
        NanPattern::Value(value) => value.bits == bits,
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
    }
}

fn is_f64(expected: &NanPattern<F64>, bits: u64) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match expected {
        NanPattern::Value(value) => value.bits == bits,
        NanPattern::CanonicalNan => bits & (u64::MAX >> 1) == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
    }
}

/// Lane `index` of `width` bits.
fn lane(value: u128, index: usize, width: usize) -> u64 {
    let mask = u128::MAX >> (128 - width);
    ((value >> (index * width)) & mask) as u64
}

fn is_v128(expected: &V128Pattern, value: u128) -> bool {
    let mut at = (0..).map(|index| index as usize);
    let mut next = |width| lane(value, at.next().unwrap_or(0), width);
    match expected {
        V128Pattern::I8x16(lanes) => lanes.iter().all(|x| *x as u8 as u64 == next(8)),
        V128Pattern::I16x8(lanes) => lanes.iter().all(|x| *x as u16 as u64 == next(16)),
        V128Pattern::I32x4(lanes) => lanes.iter().all(|x| *x as u32 as u64 == next(32)),
        V128Pattern::I64x2(lanes) => lanes.iter().all(|x| *x as u64 == next(64)),
        V128Pattern::F32x4(lanes) => lanes.iter().all(|x| is_f32(x, next(32) as u32)),
        V128Pattern::F64x2(lanes) => lanes.iter().all(|x| is_f64(x, next(64))),
    }
}

fn is_null(value: &Val) -> bool {
    matches!(
        value,
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None)
    )
}

fn is_core(expected: &WastRetCore<'_>, value: &Val) -> bool {
    match (expected, value) {
        (WastRetCore::Either(options), value) => options.iter().any(|one| is_core(one, value)),
        (WastRetCore::I32(x), Val::I32(y)) => x == y,
        (WastRetCore::I64(x), Val::I64(y)) => x == y,
        (WastRetCore::F32(x), Val::F32(y)) => is_f32(x, *y),
        (WastRetCore::F64(x), Val::F64(y)) => is_f64(x, *y),
        (WastRetCore::V128(x), Val::V128(y)) => is_v128(x, y.as_u128()),
        (WastRetCore::RefNull(_), value) => is_null(value),
        (WastRetCore::RefFunc(_), Val::FuncRef(function)) => function.is_some(),
        _ => false,
    }
}

pub fn is_expected(expected: &[WastRet<'_>], values: &[Val]) -> bool {
    expected.len() == values.len()
        && expected.iter().zip(values).all(|pair| match pair {
            (WastRet::Core(expected), value) => is_core(expected, value),
            _ => false,
        })
}
