# What clang 14 needs to compile the framework, which is written for a newer one or for gcc: libstdc++ shows it no std::expected.
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
  include_directories(BEFORE SYSTEM ${CMAKE_CURRENT_LIST_DIR}/compat)
endif()
