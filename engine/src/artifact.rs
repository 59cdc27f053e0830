// SPDX-License-Identifier: MIT
//! Compiled Wasm: a component or a core module, from bytes or from the cache.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{CodeBuilder, CodeHint, ExternType, Module};

use crate::engine::Engine;
use crate::error::Failure;

pub enum Code {
    Component(Component),
    Module(Module),
}

/// `struct rusm_engine_artifact`.
pub struct Artifact {
    pub engine: Arc<Engine>,
    pub code: Code,
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

impl Artifact {
    /// Compiles, or finds it in the cache; the second value tells which.
    pub fn new(engine: Arc<Engine>, wasm: &[u8]) -> Result<(Artifact, bool), Failure> {
        let Some(cache) = engine.cache() else {
            let code = compile(&engine, wasm).map_err(|error| Failure::guest(&error))?;
            return Ok((Artifact { engine, code }, false));
        };
        let key = cache.key(wasm);
        if let Some(code) = cache.load(&key, &engine.wasmtime) {
            return Ok((Artifact { engine, code }, true));
        }
        let code = compile(&engine, wasm).map_err(|error| Failure::guest(&error))?;
        cache.store(&key, &code);
        Ok((Artifact { engine, code }, false))
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
