// SPDX-License-Identifier: MIT
//! Compiled Wasm: a component or a core module, from bytes or from the cache.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{CodeBuilder, CodeHint, Engine as Wasmtime, ExternType, Module};

use crate::engine::Engine;
use crate::error::Failure;
use crate::imports;
use crate::symbols::Symbols;

pub enum Code {
    Component(Component),
    Module(Module),
}

impl Code {
    pub fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        match self {
            Code::Component(component) => component.serialize(),
            Code::Module(module) => module.serialize(),
        }
    }

    /// The same machine code once more, for another engine of the same settings.
    pub fn copy(&self, engine: &Wasmtime) -> wasmtime::Result<Code> {
        let bytes = self.serialize()?;
        // SAFETY: the bytes were made just now from code of this kind, and nobody else has seen them.
        unsafe {
            Ok(match self {
                Code::Component(_) => Code::Component(Component::deserialize(engine, bytes)?),
                Code::Module(_) => Code::Module(Module::deserialize(engine, bytes)?),
            })
        }
    }
}

/// `struct rusm_engine_artifact`.
pub struct Artifact {
    pub engine: Arc<Engine>,
    pub code: Code,
    /// What the guest brings along to name places in its source.
    pub symbols: Option<Arc<Symbols>>,
}

fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Code> {
    // As a text, nothing would be a valid module.
    wasmtime::ensure!(!wasm.is_empty(), "there are no bytes");
    let mut builder = CodeBuilder::new(&engine.wasmtime);
    builder.wasm_binary_or_text(wasm, None)?;
    // Bytes that are neither are given to the compiler for core modules, which says what is wrong.
    match builder.hint() {
        Some(CodeHint::Component) => Ok(Code::Component(builder.compile_component()?)),
        Some(CodeHint::Module) | None => Ok(Code::Module(builder.compile_module()?)),
    }
}

fn obtain(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<(Code, bool)> {
    let Some(cache) = engine.cache() else {
        return Ok((compile(engine, wasm)?, false));
    };
    let key = cache.key(wasm);
    if let Some(code) = cache.load(&key, &engine.wasmtime) {
        return Ok((code, true));
    }
    let code = compile(engine, wasm)?;
    cache.store(&key, &code);
    Ok((code, false))
}

impl Artifact {
    /// Compiles, or finds it in the cache; the second value tells which.
    pub fn new(engine: Arc<Engine>, wasm: &[u8]) -> Result<(Artifact, bool), Failure> {
        let (code, cached) = obtain(&engine, wasm).map_err(|error| Failure::guest(&error))?;
        let symbols = Symbols::new(wasm).map(Arc::new);
        let artifact = Artifact {
            engine,
            code,
            symbols,
        };
        Ok((artifact, cached))
    }

    /// Machine code and what belongs to it, as it lies in memory.
    pub fn code_bytes(&self) -> usize {
        let range = match &self.code {
            Code::Component(component) => component.image_range(),
            Code::Module(module) => module.image_range(),
        };
        (range.end as usize).saturating_sub(range.start as usize)
    }

    /// What else is kept of it: places in the source, for back-traces.
    pub fn symbol_bytes(&self) -> usize {
        self.symbols.as_ref().map_or(0, |symbols| symbols.bytes())
    }

    pub fn has_function(&self, name: &str) -> bool {
        match &self.code {
            Code::Component(component) => {
                let ty = component.component_type();
                let export = ty.get_export(&self.engine.wasmtime, name);
                matches!(
                    export.map(|item| item.ty),
                    Some(ComponentItem::ComponentFunc(_))
                )
            }
            Code::Module(module) => match module.get_export(name) {
                Some(ExternType::Func(ty)) => ty.params().len() == 0 && ty.results().len() == 0,
                _ => false,
            },
        }
    }

    pub fn imports(&self, interface: &str) -> bool {
        let Code::Component(component) = &self.code else {
            return false;
        };
        let ty = component.component_type();
        ty.imports(&self.engine.wasmtime)
            .any(|(name, _)| imports::is_same(name, interface))
    }

    pub fn has_instance(&self, prefix: &str) -> bool {
        let Code::Component(component) = &self.code else {
            return false;
        };
        let ty = component.component_type();
        ty.exports(&self.engine.wasmtime).any(|(name, item)| {
            name.starts_with(prefix) && matches!(item.ty, ComponentItem::ComponentInstance(_))
        })
    }
}
