# SPDX-License-Identifier: MIT
# Libraries from Debian. Core: libuv, mimalloc. Node: LMDB, toml++ (headers), llhttp (C sources).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
set(RUSM_CORE_LIBRARIES PkgConfig::UV Threads::Threads)

# A sanitizer brings its own allocator; otherwise everything in the program uses mimalloc.
if(NOT RUSM_SANITIZE)
    find_package(mimalloc 2.0 REQUIRED)
    list(APPEND RUSM_CORE_LIBRARIES mimalloc)
    add_compile_definitions(RUSM_WITH_MIMALLOC=1)
endif()

if(RUSM_WITH_ENGINE)
    pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
    find_path(TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
    set(RUSM_LLHTTP_SOURCES /usr/share/llhttp/llhttp.c /usr/share/llhttp/http.c
        /usr/share/llhttp/api.c)
    find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp REQUIRED)
    add_library(rusm-llhttp OBJECT ${RUSM_LLHTTP_SOURCES})
    target_include_directories(rusm-llhttp PUBLIC SYSTEM ${LLHTTP_INCLUDE})
    target_compile_options(rusm-llhttp PRIVATE -w)
    set(RUSM_NODE_LIBRARIES PkgConfig::LMDB)
endif()
