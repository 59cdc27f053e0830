# SPDX-License-Identifier: MIT
# What a build may choose, and the flags that every C file gets.
option(RUSM_WITH_ENGINE "Build the node on top of the core (needs cargo)" ON)
option(RUSM_WITH_PARTS "Build manifest and kv, which need no engine" ON)
option(RUSM_BUILD_TESTS "Build the tests" ON)
option(RUSM_BUILD_FUZZ "Build the fuzz targets (clang only)" OFF)
option(RUSM_BUILD_BENCH "Build the benchmarks" OFF)
option(RUSM_WERROR "Treat warnings as errors" OFF)
option(RUSM_LTO "Link-time optimisation of the C code, with gcc" ON)
set(RUSM_SANITIZE "" CACHE STRING "address,undefined or thread; empty for none")
set(RUSM_CARGO_TARGET_DIR "${CMAKE_SOURCE_DIR}/build/engine" CACHE PATH
    "Where cargo builds the engine; one folder serves all configurations")
set(RUSM_GUESTS_DIR "${CMAKE_SOURCE_DIR}/build/guests" CACHE PATH
    "Where the tests look for built guests")
if(RUSM_WITH_ENGINE AND NOT RUSM_WITH_PARTS)
    message(FATAL_ERROR "RUSM_WITH_ENGINE needs RUSM_WITH_PARTS")
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU dialect: Linux interfaces, statement-free builtins
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
# Fat objects: what is installed and measured is optimised across files, tests link quickly without.
set(RUSM_LTO_COMPILE "")
set(RUSM_LTO_LINK "")
if(RUSM_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT RUSM_SANITIZE)
    set(RUSM_LTO_COMPILE -flto=auto -ffat-lto-objects)
    set(RUSM_LTO_LINK -flto=auto -O2 -g)
endif()

set(RUSM_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wpointer-arith
    -Wwrite-strings)
if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND RUSM_WARNINGS -Wno-gnu-zero-variadic-macro-arguments)
endif()
set(RUSM_C_WARNINGS -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition)
if(RUSM_WERROR)
    list(APPEND RUSM_WARNINGS -Werror)
endif()

if(RUSM_SANITIZE)
    add_compile_options(-fsanitize=${RUSM_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${RUSM_SANITIZE})
    add_compile_definitions(RUSM_SANITIZED=1)
endif()
