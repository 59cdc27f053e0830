// SPDX-License-Identifier: MIT
//! Everything about a guest that can be settled before it is spawned: its imports are resolved,
//! its entry is found and has the right type. At spawn no name is looked up any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};
use wasmtime::{ExternType, Module, ModuleExport};

use crate::artifact::{Artifact, Code};
use crate::engine::Engine;
use crate::error::{EGUEST, EINVAL, Failure};
use crate::imports;
use crate::instance::State;
use crate::symbols::Symbols;
use crate::wasi::{Grants, MAX_HANDLES};

/// `enum rusm_engine_entry`.
pub const ENTRY_FUNCTION: i32 = 0;
pub const ENTRY_COMMAND: i32 = 1;

/// What to instantiate and what to call in it.
pub enum Entry {
    Component {
        pre: wasmtime::component::InstancePre<State>,
        function: ComponentExportIndex,
    },
    Command {
        pre: wasmtime::component::InstancePre<State>,
        function: ComponentExportIndex,
    },
    Module {
        pre: wasmtime::InstancePre<State>,
        function: ModuleExport,
        /// What the calls of `rusm` reach the guest's memory by; not every guest has one.
        memory: Option<ModuleExport>,
    },
}

/// `struct rusm_engine_prepared`. Instances hold a reference, so C may free its own at any time.
pub struct Prepared {
    engine: Arc<Engine>,
    entry: Entry,
    /// What its entry was found by: kind and name.
    kind: i32,
    name: Box<str>,
    grants: Grants,
    symbols: Option<Arc<Symbols>>,
    /// 0: Wasmtime's default. Relaxed: it is set before the first instance is started.
    call_bytes: AtomicUsize,
    handles: AtomicU32,
}

impl Prepared {
    pub fn new(
        artifact: &Artifact,
        kind: i32,
        name: &str,
        grants: Grants,
    ) -> Result<Prepared, Failure> {
        let engine = artifact.engine.clone();
        Ok(Prepared {
            entry: find_entry(&engine, &artifact.code, kind, name)?,
            engine,
            kind,
            name: name.into(),
            grants,
            symbols: artifact.symbols.clone(),
            call_bytes: AtomicUsize::new(0),
            handles: AtomicU32::new(0),
        })
    }

