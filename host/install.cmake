# What `cmake --install` lays out: library, header, command, pkg-config file, CMake package, converter, bundled model.
# The components are the packages of package.cmake.
include(CMakePackageConfigHelpers)

install(TARGETS fastscnn EXPORT fastscnn-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime
  NAMELINK_COMPONENT dev)
if(FS_CUDA_MODULE)
  install(TARGETS fastscnn_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cuda)
endif()
if(TARGET gstfastscnn)
  install(TARGETS gstfastscnn LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/gstreamer-1.0 COMPONENT gstreamer)
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
install(FILES include/fastscnn/fastscnn.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fastscnn COMPONENT dev)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev
  PATTERN __pycache__ EXCLUDE)
# The pages that the header and the command speak of.
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev)
install(TARGETS fastscnn_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
if(FS_MAN_PAGE)
  install(FILES ${FS_MAN_PAGE} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
endif()
install(FILES cli/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME fastscnn
  COMPONENT tools)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/weights/convert.py DESTINATION ${CMAKE_INSTALL_DATADIR}/fastscnn
  COMPONENT tools)
install(FILES ${PROJECT_SOURCE_DIR}/weights/safetensors_io.py DESTINATION ${CMAKE_INSTALL_DATADIR}/fastscnn
  COMPONENT tools)
# The command looks for the bundled model there.
if(EXISTS ${PROJECT_SOURCE_DIR}/weights/models)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/weights/models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fastscnn
    COMPONENT tools)
endif()

set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
  set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
  set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH up /prefix/${pc_dir} /prefix)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(fastscnn.pc.in ${CMAKE_CURRENT_BINARY_DIR}/fastscnn.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastscnn.pc DESTINATION ${pc_dir} COMPONENT dev)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fastscnn)
configure_package_config_file(fastscnn-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/fastscnn-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break the interface, so it must match.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/fastscnn-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fastscnn-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/fastscnn-config-version.cmake DESTINATION ${package_dir} COMPONENT dev)
install(EXPORT fastscnn-targets NAMESPACE fastscnn:: DESTINATION ${package_dir} COMPONENT dev)
