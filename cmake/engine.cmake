# SPDX-License-Identifier: MIT
# The engine: a Rust static library, built by cargo in one target folder for all configurations.
# The folder is shared, so that other builds find the archive made already; an archive that cargo
# leaves as it is makes nobody link again. Optimised over all crates: docs/adr/0039.
find_program(RUSM_CARGO cargo REQUIRED)
set(RUSM_ENGINE_ARCHIVE ${RUSM_CARGO_TARGET_DIR}/release/librusm_engine.a)
file(GLOB_RECURSE engine_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/engine/src/*.rs)
add_custom_command(
    OUTPUT ${RUSM_ENGINE_ARCHIVE}
    COMMAND ${CMAKE_COMMAND} -E env RUSM_CARGO=${RUSM_CARGO} ${CMAKE_SOURCE_DIR}/engine/cargo.sh
        rustc --release --locked --lib --crate-type staticlib
        --manifest-path ${CMAKE_SOURCE_DIR}/engine/Cargo.toml --target-dir ${RUSM_CARGO_TARGET_DIR}
        -- -C lto=thin
    DEPENDS ${engine_sources} ${CMAKE_SOURCE_DIR}/engine/Cargo.toml
        ${CMAKE_SOURCE_DIR}/engine/Cargo.lock ${CMAKE_SOURCE_DIR}/engine/cargo.sh
    COMMENT "Building the engine with cargo (some minutes the first time)"
    USES_TERMINAL VERBATIM)
add_custom_target(rusm-engine-archive DEPENDS ${RUSM_ENGINE_ARCHIVE})
add_library(rusm-engine INTERFACE)
add_dependencies(rusm-engine rusm-engine-archive)
target_link_libraries(rusm-engine INTERFACE ${RUSM_ENGINE_ARCHIVE} m dl gcc_s)