    /// The same for another engine, with its own copy of the machine code: what runs there shares no
    /// count with what runs here.
    pub fn copy(&self, engine: Arc<Engine>) -> Result<Prepared, Failure> {
        let failed = |error: wasmtime::Error| Failure::engine(&error);
        let code = match &self.entry {
            Entry::Component { pre, .. } | Entry::Command { pre, .. } => {
                Code::Component(pre.component().clone())
            }
            Entry::Module { pre, .. } => Code::Module(pre.module().clone()),
        };
        let code = code.copy(&engine.wasmtime).map_err(failed)?;
        Ok(Prepared {
            entry: find_entry(&engine, &code, self.kind, &self.name)?,
            engine,
            kind: self.kind,
            name: self.name.clone(),
            grants: self.grants.clone(),
            symbols: self.symbols.clone(),
            call_bytes: AtomicUsize::new(self.call_bytes.load(Ordering::Relaxed)),
            handles: AtomicU32::new(self.handles.load(Ordering::Relaxed)),
        })
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The memory that a core module exports for its host calls.
    pub fn memory(&self) -> Option<&ModuleExport> {
        match &self.entry {
            Entry::Module { memory, .. } => memory.as_ref(),
            _ => None,
        }
    }

    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    pub fn symbols(&self) -> Option<Arc<Symbols>> {
        self.symbols.clone()
    }

    pub fn set_call_bytes(&self, bytes: usize) {
        self.call_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How much a guest may hand over in one host call, if that was set.
    pub fn call_bytes(&self) -> Option<usize> {
        let bytes = self.call_bytes.load(Ordering::Relaxed);
        (bytes != 0).then_some(bytes)
    }

    pub fn set_handles(&self, handles: u32) {
        self.handles.store(handles, Ordering::Relaxed);
    }

    /// Handles of WASI that a guest may hold.
    pub fn handles(&self) -> usize {
        match self.handles.load(Ordering::Relaxed) {
            0 => MAX_HANDLES,
            handles => handles as usize,
        }
    }
}

fn find_entry(engine: &Engine, code: &Code, kind: i32, name: &str) -> Result<Entry, Failure> {
    match code {
        Code::Component(component) => component_entry(engine, component, kind, name),
        Code::Module(module) => module_entry(engine, module, kind, name),
    }
}

fn refuse<T>(text: String) -> Result<T, Failure> {
    Err(Failure::new(EGUEST, text))
}

fn component_entry(
    engine: &Engine,
    component: &Component,
    kind: i32,
    name: &str,
) -> Result<Entry, Failure> {
    let function = match kind {
        ENTRY_FUNCTION => component_function(engine, component, name)?,
        ENTRY_COMMAND => component_command(engine, component)?,
        _ => return Err(Failure::new(EINVAL, "an unknown kind of entry")),
    };
    let pre = imports::resolve_component(engine, component)?;
    Ok(match kind {
        ENTRY_FUNCTION => Entry::Component { pre, function },
        _ => Entry::Command { pre, function },
    })
}

fn component_function(
    engine: &Engine,
    component: &Component,
    name: &str,
) -> Result<ComponentExportIndex, Failure> {
    let ty = component.component_type();
    let export = ty.get_export(&engine.wasmtime, name).map(|item| item.ty);
    let Some(ComponentItem::ComponentFunc(function)) = export else {
        return refuse(format!("component has no `{name}` export"));
    };
    if function.async_() || function.params().len() != 0 || function.results().len() != 0 {
        return refuse(format!(
            "the export `{name}` of the component has another type than an entry has: `func()`"
        ));
    }
    component
        .get_export_index(None, name)
        .ok_or_else(|| lost(name))
}

fn lost(name: &str) -> Failure {
    Failure::new(EGUEST, format!("the export `{name}` cannot be called"))
}

/// `wasi:cli/run` of any 0.2 version.
fn component_command(
    engine: &Engine,
    component: &Component,
) -> Result<ComponentExportIndex, Failure> {
    let ty = component.component_type();
    let mut exports = ty.exports(&engine.wasmtime);
    let run = exports.find_map(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) if name.starts_with("wasi:cli/run@0.2.") => {
            Some((name.to_owned(), instance))
        }
        _ => None,
    });
    let Some((interface, instance)) = run else {
        return refuse("component has no `wasi:cli/run` export".to_owned());
    };
    if !is_command(engine, &instance) {
        return refuse(format!(
            "the function `run` of the export `{interface}` has another type than a command has: \
             `func() -> result`"
        ));
    }
    let index = component.get_export_index(None, &*interface);
    let function = index.and_then(|index| component.get_export_index(Some(&index), "run"));
    function.ok_or_else(|| lost(&interface))
}

fn is_command(engine: &Engine, instance: &types::ComponentInstance) -> bool {
    let run = instance
        .get_export(&engine.wasmtime, "run")
        .map(|item| item.ty);
    let Some(ComponentItem::ComponentFunc(run)) = run else {
        return false;
    };
    let mut results = run.results();
    let plain = match (results.next(), results.next()) {
        (Some(types::Type::Result(result)), None) => {
            result.ok().is_none() && result.err().is_none()
        }
        _ => false,
    };
    plain && !run.async_() && run.params().len() == 0
}

fn module_entry(engine: &Engine, module: &Module, kind: i32, name: &str) -> Result<Entry, Failure> {
    let name = match kind {
        ENTRY_FUNCTION => name,
        ENTRY_COMMAND => "_start",
        _ => return Err(Failure::new(EINVAL, "an unknown kind of entry")),
    };
    let Some(ExternType::Func(ty)) = module.get_export(name) else {
        return refuse(format!("module has no `{name}` export"));
    };
    if ty.params().len() != 0 || ty.results().len() != 0 {
        return refuse(format!(
            "the export `{name}` of the module has another type than an entry has: `func()`"
        ));
    }
    let pre = imports::resolve_module(engine, module)?;
    let function = module.get_export_index(name).ok_or_else(|| lost(name))?;
    let memory = module.get_export_index("memory");
    Ok(Entry::Module {
        pre,
        function,
        memory,
    })
}
