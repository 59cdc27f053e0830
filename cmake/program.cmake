# SPDX-License-Identifier: MIT
# The command line. It uses the public headers only.
file(GLOB cli_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/cli/*.c)
file(RELATIVE_PATH libdir_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
add_executable(rusm-cli ${cli_sources})
set_target_properties(rusm-cli PROPERTIES OUTPUT_NAME rusm
    INSTALL_RPATH "$ORIGIN/${libdir_from_bin}")
target_include_directories(rusm-cli PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(rusm-cli PRIVATE _GNU_SOURCE)
target_compile_options(rusm-cli PRIVATE ${RUSM_WARNINGS} ${RUSM_C_WARNINGS})
# Named here too, before the C library, so that its malloc is everybody's: the engine's as well.
if(NOT RUSM_SANITIZE)
    target_link_libraries(rusm-cli PRIVATE mimalloc)
    target_link_options(rusm-cli PRIVATE -Wl,--no-as-needed)
endif()
target_link_libraries(rusm-cli PRIVATE rusm Threads::Threads)
