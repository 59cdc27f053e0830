// SPDX-License-Identifier: MIT
//! The border of the engine, called as C calls it, with a fake host behind the table of host calls.

mod border;
mod cache;
mod calls;
mod fake;
mod life;
mod limits;
mod modules;
mod prepare;
mod shortcut;
mod small;
mod wasi;
mod wat;
