# Debian packages: `sansock`, all that runs, and `sansock-dev`, what plugins and programs for the native API are built against.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sansock)
set(CPACK_PACKAGE_VENDOR sansock)
set(CPACK_PACKAGE_CONTACT "sansock developers <sansock@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "moves TCP connections of unmodified programs off the kernel's path")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL runtime sdk)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME sansock)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION net)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "ibverbs-providers")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "prometheus, bash-completion, rdma-core")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
  "Programs written for TCP sockets run unchanged, and their connections move to
shared memory within the host, or to other transports by plugins, and back to
TCP at any byte.

This package has the program that runs them, the plugins, and the daemon that
shows their connections.")
set(debian ${CMAKE_CURRENT_LIST_DIR}/debian)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${debian}/postinst ${debian}/prerm ${debian}/postrm ${debian}/conffiles ${debian}/triggers)

set(CPACK_DEBIAN_SDK_PACKAGE_NAME sansock-dev)
set(CPACK_DEBIAN_SDK_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_SDK_PACKAGE_DEPENDS "sansock (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_SDK_DESCRIPTION
  "What plugins for sansock are built against, with a template and the program
that validates them, and the native API's headers.")

add_custom_command(OUTPUT changelog.gz COMMAND gzip -9nc ${debian}/changelog > changelog.gz DEPENDS ${debian}/changelog VERBATIM)
add_custom_target(debian_changelog ALL DEPENDS changelog.gz)
foreach(component runtime sdk)
  string(TOUPPER ${component} upper)
  install(FILES ${CMAKE_BINARY_DIR}/changelog.gz ${debian}/copyright COMPONENT ${component}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
endforeach()

# All that is installed, and no tests.
add_custom_target(packaged DEPENDS debian_changelog manual fault sansock sansock-bench-worker sansock_native sansock_preload sansock_runtime
  sansockd simulated portable roce iwarp)
if(TARGET sansock-validate)
  add_dependencies(packaged sansock-validate)
endif()

include(CPack)
