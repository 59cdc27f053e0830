// SPDX-License-Identifier: MIT
//! Resolve the imports of a guest, and name every one that is not offered.
//!
//! Wasmtime stops at the first import that it cannot resolve, and its linker cannot be asked what
//! it holds. It does refuse to define a name twice, though. So each imported function is offered
//! to a copy of the linker: what it takes is what was missing. This only happens when a guest is
//! refused anyway.

use wasmtime::Module;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

use crate::calls::{self, bridge};
use crate::client;
use crate::engine::Engine;
use crate::error::{EGUEST, Failure, chain_text};
use crate::instance::State;
use crate::wasi;

type Linker = wasmtime::component::Linker<State>;

pub fn resolve_component(
    engine: &Engine,
    component: &Component,
) -> Result<wasmtime::component::InstancePre<State>, Failure> {
    check_bridges(engine, component)?;
    engine
        .components
        .instantiate_pre(component)
        .map_err(|error| {
            let mut missing = Missing::default();
            let ty = component.component_type();
            for (name, item) in ty.imports(&engine.wasmtime) {
                match item.ty {
                    ComponentItem::ComponentInstance(instance) => {
                        missing_of(engine, name, &instance, &mut missing);
                    }
                    ComponentItem::Type(_) => {}
                    _ => missing.functions.push(name.to_owned()),
                }
            }
            refusal(missing.list(), &error)
        })
}

/// The linker only sees that values of bridges have the right shape; here their types are compared.
fn check_bridges(engine: &Engine, component: &Component) -> Result<(), Failure> {
    for (name, item) in component.component_type().imports(&engine.wasmtime) {
        let ComponentItem::ComponentInstance(guest) = item.ty else {
            continue;
        };
        let mut declared = engine.interfaces.iter();
        let declared = declared.find(|declared| is_same(name, &declared.name));
        let wrong = declared.and_then(|it| bridge::check(it, &engine.wasmtime, &guest));
        if let Some(text) = wrong {
            return Err(Failure::new(EGUEST, text));
        }
    }
    Ok(())
}

/// Does an import of this name get what is offered under the other one?
pub fn is_same(import: &str, offered: &str) -> bool {
    match (import.split_once('@'), offered.split_once('@')) {
        (Some((name, version)), Some((ours, our_version))) => {
            name == ours && track(version) == track(our_version)
        }
        _ => import == offered,
    }
}

/// A resource that one interface uses from another is listed by both and offered by one. So they
/// only count when every function is there.
#[derive(Default)]
struct Missing {
    functions: Vec<String>,
    resources: Vec<String>,
}

impl Missing {
    fn list(self) -> Vec<String> {
        if self.functions.is_empty() {
            self.resources
        } else {
            self.functions
        }
    }
}

/// No import of the list is offered; or, when all are, one has another type than the guest wants,
/// and the error says which.
fn refusal(missing: Vec<String>, error: &wasmtime::Error) -> Failure {
    if missing.is_empty() {
        return Failure::new(
            EGUEST,
            format!("an import does not fit: {}", chain_text(error)),
        );
    }
    let list = missing.join(", ");
    Failure::new(
        EGUEST,
        format!(
            "imports that this host does not offer: {list}; build it against the interfaces of \
             this release (wit/ in the source, docs/guests.md), or without them"
        ),
    )
}

/// An interface of types alone needs nothing from the host, whether we know it or not.
fn missing_of(
    engine: &Engine,
    interface: &str,
    instance: &ComponentInstance,
    missing: &mut Missing,
) {
    let mut scratch = engine.components.clone();
    let offered = offered_name(engine, interface);
    for (name, item) in instance.exports(&engine.wasmtime) {
        let (list, takes): (_, fn(&mut Linker, &str, &str) -> bool) = match item.ty {
            ComponentItem::ComponentFunc(_) => (&mut missing.functions, takes_function),
            ComponentItem::Resource(_) => (&mut missing.resources, takes_resource),
            _ => continue,
        };
        let absent = offered
            .as_ref()
            .is_none_or(|offered| takes(&mut scratch, offered, name));
        if absent {
            list.push(format!("{interface} {name}"));
        }
    }
}

/// The name under which the linker knows an interface, versions that fit each other included.
fn offered_name(engine: &Engine, interface: &str) -> Option<String> {
    let mut bridges = engine.interfaces.iter();
    if let Some(bridge) = bridges.find(|bridge| is_same(interface, &bridge.name)) {
        return Some(bridge.name.clone());
    }
    let (name, version) = interface.split_once('@')?;
    let offered = if wasi::INTERFACES.contains(&name) {
        wasi::VERSION
    } else if client::INTERFACES.contains(&name) {
        client::VERSION
    } else if calls::INTERFACES.contains(&name) {
        calls::VERSION
    } else {
        return None;
    };
    (track(version) == track(offered)).then(|| format!("{name}@{offered}"))
}

/// The part of a version that must be equal: up to the first number that is not 0.
fn track(version: &str) -> &str {
    let mut end = 0;
    for number in version.split('.') {
        end += number.len();
        if number != "0" {
            break;
        }
        end += 1;
    }
    version.get(..end).unwrap_or(version)
}

fn takes_function(scratch: &mut Linker, interface: &str, name: &str) -> bool {
    let instance = scratch.instance(interface);
    instance.is_ok_and(|mut instance| instance.func_new(name, |_, _, _, _| Ok(())).is_ok())
}

fn takes_resource(scratch: &mut Linker, interface: &str, name: &str) -> bool {
    let ty = wasmtime::component::ResourceType::host::<()>();
    let instance = scratch.instance(interface);
    instance.is_ok_and(|mut instance| instance.resource(name, ty, |_, _| Ok(())).is_ok())
}

pub fn resolve_module(
    engine: &Engine,
    module: &Module,
) -> Result<wasmtime::InstancePre<State>, Failure> {
    engine.modules.instantiate_pre(module).map_err(|error| {
        let missing = module
            .imports()
            .filter(|import| !module_offers(engine, import));
        let missing = missing.map(|import| format!("{} {}", import.module(), import.name()));
        refusal(missing.collect(), &error)
    })
}

fn module_offers(engine: &Engine, import: &wasmtime::ImportType<'_>) -> bool {
    let mut scratch = engine.modules.clone();
    let taken = scratch.func_wrap(import.module(), import.name(), || {});
    taken.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_up_to_the_first_number_that_counts() {
        assert_eq!(track("0.2.12"), "0.2");
        assert_eq!(track("0.1.0"), "0.1");
        assert_eq!(track("1.4.2"), "1");
        assert_eq!(track("0.0.3"), "0.0.3");
        assert_eq!(track(""), "");
    }
}
