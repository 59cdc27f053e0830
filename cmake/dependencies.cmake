# SPDX-License-Identifier: MIT
# Libraries from Debian. Core: libuv, mimalloc. Parts: LMDB, toml++ (headers), llhttp (C
# sources of Debian's node-llhttp). NOTICE lists their licences.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
find_library(BOOST_CONTEXT_LIBRARY boost_context REQUIRED) # its C interface: fiber switches
set(RUSM_CORE_LIBRARIES PkgConfig::UV Threads::Threads ${BOOST_CONTEXT_LIBRARY})

# A sanitizer brings its own allocator; otherwise everything in the program uses mimalloc.
if(NOT RUSM_SANITIZE)
    find_package(mimalloc 2.0 REQUIRED)
    list(APPEND RUSM_CORE_LIBRARIES mimalloc)
    add_compile_definitions(RUSM_WITH_MIMALLOC=1)
endif()

if(RUSM_WITH_PARTS)
    pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
    find_path(TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
    set(RUSM_PART_LIBRARIES PkgConfig::LMDB)
    find_path(RUSM_LLHTTP_SOURCE llhttp.c PATHS /usr/share/llhttp REQUIRED)
    find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp REQUIRED)
    add_library(rusm-llhttp OBJECT ${RUSM_LLHTTP_SOURCE}/llhttp.c ${RUSM_LLHTTP_SOURCE}/http.c
        ${RUSM_LLHTTP_SOURCE}/api.c)
    target_include_directories(rusm-llhttp PUBLIC SYSTEM ${LLHTTP_INCLUDE})
    target_compile_options(rusm-llhttp PRIVATE -w)
    # Without it the parser lets blanks in header names and bad chunk ends pass.
    target_compile_definitions(rusm-llhttp PUBLIC LLHTTP_STRICT_MODE=1)
endif()
