# SPDX-License-Identifier: MIT
# rusm_module(x): the sources of src/x as one object library, "rusm-x-objects". A folder that has
# no source yet is skipped, so the list in CMakeLists.txt can name the whole picture.
# rusm_library(name m...): a shared and a static library of those modules.

function(rusm_module name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c
        ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
    if(NOT sources)
        return()
    endif()
    add_library(rusm-${name}-objects OBJECT ${sources})
    target_include_directories(rusm-${name}-objects PUBLIC ${CMAKE_SOURCE_DIR}/include
        ${CMAKE_SOURCE_DIR}/src)
    target_compile_definitions(rusm-${name}-objects PRIVATE _GNU_SOURCE)
    target_compile_options(rusm-${name}-objects PRIVATE ${RUSM_WARNINGS}
        $<$<COMPILE_LANGUAGE:C>:${RUSM_C_WARNINGS}> -ftls-model=initial-exec)
    target_link_libraries(rusm-${name}-objects PRIVATE ${RUSM_CORE_LIBRARIES})
    if(name STREQUAL "sandbox")
        target_include_directories(rusm-${name}-objects PRIVATE ${CMAKE_SOURCE_DIR}/engine/include)
    elseif(name STREQUAL "serve")
        target_include_directories(rusm-${name}-objects SYSTEM PRIVATE ${LLHTTP_INCLUDE})
    elseif(name STREQUAL "kv")
        target_link_libraries(rusm-${name}-objects PRIVATE PkgConfig::LMDB)
    elseif(name STREQUAL "manifest")
        target_include_directories(rusm-${name}-objects SYSTEM PRIVATE ${TOMLPLUSPLUS_INCLUDE})
    endif()
endfunction()

function(rusm_library name)
    set(objects)
    foreach(module ${ARGN})
        if(TARGET rusm-${module}-objects)
            list(APPEND objects $<TARGET_OBJECTS:rusm-${module}-objects>)
        endif()
    endforeach()
    if(name STREQUAL "rusm")
        list(APPEND objects $<TARGET_OBJECTS:rusm-llhttp>)
    endif()
    add_library(${name} SHARED ${objects})
    set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION}
        SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE CXX)
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    # White-box tests reach hidden functions, so they link the objects as a static library.
    add_library(${name}-static STATIC ${objects})
    set_target_properties(${name}-static PROPERTIES LINKER_LANGUAGE CXX)
    target_include_directories(${name}-static PUBLIC ${CMAKE_SOURCE_DIR}/include
        ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name}-static PUBLIC ${RUSM_CORE_LIBRARIES})
    if(name STREQUAL "rusm")
        target_link_libraries(${name}-static PUBLIC ${RUSM_NODE_LIBRARIES} rusm-engine)
    endif()
endfunction()
