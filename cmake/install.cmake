# cmake --install: header, both libraries, command, pkg-config and CMake packages, man page.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/milo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS milo_shared milo_static EXPORT milo)
if(TARGET milo)
  install(TARGETS milo)
endif()
install(TARGETS ane_bridge)
if(EXISTS ${PROJECT_SOURCE_DIR}/docs/milo.1)
  install(FILES docs/milo.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

set(milo_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/milo)
install(EXPORT milo FILE miloTargets.cmake NAMESPACE milo:: DESTINATION ${milo_package_dir})
configure_package_config_file(cmake/miloConfig.cmake.in ${PROJECT_BINARY_DIR}/miloConfig.cmake
                              INSTALL_DESTINATION ${milo_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/miloConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/miloConfig.cmake ${PROJECT_BINARY_DIR}/miloConfigVersion.cmake
        DESTINATION ${milo_package_dir})

# cJSON as flags, not as a package that is required: pkg-config would ask for its .pc file even where
# only the shared library is used.
list(JOIN CJSON_LDFLAGS " " MILO_CJSON_LIBS)
configure_file(cmake/milo.pc.in milo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/milo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Last: says what was done.
configure_file(cmake/installed.cmake.in installed.cmake @ONLY)
install(SCRIPT ${PROJECT_BINARY_DIR}/installed.cmake)
