# SPDX-License-Identifier: MIT
# An installed tree can be moved as a whole: the program finds its library relative to itself, and
# the pkg-config files name their prefix relative to themselves.
set(installed rusm-core)
if(RUSM_WITH_ENGINE)
    list(APPEND installed rusm rusm-cli)
    install(DIRECTORY ${CMAKE_SOURCE_DIR}/wit DESTINATION ${CMAKE_INSTALL_DATADIR}/rusm)
endif()
install(TARGETS ${installed}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/rusm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE
    DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RUSM_PC_PREFIX "/prefix/${pc_dir}" "/prefix")
string(REGEX REPLACE "/$" "" RUSM_PC_PREFIX "${RUSM_PC_PREFIX}")
foreach(name ${installed})
    if(name STREQUAL "rusm-cli")
        continue()
    endif()
    configure_file(${CMAKE_SOURCE_DIR}/cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${pc_dir})
endforeach()
