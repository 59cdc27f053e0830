# SPDX-License-Identifier: MIT
# rusm_module(x)            the sources of src/x as one object library, "rusm-x-objects". A folder
#                           that has no source yet is skipped, so that lists can name the picture.
# rusm_static_library(n)    those objects as "n-static", for tests: they reach hidden functions.
# rusm_library(n)           the same, and the shared library that is installed.

# What only one folder may see; tools/check-includes.py holds the rule for our own headers.
function(rusm_module_extras target name)
    if(name STREQUAL "sandbox")
        target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/engine/include)
    elseif(name STREQUAL "serve")
        target_include_directories(${target} SYSTEM PRIVATE ${LLHTTP_INCLUDE})
    elseif(name STREQUAL "kv")
        target_link_libraries(${target} PRIVATE PkgConfig::LMDB)
    elseif(name STREQUAL "manifest")
        target_include_directories(${target} SYSTEM PRIVATE ${TOMLPLUSPLUS_INCLUDE})
    endif()
endfunction()

function(rusm_module name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c
        ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
    if(NOT sources)
        return()
    endif()
    set(target rusm-${name}-objects)
    add_library(${target} OBJECT ${sources})
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
    target_compile_options(${target} PRIVATE ${RUSM_WARNINGS}
        $<$<COMPILE_LANGUAGE:C>:${RUSM_C_WARNINGS}> -ftls-model=initial-exec
        $<$<COMPILE_LANGUAGE:C>:${RUSM_LTO_COMPILE}>)
    target_link_libraries(${target} PRIVATE ${RUSM_CORE_LIBRARIES})
    rusm_module_extras(${target} ${name})
endfunction()

# Sets `out` to the objects of those modules that have sources.
function(rusm_objects out)
    set(objects)
    foreach(module ${ARGN})
        if(TARGET rusm-${module}-objects)
            list(APPEND objects $<TARGET_OBJECTS:rusm-${module}-objects>)
        endif()
    endforeach()
    set(${out} ${objects} PARENT_SCOPE)
endfunction()

function(rusm_static_library name)
    cmake_parse_arguments(arg "" "" "MODULES;OBJECTS;LIBRARIES" ${ARGN})
    rusm_objects(objects ${arg_MODULES})
    foreach(extra ${arg_OBJECTS})
        list(APPEND objects $<TARGET_OBJECTS:${extra}>)
    endforeach()
    add_library(${name}-static STATIC ${objects})
    set_target_properties(${name}-static PROPERTIES LINKER_LANGUAGE CXX)
    target_include_directories(${name}-static PUBLIC ${CMAKE_SOURCE_DIR}/include
        ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name}-static PUBLIC ${RUSM_CORE_LIBRARIES} ${arg_LIBRARIES})
endfunction()

function(rusm_library name)
    cmake_parse_arguments(arg "" "" "MODULES;OBJECTS;LIBRARIES" ${ARGN})
    rusm_objects(objects ${arg_MODULES})
    foreach(extra ${arg_OBJECTS})
        list(APPEND objects $<TARGET_OBJECTS:${extra}>)
    endforeach()
    add_library(${name} SHARED ${objects})
    # The core is C alone; the node holds one C++ file, the TOML shim.
    set(language C)
    if(arg_LIBRARIES)
        set(language CXX)
    endif()
    set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION}
        SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE ${language}
        LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/exports.map)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(${name} PRIVATE ${RUSM_CORE_LIBRARIES} ${arg_LIBRARIES})
    # Public names only: nothing of Rust's, of llhttp's or of our own inside is seen from outside.
    target_link_options(${name} PRIVATE
        "LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map"
        "LINKER:--exclude-libs,ALL" "LINKER:-z,relro,-z,now" ${RUSM_LTO_LINK})
    if(NOT RUSM_SANITIZE) # a sanitizer's runtime comes with the program
        target_link_options(${name} PRIVATE "LINKER:-z,defs")
    endif()
    rusm_static_library(${name} ${ARGN})
endfunction()
