// SPDX-License-Identifier: MIT
//! One script: its directives in order, each with its own outcome. A directive that fails does not
//! end the script; what builds on it fails in turn.

use std::collections::HashMap;
use std::fmt;

use wasmtime::{Extern, Instance, Linker, Module, Store, Val};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

use crate::set_up::{Limits, SetUp};
use crate::spectest;
use crate::values::{is_expected, value_of};

pub struct Outcome {
    pub line: usize,
    failure: Option<String>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.failure.as_deref().unwrap_or("passed"))
    }
}

/// Why a directive failed.
type Verdict = Result<(), String>;

/// What running something came to: its values, or how it trapped.
type Ran = Result<Vec<Val>, wasmtime::Error>;

struct Script<'s> {
    set_up: &'s SetUp,
    store: Store<Limits>,
    linker: Linker<Limits>,
    definitions: HashMap<Option<String>, Module>,
    instances: HashMap<String, Instance>,
    current: Option<Instance>,
}

pub fn run(set_up: &SetUp, name: &str, text: &str) -> Vec<Outcome> {
    let whole = |error: &dyn fmt::Display| {
        let failure = Some(format!("{name} cannot be read: {error}"));
        vec![Outcome { line: 0, failure }]
    };
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => return whole(&error),
    };
    let wast = match parser::parse::<Wast>(&buffer) {
        Ok(wast) => wast,
        Err(error) => return whole(&error),
    };
    match Script::new(set_up) {
        Ok(script) => script.run(text, wast),
        Err(error) => whole(&error),
    }
}

fn text_of(error: wasmtime::Error) -> String {
    format!("{error:?}")
}

/// Wasmtime names some traps in its own words.
fn is_same_trap(expected: &str, actual: &str) -> bool {
    let null = ["uninitialized element", "null reference"];
    let names_null = expected.contains("null ") || expected.contains("uninitialized element");
    actual.contains(expected) || names_null && null.iter().any(|text| actual.contains(text))
}

fn expect_trap(ran: Ran, message: &str) -> Verdict {
    match ran.map_err(text_of) {
        Ok(values) => Err(format!("no trap but {values:?}")),
        Err(text) if is_same_trap(message, &text) => Ok(()),
        Err(text) => Err(format!("instead of {message}: {text}")),
    }
}

fn key(id: &Option<Id<'_>>) -> Option<String> {
    id.map(|id| id.name().to_owned())
}

impl<'s> Script<'s> {
    fn new(set_up: &'s SetUp) -> wasmtime::Result<Script<'s>> {
        let mut store = set_up.store();
        let mut linker = Linker::new(&set_up.engine);
        linker.allow_shadowing(true);
        spectest::add(&mut linker, &mut store)?;
        Ok(Script {
            set_up,
            store,
            linker,
            definitions: HashMap::new(),
            instances: HashMap::new(),
            current: None,
        })
    }

    fn run(mut self, text: &str, wast: Wast<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for directive in wast.directives {
            let line = directive.span().linecol_in(text).0 + 1;
            let failure = self.judge(directive).err();
            outcomes.push(Outcome { line, failure });
        }
        outcomes
    }

    fn judge(&mut self, directive: WastDirective<'_>) -> Verdict {
        match directive {
            WastDirective::Module(mut module) => {
                let name = key(&module.name());
                self.current = None;
                let module = self.compile(&mut module)?;
                self.define(name, &module)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = key(&module.name());
                let module = self.compile(&mut module)?;
                self.definitions.insert(name, module);
                Ok(())
            }
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let module = self.definitions.get(&key(&module)).cloned();
                self.define(key(&instance), &module.ok_or("no such definition")?)
            }
            WastDirective::AssertMalformed { mut module, .. }
            | WastDirective::AssertInvalid { mut module, .. } => match self.compile(&mut module) {
                Ok(_) => Err("it is taken".to_owned()),
                Err(_) => Ok(()),
            },
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(&module)?;
                let linked = self.linker.instance(&mut self.store, name, instance);
                linked.map(drop).map_err(text_of)
            }
            WastDirective::Invoke(invoke) => self.invoke(&invoke)?.map(drop).map_err(text_of),
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?.map_err(text_of)?;
                match is_expected(&results, &values) {
                    true => Ok(()),
                    false => Err(format!("it returns {values:?}")),
                }
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                expect_trap(self.execute(exec)?, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                expect_trap(self.invoke(&call)?, message)
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                match self.instantiate(&module) {
                    Ok(_) => Err("it is linked".to_owned()),
                    Err(_) => Ok(()),
                }
            }
            other => Err(format!("not run here: {other:?}")
                .chars()
                .take(80)
                .collect()),
        }
    }

    fn compile(&self, module: &mut QuoteWat<'_>) -> Result<Module, String> {
        let bytes = module.encode().map_err(|error| error.to_string())?;
        Module::from_binary(&self.set_up.engine, &bytes).map_err(text_of)
    }

    fn instantiate(&mut self, module: &Module) -> wasmtime::Result<Instance> {
        self.set_up
            .instantiate(&mut self.store, &self.linker, module)
    }

    /// Instantiate, under its own name and as the current one.
    fn define(&mut self, name: Option<String>, module: &Module) -> Verdict {
        let instance = self.instantiate(module).map_err(text_of)?;
        self.current = Some(instance);
        if let Some(name) = name {
            self.instances.insert(name, instance);
        }
        Ok(())
    }

    fn instance(&self, id: &Option<Id<'_>>) -> Result<Instance, String> {
        let found = match key(id) {
            Some(name) => self.instances.get(&name).copied(),
            None => self.current,
        };
        found.ok_or_else(|| "no such instance".to_owned())
    }

    fn export(&mut self, module: &Option<Id<'_>>, name: &str) -> Result<Extern, String> {
        let export = self.instance(module)?.get_export(&mut self.store, name);
        export.ok_or_else(|| format!("no export {name}"))
    }

    /// Err: it could not even be called.
    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Ran, String> {
        let export = self.export(&invoke.module, invoke.name)?;
        let function = export.into_func().ok_or("no function")?;
        let args: Result<Vec<Val>, String> = invoke.args.iter().map(value_of).collect();
        let count = function.ty(&self.store).results().len();
        let mut results = vec![Val::I32(0); count];
        let called = self
            .set_up
            .call(&mut self.store, function, &args?, &mut results);
        Ok(called.map(|()| results))
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Ran, String> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(module) => self.execute_module(module),
            WastExecute::Get { module, global, .. } => {
                let export = self.export(&module, global)?;
                let global = export.into_global().ok_or("no global")?;
                Ok(Ok(vec![global.get(&mut self.store)]))
            }
        }
    }

    fn execute_module(&mut self, module: Wat<'_>) -> Result<Ran, String> {
        let module = self.compile(&mut QuoteWat::Wat(module))?;
        Ok(self.instantiate(&module).map(|_| Vec::new()))
    }
}
