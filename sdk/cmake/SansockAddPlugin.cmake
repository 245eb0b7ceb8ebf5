# sansock_add_plugin(NAME SOURCES file... MANIFEST file [VERSION version] [NO_INSTALL])
#
# Builds NAME.so, a module that exports the entry symbol and nothing else and that leaves no symbol to luck. The manifest is
# completed (@SANSOCK_PLUGIN_NAME@, @SANSOCK_PLUGIN_LIBRARY@, @SANSOCK_PLUGIN_VERSION@, @SANSOCK_PLUGIN_ABI@) and put beside
# it into SANSOCK_PLUGIN_OUTPUT_DIRECTORY, which defaults to the build folder, so that SANSOCK_PLUGIN_PATH can point there.
# The sources see the manifest's version as SANSOCK_PLUGIN_VERSION, a text for their entry.
# Both are installed into <libdir>/sansock/plugins. Link what else the plugin needs with target_link_libraries(NAME PRIVATE ...).
include_guard(GLOBAL)

# The contract's numbers come from the header that the plugin is compiled against, so that the manifest cannot disagree.
function(sansock_read_abi result)
  get_target_property(directories sansock::sdk INTERFACE_INCLUDE_DIRECTORIES)
  string(REGEX REPLACE "\\$<BUILD_INTERFACE:([^>]*)>" "\\1" directories "${directories}")
  find_file(header sansock/sdk/version.h PATHS ${directories} NO_DEFAULT_PATH NO_CACHE REQUIRED)
  file(STRINGS ${header} lines REGEX "define SANSOCK_ABI_(MAJOR|MINOR) ")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" abi "${lines}")
  set(${result} ${abi} PARENT_SCOPE)
endfunction()

function(sansock_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "NO_INSTALL" "MANIFEST;VERSION" "SOURCES")
  if(NOT ARG_SOURCES OR NOT ARG_MANIFEST OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "usage: sansock_add_plugin(NAME SOURCES file... MANIFEST file [VERSION version] [NO_INSTALL])")
  endif()
  if(NOT ARG_VERSION)
    set(ARG_VERSION ${PROJECT_VERSION})
  endif()
  if(SANSOCK_PLUGIN_OUTPUT_DIRECTORY)
    set(directory ${SANSOCK_PLUGIN_OUTPUT_DIRECTORY})
  else()
    set(directory ${CMAKE_CURRENT_BINARY_DIR})
  endif()

  add_library(${name} MODULE ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sansock::sdk)
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  target_link_options(${name} PRIVATE -Wl,--version-script=${map} -Wl,-z,now)
  # A sanitizer's functions come from the program with clang, so they cannot be resolved here.
  if(NOT SANSOCK_SANITIZE)
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${name} PROPERTIES
    PREFIX "" LINK_DEPENDS ${map} LIBRARY_OUTPUT_DIRECTORY ${directory}
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

  target_compile_definitions(${name} PRIVATE SANSOCK_PLUGIN_VERSION="${ARG_VERSION}")
  set(SANSOCK_PLUGIN_NAME ${name})
  set(SANSOCK_PLUGIN_LIBRARY ${name}.so)
  set(SANSOCK_PLUGIN_VERSION ${ARG_VERSION})
  sansock_read_abi(SANSOCK_PLUGIN_ABI)
  configure_file(${ARG_MANIFEST} ${directory}/${name}.yaml @ONLY)
  if(NOT ARG_NO_INSTALL)
    include(GNUInstallDirs)
    install(TARGETS ${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/sansock/plugins)
    install(FILES ${directory}/${name}.yaml DESTINATION ${CMAKE_INSTALL_LIBDIR}/sansock/plugins)
  endif()
endfunction()
